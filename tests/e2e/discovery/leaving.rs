//! What discovery no longer finds, and answers that are not to be believed.

use serde_json::{Value, json};
use testkit::{
    Result,
    aws::Fault,
    fixture::{condition, is_ready},
};

use super::{Organized, counts, resolved};
use crate::{deletion::restore, many::entry};

fn says_missing(object: &Value) -> bool {
    resolved(object)["message"].as_str().is_some_and(|message| message.contains("not found this time"))
}

#[tokio::test]
async fn half_the_accounts_gone_from_one_answer_changes_nothing_and_bulk_removal_waits_for_a_word() -> Result<()> {
    let (org, organization) = Organized::start("half-gone").await?;
    let it = &org.it;
    org.integrate(&organization, |spec| spec["accountRemovalPolicy"] = "Delete".into()).await?;
    it.ready("aws-prod").await?;
    let gone = &org.accounts[1..3];
    for account in gone {
        organization.move_account(account, None).await?;
    }
    let seq = it.seq().await?;
    let object = it.request_check("aws-prod").await?;
    assert_eq!(counts(&object), [4, 4, 0, 0]);
    assert!(says_missing(&object), "{}", resolved(&object));
    assert!(is_ready(&object), "an account that is missing once is a target still");

    it.request_check("aws-prod").await?;
    let object = it.until("aws-prod", "two are no longer targets", |it| counts(it)[0] == 2).await?;
    for account in gone {
        assert_eq!(entry(&object, account)["reason"], "ManyRemovals");
        assert!(org.has_role(account).await?);
    }
    assert_eq!(org.calls(seq, "DeleteRole").await?, vec![]);

    it.annotate("aws-prod", "integrations.port.io/confirm-removal", "2").await?;
    it.until("aws-prod", "they are cleared", |it| {
        it["status"]["accounts"].as_array().is_some_and(|all| all.len() == 2)
    })
    .await?;
    for account in gone {
        assert!(!org.has_role(account).await?);
    }
    assert!(org.has_role(&org.accounts[0]).await? && org.has_role(&org.management).await?);
    org.it.finish().await
}

#[tokio::test]
async fn one_account_in_many_that_left_goes_by_itself_and_one_that_came_back_stays() -> Result<()> {
    let (org, organization) = Organized::start("one-gone").await?;
    let it = &org.it;
    org.integrate(&organization, |spec| spec["accountRemovalPolicy"] = "Delete".into()).await?;
    it.ready("aws-prod").await?;
    let account = &org.accounts[2];
    organization.move_account(account, None).await?;
    it.request_check("aws-prod").await?;
    organization.move_account(account, Some("prod")).await?;
    let object = it.request_check("aws-prod").await?;
    assert!(!says_missing(&object) && is_ready(&object));
    organization.move_account(account, None).await?;
    let object = it.request_check("aws-prod").await?;
    assert!(says_missing(&object), "the count begins anew: {}", resolved(&object));
    assert!(org.has_role(account).await?);
    it.request_check("aws-prod").await?;
    it.until("aws-prod", "it is cleared", |it| entry(it, account).is_null()).await?;
    assert!(!org.has_role(account).await?);
    org.it.finish().await
}

#[tokio::test]
async fn an_outage_and_an_empty_answer_change_nothing() -> Result<()> {
    let (mut org, organization) = Organized::start("outage").await?;
    let it = &org.it;
    org.integrate(&organization, |spec| spec["accountRemovalPolicy"] = "Delete".into()).await?;
    it.ready("aws-prod").await?;
    let faulty = Fault::error503().account(&org.management).service("organizations");
    it.world().backend().fault(faulty).await?;
    let object = it.request_check("aws-prod").await?;
    assert_eq!(
        (&resolved(&object)["status"], &resolved(&object)["reason"]),
        (&json!("False"), &json!("ServiceUnavailable"))
    );
    assert_eq!((counts(&object), &condition(&object, "Ready")["status"]), ([4, 4, 0, 0], &json!("True")));

    // A new process goes on with the accounts that the status names.
    org.it.restart_operator().await?;
    let it = &org.it;
    let iam = it.world().backend().iam(&org.accounts[1]).await?;
    iam.detach_role_policy()
        .role_name(crate::shared::ROLE)
        .policy_arn("arn:aws:iam::aws:policy/ReadOnlyAccess")
        .send()
        .await
        .expect("detached");
    it.request_check("aws-prod").await?;
    let event = it.event("aws-prod", "DriftCorrected").await?;
    assert!(event.note.contains(&org.accounts[1]), "{}", event.note);

    it.world().backend().clear_faults(&org.management).await?;
    for account in &org.accounts[..3] {
        organization.remove_account(account).await?;
    }
    for round in 1..=3 {
        let seq = it.seq().await?;
        let object = it.request_check("aws-prod").await?;
        assert_eq!(resolved(&object)["reason"], "NothingDiscovered", "round {round}");
        assert_eq!((counts(&object), is_ready(&object)), ([4, 4, 0, 0], true), "round {round}");
        assert_ne!(org.calls(seq, "ListAccountsForParent").await?, vec![], "round {round}");
    }
    for account in &org.accounts[..3] {
        assert!(org.has_role(account).await?);
    }
    org.it.finish().await
}

#[tokio::test]
async fn a_deletion_without_status_discovers_what_it_has_to_clear() -> Result<()> {
    let (mut org, organization) = Organized::start("restored").await?;
    org.integrate(&organization, |_| ()).await?;
    org.it.ready("aws-prod").await?;
    org.it.stop_operator().await?;
    let it = &org.it;
    restore(it, "aws-prod").await?;
    it.delete("aws-prod").await?;
    let denied = Fault::access_denied().account(&org.management).service("organizations");
    it.world().backend().fault(denied).await?;

    org.it.start_operator().await?;
    let it = &org.it;
    let object =
        it.until("aws-prod", "it is blocked", |it| condition(it, "Ready")["reason"] == "DeletionBlocked").await?;
    let message = condition(&object, "Ready")["message"].as_str().unwrap_or_default();
    assert!(message.contains("discovery: ") && message.contains("abandon"), "{message}");
    assert!(org.has_role(&org.accounts[0]).await?);

    it.world().backend().clear_faults(&org.management).await?;
    it.annotate("aws-prod", "integrations.port.io/requestedAt", "now").await?;
    it.gone("aws-prod").await?;
    for account in org.accounts[..3].iter().chain([&org.management]) {
        assert!(!org.has_role(account).await?, "{account}");
    }
    org.it.finish().await
}
