//! Values that are valid by construction: what AWS and Kubernetes call things, parsed once.

mod account;
mod arn;
mod installation;
mod issuer;
mod role_name;
pub mod tags;

pub use account::AccountId;
pub use arn::{Partition, PolicyArn, oidc_provider_arn, role_arn};
pub use installation::{ClusterId, Owner};
pub use issuer::IssuerUrl;
pub use role_name::RoleName;

/// A value that does not have the form its type needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {rule}")]
pub struct InvalidValue {
    /// What was parsed, in the words of the API field.
    pub what: &'static str,
    /// The value as given, cut to 128 characters.
    pub value: String,
    /// What a valid value looks like.
    pub rule: &'static str,
}

impl InvalidValue {
    fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self { what, value: value.chars().take(128).collect(), rule }
    }
}
