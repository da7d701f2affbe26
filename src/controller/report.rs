//! What a pass has to say of its account, and how that changes what is remembered.

use std::time::Duration;

use super::{
    account_memory::{AccountMemory, Part},
    failure::Failure,
};
use crate::{
    api::{AccountState, Reason, Use},
    plan::{Note, Plan},
    schedule::{Disposition, poll_delay, retry_delay},
};

/// How long IAM may say that a role exists and not show it, before that counts as a name that is
/// taken, by another case or path.
const HIDDEN_PATIENCE: Duration = Duration::from_secs(120);
/// How soon an account that is not ready is looked at again while a write of ours is not visible.
const UNSETTLED_RETRY: Duration = Duration::from_secs(5);
/// A missing policy may be about to appear; after this many tries somebody has to look.
const NOT_FOUND_PATIENCE: u32 = 6;

/// The result of a pass that came to an end.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Why the provider is not as wanted.
    pub(super) provider: Option<Failure>,
    /// Why the role is not as wanted.
    pub(super) role: Option<Failure>,
    /// Why the account could not be read at all.
    pub(super) account: Option<Failure>,
    pub(super) notes: Vec<Note>,
    pub(super) role_id: Option<String>,
    pub(super) used: Option<Use>,
    /// Whether this pass made the role.
    pub(super) created: bool,
    /// Observe: what Enforce would change.
    pub(super) pending: Vec<String>,
    /// Something is not visible yet; how long until it is believed.
    pub(super) unsettled: Option<Duration>,
}

impl Report {
    pub(super) fn failed(failure: Failure) -> Self {
        Self { account: Some(failure), ..Self::default() }
    }

    /// Takes over what the plan alone says.
    pub(super) fn of_plan(plan: &Plan) -> Self {
        Self {
            provider: plan.provider.as_ref().map(Failure::from),
            role: plan.role.as_ref().map(Failure::from),
            notes: plan.notes.clone(),
            ..Self::default()
        }
    }

    /// The failure that speaks for the account.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.account.as_ref().or(self.role.as_ref()).or(self.provider.as_ref())
    }

    /// Changes what is remembered of the account, and gives the wait until the next visit.
    /// `interval` is the resource's; `jitter` is from 0 to 1; `now` is the time since the start.
    pub(super) fn remember(
        self,
        account: &mut AccountMemory,
        interval: Duration,
        jitter: f64,
        now: Duration,
    ) -> Duration {
        account.visited = true;
        account.unreached = self.failure().is_some_and(|failure| failure.unreached);
        account.pending.clone_from(&self.pending);
        // A reading that does not show what we made says nothing new of it.
        let unsettled = self.unsettled.is_some() && self.failure().is_none();
        if self.account.is_none() && (self.used.is_some() || !unsettled) {
            account.role_id.clone_from(&self.role_id);
            account.used = self.used;
        }
        if self.account.is_none() && !unsettled {
            account.provider = part(self.provider.as_ref());
            account.role = part(self.role.as_ref().or(self.provider.as_ref()));
        }
        let Some(failure) = self.failure().cloned() else {
            account.failures = 0;
            account.failing = None;
            account.hidden_since = None;
            return self.remember_success(account, interval, jitter);
        };
        account.failures = account.failures.saturating_add(1);
        let failure = escalate(failure, account, now);
        let poll = poll_delay(interval, jitter);
        // What we decided ourselves is looked at more rarely: a change in the cluster comes at once.
        let failures = account.failures + if failure.decided { 2 } else { 0 };
        account.delay = retry_delay(failure.disposition, failures, jitter).min(poll.max(Duration::from_secs(5 * 60)));
        account.failing = Some(failure.disposition);
        // That it is no target any more outlasts a failed removal: what becomes of its role depends on it.
        if account.state != AccountState::Removed {
            account.state = failure.state;
        }
        (account.reason, account.message) = (failure.reason, Some(failure.message));
        account.delay
    }

    fn remember_success(self, account: &mut AccountMemory, interval: Duration, jitter: f64) -> Duration {
        let poll = poll_delay(interval, jitter);
        account.delay = self.unsettled.map_or(poll, |wait| wait.min(poll));
        if self.unsettled.is_some() && account.state != AccountState::Ready {
            (account.state, account.reason) = (AccountState::Pending, Reason::NotSettled);
            account.message = None;
            account.delay = account.delay.min(UNSETTLED_RETRY);
            return account.delay;
        }
        if !self.pending.is_empty() {
            account.failing = Some(Disposition::Waiting);
            account.delay = poll;
            (account.state, account.reason) = (AccountState::Drifted, Reason::Drifted);
            account.message = Some(format!(
                "mode is Observe: {} changes are not made, see status.pendingChanges",
                self.pending.len()
            ));
            account.role = Part::Bad(Reason::Drifted, "AWS differs from what is wanted".to_owned());
            return poll;
        }
        let note = self.notes.into_iter().next();
        account.state = AccountState::Ready;
        account.reason = note.as_ref().map_or(Reason::Ready, |note| note.reason);
        account.message = note.map(|note| note.message);
        account.delay
    }
}

