//! What is there before the first command of a page, or of a part of it.

use std::{fmt::Debug, time::Duration};

use serde_json::{Value, json};
use testkit::{Error, Result, wait::eventually};

use super::{
    ACCOUNT,
    blocks::{Block, blocks, commands},
    node::published,
    stage::Stage,
};
use crate::{kubectl, read};

const FIRST_INTEGRATION: &str = "docs/first-integration.md";
const ISSUER: &str = "oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4";
const ROLE: &str = "PortIntegrationRole-aws-prod";
const DEADLINE: Duration = Duration::from_secs(30);
/// The kinds of Argo CD and Flux by name, group and version: what is applied is kept, and nobody acts on it.
const KINDS: [(&str, &str, &str, &str); 3] = [
    ("Application", "applications", "argoproj.io", "v1alpha1"),
    ("GitRepository", "gitrepositories", "source.toolkit.fluxcd.io", "v1"),
    ("Kustomization", "kustomizations", "kustomize.toolkit.fluxcd.io", "v1"),
];

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// An empty cluster.
    Cluster,
    /// The namespaces and kinds of Argo CD and Flux.
    GitOps,
    /// All that the first integration's page makes, which is one account that is Ready.
    Connected,
    /// The same, after somebody attached a policy that answers an incident, so that the account is not Ready.
    Stopped,
    /// The same, after somebody attached another policy, which the operator has detached.
    Repaired,
    /// The operator of that page, and the first resource of the page itself, with its roles in two accounts.
    Accounts,
    /// The operator of that page, the role that Port's stack makes, and the resources of the page itself.
    Stack,
}

/// Commands that belong together: from the first under this heading of the page.
pub(super) struct Story {
    pub(super) page: &'static str,
    pub(super) heading: &'static str,
    pub(super) start: Start,
}

const fn story(page: &'static str, heading: &'static str, start: Start) -> Story {
    Story { page, heading, start }
}

pub(super) const STORIES: [Story; 18] = [
    story("README.md", "Installing it in a cluster", Start::Cluster),
    story("README.md", "Running it beside a cluster", Start::Cluster),
    story("charts/port-aws-operator/README.md", "Install", Start::Cluster),
    story("charts/port-aws-operator/README.md", "What stays", Start::Connected),
    story("deploy/README.md", "Installing without Helm", Start::GitOps),
    story(FIRST_INTEGRATION, "The first integration", Start::Cluster),
    story("docs/incident-response.md", "Hold", Start::Repaired),
    story("docs/install.md", "2. Rights in AWS", Start::Cluster),
    story("docs/install.md", "kustomize", Start::Cluster),
    story("docs/install.md", "One file", Start::Cluster),
    story("docs/install.md", "Argo CD", Start::GitOps),
    story("docs/migrate-from-cloudformation.md", "1. Look at what there is", Start::Stack),
    story("docs/moving-clusters.md", "Moving clusters", Start::Connected),
    story("docs/multi-account.md", "A list of accounts", Start::Accounts),
    story("docs/plan.md", "Plan before you apply", Start::Connected),
    story("docs/runbook.md", "PortAwsOperatorAccountsNotReady", Start::Stopped),
    story("docs/troubleshooting.md", "Troubleshooting by reason", Start::Stopped),
    story("docs/uninstall.md", "Uninstall", Start::Connected),
];

/// The commands of a page that are run, each story's with what is there before.
pub(super) fn of_page(page: &str) -> Vec<(Start, Vec<Block>)> {
    let mut found: Vec<(Start, Vec<Block>)> = Vec::new();
    let mut begun = "";
    for block in commands(&read(page)).into_iter().filter(|block| block.not_run.is_none()) {
        let story = STORIES.iter().find(|story| story.page == page && story.heading == block.heading);
        match (story, found.last_mut()) {
            (Some(story), _) if story.heading != begun => {
                begun = story.heading;
                found.push((story.start, vec![block]));
            }
            (_, Some((_, blocks))) => blocks.push(block),
            (_, None) => panic!("{page}:{}: no story begins at {:?} or before", block.line, block.heading),
        }
    }
    found
}

/// Makes what is there.
pub(super) async fn prepare(page: &str, start: Start) -> Result<Stage> {
    let mut stage = Stage::start().await?;
    match start {
        Start::Cluster => {}
        Start::GitOps => make_kinds(&stage).await?,
        Start::Connected => connect(&mut stage).await?,
        Start::Stopped => {
            connect(&mut stage).await?;
            attach(&stage, "AWSDenyAll").await?;
            let held = "--for=jsonpath={.status.accounts[0].state}=Held";
            let wait = ["wait", "portawsintegration/production", "-n", "demo", held, "--timeout=30s"];
            kubectl(&stage.plane, &wait).await?;
        }
        Start::Repaired => {
            connect(&mut stage).await?;
            attach(&stage, "AdministratorAccess").await?;
            let query = ["get", "events", "-n", "demo", "--field-selector=reason=DriftCorrected", "-o", "name"];
            eventually("the event of a repair", DEADLINE, async || {
                Ok((!kubectl(&stage.plane, &query).await?.is_empty()).then_some(()))
            })
            .await?;
        }
        Start::Accounts => {
            install(&mut stage).await?;
            for account in [ACCOUNT, "444455556666"] {
                make_target(&stage, account).await?;
            }
            stage.apply(&resources(page)[0]).await?;
            let wait =
                ["wait", "portawsintegration/all-production", "-n", "demo", "--for=condition=Ready", "--timeout=30s"];
            kubectl(&stage.plane, &wait).await?;
        }
        Start::Stack => {
            make_stack(&stage).await?;
            install(&mut stage).await?;
            stage.apply(&resources(page)[0]).await?;
            let query =
                ["get", "portawsintegration/production", "-n", "demo", "-o", "jsonpath={.status.pendingChanges}"];
            eventually("changes to be pending", DEADLINE, async || {
                let changes = kubectl(&stage.plane, &query).await?;
                Ok((!changes.is_empty()).then_some(()))
            })
            .await?;
        }
    }
    Ok(stage)
}

