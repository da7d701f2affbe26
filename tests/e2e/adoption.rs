//! What is in the account already: a provider that others made, and roles that are not ours.

use serde_json::{Value, json};
use testkit::{
    Result,
    aws::Role,
    fixture::{Scenario, condition},
};

use crate::{
    OPERATOR,
    iam::{
        ADMIN, AUDIT, CLAIM, CLIENT_ID, Does, ISSUER, Made, NAME, ORIGIN, POWER, READ_ONLY, ROLE, Somebody, end, entry,
        foreign_statement, foreign_trust, role, told_since, web_trust, writes,
    },
    scenario,
};

const NOTHING: [&str; 0] = [];

/// A scenario whose `PortAwsAccess` allows to take roles over, with at most two policies.
async fn adopting(name: &str) -> Result<Scenario> {
    let limits = |spec: &mut Value| {
        spec["limits"]["adoption"] = json!("Adopt");
        spec["limits"]["managedPolicyArns"] = json!([READ_ONLY, AUDIT]);
    };
    Scenario::builder(name, OPERATOR).access(limits).start().await
}

fn adopt(spec: &mut Value) {
    spec["role"]["adoption"] = json!("Adopt");
}

/// The role of an integration that has the default name.
fn role_of(integration: &str) -> String {
    format!("PortIntegrationRole-{integration}")
}

/// The trust policy that the operator gives a role in the account.
fn wanted_trust(it: &Scenario) -> Value {
    web_trust(it.account(), ISSUER, "system:serviceaccount:org-org_Test1-port-oidc-sa")
}

/// Waits until an integration was looked at and is not ready, asserts state and reason, and that the
/// operator holds on to nothing.
async fn refused(it: &Scenario, name: &str, state: &str, reason: &str) -> Result<Value> {
    let object = it.until(name, "it was looked at", |object| condition(object, "Ready")["status"] == "False").await?;
    assert_eq!(entry(&object), (state, reason), "{name}");
    assert!(object["metadata"]["finalizers"].is_null(), "{name}: {object}");
    let account = &object["status"]["accounts"][0];
    assert!(account["claimed"].is_null() && account["roleId"].is_null() && account["used"].is_null(), "{account}");
    Ok(object)
}

#[tokio::test]
async fn a_provider_that_is_there_gets_our_client_id_and_nothing_else() -> Result<()> {
    let it = scenario("provider").await?;
    Somebody::on(&it, ROLE).await?.makes_provider(&["others", "more"]).await?;
    let mut wanted = it.state().await?.provider().expect("the provider").clone();
    assert_eq!((wanted.client_ids.len(), wanted.thumbprints.len(), wanted.tags.len()), (2, 2, 1));

    let seq = it.seq().await?;
    let unused = |spec: &mut Value| spec["oidcProvider"] = json!({"deletionPolicy": "DeleteIfUnused"});
    it.integration(NAME, unused).await?;
    it.ready(NAME).await?;
    let first = ["AddClientIDToOpenIDConnectProvider", "CreateRole", "AttachRolePolicy ReadOnlyAccess"];
    assert_eq!(writes(&it, seq).await?, first);
    wanted.client_ids.push(CLIENT_ID.to_owned());
    assert_eq!(it.state().await?.provider(), Some(&wanted));
    let told = told_since(&it, NAME, &[]).await?;
    assert_eq!(told.iter().map(|(reason, _)| reason.as_str()).collect::<Vec<_>>(), ["ClientIdAdded", "RoleCreated"]);

    // Now that it has all, nothing is written to it.
    let seq = it.seq().await?;
    it.integration("aws-two", unused).await?;
    it.ready("aws-two").await?;
    assert_eq!(writes(&it, seq).await?, ["CreateRole", "AttachRolePolicy ReadOnlyAccess"]);
    assert_eq!(it.state().await?.provider(), Some(&wanted));

    // It is not ours, so it stays when both are gone.
    let seq = it.seq().await?;
    for name in [NAME, "aws-two"] {
        it.delete(name).await?;
        it.gone(name).await?;
    }
    let state = it.state().await?;
    assert_eq!((state.roles.len(), state.provider()), (0, Some(&wanted)));
    let goes = ["DetachRolePolicy ReadOnlyAccess", "DeleteRole"];
    assert_eq!(writes(&it, seq).await?, [goes, goes].concat());
    it.finish().await
}