fn part(failure: Option<&Failure>) -> Part {
    failure.map_or(Part::Good, |failure| Part::Bad(failure.reason, failure.message.clone()))
}

/// Some failures mean something else once they have lasted.
fn escalate(mut failure: Failure, account: &mut AccountMemory, now: Duration) -> Failure {
    if failure.reason == Reason::ConcurrentChange && failure.disposition == Disposition::Conflict {
        let since = *account.hidden_since.get_or_insert(now);
        if now.saturating_sub(since) >= HIDDEN_PATIENCE {
            failure.state = AccountState::Conflict;
            failure.reason = Reason::RoleNameTaken;
            failure.disposition = Disposition::Waiting;
            failure.message = String::from(
                "IAM says that the role exists and does not show it: another case or path of its name is taken",
            );
        }
    } else {
        account.hidden_since = None;
    }
    let lasting = account.failures > NOT_FOUND_PATIENCE;
    if lasting && matches!(failure.reason, Reason::NotFoundInAccount | Reason::InvalidRequest) {
        failure.disposition = Disposition::Waiting;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30 * 60);

    fn failure(reason: Reason, disposition: Disposition) -> Failure {
        Failure {
            state: AccountState::failed(reason),
            reason,
            message: "why".to_owned(),
            disposition,
            decided: false,
            unreached: false,
        }
    }

    fn failed(account: &mut AccountMemory, reason: Reason, disposition: Disposition, at: u64) -> Duration {
        Report::failed(failure(reason, disposition)).remember(account, INTERVAL, 0.0, Duration::from_secs(at))
    }

    #[test]
    fn a_name_that_exists_and_is_not_shown_counts_as_taken_after_two_minutes() {
        let mut account = AccountMemory::new();
        let (reason, disposition) = (Reason::ConcurrentChange, Disposition::Conflict);
        assert_eq!(failed(&mut account, reason, disposition, 100), Duration::from_secs(2));
        assert_eq!((account.state, account.reason), (AccountState::Failed, Reason::ConcurrentChange));
        failed(&mut account, reason, disposition, 219);
        assert_eq!(account.reason, Reason::ConcurrentChange);
        assert!(failed(&mut account, reason, disposition, 220) >= Duration::from_secs(300));
        assert_eq!((account.state, account.reason), (AccountState::Conflict, Reason::RoleNameTaken));
        failed(&mut account, Reason::Throttled, Disposition::Transient, 230);
        assert_eq!(account.hidden_since, None);
    }

    #[test]
    fn what_was_decided_here_is_looked_at_more_rarely_than_what_aws_refuses() {
        let (mut denied, mut conflict) = (AccountMemory::new(), AccountMemory::new());
        let delay = failed(&mut denied, Reason::AccessDenied, Disposition::Waiting, 0);
        assert_eq!((delay, denied.state), (Duration::from_secs(60), AccountState::Denied));
        let decided = Failure { decided: true, ..failure(Reason::RoleNameTaken, Disposition::Waiting) };
        let delay = Report::failed(decided).remember(&mut conflict, INTERVAL, 0.0, Duration::ZERO);
        assert_eq!((delay, conflict.state), (Duration::from_secs(300), AccountState::Conflict));
    }

    #[test]
    fn a_policy_that_stays_missing_waits_for_somebody() {
        let mut account = AccountMemory::new();
        for _ in 0..6 {
            failed(&mut account, Reason::NotFoundInAccount, Disposition::Transient, 0);
            assert_eq!(account.failing, Some(Disposition::Transient));
        }
        failed(&mut account, Reason::NotFoundInAccount, Disposition::Transient, 0);
        assert_eq!(account.failing, Some(Disposition::Waiting));
    }

    #[test]
    fn a_write_that_is_not_visible_yet_leaves_a_ready_account_ready() {
        let mut account = AccountMemory::new();
        Report::default().remember(&mut account, INTERVAL, 0.5, Duration::ZERO);
        assert_eq!((account.state, account.delay), (AccountState::Ready, INTERVAL));
        let unsettled = || Report { unsettled: Some(Duration::from_secs(40)), ..Report::default() };
        assert_eq!(unsettled().remember(&mut account, INTERVAL, 0.5, Duration::ZERO), Duration::from_secs(40));
        assert_eq!(account.state, AccountState::Ready);
        let mut fresh = AccountMemory::new();
        unsettled().remember(&mut fresh, INTERVAL, 0.5, Duration::ZERO);
        assert_eq!((fresh.state, fresh.reason), (AccountState::Pending, Reason::NotSettled));
    }

    #[test]
    fn observe_reports_what_it_would_change() {
        let mut account = AccountMemory::new();
        let report = Report { pending: vec!["create role x".to_owned()], ..Report::default() };
        report.remember(&mut account, INTERVAL, 0.5, Duration::ZERO);
        assert_eq!((account.state, account.reason), (AccountState::Drifted, Reason::Drifted));
        assert_eq!(account.pending, ["create role x"]);
    }
}
