//! `PortAwsIntegration`: which AWS accounts a Port integration reads, and how.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{defaults, discovery::Discovery, status::PortAwsIntegrationStatus};

/// Connects AWS accounts to one AWS integration of Port ("AWS Hosted by Port"): in every account the
/// operator keeps an IAM OIDC provider for Port's issuer and an IAM role that only Port's service
/// account of your organization may assume, with read access.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "integrations.port.io",
    version = "v1alpha1",
    kind = "PortAwsIntegration",
    namespaced,
    shortname = "pai",
    category = "port",
    status = "PortAwsIntegrationStatus",
    derive = "PartialEq",
    doc = "Connects AWS accounts to an AWS integration of Port, with an IAM OIDC provider and a read-only IAM role in each account.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name may have at most 63 characters, because it becomes part of AWS tags and session names"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Accounts", type_ = "integer", json_path = ".status.accountCounts.total"),
    printcolumn(name = "Ready-Accounts", type_ = "integer", json_path = ".status.accountCounts.ready"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.conditions[?(@.type=='InUse')].status", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.integrationIdentifier == oldSelf.integrationIdentifier").message("integrationIdentifier cannot be changed, because the role and its tags carry it: create a new PortAwsIntegration and delete this one"),
    validation = Rule::new("has(self.role.name) == has(oldSelf.role.name) && (!has(self.role.name) || self.role.name == oldSelf.role.name)").message("role.name cannot be set, changed or removed later, because the old role would stay behind: create a new PortAwsIntegration and delete this one"),
    validation = Rule::new("self.oidcProvider.url == oldSelf.oidcProvider.url").message("oidcProvider.url cannot be changed, because the role in use trusts it: create a new PortAwsIntegration and delete this one"),
    validation = Rule::new("has(self.accounts) != has(self.discovery)").message("set either accounts or discovery, and not both"),
    validation = Rule::new("duration(self.interval) >= duration('5m') && duration(self.interval) <= duration('24h')").message("interval must be from 5m to 24h"),
    validation = Rule::new("!has(self.role.tags) || self.role.tags.all(key, !key.lowerAscii().startsWith('aws:') && !key.lowerAscii().startsWith('port:') && !key.lowerAscii().startsWith('port-aws-operator/'))").message("role.tags may not use keys that start with aws:, port: or port-aws-operator/: they are kept for AWS, Port and the operator"),
    // IAM's rule for keys, as the API reference of IAM has it under Tag. A schema has none for keys.
    validation = Rule::new(r"!has(self.role.tags) || self.role.tags.all(key, key.matches('^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,128}$'))").message("role.tags may have keys of at most 128 letters, digits, spaces and _ . : / = + - @")
)]
pub struct PortAwsIntegrationSpec {
    /// ID of your Port organization, exactly as Port shows it under Settings, General; for example
    /// org_BneDtWovPqXaA2VZ.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$"))]
    pub organization_id: String,

    /// Identifier of the integration in Port. It becomes part of the role's name and of the tag
    /// port:integration. Port's hosted integrations take at most 20 characters. It cannot be changed.
    #[schemars(length(min = 2, max = 44), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"))]
    pub integration_identifier: String,

    /// The PortAwsAccess (cluster-scoped, made by your platform team) that allows this namespace to
    /// connect these accounts.
    #[serde(default)]
    pub access_ref: AccessRef,

    /// The AWS accounts to connect: IDs of 12 digits, each in quotes. Either this or discovery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 2000), inner(regex(pattern = r"^[0-9]{12}$")))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub accounts: Vec<String>,

    /// Connects the accounts that AWS Organizations has in some organizational units, and looks again
    /// each interval. Either this or accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,

    /// What becomes of the role in an account that is no longer a target: it left the list, or two
    /// discoveries in a row did not find it. Retain leaves it alone. Delete deletes it if the operator
    /// made it; if more than a tenth of the accounts leave at once, that waits for the annotation
    /// integrations.port.io/confirm-removal.
    #[serde(default)]
    pub account_removal_policy: AccountRemovalPolicy,

    /// The IAM OIDC provider through which Port's service account is trusted. An account has one
    /// for an issuer, and all integrations share it.
    #[serde(default)]
    pub oidc_provider: OidcProviderSpec,

    /// The IAM role that Port assumes.
    #[serde(default)]
    pub role: RoleSpec,

    /// Enforce keeps AWS as described here. Observe only reports in status what it would change,
    /// and writes nothing to AWS, until the resource is deleted: then the operator's own tags go.
    #[serde(default)]
    pub mode: Mode,

    /// Whether to leave AWS alone for now: nothing is read or written, and a deletion waits.
    #[serde(default)]
    pub suspend: bool,

    /// How often AWS is checked for drift when nothing else asks for it, from 5m to 24h. Each check
    /// takes at most 4 calls to IAM and is moved by up to 10 %.
    #[serde(default = "default_interval")]
    #[schemars(with = "String", extend("default" = "30m"), length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub interval: Duration,

    /// What becomes of the roles when this resource is deleted. Retain leaves them as they are and
    /// only takes the operator's tags off. Adopted roles are never deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Names a PortAwsAccess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessRef {
    /// Name of the PortAwsAccess.
    #[serde(default = "default_access")]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl Default for AccessRef {
    fn default() -> Self {
        Self { name: default_access() }
    }
}

fn default_access() -> String {
    "default".to_owned()
}

fn default_interval() -> Duration {
    std::time::Duration::from_secs(30 * 60).into()
}

