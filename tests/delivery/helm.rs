//! Helm as a process, both major versions.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use testkit::{
    Error, Result,
    control_plane::{ControlPlane, helm_folder},
};
use tokio::process::Command;

use crate::path;

pub(crate) const CHART: &str = "charts/port-aws-operator";
/// The value sets that lint, snapshots and installs go through.
pub(crate) const VALUE_SETS: [&str; 6] = ["default", "one-account", "namespaced", "everything", "single", "bare"];
const DEADLINE: Duration = Duration::from_mins(2);

/// The file of a value set.
pub(crate) fn values(set: &str) -> String {
    path(&format!("{CHART}/ci/{set}-values.yaml")).display().to_string()
}

/// One of the two.
#[derive(Debug, Clone)]
pub(crate) struct Helm {
    major: u8,
    binary: PathBuf,
    kubeconfig: PathBuf,
}

impl Helm {
    /// One that only renders.
    pub(crate) async fn new(major: u8) -> Result<Self> {
        let binary = helm_folder().await?.join(format!("helm{major}"));
        Ok(Self { major, binary, kubeconfig: PathBuf::from("/dev/null") })
    }

    /// One that acts on a cluster, as its administrator.
    pub(crate) async fn on(major: u8, plane: &ControlPlane) -> Result<Self> {
        Ok(Self { kubeconfig: plane.admin_kubeconfig(), ..Self::new(major).await? })
    }

    pub(crate) fn major(&self) -> u8 {
        self.major
    }

    /// Runs it, whatever comes of it.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<Output> {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
        let mut command = Command::new(&self.binary);
        command.args(args).env_clear().env("KUBECONFIG", &self.kubeconfig).env("HOME", &home);
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), home.join(kind));
        }
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output()).await;
        let output = output.map_err(|_| Error::Setup(format!("helm {} is still running", args.join(" "))))?;
        output.map_err(|error| Error::Setup(format!("{}: {error}", self.binary.display())))
    }

    /// Runs it; it has to succeed. Gives its output.
    pub(crate) async fn succeed(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args).await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "helm{} {}: {errors}", self.major, args.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it; it has to fail. Gives what it says.
    pub(crate) async fn fail(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args).await?;
        assert!(!output.status.success(), "helm{} {} succeeds", self.major, args.join(" "));
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The chart as it is rendered for a value set and further options.
    pub(crate) async fn template(&self, set: &str, more: &[&str]) -> Result<String> {
        let file = values(set);
        let args = ["template", "release", CHART, "--namespace", "port-aws-operator", "--values", &file];
        self.succeed(&[&args[..], more].concat()).await
    }
}
