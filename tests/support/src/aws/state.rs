//! What is in an account.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// The IAM state of one account.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountState {
    /// Its id.
    pub account: String,
    /// All roles, sorted by name.
    pub roles: Vec<Role>,
    /// All OIDC providers, sorted by URL.
    pub oidc_providers: Vec<OidcProvider>,
}

impl AccountState {
    /// The role of that name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The one OIDC provider; `None` if there is none, or more than one.
    #[must_use]
    pub fn provider(&self) -> Option<&OidcProvider> {
        match self.oidc_providers.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether there is neither a role nor a provider.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.oidc_providers.is_empty()
    }
}

/// An IAM role.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its id, which another role of the same name would not have.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its path.
    pub path: String,
    /// Its description; empty if it has none.
    pub description: String,
    /// Longest session, in seconds.
    pub max_session_duration: u32,
    /// ARN of the policy that bounds it.
    pub permissions_boundary: Option<String>,
    /// Who may assume it.
    pub trust_policy: Value,
    /// ARNs of the managed policies that are attached.
    pub attached_policies: BTreeSet<String>,
    /// Inline policies by name.
    pub inline_policies: BTreeMap<String, Value>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// An IAM OIDC provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcProvider {
    /// Its ARN.
    pub arn: String,
    /// URL of the issuer, as IAM keeps it: without `https://`.
    pub url: String,
    /// Client ids, sorted.
    pub client_ids: Vec<String>,
    /// Thumbprints, in their order.
    pub thumbprints: Vec<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}
