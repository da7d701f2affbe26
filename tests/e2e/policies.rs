//! The published IAM policies. Every other test runs under them as well; here they are seen to be
//! enough in a role that exists, to be no more than that, and to be missed.

use std::path::Path;

use aws_sdk_iam::{Client, error::ProvideErrorMetadata};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{Credentials, Rights},
    fixture::{Scenario, condition, operator_rights, unused_account},
};

use crate::{
    OPERATOR,
    iam::{
        ADMIN, CLIENT_ID, DENY_ALL, Does, HOLD, ISSUER, NAME, ORIGIN, READ_ONLY, ROLE, Somebody, end, entry,
        foreign_trust, ok, tag, web_trust, writes,
    },
};

const EXTERNAL_ID: &str = "example-external-id";
const TARGET: &str = "PortAwsOperator";

/// A policy as it is published in `deploy/aws`.
fn published(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/aws").join(name);
    serde_json::from_slice(&std::fs::read(path).expect("the file")).expect("JSON")
}

#[tokio::test]
async fn the_published_files_are_what_the_operator_prints() -> Result<()> {
    let printed = operator_rights(OPERATOR).await?;
    assert_eq!(printed.policies, [published("operator-policy.json")]);
    Ok(())
}

/// The role that the published templates make, trusting the operator's own with this external ID.
async fn make_target_role(iam: &Client, operator: &str, external_id: &str) -> Result<()> {
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": operator}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
    }]});
    ok(iam.create_role().role_name(TARGET).assume_role_policy_document(trust.to_string()).send().await)?;
    let policy = iam.put_role_policy().role_name(TARGET).policy_name("keep-port-access");
    ok(policy.policy_document(published("operator-policy.json").to_string()).send().await)
}

/// A scenario whose operator assumes `PortAwsOperator`, in accounts where such a role has to exist.
async fn through_a_role(name: &str) -> Result<(Scenario, String, Client)> {
    let edit = |spec: &mut Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": TARGET, "externalId": EXTERNAL_ID});
    };
    let rights = |rights: &mut Rights| {
        rights.policies = vec![published("assume-role-policy.json")];
        rights.assumed.clear();
    };
    let it = Scenario::builder(name, OPERATOR).access(edit).rights(rights).start().await?;
    let account = unused_account();
    it.world().backend().strict_assume_role(&account, true).await?;
    let iam = it.world().backend().iam(&account).await?;
    Ok((it, account, iam))
}

#[tokio::test]
async fn they_are_enough_in_a_role_that_exists_from_the_first_pass_to_the_last() -> Result<()> {
    let (it, account, iam) = through_a_role("through").await?;
    make_target_role(&iam, &format!("arn:aws:iam::{}:role/Operator", it.account()), EXTERNAL_ID).await?;
    let state = async || it.world().backend().state(&account).await;
    it.integration(NAME, |spec| {
        spec["accounts"] = json!([account]);
        spec["oidcProvider"] = json!({"deletionPolicy": "DeleteIfUnused"});
    })
    .await?;
    it.ready(NAME).await?;
    let before = state().await?;

    let somebody = Somebody::of(iam.clone(), ROLE);
    let provider = before.provider().expect("the provider").arn.clone();
    let boundary = Does::Bound(ADMIN);
    for drift in [
        vec![Does::Attach(ADMIN), Does::Trust(foreign_trust()), boundary, Does::Update("changed", 7200)],
        vec![Does::Detach(READ_ONLY), Does::Untag(&["port-aws-operator/cluster", ORIGIN, "port-aws-operator/owner"])],
    ] {
        somebody.does(&drift).await?;
        somebody.removes_client_id(&provider, CLIENT_ID).await?;
        it.request_check(NAME).await?;
        assert_eq!(state().await?, before, "{drift:?}");
    }

    it.delete(NAME).await?;
    it.gone(NAME).await?;
    let after = state().await?;
    assert!(after.role(ROLE).is_none() && after.oidc_providers.is_empty(), "{after:?}");
    assert!(after.role(TARGET).is_some());
    it.finish().await
}

