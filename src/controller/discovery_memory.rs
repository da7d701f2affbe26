//! What this process remembers of the discovery of one resource.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::ResourceExt;

use super::{access_version::AccessVersion, account_memory::AccountMemory, failure::Failure};
use crate::{
    api::{AccountState, Discovery, PortAwsIntegration, PortAwsIntegrationStatus, REQUESTED_AT, Reason},
    clock::jitter,
    domain::AccountId,
    plan::{Listing, MOST_ACCOUNTS, Membership, Refusal, select},
    schedule::{Disposition, poll_delay, retry_delay},
};

/// Two answers a little less than an interval apart are an interval apart: checks are moved by a tenth.
const APART: f64 = 0.85;
/// Before AWS's word for the state of an account that is left out.
const LEFT_OUT: &str = "AWS Organizations calls it ";

/// What an answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) discovery: Discovery,
    requested_at: Option<String>,
}

impl Question {
    pub(super) fn of(object: &PortAwsIntegration) -> Option<Self> {
        let discovery = object.spec.discovery.clone()?;
        Some(Self { discovery, requested_at: object.annotations().get(REQUESTED_AT).cloned() })
    }
}

/// What is remembered of the discovery of one resource.
#[derive(Debug, Default)]
pub(super) struct DiscoveryMemory {
    pub(super) members: Membership,
    /// Why the last try gave no answer that was believed, and how long until the next.
    pub(super) failure: Option<(Failure, Duration)>,
    /// What was last answered.
    answered: Option<Question>,
    /// What was last tried.
    tried: Option<Question>,
    failures: u32,
    due: Duration,
    /// Whether a try is under way.
    busy: bool,
    /// The access object by which it was last tried.
    tried_by: Option<AccessVersion>,
}

impl DiscoveryMemory {
    /// Starts with the accounts that the resource has: those of a former process, or of a list that
    /// discovery takes the place of.
    pub(super) fn begin(accounts: &BTreeMap<AccountId, AccountMemory>, object: &PortAwsIntegration) -> Self {
        let left_out: BTreeMap<AccountId, String> = accounts
            .iter()
            .filter(|(_, account)| account.state == AccountState::AccountSuspended)
            .map(|(id, account)| (id.clone(), word_of(account.message.as_deref()).to_owned()))
            .collect();
        let goes_on = |id: &AccountId, state| state != AccountState::Removed && !left_out.contains_key(id);
        let active = accounts.iter().filter(|(id, account)| goes_on(id, account.state));
        let active: BTreeSet<AccountId> = active.map(|(id, _)| id.clone()).collect();
        let mut found = Self { members: Membership::new(active, left_out), ..Self::default() };
        if let Some(status) = object.status.as_ref().filter(|status| was_resolved(status, object)) {
            let requested_at = status.last_handled_reconcile_at.clone();
            found.answered = Question::of(object).map(|question| Question { requested_at, ..question });
        }
        found
    }

    /// Whether the members are those of the spec that the object has now.
    pub(super) fn is_resolved(&self, discovery: Option<&Discovery>) -> bool {
        self.answered.as_ref().map(|answered| &answered.discovery) == discovery
    }

    /// Whether a try for a request by annotation has ended, be it without an answer.
    pub(super) fn has_tried(&self, requested_at: Option<&String>) -> bool {
        let of = |question: &Option<Question>| question.as_ref().and_then(|it| it.requested_at.clone());
        !self.busy && (of(&self.tried).as_ref() == requested_at || of(&self.answered).as_ref() == requested_at)
    }

    /// The access object has changed: what failed may work now, and the rest is looked at by and by.
    pub(super) fn start_afresh(&mut self, now: Duration, within: Duration) {
        let wait = if self.failure.is_some() { Duration::ZERO } else { within };
        self.failures = 0;
        self.due = self.due.min(now + wait);
    }

    /// Whether it was tried by an access object as that is now.
    pub(super) fn was_tried_by(&self, access: &AccessVersion) -> bool {
        self.tried_by.as_ref() == Some(access)
    }