/// The IAM OIDC provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcProviderSpec {
    /// URL of the issuer that signs Port's tokens. The default is Port's production cluster. It
    /// cannot be changed.
    #[serde(default = "defaults::issuer_url")]
    #[schemars(length(max = 128), regex(pattern = r"^https://[a-z0-9-]+(\.[a-z0-9-]+)*(/[A-Za-z0-9._~-]+)*$"))]
    pub url: String,

    /// Audience of Port's tokens: a client ID that the provider must have, and the aud that the
    /// role demands.
    #[serde(default = "defaults::client_id")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9._:/@+=,-]+$"))]
    pub client_id: String,

    /// Subject of Port's tokens, whole. Absent, it is made from the organization ID:
    /// system:serviceaccount:org-ORGANIZATION_ID-port-oidc-sa. Set it if Port's CloudFormation link
    /// shows another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9._:/@+=,-]+$"))]
    pub subject: Option<String>,

    /// CreateOrAdopt makes the provider if it is missing, and adds the client ID to one that is
    /// there. UseExisting never writes to the provider and reports what is missing.
    #[serde(default)]
    pub management: ProviderManagement,

    /// What becomes of a provider that the operator made when this resource is deleted.
    /// DeleteIfUnused deletes it only if no other resource and no role in the account needs it.
    #[serde(default)]
    pub deletion_policy: ProviderDeletionPolicy,
}

impl Default for OidcProviderSpec {
    fn default() -> Self {
        Self {
            url: defaults::issuer_url(),
            client_id: defaults::client_id(),
            subject: None,
            management: ProviderManagement::default(),
            deletion_policy: ProviderDeletionPolicy::default(),
        }
    }
}

/// The IAM role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleSpec {
    /// Name of the role, the same in every account; its path is always /. Absent, it is
    /// PortIntegrationRole- and the integration identifier. It cannot be set or changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub name: Option<String>,

    /// Description of the role in IAM, at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), regex(pattern = r"^[ -~¡-ÿ]*$"))]
    pub description: Option<String>,

    /// ARNs of the managed policies that the role has, at most 4. ${accountId} in the place of the
    /// account means the role's own account.
    #[serde(default = "defaults::managed_policy_arns")]
    #[schemars(
        length(min = 1, max = 4),
        inner(
            length(max = 160),
            regex(pattern = defaults::POLICY_ARN)
        )
    )]
    pub managed_policy_arns: Vec<String>,

    /// ARN of the policy that bounds the role's permissions; absent, a boundary that the role has is
    /// taken off, unless AWS put it there in an incident. ${accountId} in the place of the
    /// account means the role's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 160),
        regex(pattern = defaults::POLICY_ARN)
    )]
    pub permissions_boundary_arn: Option<String>,

    /// Longest session that the role allows, in seconds, from 3600 to 43200. Port asks for 3600.
    #[serde(default = "defaults::max_session_duration")]
    #[schemars(range(min = 3600, max = 43200))]
    pub max_session_duration: i32,

    /// What to do about managed policies that are attached to the role and not wanted. Remove
    /// detaches them, except those of AWS that answer an incident. Report leaves them and says so.
    #[serde(default)]
    pub extra_policies: ExtraPolicies,

    /// Whether a role of this name that exists already, and belongs to nobody, may be taken over.
    /// The PortAwsAccess must allow it too, and the role may not have more than is wanted here.
    #[serde(default)]
    pub adoption: Adoption,

    /// Further tags of the role. A tag that is removed here stays on the role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 40), schema_with = "tags_schema")]
    pub tags: BTreeMap<String, String>,
}

impl Default for RoleSpec {
    fn default() -> Self {
        Self {
            name: None,
            description: None,
            managed_policy_arns: defaults::managed_policy_arns(),
            permissions_boundary_arn: None,
            max_session_duration: defaults::max_session_duration(),
            extra_policies: ExtraPolicies::default(),
            adoption: Adoption::default(),
            tags: BTreeMap::new(),
        }
    }
}

/// Values have IAM's own pattern for them.
fn tags_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 40,
        "additionalProperties": {"type": "string", "maxLength": 256, "pattern": r"^[\p{L}\p{Z}\p{N}_.:/=+@-]*$"},
    })
}

/// How the operator works on AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Keep AWS as described.
    #[default]
    Enforce,
    /// Report, and write nothing to AWS.
    Observe,
}

/// What becomes of the role in an account that is no longer a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccountRemovalPolicy {
    /// Leave it alone.
    #[default]
    Retain,
    /// Delete it if the operator made it.
    Delete,
}

/// What becomes of roles on deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Delete the roles that the operator made.
    #[default]
    Delete,
    /// Leave them, without the operator's tags.
    Retain,
}

/// Who keeps the OIDC provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProviderManagement {
    /// Make it, or add the client ID to the one that is there.
    #[default]
    CreateOrAdopt,
    /// Never write to it.
    UseExisting,
}

/// What becomes of the OIDC provider on deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProviderDeletionPolicy {
    /// Leave it: it is shared, and costs nothing.
    #[default]
    Retain,
    /// Delete it if the operator made it and nothing needs it.
    DeleteIfUnused,
}

/// What to do about unwanted managed policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ExtraPolicies {
    /// Detach them.
    #[default]
    Remove,
    /// Leave them and say so.
    Report,
}

/// Whether a role that is already there may be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Adoption {
    /// No.
    #[default]
    Refuse,
    /// Yes.
    Adopt,
}