/// All of the first integration, and the files that other pages speak of.
async fn connect(stage: &mut Stage) -> Result<()> {
    for block in commands(&read(FIRST_INTEGRATION)) {
        stage.run(FIRST_INTEGRATION, &block).await?;
    }
    for name in ["access", "integration"] {
        let text = read(&format!("deploy/samples/{name}.yaml"));
        stage.write(&format!("{name}.yaml"), &text)?;
        stage.write(&format!("deploy/port/{name}.yaml"), &text)?;
    }
    Ok(())
}

/// Somebody attaches a policy of AWS to the role, and the operator is asked to look.
async fn attach(stage: &Stage, policy: &str) -> Result<()> {
    let iam = stage.backend.iam(ACCOUNT).await?;
    let policy = format!("arn:aws:iam::aws:policy/{policy}");
    let attached = iam.attach_role_policy().role_name(ROLE).policy_arn(policy).send().await;
    attached.map_err(refused)?;
    let look = ["annotate", "portawsintegration", "production", "-n", "demo", "integrations.port.io/requestedAt=once"];
    kubectl(&stage.plane, &look).await.map(drop)
}

/// The operator alone, as the page of the first integration installs it, and the namespace.
async fn install(stage: &mut Stage) -> Result<()> {
    let mut first = commands(&read(FIRST_INTEGRATION)).remove(0);
    let end = first.body.find("\nkubectl ").expect("helm comes first");
    first.body.truncate(end);
    stage.run(FIRST_INTEGRATION, &first).await?;
    kubectl(&stage.plane, &["create", "namespace", "demo"]).await.map(drop)
}

/// The resources that a page shows.
fn resources(page: &str) -> Vec<String> {
    blocks(&read(page)).into_iter().filter(|block| block.language == "yaml").map(|block| block.body).collect()
}

async fn make_kinds(stage: &Stage) -> Result<()> {
    for (kind, plural, group, version) in KINDS {
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group,
                "names": {"kind": kind, "plural": plural},
                "scope": "Namespaced",
                "versions": [{"name": version, "served": true, "storage": true, "schema": schema}],
            },
        });
        stage.apply(&crd.to_string()).await?;
        let name = format!("crd/{plural}.{group}");
        kubectl(&stage.plane, &["wait", &name, "--for=condition=Established", "--timeout=30s"]).await?;
    }
    for namespace in ["argocd", "flux-system"] {
        kubectl(&stage.plane, &["create", "namespace", namespace]).await?;
    }
    kubectl(&stage.plane, &["create", "configmap", "argocd-cm", "--namespace", "argocd"]).await.map(drop)
}

/// The role of the templates in `deploy/aws`, which the operator assumes.
async fn make_target(stage: &Stage, account: &str) -> Result<()> {
    stage.backend.strict_assume_role(account, true).await?;
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:role/port-aws-operator")},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "change-this-to-something-of-your-own"}},
    }]});
    make_role(stage, account, "PortAwsOperator", &trust).await?;
    let iam = stage.backend.iam(account).await?;
    let rights = published("target").await?.to_string();
    let put = iam.put_role_policy().role_name("PortAwsOperator").policy_name("rights").policy_document(rights);
    put.send().await.map(drop).map_err(refused)
}

/// What Port's stack makes.
async fn make_stack(stage: &Stage) -> Result<()> {
    let iam = stage.backend.iam(ACCOUNT).await?;
    let provider = iam.create_open_id_connect_provider().url(format!("https://{ISSUER}"));
    let made = provider.client_id_list("sts.amazonaws.com").send().await;
    made.map_err(refused)?;
    let subject = "system:serviceaccount:the-subject-of-the-role";
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {
            format!("{ISSUER}:aud"): "sts.amazonaws.com",
            format!("{ISSUER}:sub"): subject,
        }},
    }]});
    make_role(stage, ACCOUNT, ROLE, &trust).await?;
    let attach = iam.attach_role_policy().role_name(ROLE).policy_arn("arn:aws:iam::aws:policy/ReadOnlyAccess");
    attach.send().await.map(drop).map_err(refused)
}

async fn make_role(stage: &Stage, account: &str, name: &str, trust: &Value) -> Result<()> {
    let iam = stage.backend.iam(account).await?;
    let made = iam.create_role().role_name(name).assume_role_policy_document(trust.to_string()).send().await;
    made.map(drop).map_err(refused)
}

/// A call to IAM that failed, as an error of the test's.
fn refused(error: impl Debug) -> Error {
    Error::Setup(format!("{error:?}"))
}
