//! An account that moves from one resource to another of the same namespace: the role stays as it is and
//! changes hands. Across namespaces it does not: what one tenant left behind is not another's to take.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use kube::core::DeserializeGuard;

use super::context::{Access, Context, owner_of, reference_to};
use crate::{
    api::{Mode, PortAwsIntegration},
    domain::{AccountId, Owner, tags},
    plan::{Granted, ObservedRole},
    schedule::{Priority, WorkKey},
};

impl Context {
    /// The resource that a role is tagged with, if it has given the role up: the account is no target of
    /// it, or it is gone and left the role to this one. That it is not there says nothing alone: it may
    /// come back, as after a restore.
    pub(super) fn predecessor(&self, role: &ObservedRole, key: &WorkKey) -> Option<Owner> {
        let (namespace, name) = role.tags.get(tags::OWNER)?.split_once('.')?;
        let owner = Owner { namespace: namespace.to_owned(), name: name.to_owned() };
        if owner.namespace != key.resource.namespace || owner == key.resource {
            return None;
        }
        let left = WorkKey { resource: owner.clone(), account: key.account.clone() };
        if self.left_to_heirs().get(&left) == Some(&key.resource) {
            return Some(owner);
        }
        let object = self.integrations.get(&reference_to(&owner))?;
        let DeserializeGuard(Ok(object)) = object.as_ref() else { return None };
        let has_it = object.spec.role_name() == role.name && self.may_target(object, &key.account);
        (object.metadata.deletion_timestamp.is_none() && !has_it).then_some(owner)
    }

    /// Who left which role to whom. It is lost with the process: then somebody has to change the tag.
    pub(super) fn left_to_heirs(&self) -> MutexGuard<'_, BTreeMap<WorkKey, Owner>> {
        self.left_to_heirs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another resource of the namespace that wants the very role that this one gives up, and may have it.
    pub(super) fn heir(&self, key: &WorkKey, role_name: &str) -> Option<Owner> {
        let objects = self.integrations.state();
        let mut live = objects.iter().filter_map(|object| object.0.as_ref().ok());
        let heir = live.find(|object| {
            let owner = owner_of(object);
            owner.namespace == key.resource.namespace
                && owner != key.resource
                && object.metadata.deletion_timestamp.is_none()
                && object.spec.role_name() == role_name
                && object.spec.mode == Mode::Enforce
                && !object.spec.suspend
                && self.targets(&owner, &key.account)
                && self.is_allowed(object, &owner, &key.account)
        });
        heir.map(owner_of)
    }

    /// Accounts have left a resource: whoever waits for their roles is served now.
    pub(super) fn hand_over(&self, resource: &Owner, role_name: &str, accounts: &BTreeSet<AccountId>) {
        for account in accounts {
            let key = WorkKey { resource: resource.clone(), account: account.clone() };
            if let Some(heir) = self.heir(&key, role_name) {
                self.request(WorkKey { resource: heir, ..key }, Priority::NotReady, Duration::ZERO);
            }
        }
    }

    fn targets(&self, owner: &Owner, account: &AccountId) -> bool {
        let resources = self.resources();
        resources.get(owner).is_some_and(|memory| memory.targets.contains(account) && !memory.is_left_out(account))
    }

    fn is_allowed(&self, object: &PortAwsIntegration, owner: &Owner, account: &AccountId) -> bool {
        let Access::Found(access) = self.access(&object.spec.access_ref.name) else { return false };
        let labels = self.namespace_labels(&owner.namespace);
        let granted = Granted::check(&object.spec, &owner.namespace, &labels, &access.spec).is_ok();
        granted && access.spec.allows_account(account.as_str())
    }
}
