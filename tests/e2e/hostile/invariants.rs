//! What has to hold of a plan, written down apart from the code that makes it: everything here is
//! read from the JSON of the spec and of the access.

use std::collections::{BTreeMap, BTreeSet};

use port_aws_operator::{
    domain::PolicyArn,
    plan::{Action, Desired, DesiredRole, Step},
    policy::session::{self, Scope},
};
use proptest::{prelude::*, test_runner::TestCaseError};
use serde_json::{Value, json};

use super::{
    session::{managing, removing},
    tenants::Tenant,
};

pub type Verdict = Result<(), TestCaseError>;

/// Whether no spec may set a tag.
fn reserved(key: &str) -> bool {
    let key = key.to_lowercase();
    ["aws:", "port:", "port-aws-operator/"].iter().any(|prefix| key.starts_with(prefix))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// The subject of an organization's tokens.
fn computed(organization: &str) -> String {
    ["system:serviceaccount:org-", organization, "-port-oidc-sa"].concat()
}

fn role_name(spec: &Value) -> String {
    match &spec["role"]["name"] {
        Value::String(name) => name.clone(),
        _ => ["PortIntegrationRole-", &text(&spec["integrationIdentifier"])].concat(),
    }
}

/// The rules of the access that a spec breaks.
pub fn broken(spec: &Value, tenant: &Tenant, namespace: &str) -> BTreeSet<&'static str> {
    let (limits, role, provider) = (&tenant.spec["limits"], &spec["role"], &spec["oidcProvider"]);
    let listed = |field: &str, value: &Value| limits[field].as_array().is_some_and(|all| all.contains(value));
    let subject = &provider["subject"];
    let own_subject = *subject == computed(&text(&spec["organizationId"]));
    let (boundary, asked) = (&limits["permissionsBoundaryArn"], &role["permissionsBoundaryArn"]);
    let longest = limits["maxSessionDuration"].as_i64();
    let keys = || role["tags"].as_object().into_iter().flatten().map(|(key, _)| json!(key));
    let rules = [
        ("allowedNamespaces", tenant.is_for(namespace)),
        ("organizations", spec["discovery"].is_null() || tenant.spec["organizations"].is_object()),
        ("limits.organizationIds", listed("organizationIds", &spec["organizationId"])),
        ("limits.subjects", subject.is_null() || own_subject || listed("subjects", subject)),
        ("limits.issuerUrls", listed("issuerUrls", &provider["url"])),
        ("limits.clientIds", listed("clientIds", &provider["clientId"])),
        (
            "limits.managedPolicyArns",
            role["managedPolicyArns"]
                .as_array()
                .is_some_and(|all| all.iter().all(|arn| listed("managedPolicyArns", arn))),
        ),
        ("limits.roleNamePrefix", role_name(spec).starts_with(tenant.prefix())),
        ("limits.permissionsBoundaryArn", boundary.is_null() || asked.is_null() || asked == boundary),
        ("limits.maxSessionDuration", role["maxSessionDuration"].as_i64() <= longest),
        ("limits.tagKeys", keys().all(|key| listed("tagKeys", &key))),
        ("limits.adoption", role["adoption"] == "Refuse" || limits["adoption"] == "Adopt"),
    ];
    rules.into_iter().filter(|(_, holds)| !holds).map(|(rule, _)| rule).collect()
}

/// What a spec that an access allows may get in one account: this, and nothing else.
pub struct Wanted<'a> {
    spec: &'a Value,
    tenant: &'a Tenant,
    /// Name of the integration.
    pub name: String,
    owner: String,
    cluster: String,
    account: String,
    pub role_name: String,
    role_arn: String,
    provider_arn: String,
    /// The issuer without its scheme.
    pub issuer: String,
    pub policies: BTreeSet<String>,
    pub boundary: Option<String>,
    /// Whether roles of nobody may be taken over.
    pub adopts: bool,
    /// Whether roles of the former installation may be.
    pub takes_over: bool,
    /// Whether the API server has accepted the spec. One that it has not may have wildcards where the
    /// access has the same ones, and too many policies.
    accepted: bool,
}

