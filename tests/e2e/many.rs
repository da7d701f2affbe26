//! Several accounts in one resource, each reached through a role there.

mod leaving;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{Call, Fault, OrganizationSetup},
    fixture::{Scenario, condition, unused_account},
};

use crate::OPERATOR;

const ROLE: &str = "PortIntegrationRole-aws-prod";

/// A scenario whose operator is in an account of its own, and assumes `PortAwsOperator` elsewhere.
async fn scenario(name: &str) -> Result<Scenario> {
    let edit = |spec: &mut Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": "PortAwsOperator", "externalId": "example-external-id"});
    };
    Scenario::builder(name, OPERATOR).access(edit).start().await
}

fn accounts(count: usize) -> Vec<String> {
    let mut accounts: Vec<String> = (0..count).map(|_| unused_account()).collect();
    accounts.sort();
    accounts
}

async fn calls_in(it: &Scenario, account: &str, seq: u64, action: &str) -> Result<Vec<Call>> {
    let calls = it.world().backend().calls(account, seq).await?;
    Ok(calls.into_iter().filter(|call| call.action == action && call.is_by_operator()).collect())
}

/// The entry of an account in an integration's status; null if it has none.
pub fn entry<'a>(object: &'a Value, account: &str) -> &'a Value {
    let entries = object["status"]["accounts"].as_array().into_iter().flatten();
    entries.into_iter().find(|entry| entry["id"] == account).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn the_role_is_made_in_every_account_through_a_session_of_its_own() -> Result<()> {
    let it = scenario("many").await?;
    let accounts = accounts(3);
    let seq = it.seq().await?;
    it.integration("aws-prod", |spec| spec["accounts"] = json!(accounts)).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(object["status"]["accountCounts"], json!({"total": 3, "ready": 3, "failed": 0, "skipped": 0}));
    let arns: Vec<String> = accounts.iter().map(|account| format!("arn:aws:iam::{account}:role/{ROLE}")).collect();
    assert_eq!(object["status"]["roleArns"], json!(arns));

    // STS answers for the caller's own account, so the record has these calls there.
    let assumed = calls_in(&it, it.account(), seq, "AssumeRole").await?;
    assert_eq!(assumed.len(), 3);
    let roles: BTreeSet<&str> = assumed.iter().filter_map(|call| call.param("RoleArn")).collect();
    for (account, arn) in accounts.iter().zip(&arns) {
        let state = it.world().backend().state(account).await?;
        let role = state.role(ROLE).expect("the role");
        let provider = state.provider().expect("the provider");
        assert_eq!(role.arn, *arn);
        assert_eq!(role.trust_policy["Statement"][0]["Principal"]["Federated"], provider.arn);
        assert!(roles.contains(format!("arn:aws:iam::{account}:role/PortAwsOperator").as_str()), "{roles:?}");
    }
    for call in &assumed {
        assert_eq!(call.param("ExternalId"), Some("example-external-id"));
        assert_eq!(call.param("DurationSeconds"), Some("3600"));
        let session = call.param("RoleSessionName").unwrap_or_default();
        assert!(session.starts_with("paio-") && session.ends_with(".aws-prod"), "{session}");
        let policy: Value = serde_json::from_str(call.param("Policy").unwrap_or_default()).expect("a session policy");
        let account = call.param("RoleArn").and_then(|arn| arn.split(':').nth(4)).unwrap_or_default().to_owned();
        assert!(policy.to_string().contains(&format!("arn:aws:iam::{account}:role/{ROLE}")), "{policy}");
    }

    let (kubeconfig, namespace) = (it.world().plane().admin_kubeconfig(), it.namespace().to_owned());
    let printed = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(OPERATOR);
        command.args(["role-arns", "aws-prod", "--namespace", &namespace, "--output", "json"]);
        command.env("KUBECONFIG", kubeconfig).output()
    });
    let printed = printed.await.expect("the command runs").expect("the command runs");
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("a JSON list");
    assert_eq!(printed, json!(arns));

    // The sessions last: a second look at every account assumes no role again.
    let seq = it.seq().await?;
    it.request_check("aws-prod").await?;
    assert_eq!(calls_in(&it, it.account(), seq, "AssumeRole").await?, vec![]);
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    for account in &accounts {
        assert!(it.world().backend().state(account).await?.role(ROLE).is_none());
    }
    it.finish().await
}

#[tokio::test]
async fn integrations_that_share_an_account_keep_a_session_each() -> Result<()> {
    let it = scenario("sharing").await?;
    let account = unused_account();
    for name in ["first", "second"] {
        it.integration(name, |spec| spec["accounts"] = json!([account])).await?;
        it.ready(name).await?;
    }
    let seq = it.seq().await?;
    for name in ["first", "second", "first", "second"] {
        it.request_check(name).await?;
    }
    assert_eq!(calls_in(&it, it.account(), seq, "AssumeRole").await?, vec![]);
    it.finish().await
}

