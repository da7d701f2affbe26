//! The demo's second part: a whole organization, with one account that lets nobody in.

use serde_json::{Value, json};
use testkit::aws::{Organization, OrganizationSetup, Rights};
use testkit::fixture::{REQUESTED_AT, condition, integration_resource, is_ready};
use testkit::wait::eventually;
use testkit::{Error, Result};

use aws_sdk_iam::Client;
use kube::Api;
use kube::api::DynamicObject;
use tokio::process::Command;

use crate::stage::{ACCOUNT, DEADLINE, NAMESPACE, Stage, ensure, failed, operator_binary};

/// The sample, the root that it names, and its resource.
const SAMPLE: &str = "deploy/samples/organization.yaml";
const ROOT: &str = "r-ab12";
const NAME: &str = "organization";
const ROLE: &str = "PortIntegrationRole-aws-org";
/// What the sample says of the way in.
const EXTERNAL_ID: &str = "change-this-to-something-of-your-own";
const TARGET: &str = "PortAwsOperator";
const FINDER: &str = "PortAwsOperatorOrganizations";

const MANAGEMENT: &str = "999988887777";
const WORKLOADS: &str = "222233334444";
const PRODUCTION: &str = "333344445555";
/// The one whose role asks for another external ID.
const DENIED: &str = "555566667777";
const JOINING: &str = "666677778888";

const ACCOUNTS: [&str; 4] = [WORKLOADS, PRODUCTION, DENIED, MANAGEMENT];

/// What `deploy/aws` gives the operator: its own account, and the way to roles elsewhere.
pub(crate) async fn operator_rights() -> Result<Rights> {
    let finder = format!("arn:aws:iam::{MANAGEMENT}:role/{FINDER}");
    let hub = published(&["policies", "hub", "--organizations-role-arn", &finder]).await?;
    Ok(Rights { policies: vec![published(&["policies", "target"]).await?, hub], ..Rights::default() })
}

async fn published(args: &[&str]) -> Result<Value> {
    let output = Command::new(operator_binary()?).args(args).output().await;
    let output = output.map_err(|source| Error::Io { what: format!("cannot run {}", args.join(" ")), source })?;
    ensure(output.status.success(), "the operator prints its policies", || format!("{output:?}"))?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

pub(crate) async fn connect(stage: &Stage) -> Result<Organization<'_>> {
    stage.operator()?;
    stage.screen.title("9. Connect a whole organization")?;
    stage.screen.say(&format!(
        "An AWS organization has the management account {MANAGEMENT} and, in two units, {WORKLOADS}, \
         {PRODUCTION} and {DENIED}. Each has the role {TARGET} of deploy/aws, which lets the operator in \
         if it knows the external ID; in {DENIED} somebody has mistyped that.",
    ))?;
    let setup = OrganizationSetup::new(MANAGEMENT)
        .unit("workloads", None)
        .unit("production", Some("workloads"))
        .account(WORKLOADS, Some("workloads"))
        .accounts([PRODUCTION, DENIED], Some("production"));
    let organization = stage.backend.organization(&setup).await?;
    let root = &organization.root_id;
    for account in ACCOUNTS {
        let id = if account == DENIED { "change-that-to-something-of-your-own" } else { EXTERNAL_ID };
        let policy = published(&["policies", "target", "--account-id", account]).await?;
        make_role(stage, account, TARGET, id, &policy).await?;
    }
    make_role(stage, MANAGEMENT, FINDER, EXTERNAL_ID, &published(&["policies", "organizations"]).await?).await?;
    stage.screen.say("No account is listed anywhere: the resource names the root of the organization.")?;
    let sample = std::fs::read_to_string(SAMPLE);
    let sample = sample.map_err(|source| Error::Io { what: format!("cannot read {SAMPLE}"), source })?;
    let integration = sample.split("---\n").nth(1).unwrap_or_default().replace(ROOT, root);
    stage.screen.output(&integration)?;
    stage.screen.command(&format!("sed s/{ROOT}/{root}/ {SAMPLE} | kubectl apply --server-side -f -"))?;
    stage.screen.output(&stage.plane.kubectl_apply(&sample.replace(ROOT, root)).await?)?;
    let object = until(stage, "three accounts to be ready", |it| counts(it) == [4, 3, 1]).await?;
    show_accounts(stage).await?;
    let denied = entry(&object, DENIED);
    ensure(denied["state"] == "Denied", "the account is denied", || denied.to_string())?;
    for account in [WORKLOADS, PRODUCTION, MANAGEMENT] {
        let found = stage.backend.state(account).await?;
        ensure(found.role(ROLE).is_some(), "the role is there", || format!("{account}: {found:?}"))?;
    }
    let nothing = stage.backend.state(DENIED).await?;
    ensure(nothing.role(ROLE).is_none(), "nothing was made there", || format!("{nothing:?}"))?;
    stage.screen.verified(&format!(
        "one account that lets nobody in keeps no other from being ready: {}",
        condition(&object, "Ready")["message"].as_str().unwrap_or_default(),
    ))?;
    stage.screen.say("The platform team sees it on its own object, too:")?;
    eventually("the access to tell of it", DEADLINE, async || {
        let access = stage.plane.kubectl(&["get", "paa", NAME, "-o", "json"]).await?;
        let access: Value = serde_json::from_slice(&access.stdout)?;
        Ok((access["status"]["reach"]["unreached"] == 1).then_some(()))
    })
    .await?;
    stage.kubectl(&["get", "paa", NAME]).await?;
    Ok(organization)
}

