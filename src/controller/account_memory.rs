//! What this process remembers of one account of one resource.

use std::time::Duration;

use super::access_version::AccessVersion;
use crate::{
    api::{AccountState, AccountStatus, PortAwsIntegrationStatus, Reason, Use},
    plan::{SETTLE_TIME, Settling},
    schedule::Disposition,
};

/// How a part (provider or role) of an account is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// Not visited yet.
    #[default]
    Unknown,
    /// As wanted.
    Good,
    /// Not as wanted.
    Bad(Reason, String),
}

/// One account of one resource.
// Each flag stands for itself: no two of them make up one state.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub(super) struct AccountMemory {
    pub(super) state: AccountState,
    pub(super) reason: Reason,
    pub(super) message: Option<String>,
    /// Something of ours may be in the account. Written to status before the first write to AWS.
    pub(super) claimed: bool,
    /// It left with so many others that somebody had to confirm it, and has.
    pub(super) removal_confirmed: bool,
    /// IAM's ID of the role that we made.
    pub(super) role_id: Option<String>,
    pub(super) used: Option<Use>,
    pub(super) provider: Part,
    pub(super) role: Part,
    /// The generation of spec that the account was last brought to.
    pub(super) generation: Option<i64>,
    /// The value of `requestedAt` that was last answered.
    pub(super) answered: Option<String>,
    /// Whether this process has visited it.
    pub(super) visited: bool,
    pub(super) failures: u32,
    pub(super) failing: Option<Disposition>,
    /// The wait that was chosen after the last visit.
    pub(super) delay: Duration,
    pub(super) settling: Settling,
    /// When we made the role, or may have, until IAM has shown it, which may take a while.
    pub(super) role_made: Option<Duration>,
    /// Since when IAM says that a role exists which it does not show.
    pub(super) hidden_since: Option<Duration>,
    /// Observe: what Enforce would change.
    pub(super) pending: Vec<String>,
    /// Deletion: nothing of ours is left, or it was abandoned.
    pub(super) gone: bool,
    /// Discovery found it, and it is not visited: it does not count.
    pub(super) skipped: bool,
    /// Whether the last visit did not get into the account.
    pub(super) unreached: bool,
    /// The access object by which it was last visited.
    pub(super) visited_by: Option<AccessVersion>,
}

impl AccountMemory {
    pub(super) fn new() -> Self {
        Self {
            state: AccountState::Pending,
            reason: Reason::Pending,
            message: None,
            claimed: false,
            removal_confirmed: false,
            role_id: None,
            used: None,
            provider: Part::Unknown,
            role: Part::Unknown,
            generation: None,
            answered: None,
            visited: false,
            failures: 0,
            failing: None,
            delay: Duration::ZERO,
            settling: Settling::default(),
            role_made: None,
            hidden_since: None,
            pending: Vec::new(),
            gone: false,
            skipped: false,
            unreached: false,
            visited_by: None,
        }
    }

    /// What a former process wrote down. Its reason stays text, so only Ready is believed.
    pub(super) fn from_status(entry: &AccountStatus, status: &PortAwsIntegrationStatus) -> Self {
        let mut memory = Self::new();
        memory.claimed = entry.claimed;
        memory.removal_confirmed = entry.removal_confirmed;
        memory.role_id.clone_from(&entry.role_id);
        memory.used = entry.used;
        if entry.state == AccountState::Ready {
            (memory.state, memory.reason) = (AccountState::Ready, Reason::Ready);
            (memory.provider, memory.role) = (Part::Good, Part::Good);
            memory.generation = status.observed_generation;
            memory.answered.clone_from(&status.last_handled_reconcile_at);
            memory.message.clone_from(&entry.message);
            if entry.message.is_some() {
                // A note on a role that is ready; the next visit finds it again.
                memory.reason = Reason::ForeignInlinePolicy;
            }
        } else if entry.state == AccountState::Removed {
            (memory.state, memory.reason) = (AccountState::Removed, Reason::NoLongerTarget);
        } else if entry.state == AccountState::AccountSuspended {
            (memory.state, memory.reason) = (AccountState::AccountSuspended, Reason::AccountSuspended);
            memory.message.clone_from(&entry.message);
        }
        memory
    }

    /// Forgets all but what may be in AWS: the account is a target anew.
    pub(super) fn begin_anew(&mut self) {
        let (claimed, role_id, role_made) = (self.claimed, self.role_id.take(), self.role_made);
        *self = Self { claimed, role_id, role_made, ..Self::new() };
    }

    /// It is not visited, and why is known without a visit. One that discovery found does not count.
    pub(super) fn leave_alone(
        &mut self,
        state: AccountState,
        message: String,
        discovered: bool,
        requested_at: Option<&String>,
    ) {
        let reason = if state == AccountState::NotAllowed { Reason::NotAllowed } else { Reason::AccountSuspended };
        (self.state, self.reason, self.message) = (state, reason, Some(message));
        self.failing = Some(Disposition::Waiting);
        self.delay = Duration::MAX;
        self.visited = true;
        self.skipped = discovered;
        self.answered = requested_at.cloned();
    }

    /// Whether a role that IAM does not show may be there all the same.
    pub(super) fn may_be_hidden(&self, now: Duration) -> bool {
        self.role_made.is_some_and(|at| now < at + SETTLE_TIME)
    }

    /// Forgets the failures: what is wanted, or who may do it, has changed.
    pub(super) fn start_afresh(&mut self) {
        self.failures = 0;
        self.hidden_since = None;
        self.settling.clear();
    }
}
