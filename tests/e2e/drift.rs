//! What somebody changes in AWS is found, told, and set right in place.

mod guards;
mod spec;
mod trust;

use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{AccountState, Fault},
    fixture::{REQUESTED_AT, SOON, Scenario, condition},
};

use crate::{
    OPERATOR,
    iam::{
        ADMIN, CLAIM, CLIENT_ID, Does, NAME, ORIGIN, POWER, READ_ONLY, ROLE, Somebody, end, entry, role, told_since,
        writes,
    },
    scenario,
};

/// A scenario that is ready, with foreign tags on role and provider and a foreign client ID and
/// thumbprint, and what is in its account.
async fn healthy(it: &Scenario, edit: impl FnOnce(&mut Value)) -> Result<(Somebody, AccountState)> {
    it.integration(NAME, edit).await?;
    it.ready(NAME).await?;
    let somebody = Somebody::on(it, ROLE).await?;
    somebody.does(&[Does::Tag("cost-center", "42")]).await?;
    let state = it.state().await?;
    somebody.shares_provider(&state.provider().expect("the provider").arn).await?;
    Ok((somebody, it.state().await?))
}

/// Asks for a check, and asserts that it makes exactly these writes, that the account then is as
/// wanted, and that the resource is ready. Gives what was told meanwhile.
async fn heals(it: &Scenario, wanted: &AccountState, expected: &[&str]) -> Result<Vec<(String, String)>> {
    assert_ne!(it.state().await?, *wanted, "nothing has drifted");
    let (seq, events) = (it.seq().await?, it.events(NAME).await?);
    let object = it.request_check(NAME).await?;
    assert_eq!(writes(it, seq).await?, expected);
    assert_eq!(it.state().await?, *wanted);
    assert_eq!(condition(&object, "Ready")["status"], "True", "{object}");
    told_since(it, NAME, &events).await
}

/// Asks for a check, and asserts that it asks for these writes only, and leaves the account in this
/// state for this reason.
async fn stops(it: &Scenario, expected: &[&str], state: &str, reason: &str) -> Result<Value> {
    let seq = it.seq().await?;
    let object = it.request_check(NAME).await?;
    assert_eq!(writes(it, seq).await?, expected);
    assert_eq!(entry(&object), (state, reason));
    assert_eq!(condition(&object, "Ready")["status"], "False", "{object}");
    Ok(object)
}

