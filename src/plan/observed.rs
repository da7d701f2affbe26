use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use crate::{
    domain::tags::Tags,
    policy::{MalformedPolicy, PolicyDocument},
};

/// What one account has, read once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The provider of the issuer.
    pub provider: Option<ObservedProvider>,
    /// The role of the name.
    pub role: Option<ObservedRole>,
}

/// An OIDC provider. Thumbprints are not read: the operator never writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedProvider {
    /// Its client IDs.
    pub client_ids: BTreeSet<String>,
    /// Its tags.
    pub tags: Tags,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRole {
    /// Its name, in the case that IAM has.
    pub name: String,
    /// Its path.
    pub path: String,
    /// IAM's unique ID, which a new role of the same name does not have.
    pub role_id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its description; IAM gives none for an empty one.
    pub description: Option<String>,
    /// Its maximum session duration, in seconds.
    pub max_session_duration: i32,
    /// ARN of its permissions boundary.
    pub boundary: Option<String>,
    /// Its trust policy, or why it cannot be read.
    pub trust: Result<PolicyDocument, MalformedPolicy>,
    /// Its tags.
    pub tags: Tags,
    /// When it was last used, as far as IAM reports it.
    pub last_used: Option<Timestamp>,
    /// ARNs of its managed policies.
    pub attached: BTreeSet<String>,
    /// Names of its inline policies.
    pub inline: BTreeSet<String>,
}
