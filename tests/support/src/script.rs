//! Parts that a script in `hack/` makes once, and prints the place of.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::{Error, Result};

/// The value of the first of these variables that is set, else what the script prints.
pub(crate) async fn place(variables: &[&str], script: &str) -> Result<PathBuf> {
    let set = variables.iter().find_map(|variable| std::env::var_os(variable).filter(|value| !value.is_empty()));
    if let Some(place) = set {
        return Ok(PathBuf::from(place));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack").join(script);
    // Standard error is passed on: it says what takes time, or what is missing.
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(Error::file("run", &script))?;
    let place = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !place.is_empty() {
        return Ok(PathBuf::from(place));
    }
    Err(Error::Setup(format!("{} failed ({}); what it wrote is above", script.display(), output.status)))
}
