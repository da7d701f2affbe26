//! The operator dies, or is asked to end, at every write to AWS; what it left is taken up again.

use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{AccountState, Fault, actions, count_by_action},
    fixture::{REQUESTED_AT, SOON, Scenario},
    process::Signal,
};

use crate::{
    OPERATOR, scenario,
    shared::{ROLE, account, effective, likeness, says_ready},
};

/// Scenarios of one table that run at once.
const AT_ONCE: usize = 5;
const NAME: &str = "aws-prod";
const FOREIGN: &str = "Foreign";
const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const AUDIT: &str = "arn:aws:iam::aws:policy/SecurityAudit";
const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
const BOUNDARY: &str = "arn:aws:iam::aws:policy/PowerUserAccess";
const FINALIZER: &str = "integrations.port.io/cleanup";

/// Work of several writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Creation,
    Repair,
    Deletion,
    Adoption,
}

impl Work {
    /// Its writes, each of which is made once.
    fn writes(self) -> &'static [&'static str] {
        match self {
            Self::Creation => &["CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy"],
            Self::Repair => &[
                "TagRole",
                "PutRolePermissionsBoundary",
                "DetachRolePolicy",
                "AttachRolePolicy",
                "UpdateAssumeRolePolicy",
                "UpdateRole",
            ],
            Self::Deletion => &["DetachRolePolicy", "DeleteRole", "DeleteOpenIDConnectProvider"],
            Self::Adoption => &[
                "TagRole",
                "DetachRolePolicy",
                "CreateOpenIDConnectProvider",
                "AttachRolePolicy",
                "UpdateAssumeRolePolicy",
                "UpdateRole",
            ],
        }
    }

    /// What is there before the work.
    async fn prepare(self, it: &Scenario) -> Result<()> {
        match self {
            Self::Creation => {}
            Self::Repair => {
                it.integration(NAME, |spec| spec["role"] = json!({"permissionsBoundaryArn": BOUNDARY})).await?;
                it.ready(NAME).await?;
                tamper(it).await?;
            }
            Self::Deletion => {
                it.integration(NAME, |spec| spec["oidcProvider"] = json!({"deletionPolicy": "DeleteIfUnused"})).await?;
                it.ready(NAME).await?;
            }
            Self::Adoption => {
                let trust = json!({"Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow",
                    "Principal": {"Federated": format!("arn:aws:iam::{}:oidc-provider/{ISSUER}", it.account())},
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Condition": {"StringEquals": {format!("{ISSUER}:sub"): "somebody"}},
                }]});
                make_role(it, ROLE, &trust, AUDIT).await?;
            }
        }
        Ok(())
    }

    async fn begin(self, it: &Scenario) -> Result<()> {
        match self {
            Self::Creation => it.integration(NAME, |_| ()).await,
            Self::Repair => it.annotate(NAME, REQUESTED_AT, "repair").await,
            Self::Deletion => it.delete(NAME).await,
            Self::Adoption => it.integration(NAME, |spec| spec["role"] = json!({"adoption": "Adopt"})).await,
        }
    }

    async fn end(self, it: &Scenario) -> Result<()> {
        match self {
            Self::Creation | Self::Adoption => it.ready(NAME).await.map(drop),
            Self::Deletion => it.gone(NAME).await,
            Self::Repair => {
                let repaired = |it: &Value| it["status"]["lastHandledReconcileAt"] == "repair" && says_ready(it);
                it.until(NAME, "it is repaired", repaired).await.map(drop)
            }
        }
    }
}

const ISSUER: &str = "oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4";

async fn make_role(it: &Scenario, name: &str, trust: &Value, policy: &str) -> Result<()> {
    let iam = it.iam().await?;
    let tag = aws_sdk_iam::types::Tag::builder().key("team").value("red").build().expect("a tag");
    let made = iam.create_role().role_name(name).assume_role_policy_document(trust.to_string()).tags(tag);
    made.send().await.expect("a role");
    iam.attach_role_policy().role_name(name).policy_arn(policy).send().await.expect("a policy");
    Ok(())
}