pub(crate) async fn grow(stage: &Stage, organization: &Organization<'_>) -> Result<()> {
    stage.operator()?;
    stage.screen.title("10. Mend it, and let an account join")?;
    stage.screen.say(&format!(
        "Somebody corrects the external ID, and the new account {JOINING} is moved into a unit. The \
         operator would find both by itself; it is asked to look now:",
    ))?;
    trust(&stage.backend.iam(DENIED).await?, EXTERNAL_ID).await?;
    let policy = published(&["policies", "target", "--account-id", JOINING]).await?;
    make_role(stage, JOINING, TARGET, EXTERNAL_ID, &policy).await?;
    organization.add_account(JOINING, Some("production")).await?;
    let annotation = format!("{REQUESTED_AT}=now");
    stage.kubectl(&["annotate", "pai", NAME, "-n", NAMESPACE, &annotation]).await?;
    let object = until(stage, "five accounts to be ready", |it| counts(it) == [5, 5, 0] && is_ready(it)).await?;
    show_accounts(stage).await?;
    stage
        .screen
        .verified(&format!("Ready: {}", condition(&object, "Ready")["message"].as_str().unwrap_or_default()))?;
    stage.screen.say("And this is what Port's field accountRoleArns takes:")?;
    let args = ["role-arns", NAME, "-n", NAMESPACE, "-o", "json"];
    stage.screen.command(&format!("port-aws-operator {}", args.join(" ")))?;
    let mut command = Command::new(operator_binary()?);
    let output = command.args(args).env("KUBECONFIG", stage.plane.admin_kubeconfig()).output().await;
    let output = output.map_err(|source| Error::Io { what: "cannot run role-arns".to_owned(), source })?;
    let roles: Vec<String> = serde_json::from_slice(&output.stdout)?;
    stage.screen.output(&serde_json::to_string_pretty(&roles)?)?;
    ensure(roles.len() == 5, "there are five ARNs", || format!("{roles:?}"))
}

pub(crate) async fn disconnect(stage: &Stage) -> Result<()> {
    stage.operator()?;
    stage.screen.title("11. Disconnect the organization")?;
    stage.screen.say("The access object stays until nothing has to be cleared through it any more:")?;
    stage.kubectl(&["delete", "pai", NAME, "-n", NAMESPACE]).await?;
    stage.kubectl(&["delete", "paa", NAME]).await?;
    for account in ACCOUNTS.into_iter().chain([JOINING]) {
        let found = stage.backend.state(account).await?;
        ensure(found.role(ROLE).is_none(), "the role is gone", || format!("{account}: {found:?}"))?;
        ensure(found.role(TARGET).is_some(), "what is not the operator's is there", || {
            format!("{account}: {found:?}")
        })?;
    }
    stage.screen.verified("the roles are gone from all five accounts, and nothing else is")
}

/// A role as the templates of `deploy/aws` make it.
async fn make_role(stage: &Stage, account: &str, name: &str, external_id: &str, policy: &Value) -> Result<()> {
    stage.backend.strict_assume_role(account, true).await?;
    let iam = stage.backend.iam(account).await?;
    let document = trust_policy(external_id).to_string();
    let made = iam.create_role().role_name(name).assume_role_policy_document(document).send().await;
    made.map_err(|error| failed(format!("CreateRole: {:?}", error.into_service_error())))?;
    let put = iam.put_role_policy().role_name(name).policy_name("rights").policy_document(policy.to_string());
    put.send().await.map(drop).map_err(|error| failed(format!("PutRolePolicy: {:?}", error.into_service_error())))
}

async fn trust(iam: &Client, external_id: &str) -> Result<()> {
    let document = trust_policy(external_id).to_string();
    let update = iam.update_assume_role_policy().role_name(TARGET).policy_document(document).send().await;
    update.map(drop).map_err(|error| failed(format!("UpdateAssumeRolePolicy: {:?}", error.into_service_error())))
}

fn trust_policy(external_id: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:role/{TARGET}")},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
    }]})
}

/// Total, ready and failed.
fn counts(object: &Value) -> [i64; 3] {
    ["total", "ready", "failed"].map(|key| object["status"]["accountCounts"][key].as_i64().unwrap_or(-1))
}

fn entry<'a>(object: &'a Value, account: &str) -> &'a Value {
    let mut entries = object["status"]["accounts"].as_array().into_iter().flatten();
    entries.find(|entry| entry["id"] == account).unwrap_or(&Value::Null)
}

async fn until(stage: &Stage, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let api = Api::<DynamicObject>::namespaced_with(stage.plane.admin_client()?, NAMESPACE, &integration_resource());
    eventually(what, DEADLINE, async || {
        let object = serde_json::to_value(api.get(NAME).await?)?;
        if wanted(&object) { Ok(Some(object)) } else { Err(Error::not_yet(object["status"].to_string())) }
    })
    .await
}

async fn show_accounts(stage: &Stage) -> Result<()> {
    stage.kubectl(&["get", "pai", NAME, "-n", NAMESPACE]).await?;
    let rows = r#"{range .status.accounts[*]}{.id}  {.state}  {.reason}  {.message}{"\n"}{end}"#;
    stage.kubectl(&["get", "pai", NAME, "-n", NAMESPACE, "-o", &format!("jsonpath={rows}")]).await
}
