//! Which spec of which access object something was done by.

use kube::ResourceExt;

use crate::api::PortAwsAccess;

/// A spec of an access object: no other has the same UID and generation, also not that of an object
/// created anew by the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccessVersion {
    uid: String,
    generation: i64,
}

impl AccessVersion {
    pub(super) fn of(access: &PortAwsAccess) -> Self {
        Self { uid: access.uid().unwrap_or_default(), generation: access.metadata.generation.unwrap_or_default() }
    }
}
