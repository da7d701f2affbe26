//! What stands between a decision and a write to AWS: the object is still as it was, and its claim is
//! stored.

use std::{sync::Arc, time::Duration};

use super::{
    cluster_call::CallError,
    context::{Context, Snapshot},
    memory::{Asked, ResourceMemory},
};
use crate::{
    api::{PortAwsIntegration, PortAwsIntegrationSpec},
    schedule::WorkKey,
};

/// How often a pass that waits for its claim looks whether its object still is.
const ARM_RECHECK: Duration = Duration::from_secs(2);

/// What a pass looks at: nothing of its status, and not which accounts there are besides its own. These are
/// nearly all of a large object, and there is a copy for each pass.
pub(super) fn for_one_account(object: &PortAwsIntegration) -> PortAwsIntegration {
    let spec = &object.spec;
    PortAwsIntegration {
        metadata: object.metadata.clone(),
        spec: PortAwsIntegrationSpec {
            organization_id: spec.organization_id.clone(),
            integration_identifier: spec.integration_identifier.clone(),
            access_ref: spec.access_ref.clone(),
            accounts: Vec::new(),
            discovery: spec.discovery.clone(),
            account_removal_policy: spec.account_removal_policy,
            oidc_provider: spec.oidc_provider.clone(),
            role: spec.role.clone(),
            mode: spec.mode,
            suspend: spec.suspend,
            interval: spec.interval,
            deletion_policy: spec.deletion_policy,
        },
        status: None,
    }
}

/// A pass that ends early, because something changed under it: what it knows is out of date.
#[derive(Debug)]
pub(super) struct Superseded;

impl Context {
    /// The object as it is now, if an account of it is to be visited and it holds on to what it made.
    pub(super) fn snapshot(&self, key: &WorkKey) -> Option<Snapshot> {
        let (object, is_listed) = self.with_object(&key.resource, |object| {
            let listed = object.spec.accounts.iter().any(|account| account == key.account.as_str());
            (for_one_account(object), listed || object.spec.discovery.is_some())
        })?;
        let object = Arc::new(object);
        let resources = self.resources();
        let same = |memory: &&ResourceMemory| Some(&memory.uid) == object.metadata.uid.as_ref() && !memory.released;
        let memory = resources.get(&key.resource).filter(same)?;
        let account = memory.accounts.get(&key.account)?.clone();
        let requested_at = Asked::of(&object).requested_at;
        let access_version = self.access_version(&object.spec.access_ref.name);
        let (is_target, is_left_out) = (memory.targets.contains(&key.account), memory.is_left_out(&key.account));
        let may_clear = memory.clearing.contains(&key.account);
        let key = key.clone();
        Some(Snapshot {
            object,
            key,
            requested_at,
            access_version,
            account,
            is_target,
            is_listed,
            may_clear,
            is_left_out,
        })
    }

    /// Whether a write may start: the process holds the lease for long enough and is not ending, and the
    /// object, its access and whether the account is a target are still as they were when the pass began, and the
    /// access allows the object.
    pub(super) fn gate(&self, snapshot: &Snapshot) -> Result<(), Superseded> {
        let then = &snapshot.object.metadata;
        let unchanged = self.with_object(&snapshot.key.resource, |object| {
            let now = &object.metadata;
            then.uid == now.uid
                && then.generation == now.generation
                && then.deletion_timestamp.is_some() == now.deletion_timestamp.is_some()
                && snapshot.access_version == self.access_version(&object.spec.access_ref.name)
                // The labels of its namespace may have changed alone.
                && (now.deletion_timestamp.is_some() || self.granted_access(object).is_ok())
        });
        let account = &snapshot.key.account;
        let stands = self.resources().get(&snapshot.key.resource).is_some_and(|memory| {
            let is_target = memory.targets.contains(account);
            is_target == snapshot.is_target && (is_target || memory.clearing.contains(account))
        });
        let unchanged = unchanged == Some(true) && (stands || then.deletion_timestamp.is_some());
        if unchanged && self.leadership.may_write() && !self.is_closing() { Ok(()) } else { Err(Superseded) }
    }

    /// Whether a write to the cluster may start: each asks for itself, so this saves work only.
    pub(super) fn may_tell(&self) -> Result<(), CallError> {
        if self.leadership.may_tell() { Ok(()) } else { Err(CallError::NotLeading) }
    }

    /// Makes sure that finalizer and claim are stored before the first write to AWS. The reconcile
    /// writes them; this waits for it, as long as the pass may last.
    pub(super) async fn arm(&self, snapshot: &Snapshot) -> Result<(), Superseded> {
        let key = &snapshot.key;
        if self.with_account(snapshot, |account| account.claimed = true).is_none() {
            return Err(Superseded);
        }
        loop {
            // Listening before looking, so that no notice is missed.
            let notified = self.durable.notified();
            let durable =
                self.resources().get(&key.resource).is_some_and(|memory| memory.durable.contains(&key.account));
            if durable {
                return Ok(());
            }
            self.gate(snapshot)?;
            self.reconcile_soon(&key.resource);
            // Of an object that is gone there is no notice; the gate finds it.
            let _ = tokio::time::timeout(ARM_RECHECK, notified).await;
        }
    }
}
