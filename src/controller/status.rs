//! The status of a resource, computed from what is remembered. Pure: the same memory gives the same
//! status, so that nothing is written when nothing has changed.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};

use super::{
    account_memory::{AccountMemory, Part},
    memory::ResourceMemory,
};
use crate::{
    api::{
        AccountCounts, AccountState, AccountStatus, ConditionStatus, ConditionType, Conditions, PendingChange,
        PortAwsIntegrationSpec, PortAwsIntegrationStatus, Reason, TrustStatus, Use, cut,
    },
    domain::AccountId,
};

/// A failure whose next try is at least this far off counts as stalled.
const STALLED_AFTER: Duration = Duration::from_secs(4 * 60);
const MESSAGE_BYTES: usize = 160;
const MESSAGES: usize = 100;
const ARNS_UP_TO: usize = 50;
const CHANGES_PER_ACCOUNT: usize = 5;
const CHANGES: usize = 100;
/// Accounts that the Ready message names.
const NAMED: usize = 3;

/// What kind of answer the resource gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    /// Accounts are visited.
    Active,
    /// `spec.suspend`.
    Suspended,
    /// Somebody has to change something in the cluster first.
    Refused(Reason, String),
    /// The access object is missing, but for less than 5 minutes.
    AccessMissing(String),
    /// Being deleted, and blocked if there is a reason.
    Deleting(Option<(Reason, String)>),
}

/// All that a status is computed from.
pub(super) struct Input<'a> {
    pub(super) spec: &'a PortAwsIntegrationSpec,
    pub(super) generation: i64,
    pub(super) former: &'a PortAwsIntegrationStatus,
    pub(super) memory: &'a ResourceMemory,
    pub(super) targets: &'a BTreeSet<AccountId>,
    pub(super) view: View,
    pub(super) now: Timestamp,
}

type Entry<'a> = (&'a AccountId, &'a AccountMemory);