impl<'a> Wanted<'a> {
    pub fn new(
        spec: &'a Value,
        tenant: &'a Tenant,
        account: &str,
        (namespace, name): (&str, &str),
        accepted: bool,
    ) -> Self {
        let (limits, role) = (&tenant.spec["limits"], &spec["role"]);
        let expand = |arn: String| arn.replace("${accountId}", account);
        let issuer = text(&spec["oidcProvider"]["url"]).replace("https://", "");
        let boundary =
            [&limits["permissionsBoundaryArn"], &role["permissionsBoundaryArn"]].into_iter().find(|arn| !arn.is_null());
        let role_name = role_name(spec);
        Self {
            name: name.to_owned(),
            owner: format!("{namespace}.{name}"),
            cluster: namespace.to_owned(),
            account: account.to_owned(),
            role_arn: format!("arn:aws:iam::{account}:role/{role_name}"),
            provider_arn: format!("arn:aws:iam::{account}:oidc-provider/{issuer}"),
            policies: list(&role["managedPolicyArns"]).into_iter().map(expand).collect(),
            boundary: boundary.map(|arn| expand(text(arn))),
            adopts: role["adoption"] == "Adopt" && limits["adoption"] == "Adopt",
            takes_over: tenant.spec["takeOver"].is_array(),
            spec,
            tenant,
            role_name,
            issuer,
            accepted,
        }
    }

    /// The tags by which the operator knows its own.
    pub fn claim(&self) -> BTreeMap<String, String> {
        let tags = [
            ("port:integration", text(&self.spec["integrationIdentifier"])),
            ("port-aws-operator/cluster", self.cluster.clone()),
            ("port-aws-operator/owner", self.owner.clone()),
            ("port-aws-operator/origin", "Created".to_owned()),
        ];
        tags.map(|(key, value)| (key.to_owned(), value)).into()
    }

    fn subject(&self) -> String {
        let asked = &self.spec["oidcProvider"]["subject"];
        if asked.is_null() { computed(&text(&self.spec["organizationId"])) } else { text(asked) }
    }

