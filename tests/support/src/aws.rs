//! The AWS backend of `tests/aws-backend`: IAM, STS and Organizations on a loopback address, with a
//! record of all calls, faults, and a view into every account.
//!
//! Accounts need no set-up: each test takes an unused account id and is alone there.

mod calls;
mod faults;
mod organizations;
mod python;
mod rights;
mod state;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as SdkCredentials;
use aws_sdk_iam::config::retry::RetryConfig;
use aws_sdk_iam::config::timeout::TimeoutConfig;
use aws_sdk_iam::config::{BehaviorVersion, Region};
use k8s_openapi::jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

pub use calls::{Call, FaultMark, actions, by_operator, count_by_action, writes};
pub use faults::{Fault, FaultId, Parked};
pub use organizations::{MemberState, Organization, OrganizationSetup};
pub use python::command_line_python;
pub use rights::Rights;
pub use state::{AccountState, OidcProvider, Role};

use crate::folder::Folder;
use crate::process::{Process, SpawnOptions};
use crate::wait::eventually;
use crate::{Error, Result};

const READY_DEADLINE: Duration = Duration::from_mins(1);
/// More than a call to the control API may wait.
const REQUEST_DEADLINE: Duration = Duration::from_secs(90);
const MAX_ANSWER: u64 = 1 << 30;
/// Role that tests act as; nobody looks at it.
const SOMEBODY: &str = "Somebody";

/// Temporary credentials of an account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`
    pub session_token: String,
}

/// A running AWS backend; dropping it kills its process and forgets all accounts.
#[derive(Debug)]
pub struct Backend {
    // Order matters: the process ends before its folder goes.
    process: Process,
    _folder: Folder,
    url: String,
    agent: ureq::Agent,
}

