//! The reconcile of a `PortAwsAccess`: its status, and the finalizer that keeps it as long as something
//! is to be cleared through it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject},
    core::DeserializeGuard,
    runtime::controller::Action,
};

use super::{
    PASS_TIMEOUT,
    access_status::{AccountReach, Sight, Trouble},
    access_version::AccessVersion,
    account_memory::AccountMemory,
    cluster_call::CallError,
    context::{Context, GuardedAccess, owner_of},
    memory::{ResourceMemory, WrittenAccess},
    store::{self, carries},
    written::Written,
};
use crate::{
    api::{AccountState, IN_USE, PortAwsAccess, PortAwsAccessStatus, PortAwsIntegration, Reason},
    schedule::TokenBucket,
};

/// Writes of status: some at once, then one in five seconds.
const STATUS_BURST: u32 = 4;
const STATUS_PER_SECOND: f64 = 0.2;
/// How often AWS is asked whose the credentials are while it does not say.
const CALLER_RETRY: Duration = Duration::from_secs(60);

/// Reconciles one access object.
pub(super) async fn reconcile(object: Arc<GuardedAccess>, context: Arc<Context>) -> Result<Action, CallError> {
    let access = match &object.as_ref().0 {
        Ok(access) => access,
        Err(found) => {
            // What it allows cannot be read, but whether it may go can be told.
            let leaving = found.metadata.deletion_timestamp.is_some() && context.sees_all_of(None);
            if leaving && !context.is_needed(found.metadata.name.as_deref().unwrap_or_default(), None) {
                keep(&context, &found.metadata, false).await?;
            }
            return Ok(Action::await_change());
        }
    };
    if !context.speaks_for(access) {
        return Ok(Action::await_change());
    }
    let name = access.name_any();
    let leaving = access.metadata.deletion_timestamp.is_some();
    let needed = context.is_needed(&name, (!leaving).then_some(access));
    if needed != carries(&access.metadata, IN_USE) && (!needed || !leaving) {
        // The write changes the object, so the watch brings the next reconcile.
        keep(&context, &access.metadata, needed).await?;
        return Ok(Action::await_change());
    }
    publish(&context, access).await
}

/// Sets or takes off the finalizer.
async fn keep(
    context: &Context,
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    wanted: bool,
) -> Result<(), CallError> {
    if carries(metadata, IN_USE) == wanted {
        return Ok(());
    }
    let resource = ApiResource::erase::<PortAwsAccess>(&());
    let api = Api::<DynamicObject>::all_with(context.client.clone(), &resource);
    store::write_finalizer(&context.leadership, &api, metadata, IN_USE, wanted).await
}

async fn publish(context: &Context, access: &PortAwsAccess) -> Result<Action, CallError> {
    let name = access.name_any();
    let caller = context.aws.caller().await;
    let (retry, caller) = match caller {
        Ok(caller) => (None, Ok(caller.arn)),
        Err(error) => (Some(CALLER_RETRY), Err(Trouble::from(&error))),
    };
    let api = Api::all(context.client.clone());
    if context.written_accesses().get(&name).is_some_and(|known| known.status.is_in_doubt()) {
        let stored: PortAwsAccess = store::read(&context.leadership, &api, access).await?;
        if let Some(known) = context.written_accesses().get_mut(&name) {
            known.status.settle(&stored.metadata, stored.status.as_ref());
        }
    }
    let former = context.former_access_status(access);
    let Some(sight) = context.sight(&name, caller) else {
        // What a former process wrote says more than is known here yet.
        return Ok(Action::requeue(Duration::from_secs(2)));
    };
    let status = sight.status(access, &former, context.clock.wall());
    if status == former {
        return Ok(retry.map_or_else(Action::await_change, Action::requeue));
    }
    let now = context.clock.now();
    let wait = {
        let mut written = context.written_accesses();
        let new =
            || WrittenAccess { pace: TokenBucket::new(STATUS_BURST, STATUS_PER_SECOND), status: Written::default() };
        let pace = &mut written.entry(name.clone()).or_insert_with(new).pace;
        let wait = pace.wait(now);
        pace.spend(now);
        wait
    };
    if !wait.is_zero() {
        return Ok(Action::requeue(wait));
    }
    let version = context
        .written_accesses()
        .get(&name)
        .map_or_else(|| access.metadata.resource_version.clone(), |known| known.status.version(&access.metadata));
    let outcome = store::write_status(&context.leadership, &api, access, version.as_deref(), &status).await;
    if let Some(known) = context.written_accesses().get_mut(&name) {
        known.status.note(status, outcome.as_ref().map(|written| &written.metadata));
    }
    outcome?;
    context.metrics.wrote_status("PortAwsAccess");
    Ok(retry.map_or_else(Action::await_change, Action::requeue))
}

