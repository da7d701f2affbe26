//! The status of a `PortAwsIntegration`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IntoDeserializer, value, value::StringDeserializer},
};

use super::Reason;

/// What the operator last saw. Nothing here is needed to find what the operator owns in AWS: tags
/// there say it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortAwsIntegrationStatus {
    /// The generation of spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling and Stalled as kstatus defines them; AccountsResolved, OIDCProviderReady
    /// and RoleReady for the parts; InUse for whether Port uses the role, which is no part of Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// Whom the role trusts. Compare the subject with the one in Port's CloudFormation link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustStatus>,

    /// The role's ARN with ${accountId} for the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn_format: Option<String>,

    /// The roles that were there when they were last looked at, to paste into the field
    /// accountRoleArns of Port. A check that fails or is under way takes none off. Absent with more
    /// than 50 accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub role_arns: Vec<String>,

    /// Every account, sorted by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub accounts: Vec<AccountStatus>,

    /// How many accounts are in which state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_counts: Option<AccountCounts>,

    /// With mode Observe: what Enforce would change in AWS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub pending_changes: Vec<PendingChange>,

    /// The value of the annotation integrations.port.io/requestedAt that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,

    /// The value of the annotation integrations.port.io/confirm-removal that is used up: it confirms no
    /// further removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_removal_word: Option<String>,
}

/// Whom the role trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustStatus {
    /// URL of the issuer.
    pub issuer: String,
    /// Value of aud that the role demands.
    pub audience: String,
    /// Value of sub that the role demands.
    pub subject: String,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// ID of the account.
    pub id: String,
    /// State of the account.
    #[serde(deserialize_with = "known_state")]
    pub state: AccountState,
    /// Why it is in that state, in one word.
    pub reason: String,
    /// What to do about it, in at most 160 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether something of this resource may exist in the account. It is written before the first
    /// change in AWS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub claimed: bool,
    /// Somebody has confirmed that the account, which is no target any more, is cleared with others at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removal_confirmed: bool,
    /// IAM's unique ID of the role, if the operator made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// Whether Port has used the role.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_use")]
    pub used: Option<Use>,
}

impl AccountStatus {
    /// Whether Port is to know the role: it was there as the resource's own when it was last seen. A failure
    /// since then says nothing of it, and Port drops what its list no longer has.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let gone = [AccountState::Removed, AccountState::NotAllowed, AccountState::AccountSuspended];
        self.state == AccountState::Ready || (self.used.is_some() && !gone.contains(&self.state))
    }
}

/// A newer version may have written a word that this one does not know. The object is to be readable after a
/// downgrade, too: the next visit tells the state anew.
fn known_state<'de, D: Deserializer<'de>>(source: D) -> Result<AccountState, D::Error> {
    let word = String::deserialize(source)?;
    Ok(known(word).unwrap_or(AccountState::Pending))
}

/// The same of the use, which is told of a role of ours.
fn known_use<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Use>, D::Error> {
    let word = Option::<String>::deserialize(source)?;
    Ok(word.map(|word| known(word).unwrap_or(Use::NotYet)))
}

fn known<T: DeserializeOwned>(word: String) -> Option<T> {
    let word: StringDeserializer<value::Error> = word.into_deserializer();
    T::deserialize(word).ok()
}

/// State of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AccountState {
    /// As wanted.
    Ready,
    /// Not visited yet.
    Pending,
    /// Observe: it differs from what is wanted.
    Drifted,
    /// A failure that may pass by itself.
    Failed,
    /// AWS refuses for want of permission or of credentials.
    Denied,
    /// Something that is not ours is in the way.
    Conflict,
    /// The PortAwsAccess does not cover it.
    NotAllowed,
    /// AWS Organizations does not call it ACTIVE.
    AccountSuspended,
    /// AWS or the hold tag says to leave it alone.
    Held,
    /// No target any more.
    Removed,
}

impl AccountState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Ready,
        Self::Pending,
        Self::Drifted,
        Self::Failed,
        Self::Denied,
        Self::Conflict,
        Self::NotAllowed,
        Self::AccountSuspended,
        Self::Held,
        Self::Removed,
    ];

    /// The state of an account that failed for this reason.
    #[must_use]
    pub fn failed(reason: Reason) -> Self {
        match reason {
            Reason::AccessDenied
            | Reason::CredentialsUnavailable
            | Reason::AccountMismatch
            | Reason::UnsupportedPartition => Self::Denied,
            Reason::RoleNameTaken | Reason::OwnedByOther => Self::Conflict,
            _ => Self::Failed,
        }
    }
}

/// Whether Port has used a role, as IAM reports it (some hours late).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Use {
    /// Not yet, and the role is younger than 24 hours.
    NotYet,
    /// Never.
    Never,
    /// In the last 7 days.
    Recent,
    /// Longer ago.
    Stale,
}

/// How many accounts are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountCounts {
    /// Target accounts, without those that are skipped.
    pub total: i32,
    /// Those in state Ready.
    pub ready: i32,
    /// Those that are neither ready nor pending nor skipped.
    pub failed: i32,
    /// Accounts that discovery found and that are left out: the PortAwsAccess does not cover them, or
    /// AWS Organizations does not call them ACTIVE.
    pub skipped: i32,
}

/// One thing that Enforce would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingChange {
    /// ID of the account.
    pub account: String,
    /// The change, in words.
    pub change: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_words_of_a_newer_version_leave_the_status_readable() {
        let entry = |state: &str, used: &str| {
            let entry = json!({"id": "111122223333", "state": state, "reason": "New", "claimed": true, "used": used});
            let entry: AccountStatus = serde_json::from_value(entry).unwrap();
            (entry.state, entry.used)
        };
        assert_eq!(entry("Ready", "Recent"), (AccountState::Ready, Some(Use::Recent)));
        assert_eq!(entry("New", "New"), (AccountState::Pending, Some(Use::NotYet)));
        let without: AccountStatus =
            serde_json::from_value(json!({"id": "111122223333", "state": "Held", "reason": "Held"})).unwrap();
        assert_eq!((without.state, without.used), (AccountState::Held, None));
    }
}