impl Backend {
    /// Starts a backend and waits until it listens.
    ///
    /// Its Python is `TESTKIT_AWS_PYTHON` if set, else what `hack/aws-backend-env.sh` makes. It adds
    /// the actions that operators with [`Rights`] take to the file `TESTKIT_SEEN_ACTIONS`, if that is set.
    pub async fn start() -> Result<Self> {
        let python = python::python().await?;
        let folder = Folder::new(None)?;
        let ready_file = folder.join("port");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../aws-backend/backend.py");
        let mut args: Vec<OsString> = vec![script.into(), "--ready-file".into(), (&ready_file).into()];
        if let Some(seen) = std::env::var_os("TESTKIT_SEEN_ACTIONS").filter(|path| !path.is_empty()) {
            args.extend(["--seen-actions".into(), seen]);
        }
        let process = Process::spawn(SpawnOptions {
            name: "aws-backend".to_owned(),
            program: python,
            args,
            env: vec![
                ("HOME".into(), folder.path().into()),
                // Nothing of it belongs into the checkout.
                ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
            ],
            log: folder.join("aws-backend.log"),
        })?;
        let port = eventually("the AWS backend to listen", READY_DEADLINE, async || {
            if let Err(error) = process.check_running() {
                return Ok(Some(Err(error)));
            }
            let text = fs::read_to_string(&ready_file).map_err(Error::file("read", &ready_file))?;
            let port = text.trim().parse::<u16>();
            Ok(Some(port.map_err(|_| Error::Backend(format!("not a port: {text:?}")))))
        })
        .await??;
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_DEADLINE))
            .proxy(None)
            .build()
            .into();
        Ok(Self { process, _folder: folder, url: format!("http://127.0.0.1:{port}"), agent })
    }

    /// The address of all services, for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The last `lines` lines that it wrote.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    /// The version of moto, which plays AWS.
    pub async fn moto_version(&self) -> Result<String> {
        let health: Value = self.get("health".to_owned()).await?;
        Ok(health["moto"].as_str().unwrap_or_default().to_owned())
    }

    /// Credentials of an account; they do not expire.
    pub async fn credentials(&self, account: &str) -> Result<Credentials> {
        self.credentials_as(account, SOMEBODY).await
    }

    /// Credentials of a role in an account, with all rights; the role need not exist.
    pub async fn credentials_as(&self, account: &str, role: &str) -> Result<Credentials> {
        let body = json!({"account": account, "role": role});
        self.post("credentials", body).await
    }

    /// An IAM client that acts as somebody else than the operator in an account, without retries.
    ///
    /// A client belongs to the async runtime that it was made in: make one in each test.
    pub async fn iam(&self, account: &str) -> Result<aws_sdk_iam::Client> {
        Ok(self.iam_with(&self.credentials(account).await?))
    }

    /// The same with credentials of one's choice.
    #[must_use]
    pub fn iam_with(&self, credentials: &Credentials) -> aws_sdk_iam::Client {
        let Credentials { access_key_id, secret_access_key, session_token } = credentials.clone();
        let credentials = SdkCredentials::from_keys(access_key_id, secret_access_key, Some(session_token));
        let timeouts = TimeoutConfig::builder().operation_timeout(REQUEST_DEADLINE).build();
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.url)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        aws_sdk_iam::Client::from_conf(config)
    }

    /// What is in an account now.
    pub async fn state(&self, account: &str) -> Result<AccountState> {
        self.get(format!("state?account={account}")).await
    }

    /// The calls that belong to an account and came after `since`, the oldest first.
    pub async fn calls(&self, account: &str, since: u64) -> Result<Vec<Call>> {
        let record: Record = self.get(format!("calls?account={account}&since={since}")).await?;
        Ok(record.calls)
    }

    /// The calls of all accounts that came after `since`, the oldest first.
    pub async fn all_calls(&self, since: u64) -> Result<Vec<Call>> {
        let record: Record = self.get(format!("calls?since={since}")).await?;
        Ok(record.calls)
    }

    /// The number of the last call so far, for [`Backend::calls`].
    pub async fn last_seq(&self) -> Result<u64> {
        let record: Record = self.get(format!("calls?since={}", u64::MAX)).await?;
        Ok(record.last_seq)
    }

    /// Makes calls go wrong from now on.
    pub async fn fault(&self, fault: Fault) -> Result<FaultId> {
        let answer: Value = self.post("faults", serde_json::to_value(fault)?).await?;
        let id = answer["id"].as_str().unwrap_or_default();
        Ok(FaultId(id.to_owned()))
    }

    /// Deletes the rules that name this account, and lets the calls go on that wait for them.
    pub async fn clear_faults(&self, account: &str) -> Result<()> {
        self.delete(format!("faults?account={account}")).await
    }

    /// Deletes a rule, and lets the calls go on that wait for it.
    pub async fn delete_fault(&self, id: &FaultId) -> Result<()> {
        let id = utf8_percent_encode(&id.0, NON_ALPHANUMERIC);
        self.delete(format!("faults/{id}")).await
    }

    /// The calls that a rule holds, the oldest first. Waits for one, at most for `wait` (and a
    /// minute); empty if none came.
    pub async fn parked(&self, rule: &FaultId, wait: Duration) -> Result<Vec<Parked>> {
        let rule = utf8_percent_encode(&rule.0, NON_ALPHANUMERIC);
        let wait = wait.as_secs_f64();
        let list: ParkedList = self.get(format!("parked?rule={rule}&wait={wait:.3}")).await?;
        Ok(list.parked)
    }

    /// The oldest call that a rule holds; an error if none comes within `wait`.
    pub async fn next_parked(&self, rule: &FaultId, wait: Duration) -> Result<Parked> {
        let mut parked = self.parked(rule, wait).await?.into_iter();
        parked.next().ok_or_else(|| Error::Timeout {
            what: format!("a call that {rule} holds"),
            after: wait,
            last: "none".to_owned(),
        })
    }

    /// Lets a parked call go on. Without `apply`, a call that has not taken effect never does and
    /// its connection is cut; without `answer`, it takes effect and its connection is cut.
    pub async fn release(&self, id: &str, apply: bool, answer: bool) -> Result<()> {
        let body = json!({"id": id, "apply": apply, "answer": answer});
        self.order("release", body).await
    }

    /// Has an account's documents and lists come in another order with each read, as IAM may give
    /// them; `None` ends that. The same seed gives the same orders.
    pub async fn permute(&self, account: &str, seed: Option<u32>) -> Result<()> {
        let body = json!({"account": account, "seed": seed});
        self.order("permute", body).await
    }

    /// Says when a role was last used, or that it never was.
    pub async fn role_last_used(&self, account: &str, role: &str, date: Option<SystemTime>) -> Result<()> {
        let date = date.map(in_seconds).transpose()?;
        let body = json!({"account": account, "role": role, "date": date});
        self.order("role-last-used", body).await
    }

    /// Says when a role was created.
    pub async fn role_create_date(&self, account: &str, role: &str, date: SystemTime) -> Result<()> {
        let body = json!({"account": account, "role": role, "date": in_seconds(date)?});
        self.order("role-create-date", body).await
    }

    /// Drops everything in an account; its credentials stay valid.
    pub async fn reset_account(&self, account: &str) -> Result<()> {
        self.order(&format!("reset?account={account}"), json!({})).await
    }

    async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T> {
        self.ask("GET", path, None).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T> {
        self.ask("POST", path.to_owned(), Some(body)).await
    }

    async fn order(&self, path: &str, body: Value) -> Result<()> {
        let _: IgnoredAny = self.post(path, body).await?;
        Ok(())
    }

    async fn delete(&self, path: String) -> Result<()> {
        let _: IgnoredAny = self.ask("DELETE", path, None).await?;
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(&self, method: &'static str, path: String, body: Option<Value>) -> Result<T> {
        let agent = self.agent.clone();
        let url = format!("{}/_control/{path}", self.url);
        let asked = tokio::task::spawn_blocking(move || exchange(&agent, method, &url, body));
        let outcome = match asked.await {
            Ok(outcome) => outcome,
            Err(error) => Err(error.to_string()),
        };
        let failed = |error| Error::Backend(format!("{method} {path}: {error}"));
        let (status, text) = outcome.map_err(failed)?;
        if status != 200 {
            return Err(failed(format!("{status} {text}")));
        }
        serde_json::from_str(&text).map_err(|error| failed(format!("{error} in {text}")))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    last_seq: u64,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct ParkedList {
    parked: Vec<Parked>,
}

fn exchange(agent: &ureq::Agent, method: &str, url: &str, body: Option<Value>) -> Result<(u16, String), String> {
    let request = http::Request::builder().method(method).uri(url);
    let answer = match body {
        Some(body) => {
            let request = request.body(body.to_string());
            agent.run(request.map_err(|error| error.to_string())?)
        }
        None => agent.run(request.body(()).map_err(|error| error.to_string())?),
    };
    let mut answer = answer.map_err(|error| error.to_string())?;
    let body = answer.body_mut().with_config().limit(MAX_ANSWER);
    let text = body.read_to_string().map_err(|error| error.to_string())?;
    Ok((answer.status().as_u16(), text))
}

/// The form of dates that the control API takes.
fn in_seconds(time: SystemTime) -> Result<String> {
    let out_of_range = |error| Error::Setup(format!("a time out of range: {error}"));
    let time = Timestamp::try_from(time).map_err(out_of_range)?;
    let time = Timestamp::from_second(time.as_second()).map_err(out_of_range)?;
    Ok(time.to_string())
}
