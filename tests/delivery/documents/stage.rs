//! Where the commands of a page run: a cluster and an account of their own, a copy of the files that they name, and
//! the programs that they call.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures::future::LocalBoxFuture;
use testkit::{
    Error, Result,
    aws::{Backend, command_line_python},
    control_plane::{ControlPlane, helm_folder},
    process::{Process, SpawnOptions},
    wait::eventually,
};
use tokio::process::Command;

use super::{ACCOUNT, OPERATOR, blocks::Block, node::Node};
use crate::{cluster, kubectl, path};

/// The folders of the repository that commands name.
const FOLDERS: [&str; 3] = ["charts", "crds", "deploy"];
/// More than any command waits by itself.
const DEADLINE: Duration = Duration::from_mins(3);

pub(super) struct Stage {
    // Order matters: what runs ends before what it talks to.
    /// Commands that go on.
    running: Vec<Process>,
    /// It does something while commands run, and what it has started goes on.
    node: LocalBoxFuture<'static, Result<()>>,
    pub(super) plane: Arc<ControlPlane>,
    pub(super) backend: Arc<Backend>,
    /// Where commands run; it goes with the control plane.
    pub(super) folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Stage {
    /// An empty cluster with nodes, and an empty account.
    pub(super) async fn start() -> Result<Self> {
        let (plane, backend) = tokio::try_join!(cluster(), Backend::start())?;
        let (plane, backend) = (Arc::new(plane), Arc::new(backend));
        let folder = plane.data_dir().join("page");
        let programs = plane.data_dir().join("programs");
        let made = fs::create_dir_all(folder.join("target/release")).and_then(|()| fs::create_dir_all(&programs));
        made.and_then(|()| FOLDERS.iter().try_for_each(|name| copy(&path(name), &folder.join(name)))).map_err(setup)?;
        link_programs(&plane, &programs, &folder).await?;
        let environment = environment(&plane, &backend, &programs).await?;
        let node = Box::pin(Node::new(&plane, &backend, plane.data_dir().to_owned()).run());
        Ok(Self { running: Vec::new(), node, plane, backend, folder, environment })
    }

    /// Writes a file into the folder that commands run in.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.folder.join(name);
        fs::create_dir_all(file.parent().unwrap_or(&self.folder)).and_then(|()| fs::write(&file, text)).map_err(setup)
    }

    /// Applies manifests as a reader would.
    pub(super) async fn apply(&self, yaml: &str) -> Result<()> {
        let output = self.plane.kubectl_with(&self.plane.admin_kubeconfig(), &["apply", "-f", "-"], Some(yaml)).await?;
        assert!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs a block as it is written; it has to succeed. Gives what it prints.
    pub(super) async fn run(&mut self, page: &str, block: &Block) -> Result<String> {
        let place = format!("{page}:{}\n{}\n", block.line, block.body);
        if let Some(words) = &block.until {
            return self.begin(&place, block, words).await;
        }
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &block.body]).env_clear().envs(self.environment.iter().cloned());
        command.current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::select! {
            biased;
            outcome = &mut self.node => panic!("{place}--- a Pod failed meanwhile: {outcome:?}"),
            output = tokio::time::timeout(DEADLINE, command.output()) => output,
        };
        let problem = match output {
            Err(_) => format!("is still running after {DEADLINE:?}"),
            Ok(output) => {
                let output = output.map_err(setup)?;
                let [shown, errors] =
                    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
                if output.status.success() {
                    return Ok(shown);
                }
                format!("{}; it printed:\n{shown}{errors}", output.status)
            }
        };
        panic!("{place}--- {problem}\n--- objects:\n{}", self.objects().await?)
    }

    /// What may say why something failed.
    async fn objects(&self) -> Result<String> {
        let mut all = Vec::new();
        for kind in ["pods", "portawsaccesses", "portawsintegrations"] {
            let output = self.plane.kubectl(&["get", kind, "--all-namespaces", "--output", "wide"]).await?;
            all.extend([output.stdout, output.stderr].concat());
        }
        Ok(String::from_utf8_lossy(&all).into_owned())
    }

    /// Starts a block that goes on, and waits until it says that all is well.
    async fn begin(&mut self, place: &str, block: &Block, words: &str) -> Result<String> {
        // A process has no folder of its own to be started in.
        let script = format!("cd '{}'\n{}", self.folder.display(), block.body);
        let process = Process::spawn(SpawnOptions {
            name: block.body.clone(),
            program: "bash".into(),
            args: ["-euo", "pipefail", "-c", &script].map(Into::into).into(),
            env: self.environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            log: self.plane.data_dir().join(format!("block-{}.log", block.line)),
        })?;
        let said = eventually(&format!("{place}--- to say {words:?}"), Duration::from_secs(30), async || {
            if let Err(error) = process.check_running() {
                return Ok(Some(Err(error)));
            }
            let log = fs::read_to_string(process.log()).map_err(setup)?;
            if log.contains(words) { Ok(Some(Ok(log))) } else { Err(Error::not_yet(log)) }
        })
        .await??;
        self.running.push(process);
        Ok(said)
    }
}

fn setup(source: io::Error) -> Error {
    Error::Io { what: "what the commands need".to_owned(), source }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))
    })
}

/// Names as users call them.
async fn link_programs(plane: &ControlPlane, programs: &Path, folder: &Path) -> Result<()> {
    let (helm, python) = tokio::try_join!(helm_folder(), command_line_python())?;
    let links = [
        (plane.tools().join("kubectl"), programs.join("kubectl")),
        (helm.join("helm4"), programs.join("helm")),
        (OPERATOR.into(), programs.join("port-aws-operator")),
        (OPERATOR.into(), folder.join("target/release/port-aws-operator")),
    ];
    links.iter().try_for_each(|(from, to)| symlink(from, to)).map_err(setup)?;
    let aws = programs.join("aws");
    let script = format!("#!/bin/sh\nexec '{}' -m awscli \"$@\"\n", python.display());
    fs::write(&aws, script).and_then(|()| fs::set_permissions(&aws, fs::Permissions::from_mode(0o755))).map_err(setup)
}

/// A shell of somebody who administers the cluster and the account.
async fn environment(plane: &ControlPlane, backend: &Backend, programs: &Path) -> Result<Vec<(String, String)>> {
    let credentials = backend.credentials(ACCOUNT).await?;
    let inherited = std::env::var("PATH").unwrap_or_default();
    let uid = ["get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}"];
    let all = [
        ("PATH", format!("{}:{inherited}", programs.display())),
        ("HOME", plane.data_dir().display().to_string()),
        ("KUBECONFIG", plane.admin_kubeconfig().display().to_string()),
        ("CLUSTER_ID", kubectl(plane, &uid).await?),
        ("AWS_ENDPOINT_URL", backend.url().to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_DEFAULT_REGION", "eu-west-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", credentials.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
        ("AWS_SESSION_TOKEN", credentials.session_token),
        // Many run at once, so the system chooses ports.
        ("PORT_AWS_OPERATOR_METRICS_ADDR", "127.0.0.1:0".to_owned()),
        ("PORT_AWS_OPERATOR_HEALTH_ADDR", "127.0.0.1:0".to_owned()),
        ("NO_COLOR", "1".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ];
    Ok(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
