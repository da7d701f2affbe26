//! What is shipped to be installed: the chart, by Helm 3 and Helm 4, and the manifests in `deploy/`, on a
//! real API server.

// A test fails by an assertion.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod arguments;
mod documents;
mod gitops;
mod helm;
mod image;
mod install;
mod manifests;
mod objects;
mod rights;
mod running;
mod security;
mod snapshots;
mod values;

use std::path::{Path, PathBuf};

use testkit::{
    Result,
    control_plane::{ControlPlane, StartOptions},
};

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A control plane of the test's own: what is installed is cluster-scoped.
async fn cluster() -> Result<ControlPlane> {
    ControlPlane::start(StartOptions { controller_manager: true, ..StartOptions::default() }).await
}

/// Runs kubectl, which has to succeed, and gives its output.
async fn kubectl(plane: &ControlPlane, args: &[&str]) -> Result<String> {
    let output = plane.kubectl(args).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {}: {errors}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
