use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::observed::ObservedRole;
use crate::api::Use;

/// A role used within this many days counts as in use.
pub const IN_USE_WINDOW_DAYS: i64 = 7;
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// Whether Port has used a role, by `RoleLastUsed`, which IAM updates some hours late. A role that
/// is younger than 24 hours is not blamed for not being used.
#[must_use]
pub fn used(role: &ObservedRole, now: Timestamp) -> Use {
    match role.last_used {
        Some(at) if now.duration_since(at) <= SignedDuration::from_hours(24 * IN_USE_WINDOW_DAYS) => Use::Recent,
        Some(_) => Use::Stale,
        None if now.duration_since(role.created) <= GRACE => Use::NotYet,
        None => Use::Never,
    }
}
