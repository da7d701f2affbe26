//! The reconcile of one object: who may what, which accounts are to be visited, and the status. It
//! makes no call to AWS.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    context::{Access, Context, Guarded, describe, owner_of},
    finalize, invalid,
    memory::{AccountMemory, Asked, Published, ResourceMemory},
    status::{Input, View},
    store::{self, StoreError},
};
use crate::{
    api::{AccountState, PortAwsAccess, PortAwsIntegration, Reason},
    domain::{AccountId, Owner},
    plan::{Granted, Target},
    schedule::{Priority, WorkKey},
};

/// How long a missing access object is only waited for: one apply brings both in any order.
const ACCESS_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Reconciles one object.
pub(super) async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, StoreError> {
    let object = match &object.as_ref().0 {
        Ok(object) => object,
        Err(found) => return invalid::reconcile(found, &context).await,
    };
    let resource = owner_of(object);
    remember(&context, &resource, object);
    let (targets, view, again) = if object.meta().deletion_timestamp.is_some() {
        if !store::has_finalizer(object) {
            context.forget(&resource);
            return Ok(Action::await_change());
        }
        match finalize::decide(&context, &resource, object).await {
            finalize::Decision::Done => {
                store::write_finalizer(&context.client, object, false).await?;
                context.note_deleted(&resource, object);
                context.forget(&resource);
                return Ok(Action::await_change());
            }
            finalize::Decision::Wait(targets, view) => (targets, view, None),
        }
    } else {
        decide(&context, &resource, object)
    };
    let paced = publish(&context, &resource, object, &targets, view).await?;
    let next = [again, paced].into_iter().flatten().min();
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

/// Makes sure that there is memory of this very object, seeded from its status.
fn remember(context: &Context, resource: &Owner, object: &PortAwsIntegration) {
    let uid = object.uid().unwrap_or_default();
    let mut resources = context.resources();
    if resources.get(resource).is_none_or(|memory| memory.uid != uid) {
        context.queue().keep_only(resource, |_| false);
        resources.insert(resource.clone(), ResourceMemory::new(&uid, object.status.as_ref()));
    }
}

/// What is to happen to a live object: its targets, what kind of answer it gets, and when to look
/// again.
fn decide(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
) -> (BTreeSet<AccountId>, View, Option<Duration>) {
    let parsed: Result<BTreeSet<AccountId>, _> = object.spec.accounts.iter().map(|id| id.parse()).collect();
    let targets = parsed.as_ref().cloned().unwrap_or_default();
    mark_targets(context, resource, &targets);
    let refuse = |reason, message: String| {
        context.queue().keep_only(resource, |_| false);
        (targets.clone(), View::Refused(reason, message), None)
    };
    if let Err(error) = parsed {
        return refuse(Reason::InvalidSpec, format!("spec.accounts: {error}"));
    }
    let name = &object.spec.access_ref.name;
    let access = match context.access(name) {
        Access::Found(access) => access,
        Access::Unreadable(error) => {
            return refuse(Reason::NotAllowed, format!("PortAwsAccess {name} cannot be read: {error}"));
        }
        Access::Missing => return access_missing(context, resource, name, targets),
    };
    if let Some(memory) = context.resources().get_mut(resource) {
        memory.access_missing_since = None;
    }
    let labels = context.namespace_labels(&resource.namespace);
    match Granted::check(&object.spec, &resource.namespace, &labels, &access.spec) {
        Err(violations) => return refuse(Reason::NotAllowed, describe(&violations, name)),
        Ok(_) if object.spec.suspend => {
            context.queue().keep_only(resource, |_| false);
            return (targets, View::Suspended, None);
        }
        Ok(_) => {}
    }
    let names =
        targets.iter().try_for_each(|id| Target::new(&object.spec, id, crate::domain::Partition::Aws).map(drop));
    if let Err(error) = names {
        return refuse(Reason::InvalidSpec, error.to_string());
    }
    request_visits(context, resource, object, &access, &targets);
    (targets, View::Active, None)
}

fn access_missing(
    context: &Context,
    resource: &Owner,
    name: &str,
    targets: BTreeSet<AccountId>,
) -> (BTreeSet<AccountId>, View, Option<Duration>) {
    context.queue().keep_only(resource, |_| false);
    let now = context.clock.now();
    let since =
        context.resources().get_mut(resource).map_or(now, |memory| *memory.access_missing_since.get_or_insert(now));
    let message = format!("PortAwsAccess {name} does not exist: the platform team has to create it (see accessRef)");
    let left = ACCESS_PATIENCE.saturating_sub(now.saturating_sub(since));
    if left.is_zero() {
        (targets, View::Refused(Reason::AccessNotFound, message), None)
    } else {
        (targets, View::AccessMissing(message), Some(left))
    }
}

/// Accounts come to memory as targets, and leave it unless something of ours may be there.
fn mark_targets(context: &Context, resource: &Owner, targets: &BTreeSet<AccountId>) {
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return };
    memory.accounts.retain(|id, account| targets.contains(id) || account.claimed);
    for id in targets {
        let account = memory.accounts.entry(id.clone()).or_insert_with(AccountMemory::new);
        if account.state == AccountState::Removed {
            let (claimed, role_id) = (account.claimed, account.role_id.take());
            *account = AccountMemory { claimed, role_id, ..AccountMemory::new() };
        }
    }
    for (_, account) in memory.accounts.iter_mut().filter(|(id, _)| !targets.contains(*id)) {
        (account.state, account.reason, account.message) = (AccountState::Removed, Reason::NoLongerTarget, None);
        account.failing = None;
    }
}

