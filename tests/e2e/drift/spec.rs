//! What is wanted changes: the mode, and the role's own fields.

use serde_json::{Value, json};
use testkit::{
    Result,
    aws::Fault,
    fixture::{SOON, Scenario, condition},
};

use super::{healthy, stops};
use crate::{
    OPERATOR,
    iam::{ADMIN, Does, NAME, ROLE, end, entry, foreign_trust, role, writes},
    scenario,
};

fn pending(object: &Value) -> Vec<&str> {
    let changes = object["status"]["pendingChanges"].as_array();
    changes.into_iter().flatten().filter_map(|change| change["change"].as_str()).collect()
}

#[tokio::test]
async fn observe_tells_what_it_would_make_and_makes_nothing() -> Result<()> {
    let it = scenario("observe").await?;
    let seq = it.seq().await?;
    it.integration(NAME, |spec| spec["mode"] = json!("Observe")).await?;
    let object = it.until(NAME, "it was looked at", |object| entry(object).0 == "Drifted").await?;
    let expected = [
        "create the OIDC provider with client ID sts.amazonaws.com",
        "create role PortIntegrationRole-aws-prod",
        "attach arn:aws:iam::aws:policy/ReadOnlyAccess",
    ];
    assert_eq!(pending(&object), expected);
    assert_eq!(object["status"]["pendingChanges"][0]["account"], it.account());
    assert_eq!(condition(&object, "Ready")["status"], "False");
    assert!(object["metadata"]["finalizers"].is_null(), "{object}");
    assert_eq!(writes(&it, seq).await?, Vec::<String>::new());
    assert!(it.state().await?.is_empty());
    // Nothing is there, so nothing keeps it.
    it.delete(NAME).await?;
    it.gone(NAME).await?;
    assert_eq!(writes(&it, seq).await?, Vec::<String>::new());
    end(it).await
}

#[tokio::test]
async fn observe_tells_of_drift_and_enforce_heals_it() -> Result<()> {
    let it = scenario("observe-drift").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    it.patch_spec(NAME, json!({"mode": "Observe"})).await?;
    let object = it.ready(NAME).await?;
    assert!(pending(&object).is_empty());
    somebody.does(&[Does::Attach(ADMIN), Does::Trust(foreign_trust()), Does::Update("changed", 3600)]).await?;
    let drifted = it.state().await?;
    for _ in 0..2 {
        let object = stops(&it, &[], "Drifted", "Drifted").await?;
        let changes = pending(&object);
        assert_eq!(changes.len(), 3, "{changes:?}");
        assert_eq!(changes[0], format!("detach {ADMIN}"));
        assert!(changes[1].starts_with("set the trust policy: Principal was AWS arn:aws:iam::999988887777:root"));
        assert!(changes[2].starts_with("update the role: Description was changed instead of "));
        assert_eq!(it.state().await?, drifted);
    }

    let seq = it.seq().await?;
    it.patch_spec(NAME, json!({"mode": "Enforce"})).await?;
    let object = it.ready(NAME).await?;
    assert!(pending(&object).is_empty());
    assert_eq!(it.state().await?, before);
    let expected = ["DetachRolePolicy AdministratorAccess", "UpdateAssumeRolePolicy", "UpdateRole"];
    assert_eq!(writes(&it, seq).await?, expected);
    end(it).await
}

/// Versions of the status that say that a generation is ready.
fn ready_for(history: &[Value], generation: &Value) -> usize {
    let ready =
        |it: &&Value| it["status"]["observedGeneration"] == *generation && condition(it, "Ready")["status"] == "True";
    history.iter().filter(ready).count()
}

#[tokio::test]
async fn a_change_of_the_spec_is_applied_at_once_and_not_called_ready_before() -> Result<()> {
    let limits = |spec: &mut Value| {
        spec["limits"]["maxSessionDuration"] = json!(7200);
        spec["limits"]["tagKeys"] = json!(["team", "stage"]);
    };
    let it = Scenario::builder("spec", OPERATOR).access(limits).start().await?;
    let (_, mut wanted) = healthy(&it, |spec| spec["role"] = json!({"tags": {"stage": "test"}})).await?;

    let hold = it.fault(Fault::hold_before().action("UpdateRole").count(1)).await?;
    let seq = it.seq().await?;
    let change = json!({"description": "New", "maxSessionDuration": 7200, "tags": {"team": "a", "stage": null}});
    let object = it.patch_spec(NAME, json!({"role": change})).await?;
    let generation = &object["metadata"]["generation"];
    let parked = it.world().backend().next_parked(&hold, SOON).await?;
    let observed = |object: &Value| object["status"]["observedGeneration"] == *generation;
    let object = it.until(NAME, "the new spec was seen", observed).await?;
    assert_ne!(condition(&object, "Ready")["status"], "True", "{object}");
    assert_eq!(ready_for(&it.watch()?.history(NAME), generation), 0);
    it.world().backend().release(&parked.id, true, true).await?;
    let object = it.ready(NAME).await?;
    assert_eq!(object["metadata"]["generation"], *generation);
    assert!(ready_for(&it.watch()?.history(NAME), generation) > 0);

    // A tag that is no longer wanted stays.
    let role_wanted = wanted.roles.iter_mut().find(|role| role.name == ROLE).expect("the role");
    "New".clone_into(&mut role_wanted.description);
    role_wanted.max_session_duration = 7200;
    role_wanted.tags.insert("team".to_owned(), "a".to_owned());
    let state = it.state().await?;
    assert_eq!(state, wanted);
    assert_eq!(role(&state).tags["stage"], "test");
    assert_eq!(writes(&it, seq).await?, ["TagRole", "UpdateRole"]);
    end(it).await
}

#[tokio::test]
async fn a_spec_beyond_the_limits_changes_nothing_in_aws() -> Result<()> {
    let it = scenario("beyond").await?;
    let (_, before) = healthy(&it, |_| ()).await?;
    let seq = it.seq().await?;
    for change in [json!({"maxSessionDuration": 3601}), json!({"tags": {"team": "a"}})] {
        let object = it.patch_spec(NAME, json!({"role": change})).await?;
        let generation = object["metadata"]["generation"].clone();
        let refused = |object: &Value| {
            object["status"]["observedGeneration"] == generation && condition(object, "Ready")["reason"] == "NotAllowed"
        };
        it.until(NAME, "it is refused", refused).await?;
        assert_eq!(ready_for(&it.watch()?.history(NAME), &generation), 0);
        it.patch_spec(NAME, json!({"role": null})).await?;
        it.ready(NAME).await?;
    }
    assert_eq!(writes(&it, seq).await?, Vec::<String>::new());
    assert_eq!(it.state().await?, before);
    end(it).await
}
