//! Deletion: every account is cleared, and then the finalizer goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    account_memory::AccountMemory,
    context::{Access, Context, owner_of},
    memory::Asked,
    remains::{Discovered, Remains, discover, remains},
    status::View,
    succession::GRACE,
};
use crate::{
    api::{CONFIRM_DELETION, PortAwsIntegration, Reason},
    domain::{AccountId, Owner},
    plan::{BATCH_WINDOW, batch_size, waits_for_confirmation},
    schedule::{Priority, WorkKey},
};

/// Where the deletion of a resource stands.
pub(super) enum Decision {
    /// Nothing of it is left: the finalizer may go.
    Done,
    /// Accounts are still to be cleared; the status to show meanwhile, and when to look again.
    Wait(BTreeSet<AccountId>, View, Option<Duration>),
}

/// Decides what to do next about a resource that is being deleted, and asks for the visits.
pub(super) async fn decide(context: &Arc<Context>, resource: &Owner, object: &PortAwsIntegration) -> Decision {
    let Remains { accounts: targets, unknown } = remains(context, resource, object);
    let mut open = open_accounts(context, resource, &targets);
    let abandon = Asked::of(object).abandon;
    let mut blocked = blocked_in_cluster(context, object);
    let mut again = None;
    if unknown && abandon {
        let note = "the deletion was abandoned: the accounts are not known, and roles and tags may stay behind in them";
        context.events.done(object, Reason::Abandoned, note).await;
    } else if unknown && blocked.is_none() {
        match discover(context, resource, object) {
            Discovered::Soon(wait) => return Decision::Wait(targets, View::Deleting(None), wait),
            Discovered::Blocked(reason, message, wait) => (blocked, again) = (Some((reason, message)), wait),
        }
    }
    if blocked.is_some() && abandon {
        for account in std::mem::take(&mut open) {
            leave_behind(context, resource, object, &account, "nobody could look").await;
        }
    }
    if open.is_empty() && (abandon || !unknown) {
        return Decision::Done;
    }
    if let Some((reason, message)) = blocked {
        context.queue().forget(resource);
        // Without numbers: they grow while a batch is coming in, and each would be another event.
        let note = message.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>();
        context.events.state(object, Reason::DeletionBlocked, &format!("{reason}: {note}")).await;
        return Decision::Wait(targets, View::Deleting(Some((reason, message))), again);
    }
    request_removals(context, resource, object, &open);
    Decision::Wait(targets, View::Deleting(failing(context, resource, &open)), again)
}

fn open_accounts(context: &Context, resource: &Owner, targets: &BTreeSet<AccountId>) -> BTreeSet<AccountId> {
    let resources = context.resources();
    let Some(memory) = resources.get(resource) else { return BTreeSet::new() };
    let open = |id: &&AccountId| memory.accounts.get(*id).is_some_and(|account| !account.gone);
    targets.iter().filter(open).cloned().collect()
}

/// What in the cluster keeps AWS from being touched.
pub(super) fn blocked_in_cluster(context: &Context, object: &PortAwsIntegration) -> Option<(Reason, String)> {
    if object.spec.suspend {
        return Some((Reason::Suspended, "spec.suspend is set, so AWS is left alone: unset it".to_owned()));
    }
    let name = &object.spec.access_ref.name;
    match context.access(name) {
        Access::Found(_) | Access::Leaving(_) => context.unconfirmed_batch(object).map(|size| {
            let message = format!(
                "{size} deletions were asked for within a minute: to confirm, annotate {CONFIRM_DELETION}=\"{size}\""
            );
            (Reason::ManyDeletions, message)
        }),
        Access::Missing => Some((
            Reason::AccessNotFound,
            format!("PortAwsAccess {name} does not exist, so the account cannot be reached: create it again"),
        )),
        Access::Unreadable(_) => Some((Reason::NotAllowed, format!("PortAwsAccess {name} cannot be read: correct it"))),
    }
}

fn request_removals(context: &Context, resource: &Owner, object: &PortAwsIntegration, open: &BTreeSet<AccountId>) {
    let now_asked = Asked::of(object);
    let changed = {
        let mut resources = context.resources();
        let Some(memory) = resources.get_mut(resource) else { return };
        let changed = memory.asked.as_ref() != Some(&now_asked);
        memory.asked = Some(now_asked);
        if changed {
            memory.accounts.values_mut().for_each(AccountMemory::start_afresh);
        }
        changed
    };
    let mut queue = context.queue();
    queue.keep_only(resource, |id| open.contains(id));
    for account in open {
        if changed || !queue.contains(resource, account) {
            let key = WorkKey { resource: resource.clone(), account: account.clone() };
            queue.request(key, Priority::Deletion, context.clock.now() + GRACE);
        }
    }
    drop(queue);
    context.wake.notify_one();
}

fn failing(context: &Context, resource: &Owner, open: &BTreeSet<AccountId>) -> Option<(Reason, String)> {
    let resources = context.resources();
    let memory = resources.get(resource)?;
    open.iter().find_map(|id| {
        let account = memory.accounts.get(id)?;
        account.failing.filter(|failing| failing.stalls())?;
        Some((account.reason, format!("account {id}: {}", account.message.clone().unwrap_or_default())))
    })
}

pub(super) async fn leave_behind(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    account: &AccountId,
    why: &str,
) {
    let role = object.spec.role_name();
    let note = format!(
        "the deletion was abandoned ({why}): role {role} may stay in account {account}, with the operator's tags"
    );
    context.events.done(object, Reason::Abandoned, &note).await;
    if let Some(memory) = context.resources().get_mut(resource)
        && let Some(account) = memory.accounts.get_mut(account)
    {
        account.gone = true;
    }
}

impl Context {
    /// The size of the batch of deletions that an object belongs to, if it waits for confirmation.
    fn unconfirmed_batch(&self, object: &PortAwsIntegration) -> Option<usize> {
        let time = |object: &PortAwsIntegration| object.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let mine = time(object)?;
        let others: BTreeMap<Owner, Timestamp> = self
            .integrations
            .state()
            .iter()
            .filter_map(|other| other.0.as_ref().ok().filter(|other| self.may_hold(other)))
            .filter_map(|other| Some((owner_of(other), time(other)?)))
            .chain(self.deleted().iter().map(|(owner, at)| (owner.clone(), *at)))
            .filter(|(owner, _)| *owner != owner_of(object))
            .collect();
        let size = batch_size(mine, others.into_values());
        let confirmed = object.annotations().get(CONFIRM_DELETION).map(String::as_str);
        waits_for_confirmation(size, self.deletions_at_once, confirmed).then_some(size)
    }

    /// Keeps in mind that a resource is gone, for the count of deletions.
    pub(super) fn note_deleted(&self, resource: &Owner, object: &PortAwsIntegration) {
        let Some(at) = object.metadata.deletion_timestamp.as_ref().map(|time| time.0) else { return };
        let mut deleted = self.deleted();
        deleted.retain(|_, other| at.duration_since(*other).abs() <= BATCH_WINDOW);
        deleted.insert(resource.clone(), at);
    }
}
