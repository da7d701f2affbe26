//! The end of an integration: what is its own goes, and nothing else does.

mod blocked;
mod bulk;
mod provider;

use aws_sdk_iam::types::Tag;
use kube::api::{DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::actions,
    fixture::{Scenario, condition},
};

use crate::{OPERATOR, scenario};

const FINALIZER: &str = "integrations.port.io/cleanup";
const ABANDON: &str = "integrations.port.io/abandon";
const ROLE: &str = "PortIntegrationRole-aws-prod";
const CLAIM: [&str; 3] = ["port-aws-operator/cluster", "port-aws-operator/origin", "port-aws-operator/owner"];
const POLICY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const AUDIT: &str = "arn:aws:iam::aws:policy/SecurityAudit";

/// A scenario with the integration `aws-prod`, ready.
async fn with_ready(name: &str, edit: impl FnOnce(&mut Value)) -> Result<Scenario> {
    let it = scenario(name).await?;
    it.integration("aws-prod", edit).await?;
    it.ready("aws-prod").await?;
    Ok(it)
}

/// Waits until a deletion is blocked, with that in its message, and gives the message.
async fn blocked(it: &Scenario, name: &str, words: &str) -> Result<String> {
    let text = |object: &Value| condition(object, "Ready")["message"].as_str().unwrap_or_default().to_owned();
    let object = it
        .until(name, &format!("its deletion is blocked: {words}"), |object| {
            condition(object, "Ready")["reason"] == "DeletionBlocked" && text(object).contains(words)
        })
        .await?;
    for (kind, status) in [("Ready", "False"), ("Stalled", "True")] {
        let found = condition(&object, kind);
        assert_eq!((&found["status"], &found["reason"]), (&json!(status), &json!("DeletionBlocked")), "{kind}");
    }
    assert!(text(&object).ends_with("annotate integrations.port.io/abandon=true"), "{}", text(&object));
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    Ok(text(&object))
}

/// Deletes an integration and waits for its end.
async fn delete(it: &Scenario, name: &str) -> Result<()> {
    it.delete(name).await?;
    it.gone(name).await
}

/// Takes the finalizers off by hand, as some people do.
async fn strip_finalizers(it: &Scenario, name: &str) -> Result<()> {
    let patch = serde_json::from_value(json!([{"op": "remove", "path": "/metadata/finalizers"}]))?;
    it.integrations().patch(name, &PatchParams::default(), &Patch::<()>::Json(patch)).await?;
    it.gone(name).await
}

#[tokio::test]
async fn the_role_is_detached_and_deleted_and_the_provider_stays() -> Result<()> {
    let it = with_ready("delete", |spec| {
        spec["oidcProvider"] = json!({"deletionPolicy": "Retain"});
    })
    .await?;
    let object = it.watch()?.current("aws-prod");
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    // The finalizer was there, and the claim in status, before anything was made in AWS.
    for version in it.watch()?.history("aws-prod") {
        let account = &version["status"]["accounts"][0];
        if account["roleId"].is_string() {
            assert_eq!(version["metadata"]["finalizers"], json!([FINALIZER]));
            assert_eq!(account["claimed"], true);
        }
    }
    it.iam().await?.attach_role_policy().role_name(ROLE).policy_arn(AUDIT).send().await.expect("attached");
    let (seq, before) = (it.seq().await?, it.state().await?);
    delete(&it, "aws-prod").await?;
    let calls = it.operator_calls_since(seq).await?;
    assert_eq!(
        actions(&calls),
        [
            "GetRole",
            "ListAttachedRolePolicies",
            "ListRolePolicies",
            "DetachRolePolicy",
            "DetachRolePolicy",
            "DeleteRole"
        ]
    );
    let state = it.state().await?;
    assert_eq!(state.roles, vec![]);
    assert_eq!(state.oidc_providers, before.oidc_providers);
    let event = it.event("aws-prod", "RoleDeleted").await?;
    let arn = format!("arn:aws:iam::{}:role/{ROLE}", it.account());
    assert_eq!((event.type_.as_str(), event.count), ("Normal", 1));
    assert_eq!(event.note, format!("account {}: deleted the role ({arn})", it.account()));
    it.finish().await
}