/// Asks for the visits that are due by a change, or that nobody asked for yet.
fn request_visits(
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
                let (claimed, role_id) = (account.claimed, account.role_id.take());
                *account = AccountMemory { claimed, role_id, ..AccountMemory::new() };
            }
            if changed {
                account.start_afresh();
                wanted.push((id.clone(), Priority::SpecChanged, Duration::ZERO));
            } else if account.visited {
                // Nothing else asks for an account that was refused for a time.
                wanted.push((id.clone(), Priority::NotReady, Duration::ZERO));
            } else {
                wanted.push((
                    id.clone(),
                    first_priority(account, object, &now_asked),
                    first_delay(account, object, &now_asked),
                ));
            }
        }
    }
    let mut queue = context.queue();
    queue.keep_only(resource, |id| targets.contains(id) && access.spec.allows_account(id.as_str()));
    for (account, priority, delay) in wanted {
        let key = WorkKey { resource: resource.clone(), account };
        if priority == Priority::SpecChanged || !queue.contains(&key) {
            queue.request(key, priority, context.clock.now() + delay);
        }
    }
    drop(queue);
    context.wake.notify_one();
}

/// Whether a former process left the account ready for what is asked now.
fn was_settled(account: &AccountMemory, object: &PortAwsIntegration, asked: &Asked) -> bool {
    account.state == AccountState::Ready
        && account.generation == object.metadata.generation
        && (asked.requested_at.is_none() || account.answered == asked.requested_at)
}

fn first_priority(account: &AccountMemory, object: &PortAwsIntegration, asked: &Asked) -> Priority {
    if was_settled(account, object, asked) {
        Priority::Poll
    } else if account.claimed {
        Priority::NotReady
    } else {
        Priority::NeverVisited
    }
}

/// After a restart, accounts that were ready are looked at over the whole interval, not at once.
fn first_delay(account: &AccountMemory, object: &PortAwsIntegration, asked: &Asked) -> Duration {
    let spread = || Duration::from(object.spec.interval).mul_f64(crate::clock::jitter());
    if was_settled(account, object, asked) { spread() } else { Duration::ZERO }
}

/// Writes the finalizer and the status, if either differs. Gives the wait if the status may not be
/// written yet.
async fn publish(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    targets: &BTreeSet<AccountId>,
    view: View,
) -> Result<Option<Duration>, StoreError> {
    let now = context.clock.now();
    let Some((status, former, claims, undurable)) = compute(context, resource, object, targets, view) else {
        return Ok(None);
    };
    let deleting = object.metadata.deletion_timestamp.is_some();
    if !claims.is_empty() && !store::has_finalizer(object) && !deleting {
        if let Some(memory) = context.resources().get_mut(resource) {
            memory.durable.clear();
        }
        // The write changes the object, so the watch brings the next reconcile, which goes on.
        store::write_finalizer(&context.client, object, true).await?;
        return Ok(None);
    }
    if status != former {
        let wait = context.resources().get(resource).map(|memory| memory.status_wait(&status, undurable, now));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Ok(Some(wait));
        }
        let written = store::write_status(&context.client, object, &status).await?;
        let mut resources = context.resources();
        if let Some(memory) = resources.get_mut(resource) {
            let _ = memory.pace.take(now);
            memory.written_at = Some(now);
            let resource_version = written.metadata.resource_version.unwrap_or_default();
            memory.published = Some(Published { status, resource_version });
        }
    }
    if let Some(memory) = context.resources().get_mut(resource) {
        memory.durable = if deleting || store::has_finalizer(object) { claims } else { BTreeSet::new() };
    }
    context.durable.notify_waiters();
    Ok(None)
}

type Computed = (crate::api::PortAwsIntegrationStatus, crate::api::PortAwsIntegrationStatus, BTreeSet<AccountId>, bool);

/// The status that is due, the one that is stored, the accounts that are claimed, and whether a
/// claim is not stored yet. None while a former process's status still says more than we know.
fn compute(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    targets: &BTreeSet<AccountId>,
    view: View,
) -> Option<Computed> {
    let resources = context.resources();
    let memory = resources.get(resource)?;
    let former = memory.former_status(object);
    let claims: BTreeSet<AccountId> =
        memory.accounts.iter().filter(|(_, account)| account.claimed).map(|(id, _)| id.clone()).collect();
    let undurable = claims.iter().any(|id| !memory.durable.contains(id));
    let inherited = former.observed_generation == object.metadata.generation && memory.published.is_none();
    let unvisited = targets.iter().any(|id| memory.accounts.get(id).is_some_and(|account| !account.visited));
    let claims_stored =
        claims.iter().all(|id| former.accounts.iter().any(|entry| entry.claimed && entry.id == id.as_str()));
    if view == View::Active && inherited && unvisited && claims_stored && former.accounts.len() == memory.accounts.len()
    {
        return Some((former.clone(), former, claims, undurable));
    }
    let generation = object.metadata.generation.unwrap_or_default();
    let input =
        Input { spec: &object.spec, generation, former: &former, memory, targets, view, now: context.clock.wall() };
    Some((input.status(), former, claims, undurable))
}