#[tokio::test]
async fn a_role_that_does_not_trust_the_operator_is_told_of_until_it_does() -> Result<()> {
    let (it, account, iam) = through_a_role("untrusted").await?;
    let operator = format!("arn:aws:iam::{}:role/Operator", it.account());
    it.integration(NAME, |spec| spec["accounts"] = json!([account])).await?;
    let denied = |object: &Value| entry(object) == ("Denied", "AccessDenied");
    it.until(NAME, "it is denied: there is no role", denied).await?;
    for (principal, external_id) in [(&*operator, "of-somebody-else"), ("arn:aws:iam::999988887777:root", EXTERNAL_ID)]
    {
        make_target_role(&iam, principal, external_id).await?;
        assert!(denied(&it.request_check(NAME).await?), "{principal} {external_id}");
        ok(iam.delete_role_policy().role_name(TARGET).policy_name("keep-port-access").send().await)?;
        ok(iam.delete_role().role_name(TARGET).send().await)?;
    }
    make_target_role(&iam, &operator, EXTERNAL_ID).await?;
    it.request_check(NAME).await?;
    it.ready(NAME).await?;
    it.finish().await
}

#[tokio::test]
async fn a_name_that_is_taken_at_another_path_is_told_through_a_session_too() -> Result<()> {
    let (it, account, iam) = through_a_role("elsewhere").await?;
    make_target_role(&iam, &format!("arn:aws:iam::{}:role/Operator", it.account()), EXTERNAL_ID).await?;
    let made = iam.create_role().role_name(ROLE).path("/team/");
    ok(made.assume_role_policy_document(foreign_trust().to_string()).send().await)?;
    it.integration(NAME, |spec| spec["accounts"] = json!([account])).await?;
    it.until(NAME, "its name is taken", |object| entry(object) == ("Conflict", "RoleNameTaken")).await?;
    it.finish().await
}

#[tokio::test]
async fn an_operator_that_lacks_one_action_fails_at_it_and_recovers_with_it() -> Result<()> {
    let lacks = [
        ("iam:GetRole", "GetRole"),
        ("iam:CreateOpenIDConnectProvider", "CreateOpenIDConnectProvider"),
        ("iam:TagOpenIDConnectProvider", "CreateOpenIDConnectProvider"),
        ("iam:CreateRole", "CreateRole"),
        ("iam:TagRole", "CreateRole"),
        ("iam:AttachRolePolicy", "AttachRolePolicy"),
    ];
    futures::future::try_join_all(lacks.map(|(action, fails_at)| lacking(action, fails_at))).await.map(drop)
}

async fn lacking(action: &'static str, fails_at: &str) -> Result<()> {
    let mut it = Scenario::builder("lacking", OPERATOR).rights(move |rights| rights.forbid(action)).start().await?;
    it.integration(NAME, |_| ()).await?;
    let object = it.until(NAME, "it is denied", |object| entry(object) == ("Denied", "AccessDenied")).await?;
    let message = condition(&object, "Ready")["message"].as_str().unwrap_or_default();
    assert!(message.contains(fails_at), "{action}: {message}");
    let credentials = it.operator_options().credentials.clone().expect("credentials");
    it.world().backend().grant(&credentials, &operator_rights(OPERATOR).await?).await?;
    it.request_check(NAME).await?;
    it.ready(NAME).await?;
    end(it).await
}

/// What AWS said to a call.
fn code<T, E: ProvideErrorMetadata>(outcome: std::result::Result<T, E>) -> String {
    outcome.map_or_else(|error| error.code().unwrap_or("no code").to_owned(), |_| "done".to_owned())
}

