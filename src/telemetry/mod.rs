//! What the operator tells of itself: metrics and log.

pub mod catalog;
pub mod metrics;
pub mod server;
