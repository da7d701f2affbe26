//! Why something is not as wanted, in the words of status and events.

use crate::{
    api::{AccountState, Reason},
    aws::{AwsError, CredentialsError},
    domain::RoleName,
    plan::Problem,
    schedule::Disposition,
};

/// Why an account is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) state: AccountState,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) disposition: Disposition,
    /// Whether it comes of a decision of ours, which only somebody else's change can change.
    pub(super) decided: bool,
    /// Whether it is the way to the account that failed, and not what was to be done there.
    pub(super) unreached: bool,
}

impl Failure {
    /// The spec asks for something that cannot be.
    pub(super) fn invalid(message: &str) -> Self {
        Self {
            state: AccountState::Failed,
            reason: Reason::InvalidSpec,
            message: message.to_owned(),
            disposition: Disposition::Terminal,
            decided: true,
            unreached: false,
        }
    }

    /// A role waits for the resource that it is left to.
    pub(super) fn handing_over(message: String) -> Self {
        Self {
            state: AccountState::Pending,
            reason: Reason::RoleReleased,
            message,
            disposition: Disposition::Transient,
            decided: false,
            unreached: false,
        }
    }

    /// A role that is to go was made a moment ago, and IAM does not show it.
    pub(super) fn hidden(role: &RoleName) -> Self {
        Self {
            state: AccountState::Pending,
            reason: Reason::ConcurrentChange,
            message: format!("role {role} was made a moment ago and IAM does not show it yet; it is read again"),
            disposition: Disposition::Transient,
            decided: false,
            unreached: false,
        }
    }
}

impl From<&Problem> for Failure {
    fn from(problem: &Problem) -> Self {
        Self {
            state: problem.state,
            reason: problem.reason,
            message: problem.message.clone(),
            disposition: Disposition::Waiting,
            decided: true,
            unreached: false,
        }
    }
}

impl From<&AwsError> for Failure {
    fn from(error: &AwsError) -> Self {
        Self {
            state: AccountState::failed(error.reason),
            reason: error.reason,
            message: error.advice(),
            disposition: error.disposition,
            decided: false,
            unreached: false,
        }
    }
}

impl From<&CredentialsError> for Failure {
    fn from(error: &CredentialsError) -> Self {
        Self {
            state: AccountState::Denied,
            reason: error.reason(),
            message: error.advice(),
            disposition: error.disposition(),
            decided: false,
            unreached: true,
        }
    }
}
