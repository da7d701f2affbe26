//! Every reason of the operator, in one enum: conditions, events and account entries share it.

use std::fmt;

/// Why a condition, an account or an event is as it is. Written in `CamelCase`, as Kubernetes asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// All is as wanted.
    Ready,
    /// The first visit is still to come or under way.
    Pending,
    /// AWS is being brought to the wanted state.
    Provisioning,
    /// The resource is being deleted.
    Deleting,
    /// `spec.suspend` is set.
    Suspended,
    /// The resource asks for something that cannot be.
    InvalidSpec,
    /// The `PortAwsAccess` does not allow it.
    NotAllowed,
    /// The `PortAwsAccess` does not exist.
    AccessNotFound,
    /// The `PortAwsAccess` is to be deleted and still needed.
    AccessInUse,
    /// The target accounts are known.
    Resolved,
    /// AWS Organizations is being asked which accounts there are.
    Discovering,
    /// Discovery found no account.
    NothingDiscovered,
    /// Discovery found more accounts than one resource may have.
    TooManyAccounts,
    /// AWS Organizations does not know the root or the organizational unit.
    ParentNotFound,
    /// The credentials are of an account that is in no AWS organization.
    NoOrganization,
    /// AWS Organizations does not call the account ACTIVE.
    AccountSuspended,
    /// Every account that was found is left out.
    AllSkipped,
    /// One or more accounts need somebody's help.
    AccountsFailing,
    /// One or more accounts failed and are tried again soon.
    Retrying,
    /// Observe: AWS differs from what is wanted.
    Drifted,
    /// The account is no longer a target.
    NoLongerTarget,
    /// More accounts left at once than go without a word of confirmation.
    ManyRemovals,

    /// No AWS credentials, or AWS does not take them.
    CredentialsUnavailable,
    /// The credentials belong to another account.
    AccountMismatch,
    /// Not the commercial partition.
    UnsupportedPartition,
    /// AWS refuses a call for want of permission.
    AccessDenied,
    /// AWS asks to slow down.
    Throttled,
    /// AWS fails.
    ServiceUnavailable,
    /// AWS cannot be reached, or does not answer in time.
    Unreachable,
    /// An IAM quota is reached.
    LimitExceeded,
    /// AWS refuses a call as malformed.
    InvalidRequest,
    /// Something that the role names does not exist in the account.
    NotFoundInAccount,
    /// Something changed AWS at the same time.
    ConcurrentChange,
    /// A write of ours is not visible yet.
    NotSettled,
    /// The result of a call was not what AWS documents.
    UnexpectedAnswer,

    /// `UseExisting`, and the provider does not exist.
    ProviderNotFound,
    /// `UseExisting`, and the provider lacks the client ID.
    ClientIdMissing,
    /// The role's name is in use by something that is not ours.
    RoleNameTaken,
    /// The role belongs to another resource or installation.
    OwnedByOther,
    /// The role has more than is wanted, so that it is not opened.
    RoleTooBroad,
    /// Somebody put the hold tag on the role or provider.
    Held,
    /// A policy that answers an incident is on the role.
    IncidentPolicy,
    /// The role has inline policies, which the operator leaves alone.
    ForeignInlinePolicy,
    /// The role has further managed policies, and `extraPolicies` is Report.
    ExtraPolicies,

    /// The provider was made.
    ProviderCreated,
    /// The client ID was added to the provider.
    ClientIdAdded,
    /// The role was made.
    RoleCreated,
    /// The role was taken over.
    RoleAdopted,
    /// The role of a former installation was taken over.
    RoleTakenOver,
    /// Drift was corrected.
    DriftCorrected,
    /// The role was deleted.
    RoleDeleted,
    /// The provider was deleted.
    ProviderDeleted,
    /// The role was left, without our tags.
    RoleReleased,
    /// The provider was left.
    ProviderRetained,
    /// The deletion waits.
    DeletionBlocked,
    /// More deletions were asked for at once than go without a word of confirmation.
    ManyDeletions,
    /// The deletion was abandoned.
    Abandoned,

    /// Port's use of the role is not known yet.
    NotYetUsed,
    /// Port has never used the role.
    NeverUsed,
    /// Port has used the role in the last 7 days.
    RecentlyUsed,
    /// Port has not used the role in the last 7 days.
    NotRecentlyUsed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A variant is named as it is shown, so its derived name is the reason.
        fmt::Debug::fmt(self, f)
    }
}