/// As it is written, but for the ID of the organization's root.
#[tokio::test]
async fn every_sample_becomes_ready() -> Result<()> {
    let mut it = Scenario::builder("samples", OPERATOR).without_operator().start().await?;
    let (plane, backend) = (it.world().plane(), it.world().backend());
    plane.kubectl_apply(r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}"#).await?;
    let setup = OrganizationSetup::new("999988887777").account("222233334444", None);
    let organization = backend.organization(&setup).await?;
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/samples");
    let mut files = 0;
    for file in std::fs::read_dir(samples).expect("samples") {
        let text = std::fs::read_to_string(file.expect("a sample").path()).expect("a sample");
        plane.kubectl_apply(&text.replace("r-ab12", &organization.root_id)).await?;
        files += 1;
    }
    assert_eq!(files, 4);
    let credentials = backend.credentials("111122223333").await?;
    let options = it.operator_options();
    (options.namespaces, options.credentials) = (vec!["demo".to_owned()], Some(credentials));
    it.start_operator().await?;
    let args = ["wait", "--for=condition=Ready", "--timeout=60s", "--namespace=demo", "--all", "portawsintegration"];
    let output = plane.kubectl(&args).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 3, "{said}");
    for (account, roles) in [("111122223333", 2), ("777788889999", 1), ("222233334444", 1), ("999988887777", 1)] {
        let state = backend.state(account).await?;
        assert_eq!(state.roles.len(), roles, "{account}: {state:?}");
    }
    it.finish().await
}

#[tokio::test]
async fn one_account_that_is_denied_keeps_no_other_from_being_ready() -> Result<()> {
    let it = scenario("denied").await?;
    let accounts = accounts(3);
    let denied = &accounts[1];
    it.world().backend().fault(Fault::access_denied().account(denied).action("CreateRole")).await?;
    it.integration("aws-prod", |spec| spec["accounts"] = json!(accounts)).await?;
    let object = it
        .until("aws-prod", "two are ready and one is denied", |it| {
            it["status"]["accountCounts"]["ready"] == 2 && it["status"]["accountCounts"]["failed"] == 1
        })
        .await?;
    assert_eq!(entry(&object, denied)["state"], "Denied");
    assert_eq!(entry(&object, denied)["reason"], "AccessDenied");
    let ready = condition(&object, "Ready");
    assert_eq!(ready["status"], "False");
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains(denied) && message.contains("CreateRole"), "{message}");

    // Taken off the list, it is no failure any more; put back, it recovers with the permission.
    let others: Vec<&String> = accounts.iter().filter(|account| *account != denied).collect();
    it.patch_spec("aws-prod", json!({"accounts": others})).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(entry(&object, denied)["state"], "Removed");
    it.world().backend().clear_faults(denied).await?;
    it.patch_spec("aws-prod", json!({"accounts": accounts})).await?;
    it.ready("aws-prod").await?;
    it.finish().await
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_named_with_what_to_check() -> Result<()> {
    let it = scenario("unassumable").await?;
    let account = unused_account();
    it.fault(Fault::access_denied().action("AssumeRole")).await?;
    it.integration("aws-prod", |spec| spec["accounts"] = json!([account])).await?;
    let object = it.until("aws-prod", "it is denied", |it| entry(it, &account)["state"] == "Denied").await?;
    let message = entry(&object, &account)["message"].as_str().unwrap_or_default();
    assert!(message.contains("PortAwsOperator") && message.contains("external ID"), "{message}");
    // Nothing was written, so nothing has to be cleaned up.
    assert!(object["metadata"]["finalizers"].is_null());
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    it.finish().await
}

#[tokio::test]
async fn an_account_that_leaves_the_list_is_left_alone_unless_the_policy_says_otherwise() -> Result<()> {
    let it = scenario("leaving").await?;
    let accounts = accounts(3);
    it.integration("aws-prod", |spec| spec["accounts"] = json!(accounts)).await?;
    it.ready("aws-prod").await?;

    it.patch_spec("aws-prod", json!({"accounts": accounts[1..]})).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(entry(&object, &accounts[0])["state"], "Removed");
    assert_eq!(object["status"]["accountCounts"]["total"], 2);
    assert!(it.world().backend().state(&accounts[0]).await?.role(ROLE).is_some());

    let seq = it.seq().await?;
    it.patch_spec("aws-prod", json!({"accountRemovalPolicy": "Delete", "mode": "Observe"})).await?;
    it.ready("aws-prod").await?;
    assert_eq!(calls_in(&it, &accounts[0], seq, "DeleteRole").await?, vec![]);
    it.patch_spec("aws-prod", json!({"mode": "Enforce"})).await?;
    it.until("aws-prod", "the account is gone from status", |it| entry(it, &accounts[0]).is_null()).await?;
    assert!(it.world().backend().state(&accounts[0]).await?.role(ROLE).is_none());
    assert!(it.world().backend().state(&accounts[1]).await?.role(ROLE).is_some());
    it.finish().await
}