    /// All accounts that discovery stands for.
    pub(super) fn accounts(&self) -> BTreeSet<AccountId> {
        self.members.active().iter().chain(self.members.left_out().keys()).cloned().collect()
    }

    /// Whether discovery stands for an account.
    pub(super) fn has(&self, account: &AccountId) -> bool {
        self.members.active().contains(account) || self.members.left_out().contains_key(account)
    }

    /// Starts a try, if it is time to and none is under way.
    ///
    /// # Errors
    /// The wait until it may be; none if that is when the one under way has ended.
    pub(super) fn start(&mut self, question: &Question, now: Duration) -> Result<(), Option<Duration>> {
        if self.busy {
            return Err(None);
        }
        let new = self.tried.as_ref() != Some(question);
        if !new && now < self.due {
            return Err(Some(self.due.saturating_sub(now)));
        }
        if new {
            self.failures = 0;
        }
        self.tried = Some(question.clone());
        self.busy = true;
        Ok(())
    }

    /// The try under way is of no use: what is asked has changed.
    pub(super) fn drop_try(&mut self) {
        self.busy = false;
    }

    /// Takes what a try brought.
    pub(super) fn take(
        &mut self,
        question: Question,
        by: AccessVersion,
        answer: Result<Listing, Failure>,
        interval: Duration,
        now: Duration,
    ) {
        self.busy = false;
        self.tried_by = Some(by);
        let last = self.answered.as_ref().and_then(|answered| answered.requested_at.as_ref());
        let asked_for = question.requested_at.is_some() && last != question.requested_at.as_ref();
        let apart = if asked_for { Duration::ZERO } else { interval.mul_f64(APART) };
        let believed = answer.and_then(|listing| {
            let taken = self.members.take(select(&question.discovery, &listing), now, apart);
            taken.map_err(|refusal| refused(refusal, &question.discovery))
        });
        let poll = poll_delay(interval, jitter());
        let wait = match believed {
            Ok(()) => {
                (self.failures, self.failure) = (0, None);
                self.answered = Some(question);
                poll
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                let failures = self.failures + if failure.decided { 2 } else { 0 };
                let wait = retry_delay(failure.disposition, failures, jitter()).min(poll.max(Duration::from_secs(300)));
                self.failure = Some((failure, wait));
                wait
            }
        };
        self.due = now + wait;
    }
}

/// What the status says of an account that is left out.
pub(super) fn left_out_message(word: &str) -> String {
    format!("{LEFT_OUT}{word}")
}

fn word_of(message: Option<&str>) -> &str {
    message.and_then(|message| message.strip_prefix(LEFT_OUT)).unwrap_or("not ACTIVE")
}

/// Whether a former process had found the accounts of this very spec: nothing is ready before that.
fn was_resolved(status: &PortAwsIntegrationStatus, object: &PortAwsIntegration) -> bool {
    let resolved = |condition: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        ["AccountsResolved", "Ready"].contains(&condition.type_.as_str()) && condition.status == "True"
    };
    status.observed_generation == object.metadata.generation && status.conditions.iter().any(|it| resolved(&it))
}

fn refused(refusal: Refusal, discovery: &Discovery) -> Failure {
    let (reason, message) = match refusal {
        Refusal::Empty => (
            Reason::NothingDiscovered,
            format!(
                "no ACTIVE account found under {} with scope {:?}, so nothing is changed",
                discovery.organizational_unit_ids.join(", "),
                discovery.scope
            ),
        ),
        Refusal::TooMany(found) => (
            Reason::TooManyAccounts,
            format!(
                "{found} accounts found, and one resource takes {MOST_ACCOUNTS}: use several, each with other units"
            ),
        ),
    };
    Failure {
        state: AccountState::Failed,
        reason,
        message,
        disposition: Disposition::Waiting,
        decided: true,
        unreached: false,
    }
}
