use std::fmt;

use super::desired::DesiredRole;
use crate::{
    api::Reason,
    domain::{PolicyArn, tags::Tags},
    policy::{FieldDrift, TrustPolicy},
};

/// When a step runs. A failure of a narrowing step forbids the widening ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Says that the role is ours, before anything about it changes.
    Claim,
    /// Takes rights away.
    Narrow,
    /// Readies the OIDC provider.
    Provider,
    /// Gives rights.
    Widen,
    /// Changes no rights.
    Settle,
}

/// A write, and when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub phase: Phase,
    /// What.
    pub action: Action,
}

/// One write to IAM. What it replaces is part of it, so that two writes are equal only if they
/// answer the same reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// `CreateOpenIDConnectProvider`.
    CreateProvider {
        /// The client ID that the provider gets.
        client_id: String,
        /// The tags that it gets.
        tags: Tags,
    },
    /// `AddClientIDToOpenIDConnectProvider`.
    AddClientId {
        /// The client ID to add.
        client_id: String,
    },
    /// `DeleteOpenIDConnectProvider`.
    DeleteProvider,
    /// `CreateRole`, with trust, boundary and tags at once.
    CreateRole(Box<DesiredRole>),
    /// `TagRole` with the claim and whatever other tag is missing.
    TagRole {
        /// The tags to set.
        tags: Tags,
        /// Whether this takes over a role that was nobody's.
        adopts: bool,
        /// The former installation or resource whose role becomes ours, in words.
        former: Option<String>,
    },
    /// `UntagRole`.
    UntagRole {
        /// The keys to take off.
        keys: Vec<String>,
    },
    /// `UpdateAssumeRolePolicy`.
    UpdateTrust {
        /// The trust policy to set.
        trust: TrustPolicy,
        /// The fields in which the present one differs.
        drift: Vec<FieldDrift>,
    },
    /// `AttachRolePolicy`.
    AttachPolicy(PolicyArn),
    /// `DetachRolePolicy`.
    DetachPolicy(String),
    /// `PutRolePermissionsBoundary`.
    PutBoundary {
        /// The boundary to set.
        arn: PolicyArn,
        /// The present one.
        found: Option<String>,
    },
    /// `DeleteRolePermissionsBoundary`.
    DeleteBoundary {
        /// The present one.
        found: String,
    },
    /// `UpdateRole`, always with both values: IAM resets the one that is left out.
    UpdateRole {
        /// The description to set.
        description: String,
        /// The maximum session duration to set, in seconds.
        max_session_duration: i32,
        /// The fields in which the present ones differ.
        drift: Vec<FieldDrift>,
    },
    /// `DeleteRole`.
    DeleteRole,
}

impl Action {
    /// The call's name in the AWS API reference.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateProvider { .. } => "CreateOpenIDConnectProvider",
            Self::AddClientId { .. } => "AddClientIDToOpenIDConnectProvider",
            Self::DeleteProvider => "DeleteOpenIDConnectProvider",
            Self::CreateRole(_) => "CreateRole",
            Self::TagRole { .. } => "TagRole",
            Self::UntagRole { .. } => "UntagRole",
            Self::UpdateTrust { .. } => "UpdateAssumeRolePolicy",
            Self::AttachPolicy(_) => "AttachRolePolicy",
            Self::DetachPolicy(_) => "DetachRolePolicy",
            Self::PutBoundary { .. } => "PutRolePermissionsBoundary",
            Self::DeleteBoundary { .. } => "DeleteRolePermissionsBoundary",
            Self::UpdateRole { .. } => "UpdateRole",
            Self::DeleteRole => "DeleteRole",
        }
    }

    /// What was done, as a person would say it afterwards.
    #[must_use]
    pub fn done(&self) -> String {
        let text = self.to_string();
        let past = PAST.iter().find_map(|(now, then)| text.strip_prefix(now).map(|rest| format!("{then}{rest}")));
        past.unwrap_or(text)
    }

    /// The reason of the event that tells of it.
    #[must_use]
    pub fn event_reason(&self) -> Reason {
        match self {
            Self::CreateProvider { .. } => Reason::ProviderCreated,
            Self::AddClientId { .. } => Reason::ClientIdAdded,
            Self::DeleteProvider => Reason::ProviderDeleted,
            Self::CreateRole(_) => Reason::RoleCreated,
            Self::TagRole { adopts: true, .. } => Reason::RoleAdopted,
            Self::TagRole { former: Some(_), .. } => Reason::RoleTakenOver,
            Self::UntagRole { .. } => Reason::RoleReleased,
            Self::DeleteRole => Reason::RoleDeleted,
            _ => Reason::DriftCorrected,
        }
    }
}

/// The first words of the texts below, of the future and of the past.
const PAST: [(&str, &str); 9] = [
    ("create ", "created "),
    ("add ", "added "),
    ("delete ", "deleted "),
    ("take ", "took "),
    ("set ", "set "),
    ("attach ", "attached "),
    ("detach ", "detached "),
    ("remove ", "removed "),
    ("update ", "updated "),
];

/// What the write changes, as a person would say it of the future.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |drift: &[FieldDrift]| drift.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match self {
            Self::CreateProvider { client_id, .. } => write!(f, "create the OIDC provider with client ID {client_id}"),
            Self::AddClientId { client_id } => write!(f, "add client ID {client_id} to the OIDC provider"),
            Self::DeleteProvider => f.write_str("delete the OIDC provider"),
            Self::CreateRole(role) => write!(f, "create role {}", role.name),
            Self::TagRole { adopts: true, .. } => f.write_str("take the role over by tagging it"),
            Self::TagRole { former: Some(former), .. } => {
                write!(f, "take the role over from {former}")
            }
            Self::TagRole { tags, .. } => {
                write!(f, "set role tags {}", tags.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            Self::UntagRole { .. } => f.write_str("take the operator's tags off the role"),
            Self::UpdateTrust { drift, .. } => write!(f, "set the trust policy: {}", fields(drift)),
            Self::AttachPolicy(arn) => write!(f, "attach {arn}"),
            Self::DetachPolicy(arn) => write!(f, "detach {arn}"),
            Self::PutBoundary { arn, found } => {
                write!(f, "set permissions boundary {arn} (was {})", found.as_deref().unwrap_or("absent"))
            }
            Self::DeleteBoundary { found } => write!(f, "remove permissions boundary {found}"),
            Self::UpdateRole { drift, .. } => write!(f, "update the role: {}", fields(drift)),
            Self::DeleteRole => f.write_str("delete the role"),
        }
    }
}
