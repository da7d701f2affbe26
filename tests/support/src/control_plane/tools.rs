//! Where the control plane's binaries are.

use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;

use crate::{Error, Result, script};

/// Found once in a process; a first build takes minutes.
static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();

/// The folder that holds `etcd`, `kube-apiserver`, `kube-controller-manager` and `kubectl`.
///
/// `TESTKIT_TOOLS` if set, else `KUBEBUILDER_ASSETS`, else what `hack/build-tools.sh` builds.
pub async fn tools_folder() -> Result<PathBuf> {
    const VARIABLES: [&str; 2] = ["TESTKIT_TOOLS", "KUBEBUILDER_ASSETS"];
    FOLDER.get_or_try_init(|| script::place(&VARIABLES, "build-tools.sh")).await.cloned()
}

/// The folder that holds `helm3` and `helm4`: `HELM_TOOLS` if set, else what `hack/build-helm.sh` builds.
pub async fn helm_folder() -> Result<PathBuf> {
    static HELM: OnceCell<PathBuf> = OnceCell::const_new();
    HELM.get_or_try_init(|| script::place(&["HELM_TOOLS"], "build-helm.sh")).await.cloned()
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
