//! The reconcile of one object: who may what, which accounts are to be visited, and the status. It
//! makes no call to AWS.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    PASS_TIMEOUT,
    account_memory::{AccountMemory, Part},
    cluster_call::CallError,
    context::{Access, Context, Guarded, owner_of},
    discovery,
    discovery_memory::DiscoveryMemory,
    finalize, invalid,
    memory::ResourceMemory,
    status::{Input, View},
    store,
    visits::{mark_targets, note_access, request_visits},
};
use crate::{
    api::{FINALIZER, PortAwsIntegration, PortAwsIntegrationStatus, Reason},
    domain::{AccountId, InvalidValue, Owner},
    plan::{Granted, Target, Violation},
};

/// How long a missing access object is only waited for: one apply brings both in any order.
const ACCESS_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Reconciles one object.
pub(super) async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, CallError> {
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
        if context.resources().get(&resource).is_some_and(|memory| memory.released) {
            return Ok(Action::await_change());
        }
        match finalize::decide(&context, &resource, object).await {
            finalize::Decision::Done => {
                release(&context, &resource, object).await?;
                return Ok(Action::await_change());
            }
            finalize::Decision::Wait(targets, view, again) => (targets, view, again),
        }
    } else {
        decide(&context, &resource, object)
    };
    let paced = publish(&context, &resource, object, &targets, view).await?;
    context.access_soon(&object.spec.access_ref.name);
    let next = [again, paced].into_iter().flatten().min();
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

/// Makes sure that there is memory of this very object, seeded from its status.
fn remember(context: &Context, resource: &Owner, object: &PortAwsIntegration) {
    let uid = object.uid().unwrap_or_default();
    let mut resources = context.resources();
    if resources.get(resource).is_none_or(|memory| memory.uid != uid) {
        context.queue().forget(resource);
        resources.insert(resource.clone(), ResourceMemory::new(&uid, object.status.as_ref(), context.clock.now()));
    }
    if let Some(memory) = resources.get_mut(resource) {
        let former = std::mem::replace(&mut memory.access_name, object.spec.access_ref.name.clone());
        if former != memory.access_name {
            context.access_soon(&former);
        }
    }
}

/// What is to happen to a live object: its targets, what kind of answer it gets, and when to look
/// again.
fn decide(
    context: &Arc<Context>,
    resource: &Owner,
    object: &PortAwsIntegration,
) -> (BTreeSet<AccountId>, View, Option<Duration>) {
    let listed = listed_accounts(context, resource, object);
    let targets = listed.as_ref().cloned().unwrap_or_default();
    let left = mark_targets(context, resource, object, &targets);
    context.hand_over(resource, &object.spec.role_name(), &left);
    let refuse = |reason, message: String| {
        context.stand_still(resource);
        (targets.clone(), View::Refused(reason, message), None)
    };
    if let Err(error) = listed {
        return refuse(Reason::InvalidSpec, format!("spec.accounts: {error}"));
    }
    let name = &object.spec.access_ref.name;
    let access = match context.access(name) {
        Access::Found(access) => access,
        Access::Unreadable(error) => {
            return refuse(Reason::NotAllowed, format!("PortAwsAccess {name} cannot be read: {error}"));
        }
        Access::Leaving(_) => {
            return access_missing(context, resource, targets, format!("PortAwsAccess {name} is being deleted"));
        }
        Access::Missing => {
            let message =
                format!("PortAwsAccess {name} does not exist: the platform team has to create it (see accessRef)");
            return access_missing(context, resource, targets, message);
        }
    };
    if let Some(memory) = context.resources().get_mut(resource) {
        memory.access_missing_since = None;
    }
    let labels = context.namespace_labels(&resource.namespace);
    match Granted::check(&object.spec, &resource.namespace, labels.as_ref(), &access.spec) {
        Err(violations) => return refuse(Reason::NotAllowed, Violation::describe(&violations, name)),
        Ok(_) if object.spec.suspend => {
            context.stand_still(resource);
            return (targets, View::Suspended, None);
        }
        Ok(_) => {}
    }
    // The names are as valid in one account as in another.
    let names = targets.first().map(|id| Target::new(&object.spec, id, crate::domain::Partition::Aws));
    if let Some(Err(error)) = names {
        return refuse(Reason::InvalidSpec, error.to_string());
    }
    note_access(context, resource, object, &access);
    let again = discovery::attend(context, resource, object, &access);
    request_visits(context, resource, object, &access, &targets);
    (targets, View::Active, again)
}

/// The accounts that the spec lists, or that discovery stands for so far.
fn listed_accounts(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
) -> Result<BTreeSet<AccountId>, InvalidValue> {
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return Ok(BTreeSet::new()) };
    if object.spec.discovery.is_none() {
        memory.discovery = None;
        return object.spec.accounts.iter().map(|id| id.parse()).collect();
    }
    if memory.discovery.is_none() {
        memory.discovery = Some(DiscoveryMemory::begin(&memory.accounts, object));
    }
    Ok(memory.discovery.as_ref().map(DiscoveryMemory::accounts).unwrap_or_default())
}

fn access_missing(
    context: &Context,
    resource: &Owner,
    targets: BTreeSet<AccountId>,
    message: String,
) -> (BTreeSet<AccountId>, View, Option<Duration>) {
    context.stand_still(resource);
    let now = context.clock.now();
    let since =
        context.resources().get_mut(resource).map_or(now, |memory| *memory.access_missing_since.get_or_insert(now));
    let left = ACCESS_PATIENCE.saturating_sub(now.saturating_sub(since));
    if left.is_zero() {
        (targets, View::Refused(Reason::AccessNotFound, message), None)
    } else {
        (targets, View::AccessMissing(message), Some(left))
    }
}

