//! What is left alone, and what keeps the operator from writing.

use std::slice::from_ref;

use serde_json::json;
use testkit::{
    Result,
    aws::{AccountState, Fault},
    fixture::{Scenario, condition},
};

use super::{heals, healthy, stops};
use crate::{
    iam::{
        ADMIN, AUDIT, CLIENT_ID, DENY_ALL, Does, HOLD, NAME, QUARANTINE, READ_ONLY, end, entry, foreign_statement,
        foreign_trust, ok, role, tag, writes,
    },
    scenario,
};

/// The wanted trust policy, and with it everybody in another account.
fn wanted_and_foreign(wanted: &AccountState) -> Does<'static> {
    let mut document = role(wanted).trust_policy.clone();
    document["Statement"].as_array_mut().expect("a list").push(foreign_statement());
    Does::Trust(document)
}

#[tokio::test]
async fn policies_of_others_are_left_alone_and_told_once() -> Result<()> {
    let it = scenario("foreign").await?;
    let (somebody, before) = healthy(&it, |spec| spec["role"] = json!({"extraPolicies": "Report"})).await?;
    let first = it.watch()?.history(NAME).len();
    let seq = it.seq().await?;
    let revoke = "AWSRevokeOlderSessions";
    for (reason, policy, comes, goes) in [
        ("ForeignInlinePolicy", "somebodys", Does::Inline("somebodys"), Does::Uninline("somebodys")),
        ("IncidentPolicy", revoke, Does::Inline(revoke), Does::Uninline(revoke)),
        ("ExtraPolicies", AUDIT, Does::Attach(AUDIT), Does::Detach(AUDIT)),
    ] {
        for times in 1..=2 {
            somebody.does(from_ref(&comes)).await?;
            let with_it = it.state().await?;
            for _ in 0..2 {
                let object = it.request_check(NAME).await?;
                assert_eq!(entry(&object), ("Ready", reason));
                let events = it.events(NAME).await?;
                let told: Vec<_> = events.iter().filter(|event| event.reason == reason).collect();
                assert_eq!(told.len(), times, "{told:?}");
                let right = |event: &&testkit::fixture::Event| {
                    event.type_ == "Warning" && event.count == 1 && event.note.contains(policy)
                };
                assert!(told.iter().all(right), "{told:?}");
            }
            assert_eq!(it.state().await?, with_it);
            somebody.does(from_ref(&goes)).await?;
            let object = it.request_check(NAME).await?;
            assert_eq!(entry(&object), ("Ready", "Ready"));
        }
    }
    assert_eq!(writes(&it, seq).await?, Vec::<String>::new());
    assert_eq!(it.state().await?, before);
    let history = it.watch()?.history(NAME);
    assert!(history.len() > first);
    assert!(history[first..].iter().all(|object| condition(object, "Ready")["status"] == "True"));
    end(it).await
}

#[tokio::test]
async fn what_answers_an_incident_is_never_taken_off() -> Result<()> {
    let it = scenario("incident").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    for (comes, goes) in [
        (Does::Attach(DENY_ALL), Does::Detach(DENY_ALL)),
        (Does::Attach(QUARANTINE), Does::Detach(QUARANTINE)),
        (Does::Bound(DENY_ALL), Does::Unbound),
    ] {
        somebody.does(&[comes.clone(), Does::Detach(READ_ONLY)]).await?;
        let stopped = it.state().await?;
        somebody.does(&[Does::Attach(ADMIN)]).await?;
        // What narrows is still done, and nothing is given back.
        let object = stops(&it, &["DetachRolePolicy AdministratorAccess"], "Held", "IncidentPolicy").await?;
        assert_eq!(condition(&object, "RoleReady")["reason"], "IncidentPolicy");
        assert_eq!(it.state().await?, stopped);
        stops(&it, &[], "Held", "IncidentPolicy").await?;
        assert_eq!(it.event(NAME, "IncidentPolicy").await?.type_, "Warning");

        somebody.does(&[goes]).await?;
        heals(&it, &before, &["AttachRolePolicy ReadOnlyAccess"]).await?;
    }
    let events = it.events(NAME).await?;
    let told: Vec<_> = events.iter().filter(|event| event.reason == "IncidentPolicy").collect();
    assert_eq!(told.iter().map(|event| event.count).collect::<Vec<_>>(), [1, 1, 1], "{told:?}");
    end(it).await
}