#[tokio::test]
async fn what_never_reached_aws_has_no_finalizer_and_goes_at_once() -> Result<()> {
    let it = Scenario::builder("stranger", OPERATOR).credentials_of("999999999999").start().await?;
    let seq = it.seq().await?;
    it.integration("refused", |spec| spec["organizationId"] = json!("org_Other")).await?;
    it.integration("unreachable", |_| ()).await?;
    for (name, reason) in [("refused", "NotAllowed"), ("unreachable", "AccountMismatch")] {
        let object = it.until(name, reason, |object| condition(object, "Ready")["reason"] == reason).await?;
        assert!(object["metadata"]["finalizers"].is_null(), "{name}");
        it.delete(name).await?;
        // Without a finalizer the API server itself ends it: nothing is waited for.
        assert!(it.integrations().get_opt(name).await?.is_none(), "{name}");
    }
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);
    it.finish().await
}

#[tokio::test]
async fn what_is_denied_from_the_start_leaves_no_finalizer_behind() -> Result<()> {
    let it = scenario("denied-read").await?;
    it.fault(testkit::aws::Fault::access_denied().action("GetRole").action("GetOpenIDConnectProvider")).await?;
    it.integration("aws-prod", |_| ()).await?;
    let denied = |object: &Value| condition(object, "Ready")["reason"] == "AccessDenied";
    let object = it.until("aws-prod", "it is denied", denied).await?;
    assert!(object["metadata"]["finalizers"].is_null());
    it.delete("aws-prod").await?;
    assert!(it.integrations().get_opt("aws-prod").await?.is_none());
    it.finish().await
}