impl Input<'_> {
    /// The status.
    pub(super) fn status(&self) -> PortAwsIntegrationStatus {
        let accounts: Vec<AccountStatus> = self.accounts();
        let counts = self.counts(&accounts);
        let role_arn_format = format!("arn:aws:iam::${{accountId}}:role/{}", self.spec.role_name());
        let connected = accounts.iter().filter(|account| account.is_connected());
        let role_arns = if accounts.len() <= ARNS_UP_TO {
            connected.map(|account| role_arn_format.replace("${accountId}", &account.id)).collect()
        } else {
            Vec::new()
        };
        PortAwsIntegrationStatus {
            observed_generation: Some(self.generation),
            conditions: self.conditions(counts),
            trust: Some(TrustStatus {
                issuer: self.spec.oidc_provider.url.clone(),
                audience: self.spec.oidc_provider.client_id.clone(),
                subject: self.spec.subject(),
            }),
            role_arn_format: Some(role_arn_format),
            role_arns,
            accounts,
            account_counts: Some(counts),
            pending_changes: self.pending_changes(),
            last_handled_reconcile_at: self.answered(),
            last_handled_removal_word: self.memory.removal_word.clone(),
        }
    }

    /// The accounts that count.
    fn entries(&self) -> Vec<Entry<'_>> {
        let counts = |(id, account): &Entry<'_>| self.targets.contains(*id) && !account.skipped;
        self.memory.accounts.iter().filter(counts).collect()
    }

    /// An account that was not brought to this generation yet is pending, whatever it was before.
    fn is_pending(&self, account: &AccountMemory) -> bool {
        let waits = account.generation != Some(self.generation) && account.failing.is_none();
        account.state == AccountState::Pending
            || (waits && matches!(account.state, AccountState::Ready | AccountState::Drifted))
    }

    fn accounts(&self) -> Vec<AccountStatus> {
        let mut messages = 0;
        let deleting = matches!(self.view, View::Deleting(_));
        let entry = |(id, account): Entry<'_>| {
            let pending = !deleting && self.view == View::Active && self.is_pending(account);
            let (state, reason) =
                if pending { (AccountState::Pending, Reason::Pending) } else { (account.state, account.reason) };
            messages += usize::from(account.message.is_some());
            let message = account.message.as_deref().filter(|_| !pending && messages <= MESSAGES);
            AccountStatus {
                id: id.to_string(),
                state,
                reason: reason.to_string(),
                message: message.map(|text| cut(text, MESSAGE_BYTES)),
                claimed: account.claimed,
                removal_confirmed: account.removal_confirmed,
                role_id: account.role_id.clone(),
                used: account.used,
            }
        };
        self.memory.accounts.iter().map(entry).collect()
    }

    fn counts(&self, accounts: &[AccountStatus]) -> AccountCounts {
        let count = |states: &[AccountState]| {
            let matching = accounts.iter().filter(|account| states.contains(&account.state));
            i32::try_from(matching.count()).unwrap_or(i32::MAX)
        };
        let removed = count(&[AccountState::Removed]);
        let skipped = if self.spec.discovery.is_some() {
            count(&[AccountState::NotAllowed, AccountState::AccountSuspended])
        } else {
            0
        };
        let total = i32::try_from(accounts.len()).unwrap_or(i32::MAX) - removed - skipped;
        let (ready, pending) = (count(&[AccountState::Ready]), count(&[AccountState::Pending]));
        AccountCounts { total, ready, failed: total - ready - pending, skipped }
    }

    fn conditions(&self, counts: AccountCounts) -> Vec<Condition> {
        let mut conditions = Conditions::new(&self.former.conditions, self.generation, self.now);
        self.overall(counts, &mut conditions);
        self.resolved(counts, &mut conditions);
        let entries = self.entries();
        part(ConditionType::OIDCProviderReady, &entries, |account| &account.provider, &mut conditions);
        part(ConditionType::RoleReady, &entries, |account| &account.role, &mut conditions);
        in_use(&entries, &mut conditions);
        conditions.finish()
    }

    /// Ready, and one of Reconciling and Stalled where it is not.
    fn overall(&self, counts: AccountCounts, conditions: &mut Conditions<'_>) {
        use ConditionStatus::{False, True, Unknown};
        use ConditionType::{Ready, Reconciling, Stalled};
        match &self.view {
            View::Suspended => {
                conditions.set(
                    Ready,
                    Unknown,
                    Reason::Suspended,
                    "spec.suspend is set: AWS is neither read nor written",
                );
            }
            View::Refused(reason, message) => {
                conditions.set(Ready, False, *reason, message);
                conditions.set(Stalled, True, *reason, message);
            }
            View::AccessMissing(message) => {
                conditions.set(Ready, False, Reason::AccessNotFound, message);
                conditions.set(Reconciling, True, Reason::AccessNotFound, message);
            }
            View::Deleting(None) => {
                let message = "what the operator made in AWS is being removed";
                conditions.set(Ready, False, Reason::Deleting, message);
                conditions.set(Reconciling, True, Reason::Deleting, message);
            }
            View::Deleting(Some((reason, message))) => {
                let message = format!(
                    "{reason}: {message}. To give up and leave it behind, annotate integrations.port.io/abandon=true"
                );
                conditions.set(Ready, False, Reason::DeletionBlocked, &message);
                conditions.set(Stalled, True, Reason::DeletionBlocked, &message);
            }
            View::Active => self.active(counts, conditions),
        }
    }

    fn active(&self, counts: AccountCounts, conditions: &mut Conditions<'_>) {
        use ConditionStatus::{False, True, Unknown};
        use ConditionType::{Ready, Reconciling, Stalled};
        let entries = self.entries();
        let failing: Vec<Entry<'_>> = entries
            .iter()
            .copied()
            .filter(|(_, account)| account.state != AccountState::Ready && !self.is_pending(account))
            .collect();
        let pending = entries.iter().any(|(_, account)| self.is_pending(account));
        let progress = progress(counts);
        if let Some((reason, message, stalls)) = self.unresolved(counts) {
            let first = entries.iter().all(|(_, account)| account.generation.is_none());
            let status = if first && reason == Reason::Discovering { Unknown } else { False };
            conditions.set(Ready, status, reason, &message);
            let (kind, reason) = if stalls { (Stalled, reason) } else { (Reconciling, reason) };
            return conditions.set(kind, True, reason, &message);
        }
        if failing.is_empty() && pending {
            let first = entries.iter().all(|(_, account)| account.generation.is_none());
            let status = if first { Unknown } else { False };
            conditions.set(Ready, status, Reason::Provisioning, &progress);
            conditions.set(Reconciling, True, Reason::Provisioning, &progress);
            return;
        }
        if failing.is_empty() {
            conditions.set(Ready, True, Reason::Ready, &progress);
            return;
        }
        let message = format!("{progress}; {}", name_first(&failing));
        let reason = failing.first().map_or(Reason::AccountsFailing, |(_, account)| account.reason);
        conditions.set(Ready, False, reason, &message);
        let stalls = |account: &AccountMemory| {
            account.failing.is_some_and(crate::schedule::Disposition::stalls) && account.delay >= STALLED_AFTER
        };
        if !pending && failing.iter().all(|(_, account)| stalls(account)) {
            conditions.set(Stalled, True, Reason::AccountsFailing, &message);
        } else {
            conditions.set(Reconciling, True, Reason::Retrying, &message);
        }
    }

    /// Why it is not known which accounts there are, or why none of them counts; and whether that stalls.
    fn unresolved(&self, counts: AccountCounts) -> Option<(Reason, String, bool)> {
        let discovery = self.memory.discovery.as_ref()?;
        if discovery.is_resolved(self.spec.discovery.as_ref()) {
            let none = counts.total == 0;
            let message = || format!("no account can be connected: all {} found are skipped", counts.skipped);
            return none.then(|| (Reason::AllSkipped, message(), true));
        }
        match &discovery.failure {
            Some((failure, wait)) => {
                let stalls = failure.disposition.stalls() && *wait >= STALLED_AFTER;
                Some((failure.reason, failure.message.clone(), stalls))
            }
            None => Some((Reason::Discovering, "AWS Organizations is being asked".to_owned(), false)),
        }
    }

    fn resolved(&self, counts: AccountCounts, conditions: &mut Conditions<'_>) {
        let discovery = self.memory.discovery.as_ref();
        let failure = discovery.and_then(|discovery| discovery.failure.as_ref());
        let (status, reason, message) = match &self.view {
            View::Refused(reason, message) => (ConditionStatus::False, *reason, message.clone()),
            View::AccessMissing(message) => (ConditionStatus::False, Reason::AccessNotFound, message.clone()),
            _ => match (failure, discovery) {
                (Some((failure, _)), _) => (ConditionStatus::False, failure.reason, failure.message.clone()),
                (None, Some(discovery)) if !discovery.is_resolved(self.spec.discovery.as_ref()) => {
                    (ConditionStatus::Unknown, Reason::Discovering, "AWS Organizations is being asked".to_owned())
                }
                (None, Some(discovery)) => {
                    (ConditionStatus::True, Reason::Resolved, found(counts, discovery.members.missing()))
                }
                (None, None) => (ConditionStatus::True, Reason::Resolved, accounts(counts.total)),
            },
        };
        conditions.set(ConditionType::AccountsResolved, status, reason, &message);
    }

    fn pending_changes(&self) -> Vec<PendingChange> {
        let of_account = |(id, account): Entry<'_>| {
            let more = account.pending.len().saturating_sub(CHANGES_PER_ACCOUNT);
            let rest = (more > 0).then(|| format!("and {more} more"));
            let changes = account.pending.iter().take(CHANGES_PER_ACCOUNT).cloned().chain(rest);
            changes
                .map(|change| PendingChange { account: id.to_string(), change: cut(&change, 512) })
                .collect::<Vec<_>>()
        };
        self.entries().into_iter().flat_map(of_account).take(CHANGES).collect()
    }

    /// A request is answered once AWS Organizations was asked, if that is where the accounts come from, and
    /// every target was visited for it; with success or without.
    fn answered(&self) -> Option<String> {
        let asked = self.memory.asked.as_ref().and_then(|asked| asked.requested_at.clone());
        let entries = self.entries();
        let discovery = self.memory.discovery.as_ref();
        // An answer may have come in since the targets were taken from it.
        let discovered = discovery.is_none_or(|it| it.has_tried(asked.as_ref()) && it.accounts() == *self.targets);
        let visited = entries.iter().all(|(_, account)| account.answered == asked);
        if visited && discovered && asked.is_some() { asked } else { self.former.last_handled_reconcile_at.clone() }
    }
}

