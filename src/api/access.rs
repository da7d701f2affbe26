//! `PortAwsAccess`: who may connect which accounts, and what an integration may ask for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{access_status::PortAwsAccessStatus, defaults};

/// Set by the platform team: the namespaces that may use it, the accounts they may connect, and the
/// bounds of what an integration may ask for there.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "integrations.port.io",
    version = "v1alpha1",
    kind = "PortAwsAccess",
    plural = "portawsaccesses",
    shortname = "paa",
    category = "port",
    status = "PortAwsAccessStatus",
    derive = "PartialEq",
    doc = "Says which namespaces may connect which AWS accounts to Port, and bounds what a PortAwsIntegration may ask for. Made by the platform team; whatever it does not allow is refused.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Integrations", type_ = "integer", json_path = ".status.reach.integrations"),
    printcolumn(name = "Accounts", type_ = "integer", json_path = ".status.reach.accounts"),
    printcolumn(name = "Reached", type_ = "integer", json_path = ".status.reach.reached"),
    printcolumn(
        name = "Port-Organizations",
        type_ = "string",
        json_path = ".spec.limits.organizationIds",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.accounts.all(account, account != '*') || size(self.accounts) == 1").message("accounts is either a list of account IDs or the single entry \"*\"")
)]
pub struct PortAwsAccessSpec {
    /// The namespaces whose PortAwsIntegrations may use this access. Absent means none; an empty
    /// object means all; otherwise a namespace is allowed if it is named or matches the selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,

    /// IDs of the AWS accounts that may be connected, or the single entry "*" for any.
    #[schemars(length(min = 1, max = 2000), inner(regex(pattern = r"^([0-9]{12}|\*)$"), length(max = 12)))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub accounts: Vec<String>,

    /// The role that the operator assumes in each account. Absent, the operator works with its own
    /// credentials, in its own account only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,

    /// How AWS Organizations is asked which accounts there are. Absent, no integration may use
    /// discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organizations: Option<Organizations>,

    /// Former installations of the operator whose roles and providers are to become this one's, as
    /// after a move to another cluster. A role becomes its resource's if namespace and name are the
    /// same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub take_over: Vec<TakeOver>,

    /// What an integration may ask for. Everything is compared exactly.
    pub limits: Limits,
}

/// The role that the operator assumes in each account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// Name of the role, the same in every account; its path is /.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub role_name: String,

    /// The external ID that the role's trust policy asks for. It is not a secret: it keeps others from
    /// making the operator act in your accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[A-Za-z0-9_+=,.@:/-]+$"))]
    pub external_id: Option<String>,
}

/// How AWS Organizations is asked which accounts there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organizations {
    /// ARN of a role in the management account, or in one that is a delegated administrator of the
    /// organization. Absent, the operator asks with its own credentials, which must then belong to
    /// such an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = r"^arn:aws:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$"))]
    pub role_arn: Option<String>,

    /// The external ID that the role's trust policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[A-Za-z0-9_+=,.@:/-]+$"))]
    pub external_id: Option<String>,
}

/// A former installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TakeOver {
    /// Its cluster id, as the tag port-aws-operator/cluster has it.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_.:/=+@-]+$"))]
    pub cluster_id: String,
}

/// Namespaces by name or by label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AllowedNamespaces {
    /// Names of namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500), inner(length(min = 1, max = 63)))]
    pub names: Option<Vec<String>>,

    /// Labels of namespaces. An empty selector matches none: to allow all namespaces, leave both
    /// fields out. Whoever may label namespaces may use this access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// The bounds of what an integration may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The Port organizations that may be trusted. Without this bound a namespace could hand the
    /// accounts to somebody else's Port organization.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 64)))]
    pub organization_ids: Vec<String>,

    /// Subjects that an integration may name itself, besides the one made from the organization ID.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 255)))]
    pub subjects: Vec<String>,

    /// Issuers that may be trusted. The default is Port's.
    #[serde(default = "default_issuers")]
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 128)))]
    pub issuer_urls: Vec<String>,

    /// Client IDs (audiences) that may be used.
    #[serde(default = "default_client_ids")]
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 255)))]
    pub client_ids: Vec<String>,

    /// Managed policies that a role may have, written as the integration writes them: ${accountId}
    /// is not replaced before the comparison.
    #[serde(default = "defaults::managed_policy_arns")]
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 160)))]
    pub managed_policy_arns: Vec<String>,

    /// What every role name starts with, at least 8 characters. It must match the Resource of the
    /// operator's own IAM policy.
    #[serde(default = "default_prefix")]
    #[schemars(length(min = 8, max = 64), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub role_name_prefix: String,

    /// If set, every role has this permissions boundary, and an integration may name no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 160),
        regex(pattern = defaults::POLICY_ARN)
    )]
    pub permissions_boundary_arn: Option<String>,

    /// The longest maximum session duration, in seconds, from 3600 to 43200.
    #[serde(default = "defaults::max_session_duration")]
    #[schemars(range(min = 3600, max = 43200))]
    pub max_session_duration: i32,

    /// Keys of further role tags that an integration may set. Role tags count as principal tags,
    /// so a key that your policies look at gives rights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 128)))]
    pub tag_keys: Vec<String>,

    /// Whether integrations may take over roles that are already there.
    #[serde(default)]
    pub adoption: AdoptionLimit,
}