/// A role, a provider and tags that are somebody else's.
async fn make_foreign(it: &Scenario) -> Result<()> {
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ]});
    make_role(it, FOREIGN, &trust, ADMIN).await?;
    let tag = aws_sdk_iam::types::Tag::builder().key("team").value("red").build().expect("a tag");
    let url = "https://token.actions.githubusercontent.com";
    let provider = it.iam().await?.create_open_id_connect_provider().url(url).client_id_list("other").tags(tag);
    provider.send().await.expect("a provider");
    Ok(())
}

/// Everything about our role that can be turned is turned.
async fn tamper(it: &Scenario) -> Result<()> {
    let iam = it.iam().await?;
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"},
    ]});
    let tag = aws_sdk_iam::types::Tag::builder().key("team").value("red").build().expect("a tag");
    iam.untag_role().role_name(ROLE).tag_keys("port-aws-operator/owner").send().await.expect("untagged");
    iam.tag_role().role_name(ROLE).tags(tag).send().await.expect("tagged");
    iam.delete_role_permissions_boundary().role_name(ROLE).send().await.expect("unbounded");
    iam.attach_role_policy().role_name(ROLE).policy_arn(ADMIN).send().await.expect("attached");
    iam.detach_role_policy().role_name(ROLE).policy_arn(READ_ONLY).send().await.expect("detached");
    let trusting = iam.update_assume_role_policy().role_name(ROLE).policy_document(trust.to_string());
    trusting.send().await.expect("opened");
    iam.update_role().role_name(ROLE).description("Mine").max_session_duration(7200).send().await.expect("updated");
    Ok(())
}

fn foreign_part(state: AccountState) -> AccountState {
    let roles = state.roles.into_iter().filter(|role| role.name == FOREIGN).collect();
    let oidc_providers = state.oidc_providers.into_iter().filter(|it| it.client_ids == ["other"]).collect();
    AccountState { roles, oidc_providers, ..state }
}

/// Does the work with the operator killed at a write, if one is named, and gives what the account
/// has in the end.
async fn run(work: Work, at: Option<(&str, Fault)>) -> Result<String> {
    let what = format!("{work:?} {}", serde_json::to_string(&at)?);
    let mut it = Scenario::builder("crash", OPERATOR)
        .access(|spec| {
            spec["limits"]["managedPolicyArns"] = json!([READ_ONLY, AUDIT]);
            spec["limits"]["adoption"] = json!("Adopt");
        })
        .start()
        .await?;
    make_foreign(&it).await?;
    work.prepare(&it).await?;
    let foreign = foreign_part(it.state().await?);
    assert_eq!((foreign.roles.len(), foreign.oidc_providers.len()), (1, 1));
    let seq = it.seq().await?;

    if let Some((action, hold)) = at {
        let rule = it.fault(hold.action(action).count(1)).await?;
        work.begin(&it).await?;
        let parked = it.world().backend().next_parked(&rule, SOON).await?;
        // The finalizer and the claim come before whatever is written.
        let object = serde_json::to_value(it.integrations().get(NAME).await?)?;
        assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]), "{what}");
        assert_eq!(account(&object)["claimed"], true, "{what}");
        it.kill_operator().await?;
        it.world().backend().release(&parked.id, parked.kind == "hold_after", false).await?;
        it.start_operator().await?;
    } else {
        work.begin(&it).await?;
    }
    work.end(&it).await?;

    let calls = it.operator_calls_since(seq).await?;
    for action in work.writes() {
        let repeated = if action.starts_with("Create") { 1 } else { 2 };
        let count = effective(&calls, action);
        assert!((1..=repeated).contains(&count), "{what}: {action} {count} times: {calls:#?}");
    }
    assert_eq!(foreign_part(it.state().await?), foreign, "{what}");
    let result = likeness(&it).await?;
    if work != Work::Deletion {
        let seq = it.seq().await?;
        it.request_check(NAME).await?;
        assert_eq!(it.operator_writes_since(seq).await?, vec![], "{what}");
    }
    it.finish().await?;
    Ok(result)
}

