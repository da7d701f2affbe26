//! Where a resource that is being deleted may have left something.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{account_memory::AccountMemory, context::Context, discovery, discovery_memory::DiscoveryMemory};
use crate::{
    api::{PortAwsAccess, PortAwsIntegration, Reason},
    domain::{AccountId, Owner},
};

/// The accounts where something may be, and whether there may be others.
#[derive(Debug, Default)]
pub(super) struct Remains {
    pub(super) accounts: BTreeSet<AccountId>,
    /// Nothing says which accounts the resource had: status does not, as after a restore without it, and
    /// the spec is not allowed, or its accounts have to be discovered first.
    pub(super) unknown: bool,
}

/// The accounts where something may be: those that status says are claimed. Where it says nothing, those of
/// the spec, as far as the access object allows them: anybody can write a spec and a finalizer, and must not
/// get anywhere by their deletion that they would not get otherwise.
pub(super) fn remains(context: &Context, resource: &Owner, object: &PortAwsIntegration) -> Remains {
    let told = object.status.as_ref().is_some_and(|status| !status.accounts.is_empty());
    let granted = if told { None } else { context.granted_access(object).ok() };
    let mut resources = context.resources();
    let Some(memory) = resources.get_mut(resource) else { return Remains::default() };
    let mut unknown = !told && granted.is_none();
    if let Some(access) = granted {
        let spec = &object.spec;
        if spec.discovery.is_some() && memory.discovery.is_none() {
            memory.discovery = Some(DiscoveryMemory::begin(&memory.accounts, object));
        }
        let discovery = memory.discovery.as_ref();
        unknown = spec.discovery.is_some() && !discovery.is_some_and(|it| it.is_resolved(spec.discovery.as_ref()));
        let listed = spec.accounts.iter().filter_map(|id| id.parse::<AccountId>().ok());
        let discovered = discovery.iter().flat_map(|discovery| discovery.members.active()).cloned();
        let of_spec: BTreeSet<AccountId> = listed.chain(discovered).collect();
        for id in of_spec.into_iter().filter(|id| access.spec.allows_account(id.as_str())) {
            memory.accounts.entry(id).or_insert_with(AccountMemory::new).claimed = true;
        }
    }
    let claimed = memory.accounts.iter().filter(|(_, account)| account.claimed);
    Remains { accounts: claimed.map(|(id, _)| id.clone()).collect(), unknown }
}

/// What is known of the accounts of a resource without status.
pub(super) enum Discovered {
    /// AWS Organizations is being asked; it wakes the resource.
    Soon(Option<Duration>),
    /// They cannot be known for now, with the wait until the next try.
    Blocked(Reason, String, Option<Duration>),
}

/// Finds out which accounts a resource had of which nothing says so.
pub(super) fn discover(context: &Arc<Context>, resource: &Owner, object: &PortAwsIntegration) -> Discovered {
    let access: Arc<PortAwsAccess> = match context.granted_access(object) {
        Ok(access) => access,
        Err(why) => {
            let message = format!("status does not say where something was made, and {why}");
            return Discovered::Blocked(Reason::NotAllowed, message, None);
        }
    };
    let again = discovery::attend(context, resource, object, &access);
    let resources = context.resources();
    let failure = resources.get(resource).and_then(|memory| memory.discovery.as_ref()?.failure.clone());
    match failure {
        Some((failure, _)) => Discovered::Blocked(failure.reason, format!("discovery: {}", failure.message), again),
        None => Discovered::Soon(again),
    }
}
