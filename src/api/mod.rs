//! The custom resources of `integrations.port.io/v1alpha1`.

// Field docs are the text of `kubectl explain`, where backticks would be shown as such.
#![allow(clippy::doc_markdown)]

mod access;
mod access_status;
mod conditions;
mod defaults;
mod discovery;
mod integration;
mod reason;
mod status;

pub use access::{
    AdoptionLimit, AllowedNamespaces, AssumeRole, Limits, Organizations, PortAwsAccess, PortAwsAccessSpec, TakeOver,
};
pub use access_status::{PortAwsAccessStatus, ReachStatus};
pub(crate) use conditions::cut;
pub use conditions::{ConditionStatus, ConditionType, Conditions};
pub use discovery::{Discovery, DiscoveryScope};
pub use integration::{
    AccessRef, AccountRemovalPolicy, Adoption, DeletionPolicy, ExtraPolicies, Mode, OidcProviderSpec,
    PortAwsIntegration, PortAwsIntegrationSpec, ProviderDeletionPolicy, ProviderManagement, RoleSpec,
};
pub use reason::Reason;
pub use status::{
    AccountCounts, AccountState, AccountStatus, PendingChange, PortAwsIntegrationStatus, TrustStatus, Use,
};

/// API group of all kinds.
pub const GROUP: &str = "integrations.port.io";
/// Set while something of a resource may exist in AWS.
pub const FINALIZER: &str = "integrations.port.io/cleanup";
/// On a `PortAwsAccess` that is needed to clear what was made through it.
pub const IN_USE: &str = "integrations.port.io/in-use";
/// A new value asks for a check at once; it is echoed in `status.lastHandledReconcileAt`.
pub const REQUESTED_AT: &str = "integrations.port.io/requestedAt";
/// The value `true` releases a blocked deletion; an Event says what stays behind in AWS.
pub const ABANDON: &str = "integrations.port.io/abandon";
/// How many accounts may be cleared that are no longer targets; a value counts for one removal and is echoed
/// in `status.lastHandledRemovalWord`.
pub const CONFIRM_REMOVAL: &str = "integrations.port.io/confirm-removal";
/// On a resource that is being deleted: how many deletions at once somebody confirms.
pub const CONFIRM_DELETION: &str = "integrations.port.io/confirm-deletion";
