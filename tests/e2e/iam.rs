//! What somebody does in an account behind the operator's back, and what came of it.

use aws_sdk_iam::{Client, types::Tag};
use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::{AccountState, Call, Role},
    fixture::{Event, Scenario},
};

/// The integration of most tests.
pub const NAME: &str = "aws-prod";
/// Its role.
pub const ROLE: &str = "PortIntegrationRole-aws-prod";
/// Port's issuer, as IAM keeps it.
pub const ISSUER: &str = "oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4";
/// The client ID that is wanted.
pub const CLIENT_ID: &str = "sts.amazonaws.com";

pub const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
pub const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
pub const AUDIT: &str = "arn:aws:iam::aws:policy/SecurityAudit";
pub const POWER: &str = "arn:aws:iam::aws:policy/PowerUserAccess";
pub const DENY_ALL: &str = "arn:aws:iam::aws:policy/AWSDenyAll";
pub const QUARANTINE: &str = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3";

pub const HOLD: &str = "port-aws-operator/hold";
pub const ORIGIN: &str = "port-aws-operator/origin";
/// The tags of a role that say whose it is; the fourth of ours is `port:integration`.
pub const CLAIM: [&str; 3] = ["port-aws-operator/cluster", ORIGIN, "port-aws-operator/owner"];

/// One change to a role.
#[derive(Debug, Clone)]
pub enum Does<'a> {
    Attach(&'a str),
    Detach(&'a str),
    Trust(Value),
    Tag(&'a str, &'a str),
    Untag(&'a [&'a str]),
    Bound(&'a str),
    Unbound,
    /// Description and maximum session duration.
    Update(&'a str, i32),
    Inline(&'a str),
    Uninline(&'a str),
}

/// A role to make.
#[derive(Debug, Clone)]
pub struct Made<'a> {
    pub path: &'a str,
    pub description: &'a str,
    pub trust: Value,
    pub boundary: Option<&'a str>,
    pub tags: Vec<(&'a str, &'a str)>,
    pub attached: Vec<&'a str>,
    pub inline: Option<&'a str>,
}

impl Made<'_> {
    /// A role with nothing but a trust policy.
    pub fn trusting(trust: Value) -> Self {
        Self { path: "/", description: "", trust, boundary: None, tags: vec![], attached: vec![], inline: None }
    }
}

/// Somebody who works on one role.
pub struct Somebody {
    iam: Client,
    role: String,
}

impl Somebody {
    pub async fn on(it: &Scenario, role: &str) -> Result<Self> {
        Ok(Self::of(it.iam().await?, role))
    }

    /// The same in another account than the scenario's.
    pub fn of(iam: Client, role: &str) -> Self {
        Self { iam, role: role.to_owned() }
    }

    pub fn iam(&self) -> &Client {
        &self.iam
    }

    pub async fn does(&self, all: &[Does<'_>]) -> Result<()> {
        for one in all {
            self.one(one).await?;
        }
        Ok(())
    }

    async fn one(&self, change: &Does<'_>) -> Result<()> {
        let (iam, role) = (&self.iam, self.role.as_str());
        match change {
            Does::Attach(arn) => ok(iam.attach_role_policy().role_name(role).policy_arn(*arn).send().await),
            Does::Detach(arn) => ok(iam.detach_role_policy().role_name(role).policy_arn(*arn).send().await),
            Does::Trust(document) => {
                let call = iam.update_assume_role_policy().role_name(role);
                ok(call.policy_document(document.to_string()).send().await)
            }
            Does::Tag(key, value) => ok(iam.tag_role().role_name(role).tags(tag(key, value)?).send().await),
            Does::Untag(keys) => {
                let keys = keys.iter().map(ToString::to_string).collect();
                ok(iam.untag_role().role_name(role).set_tag_keys(Some(keys)).send().await)
            }
            Does::Bound(arn) => {
                ok(iam.put_role_permissions_boundary().role_name(role).permissions_boundary(*arn).send().await)
            }
            Does::Unbound => ok(iam.delete_role_permissions_boundary().role_name(role).send().await),
            Does::Update(description, session) => {
                let call = iam.update_role().role_name(role).description(*description);
                ok(call.max_session_duration(*session).send().await)
            }
            Does::Inline(name) => {
                let call = iam.put_role_policy().role_name(role).policy_name(*name);
                ok(call.policy_document(allow_all().to_string()).send().await)
            }
            Does::Uninline(name) => ok(iam.delete_role_policy().role_name(role).policy_name(*name).send().await),
        }
    }

    /// Makes the role.
    pub async fn makes(&self, made: &Made<'_>) -> Result<()> {
        let tags = made.tags.iter().map(|(key, value)| tag(key, value)).collect::<Result<_>>()?;
        let call = self.iam.create_role().role_name(&self.role).path(made.path).description(made.description);
        let call = call.assume_role_policy_document(made.trust.to_string()).set_tags(Some(tags));
        ok(call.set_permissions_boundary(made.boundary.map(ToOwned::to_owned)).send().await)?;
        let attached: Vec<_> = made.attached.iter().map(|arn| Does::Attach(arn)).collect();
        self.does(&attached).await?;
        self.does(made.inline.map(Does::Inline).as_slice()).await
    }

    /// Deletes the role, which has these policies.
    pub async fn deletes(&self, attached: &[&str]) -> Result<()> {
        let detach: Vec<_> = attached.iter().map(|arn| Does::Detach(arn)).collect();
        self.does(&detach).await?;
        ok(self.iam.delete_role().role_name(&self.role).send().await)
    }

    /// Makes a provider for Port's issuer that others use, too.
    pub async fn makes_provider(&self, client_ids: &[&str]) -> Result<()> {
        let call = self.iam.create_open_id_connect_provider().url(format!("https://{ISSUER}"));
        let ids = client_ids.iter().map(ToString::to_string).collect();
        let call = call.set_client_id_list(Some(ids)).tags(tag("team", "others")?);
        ok(call.thumbprint_list("a".repeat(40)).thumbprint_list("b".repeat(40)).send().await)
    }

    /// Puts a foreign tag, client ID and thumbprint on the provider that is there.
    pub async fn shares_provider(&self, arn: &str) -> Result<()> {
        let tagging = self.iam.tag_open_id_connect_provider().open_id_connect_provider_arn(arn);
        ok(tagging.tags(tag("team", "others")?).send().await)?;
        let adding = self.iam.add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(arn);
        ok(adding.client_id("others").send().await)?;
        let printing = self.iam.update_open_id_connect_provider_thumbprint().open_id_connect_provider_arn(arn);
        ok(printing.thumbprint_list("c".repeat(40)).send().await)
    }

    pub async fn removes_client_id(&self, arn: &str, id: &str) -> Result<()> {
        let call = self.iam.remove_client_id_from_open_id_connect_provider().open_id_connect_provider_arn(arn);
        ok(call.client_id(id).send().await)
    }
}

/// A failure here is a failure of the test's own preparations.
pub fn ok<T, E: std::fmt::Debug>(outcome: Result<T, E>) -> Result<()> {
    outcome.map(drop).map_err(|error| Error::Setup(format!("somebody's call: {error:?}")))
}

pub fn tag(key: &str, value: &str) -> Result<Tag> {
    Tag::builder().key(key).value(value).build().map_err(|error| Error::Setup(error.to_string()))
}

fn allow_all() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
}

/// A trust policy for everybody in another account.
pub fn foreign_trust() -> Value {
    json!({"Version": "2012-10-17", "Statement": [foreign_statement()]})
}

pub fn foreign_statement() -> Value {
    json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"}, "Action": "sts:AssumeRole"})
}

/// A trust policy as the operator writes it, for an issuer and a subject of one's choice.
pub fn web_trust(account: &str, issuer: &str, subject: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::{account}:oidc-provider/{issuer}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {format!("{issuer}:aud"): CLIENT_ID, format!("{issuer}:sub"): subject}},
    }]})
}

