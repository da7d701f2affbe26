use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{
    Client, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::reflector::{ObjectRef, Store},
};
use tokio::sync::{Notify, Semaphore, watch};

use super::{
    ACCESS_GAP,
    access_version::AccessVersion,
    account_memory::AccountMemory,
    events::Events,
    lease::Leadership,
    memory::{ResourceMemory, WrittenAccess},
};
use crate::{
    api::{PortAwsAccess, PortAwsIntegration},
    aws::Aws,
    clock::Clock,
    domain::{AccountId, ClusterId, Owner},
    plan::Claim,
    schedule::{Priority, Queue, WorkKey},
    telemetry::metrics::Metrics,
};

pub(super) type Guarded = DeserializeGuard<PortAwsIntegration>;
pub(super) type GuardedAccess = DeserializeGuard<PortAwsAccess>;

/// Everything that reconciles and passes share.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) integrations: Store<Guarded>,
    pub(super) accesses: Store<GuardedAccess>,
    pub(super) namespaces: Store<PartialObjectMeta<Namespace>>,
    /// The watches whose first list is in.
    pub(super) listed: watch::Sender<BTreeSet<&'static str>>,
    pub(super) aws: Aws,
    pub(super) cluster: ClusterId,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
    pub(super) queue: Mutex<Queue>,
    pub(super) resources: Mutex<BTreeMap<Owner, ResourceMemory>>,
    /// Wakes the runner: the queue has changed.
    pub(super) wake: Notify,
    /// Wakes passes that wait for their claim to be written.
    pub(super) durable: Notify,
    /// Asks for a reconcile of a resource.
    pub(super) trigger: UnboundedSender<ObjectRef<Guarded>>,
    /// Asks for a reconcile of an access object.
    pub(super) access_trigger: UnboundedSender<ObjectRef<GuardedAccess>>,
    /// What was written of the status of access objects, by their names.
    pub(super) written_accesses: Mutex<BTreeMap<String, WrittenAccess>>,
    /// When access objects were last looked at, of those that were just now.
    pub(super) looks: Mutex<BTreeMap<String, Duration>>,
    /// Whether only some integrations are watched, by their labels.
    pub(super) selective: bool,
    /// The namespaces that are watched; none means all.
    pub(super) watched: BTreeSet<String>,
    /// When the resources that are gone were asked to go; it only serves the count of deletions.
    pub(super) deleted: Mutex<BTreeMap<Owner, Timestamp>>,
    /// Deletions within a minute that need no confirmation; 0 means any number.
    pub(super) deletions_at_once: usize,
    /// Whether this process may act.
    pub(super) leadership: Leadership,
    /// Lets a few discoveries run at once.
    pub(super) discoveries: Semaphore,
    /// Lets one discovery run at once in one organization, by the account that is asked.
    pub(super) organization_turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Set once the process is to end: no write starts any more.
    pub(super) closing: AtomicBool,
}

/// What the cluster has for the name in `accessRef`.
#[derive(Debug, Clone)]
pub(super) enum Access {
    Found(Arc<PortAwsAccess>),
    /// It is being deleted: it serves to clear what was made through it, and to nothing else.
    Leaving(Arc<PortAwsAccess>),
    Unreadable(String),
    Missing,
}

impl Access {
    /// The access object by which what is ours may be taken away.
    pub(super) fn for_removal(self) -> Option<Arc<PortAwsAccess>> {
        match self {
            Self::Found(access) | Self::Leaving(access) => Some(access),
            Self::Unreadable(_) | Self::Missing => None,
        }
    }
}

/// The object that a pass works for, as it was when the pass began.
// Each flag stands for itself: no two of them make up one state.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) object: Arc<PortAwsIntegration>,
    pub(super) key: WorkKey,
    pub(super) requested_at: Option<String>,
    /// The access object, if there is one.
    pub(super) access_version: Option<AccessVersion>,
    pub(super) account: AccountMemory,
    /// Whether the account is a target, or else one that is to be cleared.
    pub(super) is_target: bool,
    /// Whether the spec names the account; true where discovery finds them.
    pub(super) is_listed: bool,
    /// Whether the account may be cleared while the resource lives.
    pub(super) may_clear: bool,
    /// Whether discovery found that the account is not ACTIVE.
    pub(super) is_left_out: bool,
}

impl Context {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn resources(&self) -> MutexGuard<'_, BTreeMap<Owner, ResourceMemory>> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn deleted(&self) -> MutexGuard<'_, BTreeMap<Owner, Timestamp>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the first lists of some watches are in. False if the process is to end before.
    pub(super) async fn wait_listed(&self, watches: &[&'static str]) -> bool {
        let mut listed = self.listed.subscribe();
        // It fails only if the sender is gone, and that is a part of this very context.
        let _ = listed.wait_for(|listed| self.is_closing() || has_all(listed, watches)).await;
        !self.is_closing()
    }

    /// Whether the first lists of some watches are in.
    pub(super) fn is_listed(&self, watches: &[&'static str]) -> bool {
        has_all(&self.listed.borrow(), watches)
    }

    /// Whether the process is to end: no write to AWS starts any more.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// From now on no write to AWS starts.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.durable.notify_waiters();
        self.listed.send_modify(|_| ());
    }

    /// Asks for a visit in `delay`.
    pub(super) fn request(&self, key: WorkKey, priority: Priority, delay: Duration) {
        self.queue().request(key, priority, self.clock.now() + delay);
        self.wake.notify_one();
    }

    /// Asks for a reconcile. It fails only when the controller has ended.
    pub(super) fn reconcile_soon(&self, resource: &Owner) {
        if self.trigger.unbounded_send(reference_to(resource)).is_err() {
            tracing::debug!(%resource, "the controller has ended, so no reconcile follows");
        }
    }

    /// Asks for a look at an access object: what uses it, or how far it gets, may have changed.
    pub(super) fn access_soon(&self, name: &str) {
        if self.access_trigger.unbounded_send(ObjectRef::new(name)).is_err() {
            tracing::debug!(name, "the controller has ended, so no reconcile follows");
        }
    }

    /// Notes a look at an access object; gives the time to wait if the last one was just now.
    pub(super) fn looked_at(&self, access: &str) -> Option<Duration> {
        let now = self.clock.now();
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|_, at| now < *at + ACCESS_GAP);
        let rest = looks.get(access).map(|at| (*at + ACCESS_GAP).saturating_sub(now));
        if rest.is_none() {
            looks.insert(access.to_owned(), now);
        }
        rest
    }

