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
    context::{Context, GuardedAccess, owner_of},
    memory::ResourceMemory,
    store::{self, StoreError, carries, has_finalizer},
};
use crate::{
    api::{AccountState, IN_USE, PortAwsAccess, PortAwsIntegration},
    plan::Granted,
    schedule::TokenBucket,
};

/// Writes of status: some at once, then one in five seconds.
const STATUS_BURST: u32 = 4;
const STATUS_PER_SECOND: f64 = 0.2;
/// How often AWS is asked whose the credentials are while it does not say.
const CALLER_RETRY: Duration = Duration::from_secs(60);

/// Reconciles one access object.
pub(super) async fn reconcile(object: Arc<GuardedAccess>, context: Arc<Context>) -> Result<Action, StoreError> {
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
) -> Result<(), StoreError> {
    if carries(metadata, IN_USE) == wanted {
        return Ok(());
    }
    let resource = ApiResource::erase::<PortAwsAccess>(&());
    let api = Api::<DynamicObject>::all_with(context.client.clone(), &resource);
    store::write_finalizer(&context.leadership, &api, metadata, IN_USE, wanted).await
}

async fn publish(context: &Context, access: &PortAwsAccess) -> Result<Action, StoreError> {
    let name = access.name_any();
    let caller = context.aws.caller().await;
    let (retry, caller) = match caller {
        Ok(caller) => (None, Ok(caller.arn)),
        Err(error) => (Some(CALLER_RETRY), Err(Trouble::from(&error))),
    };
    let former = access.status.clone().unwrap_or_default();
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
        let mut paces = context.access_paces();
        let pace = paces.entry(name).or_insert_with(|| TokenBucket::new(STATUS_BURST, STATUS_PER_SECOND));
        let wait = pace.wait(now);
        pace.spend(now);
        wait
    };
    if !wait.is_zero() {
        return Ok(Action::requeue(wait));
    }
    store::write_status(&context.leadership, &Api::all(context.client.clone()), access, &status).await?;
    context.metrics.wrote_status("PortAwsAccess");
    Ok(retry.map_or_else(Action::await_change, Action::requeue))
}

impl Context {
    fn access_paces(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, TokenBucket>> {
        self.access_paces.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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
        !self.selective && (self.watched.is_empty() || names.is_some_and(all_watched))
    }

    /// Whether an integration needs the access object: something was made through it, or it may be made
    /// by what the access allows. One that cannot be read may need any.
    fn is_needed(&self, name: &str, access: Option<&PortAwsAccess>) -> bool {
        self.integrations.state().iter().any(|object| match &object.0 {
            Ok(object) if object.spec.access_ref.name != name => false,
            Ok(object) => {
                let live = object.metadata.deletion_timestamp.is_none();
                has_finalizer(object) || (live && access.is_some_and(|access| self.is_granted(object, access)))
            }
            Err(found) => carries(&found.metadata, crate::api::FINALIZER),
        })
    }

    fn is_granted(&self, object: &PortAwsIntegration, access: &PortAwsAccess) -> bool {
        let namespace = object.namespace().unwrap_or_default();
        Granted::check(&object.spec, &namespace, &self.namespace_labels(&namespace), &access.spec).is_ok()
    }

    /// What this process sees of an access object; nothing as long as it has not looked at all accounts
    /// that a former process may have looked at.
    fn sight(&self, name: &str, caller: Result<String, Trouble>) -> Option<Sight> {
        let access = self.access(name).for_removal()?;
        let mut sight = Sight::new(caller);
        let resources = self.resources();
        let mut complete = true;
        for object in self.integrations.state() {
            let DeserializeGuard(Ok(object)) = object.as_ref() else { continue };
            if object.spec.access_ref.name != name || !(has_finalizer(object) || self.is_granted(object, &access)) {
                continue;
            }
            sight.integrations += 1;
            match resources.get(&owner_of(object)) {
                Some(memory) => complete &= note(memory, object, &mut sight),
                None => complete = false,
            }
        }
        drop(resources);
        (complete || self.clock.now() > PASS_TIMEOUT || access.status.is_none()).then_some(sight)
    }
}

/// Adds what is known of the accounts of one integration; gives whether all were looked at.
fn note(memory: &ResourceMemory, object: &PortAwsIntegration, sight: &mut Sight) -> bool {
    let discovery = memory.discovery.as_ref();
    if let Some((failure, _)) = discovery.and_then(|discovery| discovery.failure.as_ref()).filter(|(it, _)| !it.decided)
    {
        sight.discovery.get_or_insert(Trouble::from(failure));
    }
    let mut complete = object.spec.suspend
        || object.spec.discovery.is_none()
        || discovery.is_some_and(|it| it.is_resolved(object.spec.discovery.as_ref()) || it.failure.is_some());
    for (id, account) in memory.accounts.iter().filter(|(id, it)| memory.targets.contains(*id) && !it.skipped) {
        let reach = match (account.visited, account.failing) {
            (true, Some(_)) if account.unreached => AccountReach::Unreached(Trouble::of(account)),
            (true, _) if account.state != AccountState::NotAllowed => AccountReach::Reached,
            (false, _) if account.state == AccountState::Ready => AccountReach::Reached,
            _ => AccountReach::Unknown,
        };
        complete &= !matches!(reach, AccountReach::Unknown) || object.spec.suspend;
        sight.note(id, reach);
    }
    complete
}