#[tokio::test]
async fn an_existing_provider_is_used_and_never_written_if_so_asked() -> Result<()> {
    let it = scenario("existing").await?;
    let somebody = Somebody::on(&it, ROLE).await?;
    let seq = it.seq().await?;
    it.integration(NAME, |spec| spec["oidcProvider"] = json!({"management": "UseExisting"})).await?;
    let object = refused(&it, NAME, "Failed", "ProviderNotFound").await?;
    assert_eq!(condition(&object, "OIDCProviderReady")["reason"], "ProviderNotFound");
    assert!(it.state().await?.is_empty());

    somebody.makes_provider(&["others"]).await?;
    let there = it.state().await?;
    it.request_check(NAME).await?;
    let object = refused(&it, NAME, "Failed", "ClientIdMissing").await?;
    assert_eq!(condition(&object, "OIDCProviderReady")["reason"], "ClientIdMissing");
    assert_eq!(it.state().await?, there);
    for reason in ["ProviderNotFound", "ClientIdMissing"] {
        assert_eq!(it.event(NAME, reason).await?.count, 1);
    }
    assert_eq!(writes(&it, seq).await?, NOTHING);

    let arn = &there.provider().expect("the provider").arn;
    let adding = somebody.iam().add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(arn);
    crate::iam::ok(adding.client_id(CLIENT_ID).send().await)?;
    let object = it.request_check(NAME).await?;
    assert_eq!(entry(&object), ("Ready", "Ready"));
    assert_eq!(writes(&it, seq).await?, ["CreateRole", "AttachRolePolicy ReadOnlyAccess"]);
    assert_eq!(it.state().await?.provider().expect("the provider").client_ids, ["others", CLIENT_ID]);
    end(it).await
}

#[tokio::test]
async fn a_role_that_is_not_ours_is_refused_and_nothing_of_it_is_told() -> Result<()> {
    let it = adopting("taken").await?;
    let foreign = Made {
        description: "classified",
        boundary: Some(POWER),
        tags: vec![("secret-key", "secret-value")],
        attached: vec![ADMIN],
        inline: Some("hidden"),
        ..Made::trusting(foreign_trust())
    };
    // A role at another path can never be ours, whatever it has.
    let elsewhere = Made { path: "/elsewhere/", ..Made::trusting(wanted_trust(&it)) };
    for (name, made) in [("aws-foreign", foreign), ("aws-elsewhere", elsewhere)] {
        Somebody::on(&it, &role_of(name)).await?.makes(&made).await?;
    }
    let (before, seq) = (it.state().await?, it.seq().await?);
    it.integration("aws-foreign", |_| ()).await?;
    it.integration("aws-elsewhere", adopt).await?;
    for name in ["aws-foreign", "aws-elsewhere"] {
        let mut object = refused(&it, name, "Conflict", "RoleNameTaken").await?;
        let object = object["status"].take();
        let events = format!("{:?}", it.event(name, "RoleNameTaken").await?);
        let role = before.role(&role_of(name)).expect("the role");
        for detail in ["classified", "PowerUser", "Administrator", "secret", "hidden", "999988887777", "/elsewhere/"] {
            assert!(!object.to_string().contains(detail), "{detail} in {object}");
            assert!(!events.contains(detail), "{detail} in {events}");
        }
        assert!(!object.to_string().contains(&role.id), "{object}");
        it.delete(name).await?;
        it.gone(name).await?;
    }
    assert_eq!(writes(&it, seq).await?, NOTHING);
    assert_eq!(it.state().await?, before);
    end(it).await
}

/// What is left of a role that was taken over once it is let go: all but what said whose it was.
fn released(role: &Role) -> Role {
    let mut role = role.clone();
    role.tags.retain(|key, _| !CLAIM.contains(&key.as_str()));
    role
}

