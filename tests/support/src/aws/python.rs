//! Where the backend's Python is.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::{Error, Result};

/// Found once in a process; the first time of all takes half a minute.
static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();

/// `TESTKIT_AWS_PYTHON` if set, else what `hack/aws-backend-env.sh` makes.
pub(super) async fn python() -> Result<PathBuf> {
    PYTHON.get_or_try_init(find).await.cloned()
}

async fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TESTKIT_AWS_PYTHON").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/aws-backend-env.sh");
    // Standard error is passed on: it says what takes time, or what is missing.
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(Error::file("run", &script))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !path.is_empty() {
        return Ok(PathBuf::from(path));
    }
    Err(Error::Setup(format!("{} failed ({}); what it wrote is above", script.display(), output.status)))
}