#[tokio::test]
async fn they_allow_no_more_than_the_operator_needs() -> Result<()> {
    let mut it = Scenario::builder("least", OPERATOR).start().await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    let (before, credentials) = (it.state().await?, it.operator_options().credentials.clone().expect("credentials"));
    let thief = with(&it, &credentials);
    let trust = web_trust(it.account(), ISSUER, "anybody").to_string();
    let create = |name: &str| thief.create_role().role_name(name).assume_role_policy_document(&trust);
    let made_ours = |name: &str| -> Result<_> {
        Ok(create(name).tags(tag("port-aws-operator/cluster", "c")?).tags(tag(ORIGIN, "Created")?))
    };
    let provider = || thief.create_open_id_connect_provider().client_id_list("c");
    let arn = &before.provider().expect("the provider").arn;
    let refused = [
        ("a role of another name", code(made_ours("Administrator")?.send().await)),
        ("a role without our tags", code(create("PortIntegrationRole-x").send().await)),
        ("a role that is held", code(made_ours("PortIntegrationRole-x")?.tags(tag(HOLD, "")?).send().await)),
        (
            "a role with a tag that gives rights",
            code(made_ours("PortIntegrationRole-x")?.tags(tag("team", "a")?).send().await),
        ),
        ("a provider of another issuer", code(provider().url("https://issuer.example").send().await)),
        ("another policy", code(thief.attach_role_policy().role_name(ROLE).policy_arn(ADMIN).send().await)),
        ("the stop switch", code(thief.tag_role().role_name(ROLE).tags(tag(HOLD, "")?).send().await)),
        ("a tag of others", code(thief.untag_role().role_name(ROLE).tag_keys("port:integration").send().await)),
        (
            "an inline policy",
            code(thief.put_role_policy().role_name(ROLE).policy_name("p").policy_document("{}").send().await),
        ),
        (
            "another role's trust",
            code(thief.update_assume_role_policy().role_name("Other").policy_document(&trust).send().await),
        ),
        ("a key of a user", code(thief.create_access_key().user_name("u").send().await)),
        (
            "fewer client IDs",
            code(
                thief
                    .remove_client_id_from_open_id_connect_provider()
                    .open_id_connect_provider_arn(arn)
                    .client_id(CLIENT_ID)
                    .send()
                    .await,
            ),
        ),
    ];
    for (what, outcome) in refused {
        assert_eq!(outcome, "AccessDenied", "{what}");
    }
    assert_eq!(it.state().await?, before);
    end(it).await
}

#[tokio::test]
async fn what_answers_an_incident_or_has_the_stop_switch_is_out_of_reach() -> Result<()> {
    let mut it = Scenario::builder("stopped", OPERATOR).start().await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    let credentials = it.operator_options().credentials.clone().expect("credentials");
    let thief = with(&it, &credentials);
    let somebody = Somebody::on(&it, ROLE).await?;
    somebody.does(&[Does::Attach(DENY_ALL)]).await?;
    assert_eq!(code(thief.detach_role_policy().role_name(ROLE).policy_arn(DENY_ALL).send().await), "AccessDenied");
    somebody.does(&[Does::Detach(DENY_ALL), Does::Tag(HOLD, "")]).await?;
    let arn = it.state().await?.provider().expect("the provider").arn.clone();
    let tagging =
        it.iam().await?.tag_open_id_connect_provider().open_id_connect_provider_arn(&arn).tags(tag(HOLD, "")?);
    ok(tagging.send().await)?;
    let before = it.state().await?;
    let trust = foreign_trust().to_string();
    let held = [
        code(thief.untag_role().role_name(ROLE).tag_keys(HOLD).send().await),
        code(thief.tag_role().role_name(ROLE).tags(tag(ORIGIN, "Created")?).send().await),
        code(thief.update_assume_role_policy().role_name(ROLE).policy_document(trust).send().await),
        code(thief.update_role().role_name(ROLE).description("x").send().await),
        code(thief.attach_role_policy().role_name(ROLE).policy_arn(READ_ONLY).send().await),
        code(thief.detach_role_policy().role_name(ROLE).policy_arn(READ_ONLY).send().await),
        code(thief.put_role_permissions_boundary().role_name(ROLE).permissions_boundary(READ_ONLY).send().await),
        code(thief.delete_role_permissions_boundary().role_name(ROLE).send().await),
        code(thief.delete_role().role_name(ROLE).send().await),
        code(thief.delete_open_id_connect_provider().open_id_connect_provider_arn(&arn).send().await),
        code(
            thief
                .add_client_id_to_open_id_connect_provider()
                .open_id_connect_provider_arn(&arn)
                .client_id("x")
                .send()
                .await,
        ),
    ];
    assert!(held.iter().all(|outcome| outcome == "AccessDenied"), "{held:?}");
    assert_eq!(it.state().await?, before);
    let seq = it.seq().await?;
    somebody.does(&[Does::Untag(&[HOLD])]).await?;
    it.request_check(NAME).await?;
    assert_eq!(writes(&it, seq).await?, Vec::<String>::new());
    end(it).await
}

/// A client of somebody who got hold of the operator's credentials.
fn with(it: &Scenario, credentials: &Credentials) -> Client {
    it.world().backend().iam_with(credentials)
}
