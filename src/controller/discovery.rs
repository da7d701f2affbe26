//! Discovery: when AWS Organizations is asked for the accounts of a resource, and what becomes of its
//! answer. Asking is no part of a reconcile: it may take minutes where there are many units.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    context::Context,
    gate::for_one_account,
    memory::{Asked, ResourceMemory},
    report::Failure,
};
use crate::{
    api::{AccountState, Discovery, PortAwsAccess, PortAwsIntegration, PortAwsIntegrationStatus, Reason},
    clock::jitter,
    domain::{AccountId, Owner},
    plan::{Listing, MOST_ACCOUNTS, Membership, Refusal, select},
    schedule::{Disposition, poll_delay, retry_delay},
    telemetry::metrics::Word,
};

/// Longest discovery. At 5 calls a second it is enough for an organization of 2,000 accounts in 500 units.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Discoveries that run at once.
pub(super) const AT_ONCE: usize = 4;
/// Two answers a little less than an interval apart are an interval apart: checks are moved by a tenth.
const APART: f64 = 0.85;
/// Before AWS's word for the state of an account that is left out.
const LEFT_OUT: &str = "AWS Organizations calls it ";

/// What an answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    discovery: Discovery,
    requested_at: Option<String>,
}

impl Question {
    fn of(object: &PortAwsIntegration) -> Option<Self> {
        let discovery = object.spec.discovery.clone()?;
        Some(Self { discovery, requested_at: Asked::of(object).requested_at })
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
    /// While a try is under way: when it is over at the latest.
    busy_until: Option<Duration>,
}

impl DiscoveryMemory {
    /// Starts with the accounts that the resource has: those of a former process, or of a list that
    /// discovery takes the place of.
    pub(super) fn begin(memory: &ResourceMemory, object: &PortAwsIntegration) -> Self {
        let left_out: BTreeMap<AccountId, String> = memory
            .accounts
            .iter()
            .filter(|(_, account)| account.state == AccountState::AccountSuspended)
            .map(|(id, account)| (id.clone(), word_of(account.message.as_deref()).to_owned()))
            .collect();
        let goes_on = |id: &AccountId, state| state != AccountState::Removed && !left_out.contains_key(id);
        let active = memory.accounts.iter().filter(|(id, account)| goes_on(id, account.state));
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

    /// The request by annotation that was last answered.
    pub(super) fn requested_at(&self) -> Option<&String> {
        self.answered.as_ref()?.requested_at.as_ref()
    }

    /// The access object has changed: what failed may work now, and the rest is looked at by and by.
    pub(super) fn start_afresh(&mut self, now: Duration, within: Duration) {
        let wait = if self.failure.is_some() { Duration::ZERO } else { within };
        self.failures = 0;
        self.due = self.due.min(now + wait);
    }

    /// All accounts that discovery stands for.
    pub(super) fn accounts(&self) -> BTreeSet<AccountId> {
        self.members.active().iter().chain(self.members.left_out().keys()).cloned().collect()
    }

    fn take(&mut self, question: Question, answer: Result<Listing, Failure>, interval: Duration, now: Duration) {
        self.busy_until = None;
        let asked_for = question.requested_at.is_some() && self.requested_at() != question.requested_at.as_ref();
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

/// Asks AWS Organizations if it is time to. Gives the wait until it is.
pub(super) fn attend(
    context: &Arc<Context>,
    resource: &Owner,
    object: &PortAwsIntegration,
    access: &Arc<PortAwsAccess>,
) -> Option<Duration> {
    let question = Question::of(object)?;
    let now = context.clock.now();
    {
        let mut resources = context.resources();
        let discovery = resources.get_mut(resource)?.discovery.as_mut()?;
        if let Some(until) = discovery.busy_until.filter(|until| now < *until) {
            return Some(until.saturating_sub(now));
        }
        let new = discovery.tried.as_ref() != Some(&question);
        if !new && now < discovery.due {
            return Some(discovery.due.saturating_sub(now));
        }
        if new {
            discovery.failures = 0;
        }
        discovery.tried = Some(question.clone());
        discovery.busy_until = Some(now + TIMEOUT + Duration::from_secs(1));
    }
    let (context, access, object) = (Arc::clone(context), Arc::clone(access), for_one_account(object));
    let resource = resource.clone();
    tokio::spawn(async move {
        let answer = context.ask(&resource, &question.discovery, &access).await;
        context.record(&resource, &object, question, answer).await;
    });
    Some(TIMEOUT)
}

impl Context {
    async fn ask(&self, resource: &Owner, discovery: &Discovery, access: &PortAwsAccess) -> Result<Listing, Failure> {
        let asking = async {
            // It fails only if it was closed, which nobody does.
            let _turn = self.discoveries.acquire().await;
            let api = self.organizations(access, resource).await.map_err(|error| {
                tracing::warn!(%resource, %error, "AWS Organizations cannot be reached");
                Failure::from(&error)
            })?;
            match api.list(&discovery.organizational_unit_ids).await {
                Ok(listing) => Ok(listing),
                Err(error) => Err(self.aws_failure(resource, api.account(), &error).await),
            }
        };
        let timed_out = || Failure {
            state: AccountState::Failed,
            reason: Reason::Unreachable,
            message: format!("AWS Organizations gave no answer in {} s", TIMEOUT.as_secs()),
            disposition: Disposition::Transient,
            decided: false,
            unreached: true,
        };
        tokio::time::timeout(TIMEOUT, asking).await.unwrap_or_else(|_| Err(timed_out()))
    }

    async fn record(
        &self,
        resource: &Owner,
        object: &PortAwsIntegration,
        question: Question,
        answer: Result<Listing, Failure>,
    ) {
        let now = self.clock.now();
        let still_asked = self.with_object(resource, Question::of).flatten().as_ref() == Some(&question);
        let failure = {
            let mut resources = self.resources();
            let memory = resources.get_mut(resource).filter(|memory| Some(&memory.uid) == object.metadata.uid.as_ref());
            let Some(discovery) = memory.and_then(|memory| memory.discovery.as_mut()) else { return };
            if !still_asked {
                // An answer to what is no longer asked could bring accounts that nobody wants now.
                discovery.busy_until = None;
                drop(resources);
                self.metrics.discovered("Outdated");
                return self.reconcile_soon(resource);
            }
            let before = discovery.accounts();
            discovery.take(question, answer, object.spec.interval.into(), now);
            let after = discovery.accounts();
            tracing::info!(
                %resource,
                accounts = after.len(),
                joined = after.difference(&before).count(),
                left = before.difference(&after).count(),
                missing = discovery.members.missing(),
                answered = discovery.failure.is_none(),
                "AWS Organizations was asked"
            );
            discovery.failure.as_ref().map(|(failure, _)| failure.clone())
        };
        self.metrics.discovered(failure.as_ref().map_or(Word::OK, |failure| failure.reason.into()));
        let note = failure.map(|failure| (failure.reason, format!("{NOTE}{}", failure.message)));
        let still = |reason, text: &str| note.as_ref().is_some_and(|(r, note)| *r == reason && note == text);
        self.events.forget(object, |reason, text| text.starts_with(NOTE) && !still(reason, text));
        if let Some((reason, note)) = &note {
            self.events.state(object, *reason, note).await;
        }
        self.reconcile_soon(resource);
    }
}

/// What every note of discovery begins with.
const NOTE: &str = "discovery: ";
