//! An account that moves from one resource to another of the same namespace: the role stays as it is and
//! changes hands. Across namespaces it does not: what one tenant left behind is not another's to take.
//!
//! Who gives a role up keeps its claim until the heir's name is on the role. So each step is found again
//! from the cluster and the role's tags alone, and a heir that never comes leaves the role to its owner.

use std::{collections::BTreeSet, time::Duration};

use kube::core::DeserializeGuard;

use super::{
    context::{Access, Context, owner_of, reference_to},
    memory::ResourceMemory,
};
use crate::{
    api::{Mode, PortAwsIntegration},
    domain::{AccountId, Owner, tags},
    plan::ObservedRole,
    schedule::{Priority, WorkKey},
};

/// How long a removal waits for what comes with it: other deletions, and the resource that is to have the
/// role next.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Who gets a role that its owner gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heir {
    /// Nobody wants it.
    Nobody,
    /// This resource may, but its accounts or its access object are not known yet.
    Perhaps(Owner),
    /// This resource wants it and may have it.
    Is(Owner),
}

impl Context {
    /// The resource that a role is tagged with, or that made it if somebody took the tags off, if it has given
    /// the role up to this one: the account is no target of it, or it is being deleted and this is its heir.
    /// One that is not there may come back, as after a restore.
    pub(super) fn predecessor(&self, role: &ObservedRole, key: &WorkKey) -> Option<Owner> {
        let owner = match role.tags.get(tags::OWNER) {
            Some(owner) => {
                let (namespace, name) = owner.split_once('.')?;
                Owner { namespace: namespace.to_owned(), name: name.to_owned() }
            }
            None => self.maker(role, key)?,
        };
        if owner.namespace != key.resource.namespace || owner == key.resource {
            return None;
        }
        let object = self.integrations.get(&reference_to(&owner))?;
        let DeserializeGuard(Ok(object)) = object.as_ref() else { return None };
        let left = WorkKey { resource: owner.clone(), account: key.account.clone() };
        let given_up = if object.metadata.deletion_timestamp.is_some() {
            self.heir(&left, &role.name) == Heir::Is(key.resource.clone())
        } else {
            object.spec.role_name() != role.name || !self.may_target(object, &key.account)
        };
        given_up.then_some(owner)
    }

    /// The other resource of the namespace that knows to have made a role.
    fn maker(&self, role: &ObservedRole, key: &WorkKey) -> Option<Owner> {
        let resources = self.resources();
        let made = |memory: &ResourceMemory| {
            memory.accounts.get(&key.account).is_some_and(|account| account.role_id.as_deref() == Some(&role.role_id))
        };
        let mut others = resources.iter().filter(|(owner, _)| owner.namespace == key.resource.namespace);
        others.find(|(owner, memory)| **owner != key.resource && made(memory)).map(|(owner, _)| owner.clone())
    }

    /// Another resource of the namespace that wants the very role that this one gives up, and may have it.
    /// Of several the oldest gets it.
    pub(super) fn heir(&self, key: &WorkKey, role_name: &str) -> Heir {
        let objects = self.integrations.state();
        let live = objects.iter().filter_map(|object| object.0.as_ref().ok());
        let mut candidates: Vec<&PortAwsIntegration> = live
            .filter(|object| {
                let owner = owner_of(object);
                owner.namespace == key.resource.namespace
                    && owner != key.resource
                    && object.metadata.deletion_timestamp.is_none()
                    && object.spec.role_name() == role_name
                    && object.spec.mode == Mode::Enforce
                    && !object.spec.suspend
            })
            .collect();
        candidates.sort_by_key(|object| {
            let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, owner_of(object))
        });
        let mut perhaps = Heir::Nobody;
        for candidate in candidates {
            match self.wants(candidate, &key.account) {
                Some(true) => return Heir::Is(owner_of(candidate)),
                None if perhaps == Heir::Nobody => perhaps = Heir::Perhaps(owner_of(candidate)),
                _ => {}
            }
        }
        perhaps
    }

    /// Accounts have left a resource: whoever waits for their roles is served now.
    pub(super) fn hand_over(&self, resource: &Owner, role_name: &str, accounts: &BTreeSet<AccountId>) {
        for account in accounts {
            let key = WorkKey { resource: resource.clone(), account: account.clone() };
            if let Heir::Is(heir) = self.heir(&key, role_name) {
                self.request(WorkKey { resource: heir, ..key }, Priority::NotReady, Duration::ZERO);
            }
        }
    }

    /// The heir has a role now: whoever gave it up is done with it.
    pub(super) fn handed_over(&self, predecessor: &Owner, account: &AccountId) {
        let key = WorkKey { resource: predecessor.clone(), account: account.clone() };
        let clears = self.with_object(predecessor, |object| object.metadata.deletion_timestamp.is_some()) == Some(true)
            || self.resources().get(predecessor).is_some_and(|memory| memory.clearing.contains(account));
        if clears {
            self.request(key, Priority::Deletion, Duration::ZERO);
        }
    }

    /// Whether a live resource has an account as a target that it visits. None as long as that cannot be
    /// told: its access object may come in the same apply, and its accounts may still have to be discovered.
    fn wants(&self, object: &PortAwsIntegration, account: &AccountId) -> Option<bool> {
        let listed = object.spec.accounts.iter().any(|id| id == account.as_str());
        if object.spec.discovery.is_none() && !listed {
            return Some(false);
        }
        match self.access(&object.spec.access_ref.name) {
            Access::Missing => return None,
            Access::Leaving(_) | Access::Unreadable(_) => return Some(false),
            Access::Found(access) => {
                if !self.is_granted(object, &access) || !access.spec.allows_account(account.as_str()) {
                    return Some(false);
                }
            }
        }
        let Some(discovery) = object.spec.discovery.as_ref() else { return Some(listed) };
        let resources = self.resources();
        let known = resources.get(&owner_of(object)).and_then(|memory| memory.discovery.as_ref())?;
        let has = known.members.active().contains(account);
        if has || known.is_resolved(Some(discovery)) { Some(has) } else { None }
    }
}
