//! Where a resource that is being deleted may have left something.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{account_memory::AccountMemory, context::Context, discovery, discovery_memory::DiscoveryMemory};
use crate::{
    api::{PortAwsIntegration, Reason},
    domain::{AccountId, Owner},
};

/// Whether nothing says which accounts the resource had, as after a restore without status: then they
/// have to be discovered before anything of it can be cleared.
pub(super) fn is_unknown(context: &Context, resource: &Owner, object: &PortAwsIntegration) -> bool {
    let discovery = object.spec.discovery.as_ref();
    let has_status = object.status.as_ref().is_some_and(|status| !status.accounts.is_empty());
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return false };
    if discovery.is_some() && memory.discovery.is_none() {
        memory.discovery = Some(DiscoveryMemory::begin(&memory.accounts, object));
    }
    let resolved = memory.discovery.as_ref().is_some_and(|it| it.is_resolved(discovery));
    discovery.is_some() && !has_status && !resolved
}

/// What is known of the accounts of a resource without status.
pub(super) enum Discovered {
    /// AWS Organizations is being asked; it wakes the resource.
    Soon(Option<Duration>),
    /// It does not answer, or not so that it can be believed; with the wait until the next try.
    Blocked(Reason, String, Option<Duration>),
}

pub(super) fn discover_what_to_clear(
    context: &Arc<Context>,
    resource: &Owner,
    object: &PortAwsIntegration,
) -> Discovered {
    let access = context.access(&object.spec.access_ref.name).for_removal();
    let again = access.and_then(|access| discovery::attend(context, resource, object, &access));
    let resources = context.resources();
    let failure = resources.get(resource).and_then(|memory| memory.discovery.as_ref()?.failure.clone());
    match failure {
        Some((failure, _)) => Discovered::Blocked(failure.reason, format!("discovery: {}", failure.message), again),
        None => Discovered::Soon(again),
    }
}

/// The accounts where something may be: those that status says are claimed, and those of the spec
/// that it does not know, as after a restore without status.
pub(super) fn accounts_to_clear(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
) -> BTreeSet<AccountId> {
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return BTreeSet::new() };
    let known = |id: &AccountId| {
        let entries = object.status.iter().flat_map(|status| &status.accounts);
        entries.into_iter().any(|entry| entry.id == id.as_str())
    };
    let listed = object.spec.accounts.iter().filter_map(|id| id.parse::<AccountId>().ok());
    let discovered = memory.discovery.as_ref().map(DiscoveryMemory::accounts).unwrap_or_default();
    for id in listed.chain(discovered).collect::<BTreeSet<_>>() {
        let unknown = !known(&id);
        let account = memory.accounts.entry(id).or_insert_with(AccountMemory::new);
        account.claimed |= unknown;
    }
    memory.accounts.iter().filter(|(_, account)| account.claimed).map(|(id, _)| id.clone()).collect()
}
