//! The operator as a process of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::aws::Credentials;
use crate::metrics::Metrics;
use crate::process::{Process, Signal, SpawnOptions};
use crate::wait::eventually;
use crate::{Error, Result};

/// In the line that the operator writes once it knows all objects.
const READY_LINE: &str = "watching";
/// Where the shipped rights allow a Lease, and of which name.
const SHIPPED_LEASE: &str = "port-aws-operator";
/// Where [`crate::fixture::World`] allows Leases of any name.
pub const TEST_LEASES: &str = "test-leases";
/// In the line that says where metrics are served.
const METRICS_LINE: &str = "metrics are served";
/// In the line that says where probes are answered.
const PROBES_LINE: &str = "probes are answered";
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
const READY_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Names a Lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LeaseName {
    /// One of the process's own, so that nobody waits for that of another test, or of an earlier process
    /// that was killed.
    #[default]
    Own,
    /// One that several processes of a test know.
    Shared(String),
    /// The one that the shipped rights allow, by its default name.
    Shipped,
    /// One of this name in the namespace where the shipped rights allow it.
    Released(String),
}

/// How to run the operator.
#[derive(Debug, Clone, Default)]
pub struct OperatorOptions {
    /// The program.
    pub binary: PathBuf,
    /// Who it is in the cluster.
    pub kubeconfig: PathBuf,
    /// Address of all AWS services.
    pub aws_endpoint: String,
    /// Who it is in AWS; `None` leaves it without credentials.
    pub credentials: Option<Credentials>,
    /// Names the installation; `None` leaves it at the default.
    pub cluster_id: Option<String>,
    /// The namespaces that it watches; empty means all.
    pub namespaces: Vec<String>,
    /// The Lease that it needs to act.
    pub lease: LeaseName,
    /// Further arguments.
    pub args: Vec<String>,
    /// Further variables of its environment.
    pub env: Vec<(String, String)>,
    /// File that its output is appended to.
    pub log: PathBuf,
}

impl OperatorOptions {
    fn arguments(&self) -> Vec<OsString> {
        let mut all = vec!["run".to_owned()];
        all.extend(self.cluster_id.iter().flat_map(|id| ["--cluster-id".to_owned(), id.clone()]));
        if !self.namespaces.is_empty() {
            all.extend(["--watch-namespaces".to_owned(), self.namespaces.join(",")]);
        }
        let (namespace, name) = match &self.lease {
            LeaseName::Own => (TEST_LEASES, Some(format!("own-{:016x}", crate::fixture::random()))),
            LeaseName::Shared(name) => (TEST_LEASES, Some(name.clone())),
            LeaseName::Shipped => (SHIPPED_LEASE, None),
            LeaseName::Released(name) => (SHIPPED_LEASE, Some(name.clone())),
        };
        all.extend(["--lease-namespace".to_owned(), namespace.to_owned()]);
        all.extend(name.into_iter().flat_map(|name| ["--lease-name".to_owned(), name]));
        all.extend(["--log-format".to_owned(), "text".to_owned()]);
        // Many run at once, so the system chooses the port, and the log names it.
        for flag in ["--metrics-addr", "--health-addr"] {
            all.extend([flag.to_owned(), "127.0.0.1:0".to_owned()]);
        }
        all.extend(self.args.iter().cloned());
        all.into_iter().map(Into::into).collect()
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let log = std::env::var_os("TESTKIT_OPERATOR_LOG").unwrap_or_else(|| "info,port_aws_operator=debug".into());
        let mut all = vec![
            ("KUBECONFIG".into(), self.kubeconfig.clone().into()),
            ("AWS_ENDPOINT_URL".into(), self.aws_endpoint.clone().into()),
            ("AWS_REGION".into(), "eu-west-1".into()),
            ("AWS_EC2_METADATA_DISABLED".into(), "true".into()),
            ("RUST_LOG".into(), log),
            // The log is a file, whose text is searched.
            ("NO_COLOR".into(), "1".into()),
        ];
        if let Some(credentials) = &self.credentials {
            all.extend([
                ("AWS_ACCESS_KEY_ID".into(), credentials.access_key_id.clone().into()),
                ("AWS_SECRET_ACCESS_KEY".into(), credentials.secret_access_key.clone().into()),
                ("AWS_SESSION_TOKEN".into(), credentials.session_token.clone().into()),
            ]);
        }
        all.extend(self.env.iter().map(|(name, value)| (name.into(), value.into())));
        all
    }
}

/// A running operator; dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    /// Where its own output begins: the log may hold that of earlier ones.
    log_start: u64,
}

impl Operator {
    /// Starts it, and waits until it watches.
    pub async fn start(options: OperatorOptions) -> Result<Self> {
        let this = Self::spawn(&options)?;
        this.wait_until_ready().await?;
        Ok(this)
    }

    /// Starts it without waiting.
    ///
    /// `TESTKIT_OPERATOR_LOG` says what it logs, by default `info,port_aws_operator=debug`. Of the
    /// environment only `PATH` is passed on.
    pub fn spawn(options: &OperatorOptions) -> Result<Self> {
        let log_start = std::fs::metadata(&options.log).map_or(0, |data| data.len());
        let process = Process::spawn(SpawnOptions {
            name: "port-aws-operator".to_owned(),
            program: options.binary.clone(),
            args: options.arguments(),
            env: options.environment(),
            log: options.log.clone(),
        })?;
        Ok(Self { process, log_start })
    }

