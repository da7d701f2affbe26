//! Deletions that cannot go on, and the ways out.

use aws_sdk_iam::types::Tag;
use kube::api::{DynamicObject, ObjectMeta, PostParams};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{Fault, actions, count_by_action},
    fixture::{REQUESTED_AT, SOON, Scenario},
    wait::eventually,
};

use crate::OPERATOR;

use super::{ABANDON, CLAIM, POLICY, ROLE, blocked, delete, with_ready};

/// Brings another integration from nothing to its end, so that a deletion that was tried without a
/// pause would have been tried many times by then.
async fn another_comes_and_goes(it: &Scenario) -> Result<()> {
    it.integration("meanwhile", |_| ()).await?;
    it.ready("meanwhile").await?;
    delete(it, "meanwhile").await
}

#[tokio::test]
async fn a_refused_deletion_is_tried_slowly_and_let_go_by_annotation() -> Result<()> {
    let denied = || Fault::access_denied().param("RoleName", ROLE);
    let conflict = || Fault::error(409, "DeleteConflict", "an instance profile").param("RoleName", ROLE);
    for (name, fault, action, words, released) in [
        ("deny-delete", denied(), "DeleteRole", "AWS refuses DeleteRole", true),
        ("deny-detach", denied(), "DetachRolePolicy", "AWS refuses DetachRolePolicy", true),
        ("conflict", conflict(), "DeleteRole", "something still hangs on the role", true),
        ("deny-all", denied().action("UntagRole"), "DetachRolePolicy", "AWS refuses DetachRolePolicy", false),
    ] {
        let it = with_ready(name, |_| ()).await?;
        it.fault(fault.action(action)).await?;
        let (seq, before) = (it.seq().await?, it.state().await?);
        it.delete("aws-prod").await?;
        let message = blocked(&it, "aws-prod", words).await?;
        assert!(message.contains(it.account()), "{name}: {message}");
        let event = it.event("aws-prod", "DeletionBlocked").await?;
        assert!(event.type_ == "Warning" && event.note.contains(words), "{name}: {event:?}");
        another_comes_and_goes(&it).await?;
        let tried = it.operator_calls_since(seq).await?.into_iter().filter(|call| call.fault.is_some());
        let tried = count_by_action(&tried.collect::<Vec<_>>());
        // The AWS SDK itself tries some errors twice.
        assert!(tried[action] <= 2, "{name}: {tried:?}");

        it.annotate("aws-prod", ABANDON, "true").await?;
        it.gone("aws-prod").await?;
        let state = it.state().await?;
        let (role, former) = (state.role(ROLE).expect("it stays"), before.role(ROLE).expect("it was there"));
        assert_eq!(role.id, former.id, "{name}");
        assert_eq!(CLAIM.iter().any(|key| role.tags.contains_key(*key)), !released, "{name}: {:?}", role.tags);
        let reason = if released { "RoleReleased" } else { "Abandoned" };
        let event = it.event("aws-prod", reason).await?;
        assert!(event.note.contains(ROLE) && event.note.contains(it.account()), "{name}: {}", event.note);
        it.finish().await?;
    }
    Ok(())
}

/// What became of an account that left the list is not forgotten by a failure: its role stays, as was asked.
#[tokio::test]
async fn a_role_that_was_to_stay_stays_although_letting_go_of_it_fails_at_first() -> Result<()> {
    const OTHER: &str = "111122223333";
    let all = |spec: &mut Value| spec["accounts"] = json!(["*"]);
    let mut it = Scenario::builder("retained", OPERATOR).access(all).start().await?;
    let own = it.account().to_owned();
    let state = |object: &Value, wanted: &str| {
        let entries = object["status"]["accounts"].as_array().into_iter().flatten();
        entries.into_iter().any(|entry| entry["id"] == own && entry["state"] == wanted)
    };
    it.integration("aws-prod", |spec| spec["accounts"] = json!([own, OTHER])).await?;
    it.until("aws-prod", "its account is ready", |object| state(object, "Ready")).await?;
    it.patch_spec("aws-prod", json!({"accounts": [OTHER]})).await?;
    it.until("aws-prod", "the account has left", |object| state(object, "Removed")).await?;

    it.fault(Fault::access_denied().action("GetRole")).await?;
    it.delete("aws-prod").await?;
    let message = blocked(&it, "aws-prod", "AWS refuses GetRole").await?;
    assert!(message.contains(&own), "{message}");
    let object = it.integrations().get("aws-prod").await?;
    assert!(state(&serde_json::to_value(object)?, "Removed"));

    it.clear_faults().await?;
    let (seq, before) = (it.seq().await?, it.state().await?);
    it.restart_operator().await?;
    it.gone("aws-prod").await?;
    assert_eq!(actions(&it.operator_writes_since(seq).await?), ["UntagRole"]);
    assert_eq!(it.state().await?.role(ROLE).expect("it stays").id, before.role(ROLE).expect("it was there").id);
    it.finish().await
}

#[tokio::test]
async fn a_blocked_deletion_is_tried_again_on_request_and_after_a_restart() -> Result<()> {
    let mut it = with_ready("retried", |_| ()).await?;
    it.integration("aws-test", |_| ()).await?;
    it.ready("aws-test").await?;
    it.fault(Fault::access_denied().action("DetachRolePolicy")).await?;
    for name in ["aws-prod", "aws-test"] {
        it.delete(name).await?;
        blocked(&it, name, "AWS refuses DetachRolePolicy").await?;
    }
    it.clear_faults().await?;
    it.annotate("aws-prod", REQUESTED_AT, "now").await?;
    it.gone("aws-prod").await?;
    it.fault(Fault::access_denied().action("DetachRolePolicy")).await?;
    let seq = it.seq().await?;
    it.restart_operator().await?;
    eventually("another try after the restart", SOON, async || {
        let calls = it.operator_calls_since(seq).await?;
        Ok(calls.iter().any(|call| call.action == "DetachRolePolicy").then_some(()))
    })
    .await?;
    blocked(&it, "aws-test", "AWS refuses DetachRolePolicy").await?;
    it.stop_operator().await?;
    it.clear_faults().await?;
    it.start_operator().await?;
    it.gone("aws-test").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.finish().await
}

