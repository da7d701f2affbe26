//! Why an account cannot be reached.

use super::AwsError;
use crate::{
    api::Reason,
    domain::{AccountId, InvalidValue},
    schedule::Disposition,
};

/// Why an account cannot be reached with the operator's own credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CredentialsError {
    /// The SDK finds none.
    #[error("no AWS credentials: {0}")]
    Unavailable(String),
    /// `GetCallerIdentity` fails.
    #[error("AWS does not say whose the credentials are: {0}")]
    Identity(#[from] AwsError),
    /// They are of another partition.
    #[error("{0}")]
    Partition(#[from] InvalidValue),
    /// The role in the account cannot be assumed.
    #[error("{role_arn} cannot be assumed: {error}")]
    Assume {
        /// The role.
        role_arn: String,
        /// Why not.
        error: AwsError,
    },
    /// The access object does not say how AWS Organizations is asked.
    #[error("organizations is not set")]
    NoOrganizations,
    /// They are of another account.
    #[error("the credentials belong to account {caller}, not to {wanted}")]
    Account {
        /// The account that is wanted.
        wanted: AccountId,
        /// The account that they belong to.
        caller: AccountId,
    },
}

impl CredentialsError {
    /// The reason for status and events.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unavailable(_) => Reason::CredentialsUnavailable,
            Self::Identity(error) | Self::Assume { error, .. } => error.reason,
            Self::Partition(_) => Reason::UnsupportedPartition,
            Self::NoOrganizations => Reason::NotAllowed,
            Self::Account { .. } => Reason::AccountMismatch,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Identity(error) | Self::Assume { error, .. } => error.disposition,
            _ => Disposition::Waiting,
        }
    }

    /// What somebody can do about it, without a word of the SDK's or AWS's.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Unavailable(_) => {
                "the operator has no AWS credentials: give its ServiceAccount an IAM role (IRSA or Pod Identity)"
                    .to_owned()
            }
            Self::Assume { role_arn, error } if error.reason == Reason::AccessDenied => {
                format!(
                    "{role_arn} cannot be assumed: check that it exists, trusts the operator, and has the external ID"
                )
            }
            Self::Identity(error) | Self::Assume { error, .. } => error.advice(),
            Self::Partition(_) => {
                "the credentials are not of the commercial partition, the only one that Port hosts integrations for"
                    .to_owned()
            }
            Self::NoOrganizations => "the PortAwsAccess does not allow discovery: set its organizations".to_owned(),
            Self::Account { caller, .. } => format!("the operator's AWS credentials belong to account {caller}"),
        }
    }
}