    /// Waits until it watches; an error if it ends before.
    pub async fn wait_until_ready(&self) -> Result<()> {
        let waited = eventually("the operator to watch", READY_DEADLINE, async || {
            if let Err(error) = self.process.check_running() {
                return Ok(Some(Err(error)));
            }
            let log = self.log()?;
            Ok(log.lines().any(|line| line.contains(READY_LINE)).then_some(Ok(())))
        });
        match waited.await {
            Ok(outcome) => outcome,
            Err(error) => Err(self.process.error(&error.to_string())),
        }
    }

    /// All that it has written.
    pub fn log(&self) -> Result<String> {
        let path = self.process.log();
        read_from(path, self.log_start).map_err(Error::file("read", path))
    }

    /// Its metrics now.
    pub async fn metrics(&self) -> Result<Metrics> {
        let (_, text) = self.get(METRICS_LINE, "/metrics").await?;
        Metrics::parse(&text)
    }

    /// What it answers to a probe: the HTTP status, and the text.
    pub async fn probe(&self, path: &str) -> Result<(u16, String)> {
        self.get(PROBES_LINE, path).await
    }

    /// Asks it by HTTP, at the address in that line of its log.
    async fn get(&self, line: &str, path: &str) -> Result<(u16, String)> {
        let log = self.log()?;
        let found = log.lines().find(|it| it.contains(line));
        let address = found.and_then(|it| it.split("address=").nth(1)?.split_whitespace().next());
        let address = address.ok_or_else(|| self.process.error(&format!("does not say {line:?}")))?.to_owned();
        let url = format!("http://{address}{path}");
        let asked = url.clone();
        let get = move || {
            let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER_DEADLINE)).proxy(None);
            let agent: ureq::Agent = config.http_status_as_error(false).build().into();
            let mut answer = agent.get(asked).call()?;
            Ok::<_, ureq::Error>((answer.status().as_u16(), answer.body_mut().read_to_string()?))
        };
        let outcome = tokio::task::spawn_blocking(get).await.map_err(|error| Error::Setup(error.to_string()))?;
        outcome.map_err(|error| self.process.error(&format!("does not answer at {url}: {error}")))
    }

    /// The last `lines` lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// An error if it has ended, or if any part of it has panicked.
    pub fn check_healthy(&self) -> Result<()> {
        self.process.check_running()?;
        if self.log()?.lines().any(|line| line.contains("panicked at")) {
            return Err(self.process.error("has panicked"));
        }
        Ok(())
    }

    /// Sends a signal, such as STOP and CONT.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits for its end, at most for `deadline`, and gives the exit code.
    pub async fn wait(&self, deadline: Duration) -> Option<i32> {
        self.process.wait(deadline).await
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub async fn kill(&self) -> Result<()> {
        self.process.kill().await
    }

    /// Asks it to end with SIGTERM, waits, and gives the exit code.
    pub async fn terminate(&self) -> Result<i32> {
        self.process.signal(Signal::TERM)?;
        let code = self.process.wait(STOP_DEADLINE).await;
        code.ok_or_else(|| self.process.error("does not end although it got SIGTERM"))
    }
}

fn read_from(path: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    /// A program in the place of the operator.
    fn options(folder: &Path, script: &str) -> std::io::Result<OperatorOptions> {
        let binary = folder.join("program");
        std::fs::write(&binary, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755))?;
        Ok(OperatorOptions {
            binary,
            cluster_id: Some("cluster".to_owned()),
            namespaces: vec!["a".to_owned(), "b".to_owned()],
            lease: LeaseName::Shared("ours".to_owned()),
            args: vec!["--more".to_owned()],
            log: folder.join("log"),
            ..OperatorOptions::default()
        })
    }

    #[tokio::test]
    async fn it_is_ready_when_it_says_so_and_ends_when_told() -> TestResult {
        let folder = tempfile::tempdir()?;
        let script = r#"trap 'exit 3' TERM
            echo "args: $*"; echo "region: $AWS_REGION"; echo "watching things"
            while :; do sleep 0.05; done"#;
        let options = options(folder.path(), script)?;
        std::fs::write(&options.log, "an earlier one was watching\npanicked at\n")?;
        let operator = Operator::start(options).await?;
        let log = operator.log()?;
        let args = "args: run --cluster-id cluster --watch-namespaces a,b --lease-namespace test-leases \
                    --lease-name ours --log-format text --metrics-addr 127.0.0.1:0 --health-addr 127.0.0.1:0 --more";
        assert!(log.starts_with(args), "{log}");
        assert!(log.contains("region: eu-west-1"), "{log}");
        operator.check_healthy()?;
        assert_eq!(operator.terminate().await?, 3);
        assert!(operator.check_healthy().is_err());
        Ok(())
    }

    #[tokio::test]
    async fn one_that_ends_at_once_shows_its_log() -> TestResult {
        let folder = tempfile::tempdir()?;
        let outcome = Operator::start(options(folder.path(), "echo no way; exit 2")?).await;
        let text = outcome.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(text.contains("exit code 2"), "{text}");
        assert!(text.contains("no way"), "{text}");
        Ok(())
    }
}