fn progress(counts: AccountCounts) -> String {
    let skipped = if counts.skipped == 0 { String::new() } else { format!(", {} skipped", counts.skipped) };
    format!("{} of {} ready{skipped}", counts.ready, accounts(counts.total))
}

fn found(counts: AccountCounts, missing: usize) -> String {
    let skipped = if counts.skipped == 0 { String::new() } else { format!(", {} skipped", counts.skipped) };
    let missing = match missing {
        0 => String::new(),
        count => format!("; {count} of them were not found this time, and go if the next discovery says so too"),
    };
    format!("{}{skipped}{missing}", accounts(counts.total))
}

fn accounts(count: i32) -> String {
    if count == 1 { "1 account".to_owned() } else { format!("{count} accounts") }
}

fn name_first(failing: &[Entry<'_>]) -> String {
    let named = failing.iter().take(NAMED).map(|(id, account)| {
        let message = account.message.as_deref().map(|text| format!(": {}", cut(text, MESSAGE_BYTES)));
        format!("{id} {}{}", account.reason, message.unwrap_or_default())
    });
    let named = named.collect::<Vec<_>>().join("; ");
    match failing.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

fn part(
    kind: ConditionType,
    entries: &[Entry<'_>],
    of: impl Fn(&AccountMemory) -> &Part,
    conditions: &mut Conditions<'_>,
) {
    let bad = entries.iter().find_map(|(id, account)| match of(account) {
        Part::Bad(reason, message) => Some((*reason, format!("{id}: {message}"))),
        _ => None,
    });
    if let Some((reason, message)) = bad {
        conditions.set(kind, ConditionStatus::False, reason, &message);
    } else if entries.is_empty() || entries.iter().any(|(_, account)| *of(account) == Part::Unknown) {
        conditions.set(kind, ConditionStatus::Unknown, Reason::Pending, "not every account was visited yet");
    } else {
        conditions.set(kind, ConditionStatus::True, Reason::Ready, "as wanted in every account");
    }
}

fn in_use(entries: &[Entry<'_>], conditions: &mut Conditions<'_>) {
    let any = |wanted: Use| entries.iter().any(|(_, account)| account.used == Some(wanted));
    let all_recent = !entries.is_empty() && entries.iter().all(|(_, account)| account.used == Some(Use::Recent));
    let (status, reason, message) = if any(Use::Never) {
        (
            ConditionStatus::False,
            Reason::NeverUsed,
            "Port has not assumed this role; compare status.trust.subject with the subject in Port's CloudFormation link",
        )
    } else if any(Use::Stale) {
        (ConditionStatus::False, Reason::NotRecentlyUsed, "Port has not assumed this role in the last 7 days")
    } else if all_recent {
        (ConditionStatus::True, Reason::RecentlyUsed, "Port assumed the role in the last 7 days")
    } else {
        (
            ConditionStatus::Unknown,
            Reason::NotYetUsed,
            "no use by Port was reported yet; IAM reports it some hours late",
        )
    };
    conditions.set(ConditionType::InUse, status, reason, message);
}