#[tokio::test]
async fn retain_and_observe_leave_the_role_and_take_the_claim_off_it() -> Result<()> {
    for (name, patch) in [("retain", json!({"deletionPolicy": "Retain"})), ("observe", json!({"mode": "Observe"}))] {
        let it = with_ready(name, |_| ()).await?;
        it.patch_spec("aws-prod", patch).await?;
        it.ready("aws-prod").await?;
        let (seq, before) = (it.seq().await?, it.state().await?);
        delete(&it, "aws-prod").await?;
        assert_eq!(actions(&it.operator_writes_since(seq).await?), ["UntagRole"], "{name}");
        let mut wanted = before.clone();
        wanted.roles[0].tags.retain(|key, _| !CLAIM.contains(&key.as_str()));
        assert_eq!(wanted.roles[0].tags.len(), 1, "{name}: {:?}", wanted.roles[0].tags);
        assert_eq!(it.state().await?, wanted, "{name}");
        let event = it.event("aws-prod", "RoleReleased").await?;
        assert!(event.note.contains(it.account()) && event.note.contains(ROLE), "{}", event.note);
        it.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_gone_already_holds_nothing_up() -> Result<()> {
    let it = with_ready("role-gone", |_| ()).await?;
    let iam = it.iam().await?;
    iam.detach_role_policy().role_name(ROLE).policy_arn(POLICY).send().await.expect("detached");
    iam.delete_role().role_name(ROLE).send().await.expect("deleted");
    let seq = it.seq().await?;
    delete(&it, "aws-prod").await?;
    assert_eq!(actions(&it.operator_calls_since(seq).await?), ["GetRole"]);
    assert!(it.events("aws-prod").await?.iter().all(|event| event.reason != "RoleDeleted"));
    it.finish().await
}

#[tokio::test]
async fn a_role_of_somebody_else_is_not_touched() -> Result<()> {
    let it = scenario("foreign").await?;
    let iam = it.iam().await?;
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build().expect("a tag");
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
    let role = iam.create_role().role_name(ROLE).assume_role_policy_document(trust.to_string());
    role.tags(tag(CLAIM[0], "another")).tags(tag(CLAIM[2], "there.aws-prod")).send().await.expect("a role");
    let (seq, before) = (it.seq().await?, it.state().await?);
    it.integration("aws-prod", |_| ()).await?;
    let conflict = |object: &Value| condition(object, "Ready")["reason"] == "OwnedByOther";
    it.until("aws-prod", "it is in conflict", conflict).await?;
    delete(&it, "aws-prod").await?;
    let role = it.state().await?.role(ROLE).cloned();
    assert_eq!(role.as_ref(), before.role(ROLE));

    // One that was ours, until another installation took it over.
    it.integration("aws-test", |_| ()).await?;
    it.ready("aws-test").await?;
    let name = "PortIntegrationRole-aws-test";
    iam.tag_role().role_name(name).tags(tag(CLAIM[0], "another")).send().await.expect("tagged");
    let taken = it.state().await?.role(name).cloned();
    delete(&it, "aws-test").await?;
    assert_eq!(it.state().await?.role(name).cloned(), taken);
    let writes = it.operator_writes_since(seq).await?;
    assert!(writes.iter().all(|call| call.param("RoleName") != Some(ROLE)), "{writes:?}");
    assert_eq!(actions(&writes).last(), Some(&"AttachRolePolicy"), "{writes:?}");
    it.finish().await
}

#[tokio::test]
async fn an_object_that_is_made_again_under_its_name_finds_its_role() -> Result<()> {
    let it = with_ready("again", |_| ()).await?;
    // Held up, so that the finalizer can be taken off by hand under the eyes of the operator.
    it.patch_spec("aws-prod", json!({"suspend": true})).await?;
    it.delete("aws-prod").await?;
    blocked(&it, "aws-prod", "Suspended").await?;
    strip_finalizers(&it, "aws-prod").await?;
    let (seq, before) = (it.seq().await?, it.state().await?);
    assert!(before.role(ROLE).is_some());

    it.integration("aws-prod", |_| ()).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(object["status"]["accounts"][0]["roleId"], before.roles[0].id);
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert_eq!(it.state().await?, before);
    delete(&it, "aws-prod").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.finish().await
}

/// Deletes an integration and creates it again as a backup would: without status, with the
/// finalizers that it had. No operator may be running.
pub async fn restore(it: &Scenario, name: &str) -> Result<()> {
    let mut object: DynamicObject = it.integrations().get(name).await?;
    it.delete(name).await?;
    strip_finalizers(it, name).await?;
    object.data["status"].take();
    let finalizers = object.metadata.finalizers.take();
    object.metadata = ObjectMeta { name: object.metadata.name, finalizers, ..ObjectMeta::default() };
    let made = it.integrations().create(&PostParams::default(), &object).await?;
    assert!(made.data["status"].is_null());
    Ok(())
}

#[tokio::test]
async fn an_object_that_lost_its_status_is_cleaned_up_all_the_same() -> Result<()> {
    let mut it = with_ready("restored", |_| ()).await?;
    it.stop_operator().await?;
    restore(&it, "aws-prod").await?;
    // Asked to go before any operator has seen it.
    it.delete("aws-prod").await?;
    it.start_operator().await?;
    it.gone("aws-prod").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.event("aws-prod", "RoleDeleted").await?;
    it.finish().await
}

#[tokio::test]
async fn a_finalizer_that_somebody_else_set_leads_nowhere_and_holds_nothing() -> Result<()> {
    let mut it = scenario("forged").await?;
    it.integration("aws-prod", |spec| spec["role"] = json!({"name": "PortIntegrationRole-shared"})).await?;
    it.ready("aws-prod").await?;
    // While no operator is there to say in status that nothing was made.
    it.stop_operator().await?;
    it.integration("aws-forged", |spec| {
        spec["organizationId"] = "org_Other".into();
        spec["role"] = json!({"name": "PortIntegrationRole-shared"});
    })
    .await?;
    let patch = Patch::Merge(json!({"metadata": {"finalizers": [FINALIZER]}}));
    it.integrations().patch("aws-forged", &PatchParams::default(), &patch).await?;
    let (seq, before) = (it.seq().await?, it.state().await?);
    it.delete("aws-forged").await?;
    it.start_operator().await?;
    let message = blocked(&it, "aws-forged", "status does not say where something was made").await?;
    assert!(message.contains("organization org_Other is not allowed"), "{message}");
    // The new process asked whose its credentials are, and no more.
    let calls = it.operator_calls_since(seq).await?;
    assert!(calls.iter().all(|call| call.action == "GetCallerIdentity"), "{calls:?}");
    assert_eq!(it.state().await?, before);

    // The access object waits for what is real, and not for this.
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    it.delete_access().await?;
    testkit::wait::eventually("the end of the access object", testkit::fixture::SOON, async || {
        Ok(it.accesses().get_opt(it.namespace()).await?.is_none().then_some(()))
    })
    .await?;
    let seq = it.seq().await?;
    it.annotate("aws-forged", ABANDON, "true").await?;
    it.gone("aws-forged").await?;
    assert!(it.event("aws-forged", "Abandoned").await?.note.contains("the accounts are not known"));
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);
    it.finish().await
}