    /// The trust policy, whole.
    pub fn trust(&self) -> Value {
        let (audience, subject) = (format!("{}:aud", self.issuer), format!("{}:sub", self.issuer));
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Federated": self.provider_arn},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {
                    audience: self.spec["oidcProvider"]["clientId"],
                    subject: self.subject(),
                }},
            }],
        })
    }

    /// The names, and who is trusted, against the access itself.
    pub fn check_bounds(&self) -> Verdict {
        let accounts = list(&self.tenant.spec["accounts"]);
        prop_assert!(accounts.contains(&self.account) || accounts == ["*"], "account {}", self.account);
        prop_assert!(self.account.len() == 12 && self.account.bytes().all(|b| b.is_ascii_digit()));
        let name = &self.role_name;
        let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        prop_assert!(name.starts_with(self.tenant.prefix()) && name.len() <= 64 && name.chars().all(fits), "{}", name);
        let organization = text(&self.spec["organizationId"]);
        let own = self.tenant.limit("organizationIds").contains(&organization.as_str())
            && self.subject() == computed(&organization);
        prop_assert!(own || self.tenant.limit("subjects").contains(&self.subject().as_str()), "{}", self.subject());
        let trusted = self.trust()["Statement"].to_string();
        prop_assert!(!self.accepted || !trusted.contains(['*', '?', '$', '\\']), "{}", trusted);
        let limits = self.tenant.limit("managedPolicyArns");
        let allowed: BTreeSet<_> = limits.iter().map(|arn| arn.replace("${accountId}", &self.account)).collect();
        prop_assert!(self.policies.is_subset(&allowed), "{:?}", self.policies);
        let mut keys = self.spec["role"]["tags"].as_object().into_iter().flatten().map(|(key, _)| key);
        prop_assert!(!self.accepted || !keys.any(|key| reserved(key)), "{}", self.spec["role"]["tags"]);
        Ok(())
    }

    /// The names that the operator has made, and the session policies that it asks for.
    pub fn check_desired(&self, desired: &Desired) -> Verdict {
        let target = &desired.target;
        prop_assert_eq!(target.account.as_str(), &self.account);
        prop_assert_eq!(&target.role_arn, &self.role_arn);
        prop_assert_eq!(&target.provider_arn, &self.provider_arn);
        prop_assert_eq!(target.issuer.as_str(), format!("https://{}", self.issuer));
        let scope = Scope { role_arn: &target.role_arn, provider_arn: &target.provider_arn };
        let policies = desired.role.policies.iter().map(PolicyArn::as_str);
        let manage = session::manage(scope, policies, desired.role.boundary.as_ref().map(PolicyArn::as_str));
        let remove = session::remove(scope);
        if self.accepted {
            prop_assert!(manage.len() <= 2048 && remove.len() <= 2048, "{} {}", manage, remove);
        }
        managing(&manage, &self.role_arn, &self.provider_arn, &self.policies, self.boundary.as_deref())?;
        removing(&remove, &self.role_arn, &self.provider_arn)
    }

    /// One step: it names nothing but what is wanted.
    pub fn check_step(&self, step: &Step) -> Verdict {
        let client = text(&self.spec["oidcProvider"]["clientId"]);
        match &step.action {
            Action::CreateProvider { client_id, tags } => {
                let mut own = self.claim();
                own.remove("port-aws-operator/owner");
                prop_assert_eq!((client_id, tags), (&client, &own));
                prop_assert_eq!(&self.spec["oidcProvider"]["management"], "CreateOrAdopt");
            }
            Action::AddClientId { client_id } => {
                prop_assert_eq!(client_id, &client);
                prop_assert_eq!(&self.spec["oidcProvider"]["management"], "CreateOrAdopt");
            }
            Action::CreateRole(role) => self.check_role(role)?,
            Action::TagRole { tags, .. } => self.check_tags(tags)?,
            Action::UpdateTrust { trust, .. } => {
                prop_assert_eq!(serde_json::from_str::<Value>(&trust.to_json()).ok(), Some(self.trust()));
            }
            Action::AttachPolicy(arn) => prop_assert!(self.policies.contains(arn.as_str()), "{}", arn),
            Action::DetachPolicy(arn) => prop_assert!(!self.policies.contains(arn), "{}", arn),
            Action::PutBoundary { arn, .. } => prop_assert_eq!(Some(arn.as_str()), self.boundary.as_deref()),
            Action::DeleteBoundary { .. } => prop_assert_eq!(&self.boundary, &None),
            Action::UpdateRole { description, max_session_duration, .. } => {
                self.check_settings(description, *max_session_duration)?;
            }
            action => prop_assert!(false, "keeping a role is no reason to {action}"),
        }
        Ok(())
    }

    fn check_role(&self, role: &DesiredRole) -> Verdict {
        prop_assert_eq!(role.name.as_str(), &self.role_name);
        prop_assert_eq!(serde_json::from_str::<Value>(&role.trust.to_json()).ok(), Some(self.trust()));
        prop_assert_eq!(role.policies.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), self.policies.clone());
        prop_assert_eq!(role.boundary.as_ref().map(ToString::to_string), self.boundary.clone());
        self.check_settings(&role.description, role.max_session_duration)?;
        let claimed: BTreeSet<_> = role.tags.keys().filter(|key| self.claim().contains_key(*key)).collect();
        prop_assert_eq!(claimed.len(), 4, "{:?}", role.tags);
        self.check_tags(&role.tags)
    }

    fn check_settings(&self, description: &str, seconds: i32) -> Verdict {
        prop_assert!(description.chars().count() <= 1000 || !self.accepted, "{}", description);
        let longest = self.tenant.spec["limits"]["maxSessionDuration"].as_i64();
        prop_assert!(Some(i64::from(seconds)) <= longest && (seconds >= 3600 || !self.accepted), "{} s", seconds);
        Ok(())
    }

    /// Four tags of the operator's own, which say the truth, and those that the access lets a spec set.
    fn check_tags(&self, tags: &BTreeMap<String, String>) -> Verdict {
        let claim = self.claim();
        for (key, value) in tags {
            let adopted = key == "port-aws-operator/origin" && value == "Adopted";
            if let Some(own) = claim.get(key) {
                prop_assert!(value == own || adopted, "{} = {}", key, value);
                continue;
            }
            prop_assert!(!reserved(key), "{}", key);
            prop_assert!(self.tenant.limit("tagKeys").contains(&key.as_str()), "{}", key);
            prop_assert_eq!(&self.spec["role"]["tags"][key], value);
        }
        Ok(())
    }
}
