//! `port-aws-operator plan` as a process, as a job of a pull request runs it: with rights that only read.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::{Backend, Rights},
    fixture::{ORGANIZATION, Scenario},
};
use tokio::io::AsyncWriteExt as _;

use crate::OPERATOR;

/// The role of the job.
const JOB: &str = "pull-request";
/// A role that it may assume, in every account.
pub const ASSUMED: &str = "PortAwsOperator";

/// What one run gave.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Where it runs.
pub struct Job<'a> {
    pub backend: &'a Backend,
    /// The account of its credentials.
    pub account: &'a str,
    /// None where no cluster is configured.
    pub kubeconfig: Option<&'a Path>,
}

impl<'a> Job<'a> {
    /// One in a scenario's account, without a cluster.
    pub fn of(it: &'a Scenario) -> Self {
        Self { backend: it.world().backend(), account: it.account(), kubeconfig: None }
    }

    /// Runs it with these arguments and this standard input.
    pub async fn run(&self, args: &[&str], input: &str) -> Result<Outcome> {
        let reads = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["iam:Get*", "iam:List*", "organizations:Describe*", "organizations:List*",
                "sts:AssumeRole", "sts:GetCallerIdentity"], "Resource": "*"},
        ]});
        let assumed = [(ASSUMED.to_owned(), vec![reads.clone()])].into();
        let rights = Rights { policies: vec![reads], assumed };
        let credentials = self.backend.credentials_with(self.account, JOB, &rights).await?;
        let nowhere = Path::new("/nonexistent/kubeconfig");
        let mut child = tokio::process::Command::new(OPERATOR)
            .arg("plan")
            .args(args)
            .env_clear()
            .env("KUBECONFIG", self.kubeconfig.unwrap_or(nowhere))
            .env("AWS_ENDPOINT_URL", self.backend.url())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
            .env("AWS_SESSION_TOKEN", &credentials.session_token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::Setup(error.to_string()))?;
        let mut stdin = child.stdin.take().ok_or_else(|| Error::Setup("no standard input".to_owned()))?;
        // A process that refuses its arguments does not read.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.map_err(|error| Error::Setup(error.to_string()))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
    }

    /// Plans documents that come by standard input.
    pub async fn plan(&self, documents: &[Value], args: &[&str]) -> Result<Outcome> {
        let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
        self.run(&[&["-f", "-"], args].concat(), &texts.join("\n---\n")).await
    }
}

/// The access object of a scenario, as a file has it.
pub fn access(it: &Scenario, edit: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "allowedNamespaces": {"names": [it.namespace()]},
        "accounts": ["*"],
        "limits": {"organizationIds": [ORGANIZATION]},
    });
    edit(&mut spec);
    let metadata = json!({"name": it.namespace()});
    json!({"apiVersion": "integrations.port.io/v1alpha1", "kind": "PortAwsAccess", "metadata": metadata, "spec": spec})
}

/// An integration of a scenario's account, as a file has it.
pub fn integration(it: &Scenario, name: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "organizationId": ORGANIZATION,
        "integrationIdentifier": name,
        "accessRef": {"name": it.namespace()},
        "accounts": [it.account()],
    });
    edit(&mut spec);
    let metadata = json!({"name": name, "namespace": it.namespace()});
    json!({
        "apiVersion": "integrations.port.io/v1alpha1", "kind": "PortAwsIntegration",
        "metadata": metadata, "spec": spec,
    })
}
