//! What the demo plays on: control plane, AWS backend and operator, and how it looks at them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use testkit::aws::{AccountState, Backend};
use testkit::control_plane::{ControlPlane, StartOptions, tools_folder};
use testkit::fixture::integration_resource;
use testkit::operator::{LeaseName, Operator, OperatorOptions};
use testkit::wait::eventually;
use testkit::{Error, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::organization;
use crate::screen::{Screen, command_line};

/// The account that the samples in `deploy/samples` name.
pub(crate) const ACCOUNT: &str = "111122223333";
/// The namespace and name of the `PortAwsIntegration` there.
pub(crate) const NAMESPACE: &str = "demo";
pub(crate) const NAME: &str = "production";
/// What the operator makes in the account for it.
pub(crate) const ROLE: &str = "PortIntegrationRole-aws-prod";
/// Names the installation in AWS tags.
pub(crate) const CLUSTER_ID: &str = "demo-cluster";
/// Namespace and name of the operator's service account in `deploy`.
pub(crate) const OPERATOR: &str = "port-aws-operator";

/// How long anything may take that usually takes a second or two.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Everything that runs; dropping it ends everything and removes its files.
pub(crate) struct Stage {
    pub(crate) screen: Screen,
    // Order matters: the operator ends before what it talks to.
    operator: Option<Operator>,
    pub(crate) backend: Backend,
    pub(crate) plane: ControlPlane,
}

impl Stage {
    /// Starts Kubernetes and AWS, and says what was started.
    pub(crate) async fn start(screen: Screen, keep: bool) -> Result<Self> {
        let tools = tools_folder().await?;
        // Only needed to delete a namespace; a folder of envtest does not have it.
        let controller_manager = keep && tools.join("kube-controller-manager").is_file();
        let etcd = version(&tools.join("etcd")).await?;
        // The audit log tells when kubectl watches.
        let options = StartOptions { tools: Some(tools), controller_manager, audit: true, data_dir: None };
        let ((plane, plane_time), (backend, backend_time)) =
            tokio::try_join!(timed(ControlPlane::start(options)), timed(Backend::start()))?;
        let stage = Self { screen, operator: None, backend, plane };
        let kubernetes = stage.plane.admin_client()?.apiserver_version().await?.git_version;
        let (server, aws) = (stage.plane.server_url(), stage.backend.url());
        let moto = stage.backend.moto_version().await?;
        let screen = &stage.screen;
        screen.verified(&format!("kube-apiserver {kubernetes} on etcd {etcd} is ready at {server} ({plane_time})"))?;
        screen.verified(&format!("the AWS backend, moto {moto}, is ready at {aws} ({backend_time})"))?;
        Ok(stage)
    }

    /// Starts the operator under its service account, with credentials of the account.
    pub(crate) async fn start_operator(&mut self) -> Result<()> {
        let binary = operator_binary()?;
        let rights = organization::operator_rights().await?;
        let options = OperatorOptions {
            binary,
            kubeconfig: self.plane.kubeconfig_for_service_account(OPERATOR, OPERATOR).await?,
            aws_endpoint: self.backend.url().to_owned(),
            credentials: Some(self.backend.credentials_with(ACCOUNT, "PortAwsOperator", &rights).await?),
            cluster_id: Some(CLUSTER_ID.to_owned()),
            namespaces: Vec::new(),
            lease: LeaseName::Shipped,
            args: Vec::new(),
            env: Vec::new(),
            log: self.operator_log(),
        };
        let lease = ["--lease-namespace", OPERATOR];
        let arguments =
            [&["port-aws-operator", "run", "--cluster-id", CLUSTER_ID][..], &lease, &["--log-format", "text"]].concat();
        self.screen.command(&command_line(&arguments))?;
        // Kept before it is ready: if it never is, its log is shown.
        let operator = self.operator.insert(Operator::spawn(&options)?);
        operator.wait_until_ready().await
    }

    /// The operator, which must be alive and well.
    pub(crate) fn operator(&self) -> Result<&Operator> {
        let operator = self.operator.as_ref().ok_or_else(|| failed("the operator has not been started"))?;
        operator.check_healthy()?;
        Ok(operator)
    }

    /// The file that the operator logs to.
    pub(crate) fn operator_log(&self) -> PathBuf {
        self.plane.data_dir().join("operator.log")
    }

    /// The end of the operator's log, if it was started.
    pub(crate) fn operator_log_tail(&self, lines: usize) -> Option<String> {
        self.operator.as_ref().map(|operator| operator.log_tail(lines))
    }

    /// The processes that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids = self.plane.pids();
        pids.push(self.backend.pid());
        pids.extend(self.operator.as_ref().map(Operator::pid));
        pids
    }

    /// Shows a kubectl command, runs it, and shows what it prints.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<()> {
        self.screen.command(&kubectl_line(args))?;
        let output = self.plane.kubectl(args).await?;
        self.screen.output(&String::from_utf8_lossy(&output.stdout))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return self.screen.output(&errors);
        }
        Err(failed(format!("{} failed ({}): {}", kubectl_line(args), output.status, errors.trim())))
    }

    /// Runs a `kubectl get --watch` of the integrations from before `meanwhile`, and shows what it
    /// prints until it shows one as ready.
    pub(crate) async fn watch_until_ready(&self, meanwhile: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let args = ["get", "pai", "-n", NAMESPACE, "--watch"];
        let mut child = self
            .plane
            .kubectl_command(&self.plane.admin_kubeconfig(), &args)?
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|source| Error::Io { what: "cannot start kubectl".to_owned(), source })?;
        let stdout = child.stdout.take().ok_or_else(|| failed("kubectl has no output"))?;
        eventually("kubectl to watch", DEADLINE, async || {
            Ok(self.plane.audit_events()?.iter().any(is_kubectl_watch).then_some(()))
        })
        .await?;
        meanwhile().await?;
        self.screen.command(&kubectl_line(&args))?;
        let mut lines = BufReader::new(stdout).lines();
        let shown = tokio::time::timeout(DEADLINE, async {
            while let Some(line) = lines.next_line().await.map_err(kubectl_unreadable)? {
                self.screen.output(&line)?;
                if shows_ready(&line) {
                    return Ok(());
                }
            }
            Err(failed("kubectl get --watch ended before it showed the resource as Ready"))
        });
        let late = || failed(format!("kubectl get --watch did not show the resource as Ready within {DEADLINE:?}"));
        shown.await.map_err(|_| late())??;
        child.kill().await.map_err(kubectl_unreadable)
    }

    /// The integration as the API server has it; null if there is none.
    pub(crate) async fn integration(&self) -> Result<Value> {
        let resource = integration_resource();
        let api = Api::<DynamicObject>::namespaced_with(self.plane.admin_client()?, NAMESPACE, &resource);
        Ok(serde_json::to_value(api.get_opt(NAME).await?)?)
    }

    /// The reason and text of each event, the oldest first.
    pub(crate) async fn events(&self) -> Result<Vec<(String, String)>> {
        let api = Api::<Event>::namespaced(self.plane.admin_client()?, NAMESPACE);
        let mut events = api.list(&ListParams::default()).await?.items;
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let text = |event: Event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default());
        Ok(events.into_iter().map(text).collect())
    }

    /// What is in the account now.
    pub(crate) async fn account(&self) -> Result<AccountState> {
        self.backend.state(ACCOUNT).await
    }

    /// Waits until the account is as wanted.
    pub(crate) async fn account_until(
        &self,
        what: &str,
        wanted: impl Fn(&AccountState) -> bool,
    ) -> Result<AccountState> {
        eventually(what, DEADLINE, async || {
            let state = self.account().await?;
            if wanted(&state) { Ok(Some(state)) } else { Err(Error::not_yet(format!("{state:?}"))) }
        })
        .await
    }
}