/// Takes the finalizer off. What is remembered goes once the watch shows it, too.
async fn release(context: &Context, resource: &Owner, object: &PortAwsIntegration) -> Result<(), CallError> {
    match write_finalizer(context, object, false).await {
        // An earlier try has done it, whose answer was lost.
        Err(error) if error.is_not_found() => {}
        other => other?,
    }
    context.note_deleted(resource, object);
    context.stand_still(resource);
    if let Some(memory) = context.resources().get_mut(resource) {
        memory.released = true;
    }
    Ok(())
}

async fn write_finalizer(context: &Context, object: &PortAwsIntegration, wanted: bool) -> Result<(), CallError> {
    let api = store::integrations(&context.client, object);
    store::write_finalizer(&context.leadership, &api, &object.metadata, FINALIZER, wanted).await
}

/// Writes the finalizer and the status, if either differs. Gives the wait if the status may not be
/// written yet.
async fn publish(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    targets: &BTreeSet<AccountId>,
    view: View,
) -> Result<Option<Duration>, CallError> {
    context.may_tell()?;
    settle(context, resource, object).await?;
    let now = context.clock.now();
    let Some(Due { status, former, claims, undurable }) = compute(context, resource, object, targets, view) else {
        return Ok(None);
    };
    let deleting = object.metadata.deletion_timestamp.is_some();
    if !claims.is_empty() && !store::has_finalizer(object) && !deleting {
        let version = object.metadata.resource_version.clone();
        if let Some(memory) = context.resources().get_mut(resource) {
            memory.durable.clear();
            if memory.finalized == version || memory.written.is_ahead_of(&object.metadata) {
                // The watch is about to show what we wrote: a write against this version would be refused.
                return Ok(None);
            }
        }
        // The write changes the object, so the watch brings the next reconcile, which goes on.
        write_finalizer(context, object, true).await?;
        if let Some(memory) = context.resources().get_mut(resource) {
            memory.finalized = version;
        }
        return Ok(None);
    }
    if let Some(memory) = context.resources().get_mut(resource) {
        // A claim that the status to come no longer has is not stored, whatever former versions said.
        memory.durable.retain(|account| claims.contains(account));
    }
    if status != former {
        let wait = context.resources().get(resource).map(|memory| memory.status_wait(&status, undurable, now));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Ok(Some(wait));
        }
        let api = store::integrations(&context.client, object);
        let version = context.resources().get(resource).map_or_else(
            || object.metadata.resource_version.clone(),
            |memory| memory.written.version(&object.metadata),
        );
        let outcome = store::write_status(&context.leadership, &api, object, version.as_deref(), &status).await;
        if let Some(memory) = context.resources().get_mut(resource) {
            if outcome.is_ok() {
                memory.pace.spend(now);
                memory.written_at = Some(now);
            }
            memory.written.note(status, outcome.as_ref().map(|written| &written.metadata));
        }
        outcome?;
        context.metrics.wrote_status("PortAwsIntegration");
    }
    if let Some(memory) = context.resources().get_mut(resource) {
        memory.durable = if deleting || store::has_finalizer(object) { claims } else { BTreeSet::new() };
    }
    context.durable.notify_waiters();
    Ok(None)
}

/// Finds out whether the last write of status was stored, if its answer was lost.
async fn settle(context: &Context, resource: &Owner, object: &PortAwsIntegration) -> Result<(), CallError> {
    if !context.resources().get(resource).is_some_and(|memory| memory.written.is_in_doubt()) {
        return Ok(());
    }
    let stored = store::read(&context.leadership, &store::integrations(&context.client, object), object).await?;
    if let Some(memory) = context.resources().get_mut(resource) {
        memory.written.settle(&stored.metadata, stored.status.as_ref());
    }
    Ok(())
}

/// What is due to be stored.
struct Due {
    status: PortAwsIntegrationStatus,
    /// The status that is stored.
    former: PortAwsIntegrationStatus,
    /// The accounts that are claimed.
    claims: BTreeSet<AccountId>,
    /// Whether one of the claims is not stored yet.
    undurable: bool,
}

/// What is due of a resource that is remembered. As long as a former process's status says more than
/// is known here, that status is.
fn compute(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    targets: &BTreeSet<AccountId>,
    view: View,
) -> Option<Due> {
    let resources = context.resources();
    let memory = resources.get(resource)?;
    let former = memory.former_status(object);
    let claims: BTreeSet<AccountId> =
        memory.accounts.iter().filter(|(_, account)| account.claimed).map(|(id, _)| id.clone()).collect();
    let undurable = claims.iter().any(|id| !memory.durable.contains(id));
    let inherited = former.observed_generation == object.metadata.generation && memory.written.is_empty();
    // What a former process wrote of an account that was not ready is not known here until a visit.
    let untold = |account: &AccountMemory| !account.visited && !account.skipped && account.provider == Part::Unknown;
    let unvisited = targets.iter().any(|id| memory.accounts.get(id).is_some_and(untold))
        && context.clock.now().saturating_sub(memory.since) < PASS_TIMEOUT;
    let claims_stored = || {
        let stored: BTreeSet<&str> =
            former.accounts.iter().filter(|entry| entry.claimed).map(|entry| entry.id.as_str()).collect();
        claims.iter().all(|id| stored.contains(id.as_str()))
    };
    let as_many = former.accounts.len() == memory.accounts.len();
    if view == View::Active && inherited && unvisited && as_many && claims_stored() {
        return Some(Due { status: former.clone(), former, claims, undurable });
    }
    let generation = object.metadata.generation.unwrap_or_default();
    let input =
        Input { spec: &object.spec, generation, former: &former, memory, targets, view, now: context.clock.wall() };
    Some(Due { status: input.status(), former, claims, undurable })
}
