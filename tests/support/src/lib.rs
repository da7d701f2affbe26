//! Real parts to test the operator with.
//!
//! Nothing here imitates Kubernetes: tests talk to a real API server. Everything that is started
//! ends with its handle, and with the test process.

pub mod aws;
pub mod control_plane;
mod error;
pub mod fixture;
mod folder;
pub mod kstatus;
pub mod metrics;
pub mod operator;
pub mod ports;
pub mod process;
mod script;
pub mod usage;
pub mod wait;
pub mod watcher;

pub use error::{Error, Result};

/// Makes aws-lc-rs the process-wide TLS provider; a second call does nothing.
pub fn install_crypto_provider() {
    // An error means that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
