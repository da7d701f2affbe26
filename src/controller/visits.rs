//! Which accounts a resource has, and which of them are to be visited when.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::ResourceExt;

use super::{
    access_version::AccessVersion,
    account_memory::AccountMemory,
    context::Context,
    discovery_memory::left_out_message,
    memory::{Asked, ResourceMemory},
    succession::GRACE,
};
use crate::{
    api::{AccountRemovalPolicy, AccountState, CONFIRM_REMOVAL, Mode, PortAwsAccess, PortAwsIntegration, Reason},
    domain::{AccountId, Owner},
    plan::{Consent, consent, removal_word},
    schedule::{Priority, WorkKey},
};

/// After a change of the access object, accounts are looked at again over this time for each: ten a
/// second, as sessions of the new access have to be opened for them.
const SPREAD_PER_ACCOUNT: Duration = Duration::from_millis(100);

/// Accounts come to memory as targets, and leave it unless something of ours may be there. Gives those
/// that were targets and are no more.
pub(super) fn mark_targets(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    targets: &BTreeSet<AccountId>,
) -> BTreeSet<AccountId> {
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return BTreeSet::new() };
    memory.clearing.retain(|id| clears(object) && !targets.contains(id));
    let former = std::mem::replace(&mut memory.targets, targets.clone());
    memory.accounts.retain(|id, account| targets.contains(id) || (account.claimed && !account.gone));
    for id in targets {
        let account = memory.accounts.entry(id.clone()).or_insert_with(AccountMemory::new);
        if account.state == AccountState::Removed || account.gone {
            account.begin_anew();
        }
    }
    for (_, account) in memory.accounts.iter_mut().filter(|(id, _)| !targets.contains(*id)) {
        // What failed while it was a target is over; what fails while it is cleared is told.
        if account.state != AccountState::Removed || account.failing.is_none() {
            (account.state, account.reason, account.message) = (AccountState::Removed, Reason::NoLongerTarget, None);
            account.failing = None;
        }
    }
    former.difference(targets).cloned().collect()
}

/// A change of the access object, the first sight of it in this process apart: failures are forgotten,
/// and every account is looked at again, spread over a time that grows with their number.
pub(super) fn note_access(context: &Context, resource: &Owner, object: &PortAwsIntegration, access: &PortAwsAccess) {
    let seen = AccessVersion::of(access);
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return };
    let former = memory.access_seen.replace(seen.clone());
    if former.is_none_or(|former| former == seen) {
        return;
    }
    let interval = Duration::from(object.spec.interval);
    let within = (SPREAD_PER_ACCOUNT * u32::try_from(memory.accounts.len()).unwrap_or(u32::MAX)).min(interval);
    if let Some(discovery) = memory.discovery.as_mut() {
        discovery.start_afresh(context.clock.now(), within);
    }
    let mut queue = context.queue();
    for (account, known) in &mut memory.accounts {
        known.start_afresh();
        let key = WorkKey { resource: resource.clone(), account: account.clone() };
        if known.state != AccountState::Removed && known.visited {
            let priority = if known.failing.is_some() { Priority::NotReady } else { Priority::Poll };
            queue.request(key, priority, context.clock.now() + within.mul_f64(crate::clock::jitter()));
        }
    }
}

/// Why an account is not visited, if it is not.
fn left_alone(memory: &ResourceMemory, account: &AccountId, access: &PortAwsAccess) -> Option<(AccountState, String)> {
    let left_out = memory.discovery.as_ref().and_then(|discovery| discovery.members.left_out().get(account));
    if let Some(word) = left_out {
        return Some((AccountState::AccountSuspended, left_out_message(word)));
    }
    let refused = !access.spec.allows_account(account.as_str());
    refused
        .then(|| (AccountState::NotAllowed, format!("PortAwsAccess {} does not cover this account", access.name_any())))
}

