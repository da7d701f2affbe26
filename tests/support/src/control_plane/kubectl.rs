//! Running the pinned kubectl.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{ControlPlane, tools};
use crate::{Error, Result};

const DEADLINE: Duration = Duration::from_mins(1);

impl ControlPlane {
    /// Runs kubectl as the admin. A kubectl that fails is no error here: look at the status.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.kubectl_with(&self.admin_kubeconfig(), args, None).await
    }

    /// Runs kubectl with another kubeconfig, and with text on its standard input.
    pub async fn kubectl_with(&self, kubeconfig: &Path, args: &[&str], input: Option<&str>) -> Result<Output> {
        let mut child = self
            .kubectl_command(kubeconfig, args)?
            .spawn()
            .map_err(|error| Error::io("cannot start kubectl", error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // kubectl may end without reading all: its own message then says more than the pipe's.
            let _ = stdin.write_all(input.unwrap_or_default().as_bytes()).await;
        }
        match tokio::time::timeout(DEADLINE, child.wait_with_output()).await {
            Ok(output) => output.map_err(|error| Error::io("kubectl", error)),
            Err(_) => Err(Error::Timeout {
                what: format!("kubectl {}", args.join(" ")),
                after: DEADLINE,
                last: "still running".to_owned(),
            }),
        }
    }

    /// kubectl, ready to be started, with pipes for input and output; it ends with its handle.
    pub fn kubectl_command(&self, kubeconfig: &Path, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(tools::tool(self.tools(), "kubectl")?);
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(args)
            .env_clear()
            // kubectl keeps a cache in the home folder.
            .env("HOME", self.data_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for whoever runs kubectl, who then ends it.
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Applies manifests (server-side) as the admin and gives kubectl's output.
    pub async fn kubectl_apply(&self, yaml: &str) -> Result<String> {
        let args = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let output = self.kubectl_with(&self.admin_kubeconfig(), &args, Some(yaml)).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Process {
            name: "kubectl apply".to_owned(),
            what: format!("failed ({})", output.status),
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