impl Context {
    fn written_accesses(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, WrittenAccess>> {
        self.written_accesses.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The status to compare with and build on.
    fn former_access_status(&self, access: &PortAwsAccess) -> PortAwsAccessStatus {
        let shown = access.status.as_ref();
        let written = self.written_accesses();
        let known = written.get(&access.name_any());
        known.map_or_else(|| shown.cloned(), |known| known.status.former(&access.metadata, shown)).unwrap_or_default()
    }

    /// Whether this process sees all that uses an access object. Of one that other namespaces may use
    /// too, or other integrations than those with certain labels, another process may know more, so it is
    /// left to that.
    fn speaks_for(&self, access: &PortAwsAccess) -> bool {
        let allowed = access.spec.allowed_namespaces.as_ref();
        let names = allowed.filter(|allowed| allowed.selector.is_none()).and_then(|allowed| allowed.names.as_ref());
        self.sees_all_of(names)
    }

    /// Whether this process sees all integrations of these namespaces, or of all.
    fn sees_all_of(&self, names: Option<&Vec<String>>) -> bool {
        let all_watched = |names: &Vec<String>| names.iter().all(|name| self.watched.contains(name));
        !self.selective
            && (self.watched.is_empty() || names.is_some_and(|names| !names.is_empty() && all_watched(names)))
    }

    /// Whether an integration needs the access object: something was made through it, or it may be made
    /// by what the access allows. One that cannot be read may need any.
    fn is_needed(&self, name: &str, access: Option<&PortAwsAccess>) -> bool {
        self.integrations.state().iter().any(|object| match &object.0 {
            Ok(object) if object.spec.access_ref.name != name => false,
            Ok(object) => {
                let live = object.metadata.deletion_timestamp.is_none();
                self.may_hold(object) || (live && access.is_some_and(|access| self.is_granted(object, access)))
            }
            Err(found) => carries(&found.metadata, crate::api::FINALIZER),
        })
    }

    /// What this process sees of an access object; nothing as long as it has not looked at all accounts
    /// that a former process may have looked at.
    fn sight(&self, name: &str, caller: Result<String, Trouble>) -> Option<Sight> {
        let access = self.access(name).for_removal()?;
        let mut sight = Sight::new(caller);
        let resources = self.resources();
        let version = AccessVersion::of(&access);
        let settled = Sight::is_settled(&access, &self.former_access_status(&access));
        let mut complete = true;
        for object in self.integrations.state() {
            let DeserializeGuard(Ok(object)) = object.as_ref() else { continue };
            if object.spec.access_ref.name != name {
                continue;
            }
            let granted = self.is_granted(object, &access);
            if !granted && !self.may_hold(object) {
                continue;
            }
            sight.integrations += 1;
            let visits = granted && !object.spec.suspend && object.metadata.deletion_timestamp.is_none();
            let seen = Seen { object, visits, version: &version, settled };
            match resources.get(&owner_of(object)) {
                Some(memory) => complete &= seen.note(memory, &mut sight),
                None => complete = false,
            }
        }
        drop(resources);
        (complete || !settled || self.clock.now() > PASS_TIMEOUT).then_some(sight)
    }
}

/// One of the integrations that use an access object.
struct Seen<'a> {
    object: &'a PortAwsIntegration,
    /// Whether its accounts are visited.
    visits: bool,
    /// The access object as it is now.
    version: &'a AccessVersion,
    /// Whether a former process had tried all by this version.
    settled: bool,
}

impl Seen<'_> {
    /// Adds what is known of the accounts; gives whether all were looked at.
    fn note(&self, memory: &ResourceMemory, sight: &mut Sight) -> bool {
        let spec = &self.object.spec;
        let mut complete = !self.visits || spec.discovery.is_none();
        if let Some(discovery) = memory.discovery.as_ref() {
            let resolved = discovery.is_resolved(spec.discovery.as_ref());
            complete |= resolved || discovery.failure.is_some();
            let tried = discovery.was_tried_by(self.version) || (self.settled && resolved);
            match discovery.failure.as_ref().filter(|(failure, _)| !failure.decided) {
                // That a unit is not there is the fault of who named it, and not of the access.
                Some((failure, _)) if tried && failure.reason == Reason::ParentNotFound => {}
                Some((failure, _)) if tried => sight.note_discovery(Trouble::from(failure)),
                _ => sight.discovers |= self.visits && !tried,
            }
        }
        for (id, account) in memory.accounts.iter().filter(|(id, it)| memory.targets.contains(*id) && !it.skipped) {
            let reach = self.reach(account);
            complete &= reach != AccountReach::Due;
            sight.note(id, reach);
        }
        complete
    }

    fn reach(&self, account: &AccountMemory) -> AccountReach {
        if matches!(account.state, AccountState::NotAllowed | AccountState::AccountSuspended) {
            return AccountReach::Idle;
        }
        let tried = account.visited && account.visited_by.as_ref() == Some(self.version);
        let found_ready = !account.visited && self.settled && account.state == AccountState::Ready;
        match (tried, account.failing) {
            (true, Some(_)) if account.unreached => AccountReach::Unreached(Trouble::of(account)),
            (true, _) => AccountReach::Reached,
            (false, _) if found_ready => AccountReach::Reached,
            (false, _) if self.visits => AccountReach::Due,
            (false, _) => AccountReach::Idle,
        }
    }
}