/// Asks for the visits that are due by a change, or that nobody asked for yet.
pub(super) fn request_visits(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    access: &PortAwsAccess,
    targets: &BTreeSet<AccountId>,
) {
    let now_asked = Asked::of(object);
    let mut wanted: BTreeMap<AccountId, (Priority, Duration)> = BTreeMap::new();
    {
        let mut resources = context.resources();
        let Some(memory) = resources.get_mut(resource) else { return };
        let former = memory.asked.replace(now_asked.clone());
        let changed = former.as_ref().is_some_and(|former| *former != now_asked);
        let discovered = memory.discovery.is_some();
        for id in targets {
            let alone = left_alone(memory, id, access);
            let Some(account) = memory.accounts.get_mut(id) else { continue };
            if let Some((state, message)) = alone {
                account.leave_alone(state, message, discovered, now_asked.requested_at.as_ref());
                continue;
            }
            if matches!(account.state, AccountState::NotAllowed | AccountState::AccountSuspended) {
                account.begin_anew();
            }
            let visit = if changed {
                account.start_afresh();
                (Priority::SpecChanged, Duration::ZERO)
            } else if account.visited {
                // Nothing else asks for an account that was refused for a time.
                (Priority::NotReady, Duration::ZERO)
            } else {
                first_visit(account, object, &now_asked)
            };
            wanted.insert(id.clone(), visit);
        }
    }
    let leaving = leaving(context, resource, object, targets);
    wanted.extend(leaving.into_iter().map(|id| (id, (Priority::Deletion, GRACE))));
    let mut queue = context.queue();
    queue.keep_only(resource, |id| wanted.contains_key(id));
    for (account, (priority, delay)) in wanted {
        // What is to be cleared may be waiting for a regular check; what failed to be cleared waits its time.
        let as_urgent = if priority == Priority::Deletion { Priority::Deletion } else { Priority::Poll };
        if priority == Priority::SpecChanged || !queue.contains_as(resource, &account, as_urgent) {
            let key = WorkKey { resource: resource.clone(), account };
            queue.request(key, priority, context.clock.now() + delay);
        }
    }
    drop(queue);
    context.wake.notify_one();
}

/// Whether accounts that are no longer targets are cleared at all.
fn clears(object: &PortAwsIntegration) -> bool {
    object.spec.account_removal_policy == AccountRemovalPolicy::Delete && object.spec.mode == Mode::Enforce
}

/// The accounts that are to be cleared, because they are no longer targets. Too many at once wait for
/// somebody's word: a list that was cut by mistake must not take roles down. A word stands for the accounts that wait
/// for one when it is given, and for none that leaves later, however long some of them take.
fn leaving(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    targets: &BTreeSet<AccountId>,
) -> BTreeSet<AccountId> {
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return BTreeSet::new() };
    let (mut confirmed, mut fresh) = (BTreeSet::new(), BTreeSet::new());
    for (id, account) in &mut memory.accounts {
        if !clears(object) || targets.contains(id) || !account.claimed {
            account.removal_confirmed = false;
            continue;
        }
        let of = if account.removal_confirmed { &mut confirmed } else { &mut fresh };
        of.insert(id.clone());
    }
    let word = object.annotations().get(CONFIRM_REMOVAL);
    let known = memory.discovery.as_ref().is_none_or(|it| it.is_resolved(object.spec.discovery.as_ref()));
    if word.is_none() || (confirmed.is_empty() && fresh.is_empty() && known) {
        // It was for those that left until now, and not for those that leave by a later mistake.
        memory.removal_word = word.cloned();
    }
    let used_up = memory.removal_word.clone();
    let total = targets.len() + confirmed.len() + fresh.len();
    match consent(total, fresh.len(), word.map(String::as_str), used_up.as_deref()) {
        Consent::NotNeeded => confirmed.append(&mut fresh),
        Consent::Given => {
            memory.removal_word = word.cloned();
            for (_, account) in memory.accounts.iter_mut().filter(|(id, _)| fresh.contains(*id)) {
                account.removal_confirmed = true;
            }
            confirmed.append(&mut fresh);
        }
        Consent::Missing => {
            let word = removal_word(fresh.len(), used_up.as_deref());
            let count = fresh.len();
            let message =
                format!("{count} accounts are no longer targets: to confirm, annotate {CONFIRM_REMOVAL}=\"{word}\"");
            for (_, account) in memory.accounts.iter_mut().filter(|(id, _)| fresh.contains(*id)) {
                (account.reason, account.message) = (Reason::ManyRemovals, Some(message.clone()));
            }
        }
    }
    memory.clearing.clone_from(&confirmed);
    confirmed
}

/// Why and in how long an account is visited for the first time in this process. One that a former
/// process left ready for what is asked now is looked at some time in the interval, so that a restart
/// does not look at all of them at once.
fn first_visit(account: &AccountMemory, object: &PortAwsIntegration, asked: &Asked) -> (Priority, Duration) {
    let settled = account.state == AccountState::Ready
        && account.generation == object.metadata.generation
        && (asked.requested_at.is_none() || account.answered == asked.requested_at);
    if settled {
        (Priority::Poll, Duration::from(object.spec.interval).mul_f64(crate::clock::jitter()))
    } else if account.claimed {
        (Priority::NotReady, Duration::ZERO)
    } else {
        (Priority::NeverVisited, Duration::ZERO)
    }
}