/// The role of [`ROLE`].
pub fn role(state: &AccountState) -> &Role {
    state.role(ROLE).expect("the role")
}

/// The writes that the operator asked for after `seq`, in order: the action, the name of the policy
/// that it is about, and the error if it got one.
pub async fn writes(it: &Scenario, seq: u64) -> Result<Vec<String>> {
    let calls = it.operator_writes_since(seq).await?;
    Ok(calls.iter().map(in_words).collect())
}

fn in_words(call: &Call) -> String {
    let arn = call.param("PolicyArn").or_else(|| call.param("PermissionsBoundary"));
    let policy = arn.filter(|_| call.action != "CreateRole").and_then(|arn| arn.rsplit('/').next());
    let words = [Some(call.action.as_str()), policy, call.error_code.as_deref()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The events that are new or were counted again, without the account at their beginning.
pub async fn told_since(it: &Scenario, name: &str, before: &[Event]) -> Result<Vec<(String, String)>> {
    let prefix = format!("account {}: ", it.account());
    let new = it.events(name).await?.into_iter().filter(|event| !before.contains(event));
    Ok(new.map(|event| (event.reason, event.note.strip_prefix(&prefix).unwrap_or(&event.note).to_owned())).collect())
}

/// State and reason of the only account.
pub fn entry(object: &Value) -> (&str, &str) {
    let entry = &object["status"]["accounts"][0];
    (entry["state"].as_str().unwrap_or_default(), entry["reason"].as_str().unwrap_or_default())
}

/// Ends a test in which nothing may have been deleted.
pub async fn end(it: Scenario) -> Result<()> {
    let all = writes(&it, 0).await?;
    let forbidden = ["DeleteRole", "DeleteRolePolicy", "DeleteOpenIDConnectProvider"];
    let deleted = all.iter().any(|write| write.split(' ').next().is_some_and(|action| forbidden.contains(&action)));
    assert!(!deleted, "{all:?}");
    it.finish().await
}
