//! The tags that say what is ours. Tags in AWS are the source of ownership, never status: a
//! restored cluster has no status, and its roles are still its own.

use std::collections::BTreeMap;

/// Tags of one AWS object.
pub type Tags = BTreeMap<String, String>;

/// Port's own tag, as its `CloudFormation` template writes it: the integration identifier.
pub const INTEGRATION: &str = "port:integration";
/// The installation of this operator that an object belongs to.
pub const CLUSTER: &str = "port-aws-operator/cluster";
/// The resource (`<namespace>.<name>`) that a role belongs to.
pub const OWNER: &str = "port-aws-operator/owner";
/// How an object came to be ours: [`ORIGIN_CREATED`] or [`ORIGIN_ADOPTED`].
pub const ORIGIN: &str = "port-aws-operator/origin";
/// Whoever puts this tag on a role or provider stops every write to it.
pub const HOLD: &str = "port-aws-operator/hold";

/// Value of [`ORIGIN`] on what the operator made, and may delete.
pub const ORIGIN_CREATED: &str = "Created";
/// Value of [`ORIGIN`] on what was there before, and is never deleted.
pub const ORIGIN_ADOPTED: &str = "Adopted";

/// The tags by which the operator claims a role, and takes off when it lets go.
pub const CLAIM: [&str; 3] = [CLUSTER, OWNER, ORIGIN];

/// Whether a key is kept for AWS, Port or the operator, so that a spec may not set it.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["aws:", "port:", "port-aws-operator/"].iter().any(|prefix| key.starts_with(prefix))
}
