//! Where the backend's Python is.

use std::path::PathBuf;

use tokio::sync::OnceCell;

use crate::{Result, script};

/// Found once in a process; the first time of all takes half a minute.
static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();

/// `TESTKIT_AWS_PYTHON` if set, else what `hack/aws-backend-env.sh` makes.
pub(super) async fn python() -> Result<PathBuf> {
    PYTHON.get_or_try_init(|| script::place(&["TESTKIT_AWS_PYTHON"], "aws-backend-env.sh")).await.cloned()
}

/// The Python that has the AWS command line as the module `awscli`: `TESTKIT_AWS_CLI_PYTHON` if set, else what
/// `hack/aws-cli-env.sh` makes.
pub async fn command_line_python() -> Result<PathBuf> {
    static WITH_CLI: OnceCell<PathBuf> = OnceCell::const_new();
    WITH_CLI.get_or_try_init(|| script::place(&["TESTKIT_AWS_CLI_PYTHON"], "aws-cli-env.sh")).await.cloned()
}
