//! What the operator tells of itself: metrics, health and log.

pub mod catalog;
pub mod health;
pub mod logging;
pub mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod series;
pub mod server;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
