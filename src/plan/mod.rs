//! Deciding, apart from doing: what is wanted, what is there, and the actions between the two.
//! Nothing here does I/O, reads a clock or draws a random number.

mod action;
mod adoption;
mod bulk;
mod desired;
mod discovery;
mod limits;
mod observed;
mod ownership;
mod provider;
mod removal;
mod role;
mod settle;
mod usage;

pub use action::{Action, Phase, Step};
pub use bulk::{BATCH_WINDOW, Consent, batch_size, consent, may_remove, removal_word, waits_for_confirmation};
pub use desired::{Claim, Desired, DesiredProvider, DesiredRole, Target};
pub use discovery::{Found, Listing, MOST_ACCOUNTS, MemberState, Membership, Refusal, select};
pub use limits::{Granted, Violation};
pub use observed::{Observed, ObservedProvider, ObservedRole};
pub use ownership::{Origin, Ownership, ownership};
pub use removal::{ProviderFate, RemovalPlan, plan_removal, provider_fate};
pub use settle::{SETTLE_TIME, Settling};
pub use usage::{IN_USE_WINDOW_DAYS, used};

use crate::api::{AccountState, Reason};

/// Something worth telling that stops nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Why.
    pub reason: Reason,
    /// In words, for an event.
    pub message: String,
}

/// Something that keeps an account from being ready and that no write of ours can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The state that the account is in.
    pub state: AccountState,
    /// Why.
    pub reason: Reason,
    /// What somebody can do about it.
    pub message: String,
}

impl Problem {
    fn new(state: AccountState, reason: Reason, message: impl Into<String>) -> Self {
        Self { state, reason, message: message.into() }
    }
}

/// What to do in one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes, in order.
    pub steps: Vec<Step>,
    /// What keeps the provider from being as wanted.
    pub provider: Option<Problem>,
    /// What keeps the role from being as wanted.
    pub role: Option<Problem>,
    /// What else should be known.
    pub notes: Vec<Note>,
    /// Whether something in the account carries our tags.
    pub owned: bool,
}

/// Plans one account: `known_role_id` is IAM's ID of the role that we made, as status keeps it.
///
/// The order is: claim a role that is taken over, narrow, then the provider, then widen, then what
/// changes no rights. A failure while narrowing forbids the widening steps.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, known_role_id: Option<&str>) -> Plan {
    let mut plan = Plan::default();
    role::plan_role(desired, observed.role.as_ref(), known_role_id, &mut plan);
    // A role that is held or not ours gains nothing by a provider, so nothing is made for it.
    if plan.role.is_none() {
        provider::plan_provider(&desired.provider, observed.provider.as_ref(), &mut plan);
    }
    if plan.provider.is_some() {
        plan.steps.retain(|step| step.phase != Phase::Widen);
    }
    plan.steps.sort_by_key(|step| step.phase);
    plan
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