    /// Runs `f` on the object as the watch last saw it, if it can be read.
    pub(super) fn with_object<T>(&self, resource: &Owner, f: impl FnOnce(&PortAwsIntegration) -> T) -> Option<T> {
        self.integrations.get(&reference_to(resource))?.0.as_ref().ok().map(f)
    }

    /// Forgets the resources that are gone, once the store does not have them any more.
    pub(super) fn forget_gone(&self) {
        let known: BTreeSet<Owner> = self.resources().keys().cloned().collect();
        let gone = known.into_iter().filter(|owner| self.integrations.get(&reference_to(owner)).is_none());
        gone.for_each(|owner| self.forget(&owner));
    }

    /// Visits nothing of a resource for now, and clears nothing of it.
    pub(super) fn stand_still(&self, resource: &Owner) {
        if let Some(memory) = self.resources().get_mut(resource) {
            memory.clearing.clear();
        }
        self.queue().forget(resource);
    }

    pub(super) fn forget(&self, resource: &Owner) {
        let memory = self.resources().remove(resource);
        self.queue().forget(resource);
        if let Some(memory) = memory {
            self.access_soon(&memory.access_name);
        }
    }

    pub(super) fn access(&self, name: &str) -> Access {
        match self.accesses.get(&ObjectRef::new(name)).as_deref() {
            Some(DeserializeGuard(Ok(access))) if access.metadata.deletion_timestamp.is_none() => {
                Access::Found(Arc::new(access.clone()))
            }
            Some(DeserializeGuard(Ok(access))) => Access::Leaving(Arc::new(access.clone())),
            Some(DeserializeGuard(Err(invalid))) => Access::Unreadable(invalid.error.clone()),
            None => Access::Missing,
        }
    }

    /// None while the namespace is not known here: its watch may lag behind that of its resources.
    pub(super) fn namespace_labels(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.namespaces.get(&ObjectRef::new(name)).map(|found| found.labels().clone())
    }

    /// By what a resource knows its own, its access's former installations included. One that is no
    /// cluster id is left out: it can be no tag of ours.
    pub(super) fn claim(&self, resource: &Owner, access: &PortAwsAccess) -> Claim {
        let former = access.spec.take_over.iter().filter_map(|former| former.cluster_id.parse().ok()).collect();
        Claim { cluster: self.cluster.clone(), former, owner: resource.clone(), predecessor: None }
    }

    /// Whether another live resource has an account as a target, with the same issuer.
    pub(super) fn provider_needed_by_others(&self, resource: &Owner, account: &AccountId, issuer: &str) -> bool {
        self.integrations.state().iter().filter_map(|object| object.0.as_ref().ok()).any(|other| {
            owner_of(other) != *resource
                && other.metadata.deletion_timestamp.is_none()
                && other.spec.oidc_provider.url == issuer
                && self.may_target(other, account)
        })
    }

    /// Whether a resource has an account as a target. One whose accounts are still to be discovered may.
    pub(super) fn may_target(&self, object: &PortAwsIntegration, account: &AccountId) -> bool {
        let resources = self.resources();
        let memory = resources.get(&owner_of(object));
        let discovery = memory.and_then(|memory| memory.discovery.as_ref());
        let known = discovery.is_some_and(|it| it.is_resolved(object.spec.discovery.as_ref()));
        // After a restart the members are known before they are targets.
        let is_member = discovery.is_some_and(|it| it.has(account));
        let listed = object.spec.accounts.iter().any(|id| id == account.as_str());
        let has = memory.is_some_and(|memory| memory.targets.contains(account));
        has || listed || is_member || (object.spec.discovery.is_some() && !known)
    }

    /// Which access object there is, if it can be read.
    pub(super) fn access_version(&self, name: &str) -> Option<AccessVersion> {
        let stored = self.accesses.get(&ObjectRef::new(name))?;
        let access = stored.0.as_ref().ok().filter(|access| access.metadata.deletion_timestamp.is_none())?;
        Some(AccessVersion::of(access))
    }

    /// Runs `f` on the memory of one account, if the resource is still the same object.
    pub(super) fn with_account<T>(&self, snapshot: &Snapshot, f: impl FnOnce(&mut AccountMemory) -> T) -> Option<T> {
        let mut resources = self.resources();
        let resource = resources.get_mut(&snapshot.key.resource)?;
        let same = Some(&resource.uid) == snapshot.object.metadata.uid.as_ref();
        resource.accounts.get_mut(&snapshot.key.account).filter(|_| same).map(f)
    }
}

fn has_all(listed: &BTreeSet<&'static str>, watches: &[&'static str]) -> bool {
    watches.iter().all(|watch| listed.contains(watch))
}

/// The name of a resource in AWS's tags and in the queue.
pub(super) fn owner_of(object: &PortAwsIntegration) -> Owner {
    Owner { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

/// The store's and the controller's name of a resource.
pub(super) fn reference_to(resource: &Owner) -> ObjectRef<Guarded> {
    ObjectRef::new(&resource.name).within(&resource.namespace)
}