#[tokio::test]
async fn a_role_within_the_limits_is_taken_over_kept_and_never_deleted() -> Result<()> {
    let it = adopting("adopted").await?;
    let somebody = Somebody::on(&it, ROLE).await?;
    let made = Made {
        description: "made by hand",
        tags: vec![("cost-center", "42")],
        attached: vec![AUDIT],
        ..Made::trusting(web_trust(it.account(), ISSUER, "system:serviceaccount:org-other-port-oidc-sa"))
    };
    somebody.makes(&made).await?;
    let by_hand = role(&it.state().await?).clone();
    let seq = it.seq().await?;
    it.integration(NAME, adopt).await?;
    let object = it.ready(NAME).await?;
    let expected = [
        "TagRole",
        "DetachRolePolicy SecurityAudit",
        "CreateOpenIDConnectProvider",
        "UpdateAssumeRolePolicy",
        "AttachRolePolicy ReadOnlyAccess",
        "UpdateRole",
    ];
    assert_eq!(writes(&it, seq).await?, expected);
    let before = it.state().await?;
    let adopted = role(&before);
    assert_eq!((&adopted.id, &adopted.tags["cost-center"]), (&by_hand.id, &"42".to_owned()));
    assert_eq!(adopted.tags[ORIGIN], "Adopted");
    assert_eq!(adopted.tags["port-aws-operator/owner"], format!("{}.{NAME}", it.namespace()));
    assert_eq!(adopted.trust_policy, wanted_trust(&it));
    assert!(adopted.attached_policies.iter().eq([READ_ONLY]));
    assert!(object["status"]["accounts"][0]["roleId"].is_null(), "we did not make it: {object}");
    assert_eq!(it.event(NAME, "RoleAdopted").await?.count, 1);

    // From now on it is kept as if we had made it.
    somebody.does(&[Does::Attach(ADMIN), Does::Trust(foreign_trust()), Does::Update("", 7200)]).await?;
    it.request_check(NAME).await?;
    assert_eq!(it.state().await?, before);

    let seq = it.seq().await?;
    it.delete(NAME).await?;
    it.gone(NAME).await?;
    assert_eq!(writes(&it, seq).await?, ["UntagRole"]);
    assert_eq!(*role(&it.state().await?), released(adopted));
    assert_eq!(role(&it.state().await?).tags.keys().collect::<Vec<_>>(), ["cost-center", "port:integration"]);
    assert_eq!(it.event(NAME, "RoleReleased").await?.count, 1);
    end(it).await
}

#[tokio::test]
async fn a_role_is_not_taken_over_unless_both_switches_are_on() -> Result<()> {
    let it = scenario("switches").await?;
    for name in ["aws-neither", "aws-asked"] {
        Somebody::on(&it, &role_of(name)).await?.makes(&Made::trusting(wanted_trust(&it))).await?;
    }
    let (before, seq) = (it.state().await?, it.seq().await?);
    it.integration("aws-neither", |_| ()).await?;
    refused(&it, "aws-neither", "Conflict", "RoleNameTaken").await?;
    it.integration("aws-asked", adopt).await?;
    let not_allowed = |object: &Value| condition(object, "Ready")["reason"] == "NotAllowed";
    let object = it.until("aws-asked", "it is refused", not_allowed).await?;
    assert!(condition(&object, "Ready")["message"].as_str().is_some_and(|it| it.contains("limits.adoption")));
    it.patch_access(json!({"limits": {"adoption": "Adopt"}})).await?;
    it.ready("aws-asked").await?;
    refused(&it, "aws-neither", "Conflict", "RoleNameTaken").await?;
    assert_eq!(it.state().await?.role(&role_of("aws-neither")), before.role(&role_of("aws-neither")));
    assert_eq!(writes(&it, seq).await?[0], "TagRole");
    end(it).await
}