/// An error of the demo's own.
pub(crate) fn failed(text: impl Into<String>) -> Error {
    Error::Setup(text.into())
}

/// An error unless something that the demo is about to claim is so.
pub(crate) fn ensure(is_so: bool, claim: &str, seen: impl FnOnce() -> String) -> Result<()> {
    if is_so { Ok(()) } else { Err(failed(format!("this should be so and is not: {claim}; seen: {}", seen()))) }
}

fn kubectl_line(args: &[&str]) -> String {
    command_line(&[&["kubectl"], args].concat())
}

fn kubectl_unreadable(source: std::io::Error) -> Error {
    Error::Io { what: "kubectl get --watch".to_owned(), source }
}

/// Whether the audit log's event is the beginning of a watch by kubectl.
fn is_kubectl_watch(event: &Value) -> bool {
    event["verb"] == "watch"
        && event["stage"] == "ResponseStarted"
        && event["objectRef"]["resource"] == "portawsintegrations"
        && event["userAgent"].as_str().is_some_and(|agent| agent.starts_with("kubectl/"))
}

/// Whether a line of `kubectl get pai` shows a resource whose column READY is True.
fn shows_ready(line: &str) -> bool {
    let mut columns = line.split_whitespace();
    columns.next() == Some(NAME) && columns.next() == Some("True")
}

/// The operator is built into the same folder as the demo.
pub(crate) fn operator_binary() -> Result<PathBuf> {
    let demo = std::env::current_exe().map_err(|source| Error::Io { what: "cannot find myself".to_owned(), source })?;
    let binary = demo.with_file_name("port-aws-operator");
    if binary.is_file() {
        return Ok(binary);
    }
    Err(failed(format!("{} is missing; 'make demo' builds it", binary.display())))
}

/// What a program says of itself, the last word of the first line.
async fn version(program: &Path) -> Result<String> {
    let unreadable = |source| Error::Io { what: format!("cannot run {}", program.display()), source };
    let output = Command::new(program).arg("--version").output().await.map_err(unreadable)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let word = text.lines().next().and_then(|line| line.split_whitespace().last());
    Ok(word.unwrap_or("of unknown version").to_owned())
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(T, String)> {
    let start = Instant::now();
    let done = work.await?;
    Ok((done, format!("{:.1} s", start.elapsed().as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_in_its_column_is_ready() {
        assert!(shows_ready("production   True    Ready          1   1   2s"));
        assert!(!shows_ready("production   Unknown   Provisioning  1   0   2s"));
        assert!(!shows_ready("production                               0s"));
        assert!(!shows_ready("NAME         READY   REASON"));
    }
}