/// Whether integrations may take over roles that are already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionLimit {
    /// No, whatever the integration says.
    #[default]
    Refuse,
    /// Yes, if the integration asks for it.
    Adopt,
}

impl PortAwsAccessSpec {
    /// Whether the access covers an account.
    #[must_use]
    pub fn allows_account(&self, account: &str) -> bool {
        self.accounts.iter().any(|entry| entry == "*" || entry == account)
    }

    /// Whether integrations of a namespace may use the access. Labels that are not known match no selector,
    /// not even one that asks for the absence of a label.
    #[must_use]
    pub fn allows_namespace(&self, name: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        let Some(allowed) = &self.allowed_namespaces else { return false };
        if allowed.names.is_none() && allowed.selector.is_none() {
            return true;
        }
        let named = allowed.names.as_ref().is_some_and(|names| names.iter().any(|entry| entry == name));
        let selected =
            allowed.selector.as_ref().zip(labels).is_some_and(|(selector, labels)| selects(selector, labels));
        named || selected
    }
}

/// Label selection as Kubernetes does it, but an empty selector selects nothing, and so does one
/// with an operator that is not known.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.match_labels.as_ref();
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    if exact.is_none_or(BTreeMap::is_empty) && expressions.is_empty() {
        return false;
    }
    let exact_ok = exact.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions_ok = expressions.iter().all(|requirement| {
        let value = labels.get(&requirement.key);
        let listed = |value: &String| requirement.values.as_ref().is_some_and(|values| values.contains(value));
        match requirement.operator.as_str() {
            "In" => value.is_some_and(listed),
            "NotIn" => !value.is_some_and(listed),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    exact_ok && expressions_ok
}

/// What an access object allows that names no organization and sets no other limit.
impl Default for Limits {
    fn default() -> Self {
        Self {
            organization_ids: Vec::new(),
            subjects: Vec::new(),
            issuer_urls: default_issuers(),
            client_ids: default_client_ids(),
            managed_policy_arns: defaults::managed_policy_arns(),
            role_name_prefix: default_prefix(),
            permissions_boundary_arn: None,
            max_session_duration: defaults::max_session_duration(),
            tag_keys: Vec::new(),
            adoption: AdoptionLimit::default(),
        }
    }
}

fn default_issuers() -> Vec<String> {
    vec![defaults::issuer_url()]
}

fn default_client_ids() -> Vec<String> {
    vec![defaults::client_id()]
}

fn default_prefix() -> String {
    "PortIntegrationRole-".to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn access(allowed: Option<serde_json::Value>) -> PortAwsAccessSpec {
        let mut spec = serde_json::json!({"accounts": ["111122223333"], "limits": {"organizationIds": ["org_1"]}});
        if let Some(allowed) = allowed {
            spec["allowedNamespaces"] = allowed;
        }
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn namespaces_fail_closed() {
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        for (allowed, expected) in [
            (None, false),
            (Some(serde_json::json!({})), true),
            (Some(serde_json::json!({"names": []})), false),
            (Some(serde_json::json!({"names": ["other"]})), false),
            (Some(serde_json::json!({"names": ["ns"]})), true),
            (Some(serde_json::json!({"selector": {}})), false),
            (Some(serde_json::json!({"selector": {"matchLabels": {"team": "a"}}})), true),
            (Some(serde_json::json!({"selector": {"matchLabels": {"team": "b"}}})), false),
            (Some(serde_json::json!({"names": ["ns"], "selector": {"matchLabels": {"team": "b"}}})), true),
            (
                Some(
                    serde_json::json!({"selector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}]}}),
                ),
                true,
            ),
            (
                Some(
                    serde_json::json!({"selector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}}),
                ),
                false,
            ),
            (
                Some(serde_json::json!({"selector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}})),
                true,
            ),
            (
                Some(
                    serde_json::json!({"selector": {"matchExpressions": [{"key": "team", "operator": "Gt", "values": ["0"]}]}}),
                ),
                false,
            ),
        ] {
            assert_eq!(access(allowed.clone()).allows_namespace("ns", Some(&labels)), expected, "{allowed:?}");
        }
    }

    #[test]
    fn the_default_of_limits_is_that_of_an_object_without_any() {
        let written = access(None).limits;
        assert_eq!(Limits { organization_ids: vec!["org_1".into()], ..Limits::default() }, written);
    }

    #[test]
    fn accounts_are_listed_or_any() {
        let mut spec = access(None);
        assert!(spec.allows_account("111122223333"));
        assert!(!spec.allows_account("444455556666"));
        spec.accounts = vec!["*".into()];
        assert!(spec.allows_account("444455556666"));
    }
}