#[tokio::test]
async fn what_somebody_changes_on_a_role_is_set_right_in_place() -> Result<()> {
    let limits = |spec: &mut Value| {
        spec["limits"]["maxSessionDuration"] = json!(7200);
        spec["limits"]["tagKeys"] = json!(["team"]);
    };
    let it = Scenario::builder("role", OPERATOR).access(limits).start().await?;
    let bound = format!("arn:aws:iam::{}:policy/Bound", it.account());
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;
    crate::iam::ok(it.iam().await?.create_policy().policy_name("Bound").policy_document(policy).send().await)?;
    let (somebody, before) = healthy(&it, |spec| {
        spec["role"] = json!({"description": "Wanted", "maxSessionDuration": 7200, "tags": {"team": "a"},
            "permissionsBoundaryArn": "arn:aws:iam::${accountId}:policy/Bound"});
    })
    .await?;
    assert_eq!(role(&before).permissions_boundary.as_deref(), Some(bound.as_str()));
    let settings = "updated the role: Description was changed instead of Wanted; \
        MaxSessionDuration was 3600 instead of 7200";
    let session = "updated the role: MaxSessionDuration was 43200 instead of 7200";
    let tags = "set role tags port-aws-operator/origin, port:integration, team";
    let unbound = format!("set permissions boundary {bound} (was absent)");
    let rebound = format!("set permissions boundary {bound} (was {POWER})");
    let cases: [(Vec<Does>, Vec<&str>, String); 7] = [
        (vec![Does::Detach(READ_ONLY)], vec!["AttachRolePolicy ReadOnlyAccess"], format!("attached {READ_ONLY}")),
        (vec![Does::Attach(ADMIN)], vec!["DetachRolePolicy AdministratorAccess"], format!("detached {ADMIN}")),
        (vec![Does::Unbound], vec!["PutRolePermissionsBoundary Bound"], unbound),
        (vec![Does::Bound(POWER)], vec!["PutRolePermissionsBoundary Bound"], rebound),
        (vec![Does::Update("changed", 3600)], vec!["UpdateRole"], settings.to_owned()),
        (vec![Does::Update("Wanted", 43200)], vec!["UpdateRole"], session.to_owned()),
        (
            vec![Does::Tag("port:integration", "x"), Does::Tag("team", "b"), Does::Untag(&[ORIGIN])],
            vec!["TagRole"],
            tags.to_owned(),
        ),
    ];
    for (drift, expected, note) in cases {
        somebody.does(&drift).await?;
        let told = heals(&it, &before, &expected).await?;
        let arn = &role(&before).arn;
        assert_eq!(told, [("DriftCorrected".to_owned(), format!("{note} ({arn})"))], "{drift:?}");
    }

    let at_once = [Does::Attach(ADMIN), Does::Attach(POWER), Does::Detach(READ_ONLY), Does::Unbound];
    somebody.does(&at_once).await?;
    somebody.does(&[Does::Update("", 43200), Does::Tag("team", "c")]).await?;
    let expected = [
        "PutRolePermissionsBoundary Bound",
        "DetachRolePolicy AdministratorAccess",
        "DetachRolePolicy PowerUserAccess",
        "AttachRolePolicy ReadOnlyAccess",
        "TagRole",
        "UpdateRole",
    ];
    heals(&it, &before, &expected).await?;
    end(it).await
}

#[tokio::test]
async fn a_boundary_that_is_not_wanted_is_taken_off() -> Result<()> {
    let it = scenario("boundary").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    somebody.does(&[Does::Bound(POWER)]).await?;
    let told = heals(&it, &before, &["DeleteRolePermissionsBoundary"]).await?;
    let note = format!("removed permissions boundary {POWER} ({})", role(&before).arn);
    assert_eq!(told, [("DriftCorrected".to_owned(), note)]);
    end(it).await
}

#[tokio::test]
async fn what_somebody_deletes_is_made_again() -> Result<()> {
    let it = scenario("deleted").await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    let somebody = Somebody::on(&it, ROLE).await?;
    let before = it.state().await?;
    let same_but_for_the_id = |state: &AccountState| {
        let mut expected = before.clone();
        expected.roles[0].id.clone_from(&role(state).id);
        assert_eq!(*state, expected);
    };

    somebody.deletes(&[READ_ONLY]).await?;
    let seq = it.seq().await?;
    let object = it.request_check(NAME).await?;
    assert_eq!(writes(&it, seq).await?, ["CreateRole", "AttachRolePolicy ReadOnlyAccess"]);
    let state = it.state().await?;
    same_but_for_the_id(&state);
    assert_ne!(role(&state).id, role(&before).id);
    assert_eq!(object["status"]["accounts"][0]["roleId"], role(&state).id);
    assert_eq!(it.event(NAME, "RoleCreated").await?.count, 2);

    let arn = &before.provider().expect("the provider").arn;
    crate::iam::ok(somebody.iam().delete_open_id_connect_provider().open_id_connect_provider_arn(arn).send().await)?;
    heals(&it, &state, &["CreateOpenIDConnectProvider"]).await?;
    assert_eq!(it.event(NAME, "ProviderCreated").await?.count, 2);
    end(it).await
}

