//! What the operator tells of itself: metrics, health and log.

pub mod catalog;
pub mod health;
pub mod logging;
pub mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
pub mod server;