#[tokio::test]
async fn the_hold_tag_stops_every_write() -> Result<()> {
    let it = scenario("hold").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    somebody.does(&[Does::Tag(HOLD, "because"), Does::Trust(foreign_trust()), Does::Attach(ADMIN)]).await?;
    somebody
        .does(&[Does::Detach(READ_ONLY), Does::Update("changed", 7200), Does::Untag(&["port:integration"])])
        .await?;
    let held = it.state().await?;
    for _ in 0..2 {
        stops(&it, &[], "Held", "Held").await?;
        assert_eq!(it.state().await?, held);
    }
    assert!(it.event(NAME, "Held").await?.note.contains(HOLD));
    somebody.does(&[Does::Untag(&[HOLD])]).await?;
    let expected = [
        "DetachRolePolicy AdministratorAccess",
        "UpdateAssumeRolePolicy",
        "AttachRolePolicy ReadOnlyAccess",
        "TagRole",
        "UpdateRole",
    ];
    heals(&it, &before, &expected).await?;

    // The same on the provider, which only matters once something would be written to it.
    let arn = &before.provider().expect("the provider").arn;
    let on_provider = somebody.iam().tag_open_id_connect_provider().open_id_connect_provider_arn(arn);
    ok(on_provider.tags(tag(HOLD, "because")?).send().await)?;
    let object = it.request_check(NAME).await?;
    assert_eq!(entry(&object), ("Ready", "Ready"));
    somebody.removes_client_id(arn, CLIENT_ID).await?;
    let held = it.state().await?;
    let object = stops(&it, &[], "Held", "Held").await?;
    assert_eq!(it.state().await?, held);
    assert_eq!(condition(&object, "OIDCProviderReady")["reason"], "Held");
    let off_provider = somebody.iam().untag_open_id_connect_provider().open_id_connect_provider_arn(arn);
    ok(off_provider.tag_keys(HOLD).send().await)?;
    heals(&it, &before, &["AddClientIDToOpenIDConnectProvider"]).await?;
    end(it).await
}

async fn deny(it: &Scenario, action: &str) -> Result<()> {
    it.fault(Fault::access_denied().action(action)).await.map(drop)
}

#[tokio::test]
async fn a_role_that_has_too_much_is_not_opened() -> Result<()> {
    let it = scenario("too-broad").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    somebody.does(&[Does::Trust(foreign_trust()), Does::Attach(ADMIN)]).await?;
    let attacked = it.state().await?;
    deny(&it, "DetachRolePolicy").await?;
    let refused = "DetachRolePolicy AdministratorAccess AccessDenied";
    let object = stops(&it, &[refused], "Denied", "RoleTooBroad").await?;
    assert_eq!(condition(&object, "RoleReady")["reason"], "RoleTooBroad");
    assert_eq!(it.state().await?, attacked);
    assert_eq!(it.event(NAME, "RoleTooBroad").await?.count, 1);

    it.clear_faults().await?;
    heals(&it, &before, &["DetachRolePolicy AdministratorAccess", "UpdateAssumeRolePolicy"]).await?;
    end(it).await
}

#[tokio::test]
async fn a_role_that_has_too_much_is_narrowed_as_far_as_it_goes() -> Result<()> {
    let it = scenario("narrowed").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    somebody.does(&[wanted_and_foreign(&before), Does::Attach(ADMIN)]).await?;
    deny(&it, "DetachRolePolicy").await?;
    let refused = "DetachRolePolicy AdministratorAccess AccessDenied";
    stops(&it, &[refused, "UpdateAssumeRolePolicy"], "Denied", "AccessDenied").await?;
    let narrowed = it.state().await?;
    assert_eq!(role(&narrowed).trust_policy, role(&before).trust_policy);
    assert!(role(&narrowed).attached_policies.contains(ADMIN));

    it.clear_faults().await?;
    heals(&it, &before, &["DetachRolePolicy AdministratorAccess"]).await?;
    end(it).await
}

#[tokio::test]
async fn a_role_that_others_may_assume_gets_no_policies() -> Result<()> {
    let it = scenario("others").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    somebody.does(&[Does::Trust(foreign_trust()), Does::Detach(READ_ONLY), Does::Bound(AUDIT)]).await?;
    let attacked = it.state().await?;
    deny(&it, "UpdateAssumeRolePolicy").await?;
    stops(&it, &["UpdateAssumeRolePolicy AccessDenied"], "Denied", "AccessDenied").await?;
    assert_eq!(it.state().await?, attacked);

    it.clear_faults().await?;
    let expected = ["UpdateAssumeRolePolicy", "AttachRolePolicy ReadOnlyAccess", "DeleteRolePermissionsBoundary"];
    heals(&it, &before, &expected).await?;
    end(it).await
}

#[tokio::test]
async fn a_role_with_an_inline_policy_of_others_is_narrowed_and_not_opened() -> Result<()> {
    let it = scenario("inline").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    somebody.does(&[Does::Inline("somebodys"), wanted_and_foreign(&before)]).await?;
    let seq = it.seq().await?;
    let object = it.request_check(NAME).await?;
    assert_eq!(writes(&it, seq).await?, ["UpdateAssumeRolePolicy"]);
    assert_eq!(entry(&object), ("Ready", "ForeignInlinePolicy"));
    assert_eq!(role(&it.state().await?).trust_policy, role(&before).trust_policy);

    somebody.does(&[Does::Trust(foreign_trust())]).await?;
    let attacked = it.state().await?;
    stops(&it, &[], "Conflict", "RoleTooBroad").await?;
    assert_eq!(it.state().await?, attacked);
    assert_eq!(it.event(NAME, "RoleTooBroad").await?.count, 1);

    somebody.does(&[Does::Uninline("somebodys")]).await?;
    heals(&it, &before, &["UpdateAssumeRolePolicy"]).await?;
    end(it).await
}