#[tokio::test]
async fn a_client_id_that_is_missing_is_added_and_nothing_else_of_the_provider_changes() -> Result<()> {
    let it = scenario("client-id").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    let provider = before.provider().expect("the provider");
    assert_eq!(provider.client_ids, ["others", CLIENT_ID]);
    assert_eq!(provider.tags["team"], "others");
    somebody.removes_client_id(&provider.arn, CLIENT_ID).await?;
    let told = heals(&it, &before, &["AddClientIDToOpenIDConnectProvider"]).await?;
    let note = format!("added client ID {CLIENT_ID} to the OIDC provider ({})", provider.arn);
    assert_eq!(told, [("ClientIdAdded".to_owned(), note)]);

    // Tags are written when a provider is made, and belong to the account from then on.
    let untag = somebody.iam().untag_open_id_connect_provider().open_id_connect_provider_arn(&provider.arn);
    crate::iam::ok(untag.tag_keys("port:integration").tag_keys(CLAIM[0]).send().await)?;
    let (seq, untagged) = (it.seq().await?, it.state().await?);
    assert_ne!(untagged, before);
    it.request_check(NAME).await?;
    assert_eq!(writes(&it, seq).await?, Vec::<String>::new());
    assert_eq!(it.state().await?, untagged);
    end(it).await
}

#[tokio::test]
async fn a_role_whose_tags_were_stripped_is_known_by_its_id() -> Result<()> {
    let it = scenario("stripped").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    somebody.does(&[Does::Untag(&CLAIM), Does::Untag(&["port:integration"]), Does::Attach(ADMIN)]).await?;
    let told = heals(&it, &before, &["TagRole", "DetachRolePolicy AdministratorAccess"]).await?;
    let keys = "port-aws-operator/cluster, port-aws-operator/origin, port-aws-operator/owner, port:integration";
    assert_eq!(told[0], ("DriftCorrected".to_owned(), format!("set role tags {keys} ({})", role(&before).arn)));
    assert_eq!(role(&it.state().await?).tags[ORIGIN], "Created");
    end(it).await
}

/// IAM may show for a while what was there before a write. The retry after a failure, which nobody
/// asked for, must not answer that with the same write.
#[tokio::test]
async fn a_reading_that_shows_the_state_before_our_write_is_not_fought() -> Result<()> {
    let it = scenario("settling").await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    let mut trust = role(&before).trust_policy.clone();
    trust["Version"] = json!("2008-10-17");
    somebody.does(&[Does::Trust(trust.clone()), Does::Detach(READ_ONLY)]).await?;
    let hold = it.fault(Fault::hold_before().action("AttachRolePolicy").count(1)).await?;
    it.fault(Fault::error500().action("AttachRolePolicy")).await?;
    let events = it.events(NAME).await?;
    it.annotate(NAME, REQUESTED_AT, "once").await?;

    let parked = it.world().backend().next_parked(&hold, SOON).await?;
    assert_eq!(role(&it.state().await?).trust_policy, role(&before).trust_policy);
    somebody.does(&[Does::Trust(trust.clone())]).await?;
    let seq = it.seq().await?;
    it.world().backend().release(&parked.id, false, false).await?;
    it.until(NAME, "attaching has failed", |object| entry(object) == ("Failed", "ServiceUnavailable")).await?;
    it.clear_faults().await?;
    let object = it.until(NAME, "it waits for IAM", |object| entry(object).0 == "Pending").await?;

    assert_ne!(condition(&object, "Ready")["status"], "True", "{object}");
    let all = writes(&it, seq).await?;
    assert_eq!(all.last().map(String::as_str), Some("AttachRolePolicy ReadOnlyAccess"));
    assert!(!all.iter().any(|write| write.starts_with("UpdateAssumeRolePolicy")), "{all:?}");
    let state = it.state().await?;
    assert_eq!(role(&state).trust_policy, trust);
    assert_eq!(role(&state).attached_policies, role(&before).attached_policies);
    let told = told_since(&it, NAME, &events).await?;
    let versions = told.iter().filter(|(_, note)| note.contains("Version was")).count();
    assert_eq!(versions, 1, "{told:?}");
    assert!(it.events(NAME).await?.iter().all(|event| event.count == 1));
    end(it).await
}
