//! What different platform teams allow, as they would write it.

use serde_json::{Value, json};

pub const ISSUER: &str = "https://oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4";
pub const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
pub const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
/// Accounts, of which some accesses cover all, and some none.
pub const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "000000000001"];
/// A former installation that one access takes over.
pub const FORMER: &str = "former-cluster";
/// Name of the access that is for another namespace, and allows much.
pub const THEIRS: &str = "theirs";
/// The label by which a namespace can be chosen by its name.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A `PortAwsAccess`: its name, and its spec with the API server's defaults.
#[derive(Debug)]
pub struct Tenant {
    pub name: &'static str,
    pub spec: Value,
}

impl Tenant {
    /// The texts in one of the limits.
    pub fn limit(&self, field: &str) -> Vec<&str> {
        self.spec["limits"][field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether integrations of the namespace may use it.
    pub fn is_for(&self, namespace: &str) -> bool {
        let allowed = &self.spec["allowedNamespaces"];
        let named = allowed["names"].as_array().is_some_and(|names| names.contains(&json!(namespace)));
        named || allowed["selector"]["matchLabels"][NAME_LABEL] == namespace
    }

    pub fn prefix(&self) -> &str {
        self.spec["limits"]["roleNamePrefix"].as_str().expect("a default")
    }
}

/// All of them, for a namespace; the last is not for it.
pub fn tenants(namespace: &str) -> Vec<Tenant> {
    let ours = json!({"names": [namespace]});
    let labelled = json!({"selector": {"matchLabels": {NAME_LABEL: namespace}}});
    let all = [
        (
            "tight",
            json!({"allowedNamespaces": ours, "accounts": [ACCOUNTS[0]], "limits": {"organizationIds": ["org_Test1"]}}),
        ),
        ("several", several(&ours)),
        ("bounded", bounded(&labelled)),
        ("own-policies", own_policies(&ours)),
        ("subjects", subjects(&labelled)),
        ("careless", careless(&ours)),
        (THEIRS, theirs()),
    ];
    all.into_iter().map(|(name, spec)| Tenant { name, spec }).collect()
}

/// More than one of everything.
fn several(allowed: &Value) -> Value {
    json!({
        "allowedNamespaces": allowed,
        "accounts": [ACCOUNTS[0], ACCOUNTS[1]],
        "limits": {
            "organizationIds": ["org_Test1", "org_Test2", "a"],
            "issuerUrls": [ISSUER, "https://issuer.example.org/x"],
            "clientIds": ["sts.amazonaws.com", "port.example.org"],
            "managedPolicyArns": [
                READ_ONLY, "arn:aws:iam::aws:policy/SecurityAudit", "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess",
            ],
            "maxSessionDuration": 7200,
            "tagKeys": ["Team", "cost-center"],
        },
    })
}

/// A boundary for all, roles that are there already, and a former installation.
fn bounded(allowed: &Value) -> Value {
    json!({
        "allowedNamespaces": allowed,
        "accounts": [ACCOUNTS[0], ACCOUNTS[1]],
        "organizations": {},
        "assumeRole": {"roleName": "PortAwsOperator", "externalId": "an-external-id"},
        "takeOver": [{"clusterId": FORMER}],
        "limits": {
            "organizationIds": ["org_Test1"],
            "permissionsBoundaryArn": "arn:aws:iam::${accountId}:policy/team/Boundary",
            "adoption": "Adopt",
        },
    })
}

/// Any account, with policies of its own, and names of a team.
fn own_policies(allowed: &Value) -> Value {
    json!({
        "allowedNamespaces": allowed,
        "accounts": ["*"],
        "assumeRole": {"roleName": "PortAwsOperator"},
        "organizations": {"roleArn": "arn:aws:iam::111122223333:role/PortAwsOrganizations"},
        "limits": {
            "organizationIds": ["org_Test1"],
            "managedPolicyArns": [
                "arn:aws:iam::${accountId}:policy/team/Port", "arn:aws:iam::111122223333:policy/Shared", READ_ONLY,
            ],
            "roleNamePrefix": "PortIntegrationRole-team-",
            "maxSessionDuration": 43200,
            "tagKeys": ["Team"],
            "adoption": "Adopt",
        },
    })
}

/// Subjects besides the computed ones, and a boundary of one account.
fn subjects(allowed: &Value) -> Value {
    json!({
        "allowedNamespaces": allowed,
        "accounts": [ACCOUNTS[0]],
        "limits": {
            "organizationIds": ["org_Test1", "org_Test2"],
            "subjects": ["system:serviceaccount:port:port-oidc-sa", "repo:acme/port@main"],
            "permissionsBoundaryArn": "arn:aws:iam::111122223333:policy/Boundary",
        },
    })
}

/// Patterns where only exact values count, and tag keys that nobody may set.
fn careless(allowed: &Value) -> Value {
    json!({
        "allowedNamespaces": allowed,
        "accounts": [ACCOUNTS[0]],
        "limits": {
            "organizationIds": ["*", "org_*", "org_Test1"],
            "subjects": ["*", "system:serviceaccount:*", "${aws:username}"],
            "issuerUrls": ["https://*", ISSUER],
            "clientIds": ["*", "sts.amazonaws.com"],
            "managedPolicyArns": ["*", "arn:aws:iam::aws:policy/*", READ_ONLY],
            "tagKeys": ["*", "AWS:x", "Port:integration", "port-aws-operator/owner", "Team"],
        },
    })
}

/// What another team's namespace may do, and this one may not.
fn theirs() -> Value {
    json!({
        "allowedNamespaces": {"names": ["another-team"]},
        "accounts": ["*"],
        "limits": {
            "organizationIds": ["org_Test1", "org_Theirs"],
            "managedPolicyArns": [READ_ONLY, ADMIN],
            "maxSessionDuration": 43200,
            "adoption": "Adopt",
        },
    })
}
