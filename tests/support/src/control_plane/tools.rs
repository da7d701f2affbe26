//! Where the control plane's binaries are.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::{Error, Result};

/// Found once in a process; a first build takes minutes.
static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();

/// The folder that holds `etcd`, `kube-apiserver`, `kube-controller-manager` and `kubectl`.
///
/// `TESTKIT_TOOLS` if set, else `KUBEBUILDER_ASSETS`, else what `hack/build-tools.sh` builds.
pub async fn tools_folder() -> Result<PathBuf> {
    FOLDER.get_or_try_init(find).await.cloned()
}

async fn find() -> Result<PathBuf> {
    for variable in ["TESTKIT_TOOLS", "KUBEBUILDER_ASSETS"] {
        if let Some(folder) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            return Ok(PathBuf::from(folder));
        }
    }
    build().await
}

async fn build() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/build-tools.sh");
    // Standard error is passed on: it says which of the binaries is being built.
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(Error::file("run", &script))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !folder.is_empty() {
        return Ok(PathBuf::from(folder));
    }
    Err(Error::Setup(format!("{} failed ({}); what it wrote is above", script.display(), output.status)))
}

/// The path of one tool, checked to exist.
pub(super) fn tool(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::Setup(format!(
        "{} is missing; unset TESTKIT_TOOLS and KUBEBUILDER_ASSETS to have it built",
        path.display()
    )))
}