#[tokio::test]
async fn an_inline_policy_of_somebody_blocks_before_anything_is_detached() -> Result<()> {
    let it = with_ready("inline", |_| ()).await?;
    let iam = it.iam().await?;
    let document = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]});
    let put = iam.put_role_policy().role_name(ROLE).policy_name("Theirs").policy_document(document.to_string());
    put.send().await.expect("the policy");
    let (seq, before) = (it.seq().await?, it.state().await?);
    it.delete("aws-prod").await?;
    let message = blocked(&it, "aws-prod", "has inline policies that are not ours: delete them").await?;
    assert!(message.contains(ROLE), "{message}");
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert_eq!(it.state().await?, before);
    iam.delete_role_policy().role_name(ROLE).policy_name("Theirs").send().await.expect("deleted");
    it.annotate("aws-prod", REQUESTED_AT, "now").await?;
    it.gone("aws-prod").await?;
    assert_eq!(actions(&it.operator_writes_since(seq).await?), ["DetachRolePolicy", "DeleteRole"]);
    it.finish().await
}

#[tokio::test]
async fn a_held_role_and_an_incident_block_and_nothing_is_written() -> Result<()> {
    let it = with_ready("held", |_| ()).await?;
    let iam = it.iam().await?;
    let hold = Tag::builder().key("port-aws-operator/hold").value("x").build().expect("a tag");
    iam.tag_role().role_name(ROLE).tags(hold).send().await.expect("tagged");
    let seq = it.seq().await?;
    it.delete("aws-prod").await?;
    blocked(&it, "aws-prod", "has the tag port-aws-operator/hold: take it off").await?;
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);

    let deny = "arn:aws:iam::aws:policy/AWSDenyAll";
    iam.attach_role_policy().role_name(ROLE).policy_arn(deny).send().await.expect("attached");
    iam.untag_role().role_name(ROLE).tag_keys("port-aws-operator/hold").send().await.expect("untagged");
    it.annotate("aws-prod", REQUESTED_AT, "one").await?;
    blocked(&it, "aws-prod", "has a policy that answers an incident").await?;
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert!(it.state().await?.role(ROLE).is_some_and(|role| role.attached_policies.iter().eq([deny, POLICY])));

    iam.detach_role_policy().role_name(ROLE).policy_arn(deny).send().await.expect("detached");
    it.annotate("aws-prod", REQUESTED_AT, "two").await?;
    it.gone("aws-prod").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.finish().await
}

#[tokio::test]
async fn a_suspended_deletion_waits_and_goes_on_when_it_is_not_suspended_any_more() -> Result<()> {
    let it = with_ready("suspended", |_| ()).await?;
    it.patch_spec("aws-prod", json!({"suspend": true})).await?;
    let (seq, before) = (it.seq().await?, it.state().await?);
    it.delete("aws-prod").await?;
    blocked(&it, "aws-prod", "Suspended: spec.suspend is set, so AWS is left alone: unset it").await?;
    it.event("aws-prod", "DeletionBlocked").await?;
    another_comes_and_goes(&it).await?;
    let calls = it.operator_calls_since(seq).await?;
    assert!(calls.iter().all(|call| call.param("RoleName") != Some(ROLE)), "{calls:?}");
    assert_eq!(it.state().await?, before);
    it.patch_spec("aws-prod", json!({"suspend": false})).await?;
    it.gone("aws-prod").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.finish().await
}

#[tokio::test]
async fn without_its_access_a_deletion_waits_until_the_access_is_back_or_it_is_abandoned() -> Result<()> {
    let it = with_ready("no-access", |_| ()).await?;
    it.integration("aws-test", |_| ()).await?;
    it.ready("aws-test").await?;
    let (seq, before) = (it.seq().await?, it.state().await?);
    let mut access: DynamicObject = it.accesses().get(it.namespace()).await?;
    access.metadata = ObjectMeta { name: access.metadata.name, ..ObjectMeta::default() };
    it.delete_access().await?;
    let words = format!("AccessNotFound: PortAwsAccess {} does not exist", it.namespace());
    for name in ["aws-prod", "aws-test"] {
        it.delete(name).await?;
        blocked(&it, name, &words).await?;
        let event = it.event(name, "DeletionBlocked").await?;
        assert!(event.note.contains("AccessNotFound"), "{}", event.note);
    }
    it.annotate("aws-test", ABANDON, "true").await?;
    it.gone("aws-test").await?;
    let event = it.event("aws-test", "Abandoned").await?;
    for words in ["PortIntegrationRole-aws-test", it.account(), "with the operator's tags"] {
        assert!(event.note.contains(words), "{}", event.note);
    }
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);
    it.accesses().create(&PostParams::default(), &access).await?;
    it.gone("aws-prod").await?;
    let state = it.state().await?;
    assert_eq!(state.role(ROLE), None);
    assert_eq!(state.roles, [before.role("PortIntegrationRole-aws-test").expect("the role").clone()]);
    it.finish().await
}