#[tokio::test]
async fn a_role_with_more_than_the_limits_is_not_taken_over() -> Result<()> {
    let it = adopting("broad").await?;
    let good = || Made::trusting(wanted_trust(&it));
    let mut two = wanted_trust(&it);
    two["Statement"].as_array_mut().expect("a list").push(foreign_statement());
    let mut any_action = wanted_trust(&it);
    any_action["Statement"][0]["Action"] = json!(["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]);
    let evil = web_trust(it.account(), "token.actions.githubusercontent.com", "repo:somebody/else");
    let cases = [
        ("aws-policy", Made { attached: vec![READ_ONLY, ADMIN], ..good() }),
        ("aws-inline", Made { inline: Some("hidden"), ..good() }),
        ("aws-boundary", Made { boundary: Some(POWER), ..good() }),
        ("aws-principal", Made::trusting(foreign_trust())),
        ("aws-issuer", Made::trusting(evil)),
        ("aws-statements", Made::trusting(two)),
        ("aws-action", Made::trusting(any_action)),
    ];
    for (name, made) in &cases {
        Somebody::on(&it, &role_of(name)).await?.makes(made).await?;
    }
    let (before, seq) = (it.state().await?, it.seq().await?);
    for (name, _) in &cases {
        it.integration(name, adopt).await?;
    }
    for (name, _) in &cases {
        let object = refused(&it, name, "Conflict", "RoleTooBroad").await?;
        let status = object["status"].to_string();
        for detail in ["hidden", "PowerUser", "AdministratorAccess", "999988887777", "github"] {
            assert!(!status.contains(detail), "{detail} in {status}");
        }
        it.event(name, "RoleTooBroad").await?;
    }
    assert_eq!(writes(&it, seq).await?, NOTHING);
    assert_eq!(it.state().await?, before);

    // Narrowed by hand, it is taken over.
    Somebody::on(&it, &role_of("aws-policy")).await?.does(&[Does::Detach(ADMIN)]).await?;
    let object = it.request_check("aws-policy").await?;
    assert_eq!(entry(&object), ("Ready", "Ready"));
    assert_eq!(writes(&it, seq).await?[0], "TagRole");
    end(it).await
}

#[tokio::test]
async fn of_two_resources_with_one_role_name_the_second_touches_nothing() -> Result<()> {
    let it = adopting("shared").await?;
    let shared = |spec: &mut Value| spec["role"] = json!({"name": "PortIntegrationRole-shared", "adoption": "Adopt"});
    it.integration("aws-first", shared).await?;
    it.ready("aws-first").await?;
    let (before, seq) = (it.state().await?, it.seq().await?);
    it.integration("aws-second", shared).await?;
    let object = refused(&it, "aws-second", "Conflict", "OwnedByOther").await?;
    let message = object["status"]["accounts"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains(&format!("{}.aws-first", it.namespace())), "{message}");
    it.request_check("aws-second").await?;
    it.event("aws-second", "OwnedByOther").await?;

    it.delete("aws-second").await?;
    it.gone("aws-second").await?;
    let object = it.request_check("aws-first").await?;
    assert_eq!(entry(&object), ("Ready", "Ready"));
    assert_eq!(writes(&it, seq).await?, NOTHING);
    assert_eq!(it.state().await?, before);
    end(it).await
}

#[tokio::test]
async fn a_role_of_another_installation_is_never_touched() -> Result<()> {
    let it = adopting("installation").await?;
    let owner = format!("{}.{NAME}", it.namespace());
    let tags = vec![
        ("port:integration", NAME),
        ("port-aws-operator/cluster", "another-cluster"),
        ("port-aws-operator/owner", owner.as_str()),
        (ORIGIN, "Created"),
    ];
    let somebody = Somebody::on(&it, ROLE).await?;
    somebody.makes(&Made { tags, attached: vec![ADMIN], ..Made::trusting(foreign_trust()) }).await?;
    let (before, seq) = (it.state().await?, it.seq().await?);
    it.integration(NAME, adopt).await?;
    let object = refused(&it, NAME, "Conflict", "OwnedByOther").await?;
    assert!(object["status"].to_string().contains("another-cluster"), "{object}");
    it.request_check(NAME).await?;
    refused(&it, NAME, "Conflict", "OwnedByOther").await?;
    it.delete(NAME).await?;
    it.gone(NAME).await?;
    assert_eq!(writes(&it, seq).await?, NOTHING);
    assert_eq!(it.state().await?, before);
    end(it).await
}

#[tokio::test]
async fn a_role_that_somebody_gives_to_another_resource_is_let_go() -> Result<()> {
    let it = scenario("given").await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    let somebody = Somebody::on(&it, ROLE).await?;
    let owner = format!("{}.another", it.namespace());
    somebody.does(&[Does::Tag("port-aws-operator/owner", &owner), Does::Attach(ADMIN)]).await?;
    let (given, seq) = (it.state().await?, it.seq().await?);
    let object = it.request_check(NAME).await?;
    assert_eq!(entry(&object), ("Conflict", "OwnedByOther"));
    assert_eq!(it.event(NAME, "OwnedByOther").await?.type_, "Warning");
    it.delete(NAME).await?;
    it.gone(NAME).await?;
    assert_eq!(writes(&it, seq).await?, NOTHING);
    assert_eq!(it.state().await?, given);
    end(it).await
}
