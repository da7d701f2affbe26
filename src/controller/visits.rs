//! Which accounts a resource has, and which of them are to be visited when.

use std::{collections::BTreeSet, time::Duration};

use kube::ResourceExt;

use super::{
    context::Context,
    memory::{AccountMemory, Asked},
};
use crate::{
    api::{AccountRemovalPolicy, AccountState, CONFIRM_REMOVAL, Mode, PortAwsAccess, PortAwsIntegration, Reason},
    domain::{AccountId, Owner},
    plan::may_remove,
    schedule::{Priority, WorkKey},
};

/// Accounts come to memory as targets, and leave it unless something of ours may be there.
pub(super) fn mark_targets(context: &Context, resource: &Owner, targets: &BTreeSet<AccountId>) {
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return };
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
    let mut wanted: Vec<(AccountId, Priority, Duration)> = Vec::new();
    {
        let mut resources = context.resources();
        let Some(memory) = resources.get_mut(resource) else { return };
        let former = memory.asked.replace(now_asked.clone());
        let changed = former.as_ref().is_some_and(|former| *former != now_asked);
        for id in targets {
            let Some(account) = memory.accounts.get_mut(id) else { continue };
            if !access.spec.allows_account(id.as_str()) {
                account.state = AccountState::NotAllowed;
                account.reason = Reason::NotAllowed;
                account.failing = Some(crate::schedule::Disposition::Waiting);
                account.delay = Duration::MAX;
                account.visited = true;
                account.answered.clone_from(&now_asked.requested_at);
                account.message = Some(format!("PortAwsAccess {} does not cover this account", access.name_any()));
                continue;
            }
            if account.state == AccountState::NotAllowed {
                account.begin_anew();
            }
            if changed {
                account.start_afresh();
                wanted.push((id.clone(), Priority::SpecChanged, Duration::ZERO));
            } else if account.visited {
                // Nothing else asks for an account that was refused for a time.
                wanted.push((id.clone(), Priority::NotReady, Duration::ZERO));
            } else {
                let (priority, delay) = first_visit(account, object, &now_asked);
                wanted.push((id.clone(), priority, delay));
            }
        }
    }
    let leaving = leaving(context, resource, object, targets);
    wanted.extend(leaving.iter().map(|id| (id.clone(), Priority::Deletion, Duration::ZERO)));
    let mut queue = context.queue();
    queue.keep_only(resource, |id| {
        leaving.contains(id) || (targets.contains(id) && access.spec.allows_account(id.as_str()))
    });
    for (account, priority, delay) in wanted {
        let key = WorkKey { resource: resource.clone(), account };
        if priority == Priority::SpecChanged || !queue.contains(&key) {
            queue.request(key, priority, context.clock.now() + delay);
        }
    }
    drop(queue);
    context.wake.notify_one();
}

/// The accounts that are to be cleared, because they are no longer targets. Too many at once wait for
/// somebody's word: a list that was cut by mistake must not take roles down.
fn leaving(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    targets: &BTreeSet<AccountId>,
) -> BTreeSet<AccountId> {
    if object.spec.account_removal_policy == AccountRemovalPolicy::Retain || object.spec.mode == Mode::Observe {
        return BTreeSet::new();
    }
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return BTreeSet::new() };
    let gone = |id: &AccountId, account: &AccountMemory| !targets.contains(id) && account.claimed;
    let leaving: BTreeSet<AccountId> =
        memory.accounts.iter().filter(|(id, account)| gone(id, account)).map(|(id, _)| id.clone()).collect();
    let confirmed = object.annotations().get(CONFIRM_REMOVAL).map(String::as_str);
    if may_remove(targets.len() + leaving.len(), leaving.len(), confirmed) {
        return leaving;
    }
    let word = format!(
        "{} accounts left the list: to confirm, annotate {CONFIRM_REMOVAL}=\"{}\"",
        leaving.len(),
        leaving.len()
    );
    for id in &leaving {
        if let Some(account) = memory.accounts.get_mut(id) {
            (account.reason, account.message) = (Reason::ManyRemovals, Some(word.clone()));
        }
    }
    BTreeSet::new()
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
