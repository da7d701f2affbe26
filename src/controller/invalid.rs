//! Objects that cannot be read as this version's kind, as an older schema may have let them in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Resource,
    api::DynamicObject,
    core::{ApiResource, error_boundary::InvalidObject},
    runtime::controller::Action,
};

use super::{cluster_call::CallError, context::Context, memory::ResourceMemory, store};
use crate::{
    api::{ABANDON, ConditionStatus, ConditionType, Conditions, FINALIZER, PortAwsIntegration, Reason, cut},
    domain::Owner,
};

/// Tells of the object's error once, in an event and in its conditions, and leaves AWS alone. If the
/// object is deleted, only its abandonment ends it: what it made cannot be known.
pub(super) async fn reconcile(found: &InvalidObject, context: &Context) -> Result<Action, CallError> {
    context.may_tell()?;
    let metadata = &found.metadata;
    let resource = Owner {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    };
    context.queue().forget(&resource);
    let told = context.resources().get(&resource).and_then(|memory| memory.told_invalid.clone());
    let stand_in = stand_in(found);
    let abandoned = metadata.annotations.as_ref().and_then(|all| all.get(ABANDON)).is_some_and(|value| value == "true");
    let ours = metadata.finalizers.as_ref().is_some_and(|all| all.iter().any(|finalizer| finalizer == FINALIZER));
    if metadata.deletion_timestamp.is_some() && ours && abandoned {
        let note = "the deletion was abandoned: roles and tags of this resource may stay behind in its accounts";
        context.events.done(&stand_in, Reason::Abandoned, note).await;
        let api = store::integrations(&context.client, &stand_in);
        store::write_finalizer(&context.leadership, &api, metadata, FINALIZER, false).await?;
        return Ok(Action::await_change());
    }
    if told.as_deref() == Some(found.error.as_str()) {
        return Ok(Action::await_change());
    }
    let note = format!("the object cannot be read, and AWS is left alone: {}", cut(&found.error, 700));
    tracing::warn!(%resource, error = %found.error, "an object cannot be read");
    context.events.state(&stand_in, Reason::InvalidSpec, &note).await;
    write_conditions(context, found, &note).await?;
    let uid = metadata.uid.clone().unwrap_or_default();
    let mut memory = ResourceMemory::new(&uid, None, context.clock.now());
    memory.told_invalid = Some(found.error.clone());
    // A uid of its own, so that the object is remembered from its status once it can be read.
    memory.uid = format!("invalid-{uid}");
    context.resources().insert(resource, memory);
    Ok(Action::await_change())
}

/// Replaces the conditions, and leaves the rest of the stored status as it is: what it says of claims
/// holds still.
async fn write_conditions(context: &Context, found: &InvalidObject, note: &str) -> Result<(), CallError> {
    let metadata = &found.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let resource = ApiResource::erase::<PortAwsIntegration>(&());
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let stored = context.leadership.tell(api.get(&name)).await?;
    if stored.metadata.uid != metadata.uid {
        // Another one of its name, which the watch is about to show.
        return Ok(());
    }
    let mut status = stored.data.get("status").cloned().unwrap_or_else(|| serde_json::json!({}));
    let former: Vec<Condition> =
        status.get("conditions").cloned().and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default();
    let generation = metadata.generation.unwrap_or_default();
    let mut conditions = Conditions::new(&former, generation, context.clock.wall());
    conditions.set(ConditionType::Ready, ConditionStatus::False, Reason::InvalidSpec, note);
    conditions.set(ConditionType::Stalled, ConditionStatus::True, Reason::InvalidSpec, note);
    status["conditions"] = serde_json::json!(conditions.finish());
    status["observedGeneration"] = serde_json::json!(generation);
    let version = stored.metadata.resource_version.as_deref();
    match store::apply_status(&context.leadership, &api, &resource, &name, version, &status).await {
        // An object that breaks its schema cannot be written at all; the event has told of it.
        Err(CallError::Kubernetes(error)) if matches!(&*error, kube::Error::Api(status) if status.is_invalid()) => {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// An object with the metadata alone, to hang events on.
fn stand_in(found: &InvalidObject) -> PortAwsIntegration {
    let spec = crate::api::PortAwsIntegrationSpec {
        organization_id: String::new(),
        integration_identifier: String::new(),
        access_ref: crate::api::AccessRef::default(),
        accounts: Vec::new(),
        discovery: None,
        account_removal_policy: crate::api::AccountRemovalPolicy::Retain,
        oidc_provider: crate::api::OidcProviderSpec::default(),
        role: crate::api::RoleSpec::default(),
        mode: crate::api::Mode::default(),
        suspend: true,
        interval: std::time::Duration::ZERO.into(),
        deletion_policy: crate::api::DeletionPolicy::Retain,
    };
    let mut object = PortAwsIntegration::new("", spec);
    *object.meta_mut() = found.metadata.clone();
    object
}