async fn survives(work: Work) -> Result<()> {
    let undisturbed = run(work, None).await?;
    let writes = work.writes().iter();
    let runs = writes.flat_map(|write| [(*write, Fault::hold_before()), (*write, Fault::hold_after())]);
    let runs = stream::iter(runs).map(async |(write, hold)| {
        let what = serde_json::to_string(&hold)?;
        let result = run(work, Some((write, hold))).await?;
        assert_eq!(result, undisturbed, "{work:?} {write} {what}");
        Ok(())
    });
    runs.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
}

#[tokio::test]
async fn a_creation_is_taken_up_again_after_a_kill_before_or_after_any_write() -> Result<()> {
    survives(Work::Creation).await
}

#[tokio::test]
async fn a_repair_is_taken_up_again_after_a_kill_before_or_after_any_write() -> Result<()> {
    survives(Work::Repair).await
}

#[tokio::test]
async fn a_deletion_is_taken_up_again_after_a_kill_before_or_after_any_write() -> Result<()> {
    survives(Work::Deletion).await
}

#[tokio::test]
async fn an_adoption_is_taken_up_again_after_a_kill_before_or_after_any_write() -> Result<()> {
    survives(Work::Adoption).await
}

#[tokio::test]
async fn asked_to_end_it_waits_for_the_write_under_way_and_starts_no_other() -> Result<()> {
    for answered in [true, false] {
        let mut it = scenario("stop").await?;
        let rule = it.fault(Fault::hold_after().action("CreateRole").count(1)).await?;
        it.integration(NAME, |_| ()).await?;
        let parked = it.world().backend().next_parked(&rule, SOON).await?;
        it.operator()?.signal(Signal::TERM)?;
        if answered {
            it.world().backend().release(&parked.id, true, true).await?;
        }
        // Without an answer the call is given up by its own deadlines.
        assert_eq!(it.operator()?.wait(Duration::from_secs(40)).await, Some(0), "{}", it.log_tail(40));
        assert!(it.log_tail(40).contains("port-aws-operator ends"));
        let calls = it.operator_calls_since(0).await?;
        assert_eq!(count_by_action(&calls).get("AttachRolePolicy"), None, "{:?}", actions(&calls));

        it.start_operator().await?;
        it.ready(NAME).await?;
        let calls = it.operator_calls_since(0).await?;
        for action in ["CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy"] {
            assert_eq!(effective(&calls, action), 1, "{action}");
        }
        it.finish().await?;
    }
    Ok(())
}

async fn versions(it: &Scenario, names: &[&str]) -> Result<Vec<Option<String>>> {
    let mut versions = Vec::new();
    for name in names {
        versions.push(it.integrations().get(name).await?.metadata.resource_version);
    }
    Ok(versions)
}

#[tokio::test]
async fn a_restart_with_everything_ready_changes_nothing_and_asks_aws_nothing_at_first() -> Result<()> {
    let mut it = scenario("restart").await?;
    let names = ["aws-one", "aws-two", "aws-three"];
    for name in names {
        it.integration(name, |spec| spec["interval"] = json!("24h")).await?;
        it.ready(name).await?;
    }
    it.stop_operator().await?;
    let (state, before) = (it.state().await?, versions(&it, &names).await?);
    let (seq, since) = (it.seq().await?, SystemTime::now());
    it.start_operator().await?;
    // Once a new one is through, everything that was there at the start was looked at, too.
    it.integration("aws-new", |_| ()).await?;
    it.ready("aws-new").await?;

    assert_eq!(versions(&it, &names).await?, before);
    let calls = it.operator_calls_since(seq).await?;
    let expected = ["GetCallerIdentity", "GetOpenIDConnectProvider", "GetRole", "CreateRole", "AttachRolePolicy"];
    assert_eq!(actions(&calls), expected, "all of them for aws-new");
    assert!(calls.iter().filter_map(|call| call.param("RoleName")).all(|name| name.ends_with("-aws-new")));
    let writes = it.k8s_writes_since(since)?;
    let others: Vec<_> = writes.iter().filter(|it| it.name.as_deref().is_some_and(|it| !it.contains("new"))).collect();
    assert!(others.is_empty(), "{others:?}");
    let mut after = it.state().await?;
    after.roles.retain(|role| !role.name.ends_with("-aws-new"));
    assert_eq!(after, state);
    it.finish().await
}
