//! Writes to the resources themselves: status and finalizers. None starts unless the Lease lasts for it.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::ApiResource,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    cluster_call::{CallError, MANAGER},
    lease::Leadership,
};
use crate::api::{FINALIZER, PortAwsIntegration};

/// Reads an object from the API server itself, not from the watch, for a write that follows.
pub(super) async fn read<K>(leadership: &Leadership, api: &Api<K>, object: &K) -> Result<K, CallError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    leadership.tell(api.get(&object.name_any())).await
}

/// The body of an apply of status. A status may be large, and is not copied for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusApply<'a, S> {
    api_version: &'a str,
    kind: &'a str,
    metadata: serde_json::Value,
    status: &'a S,
}

/// Writes status by server-side apply, against a version of the object: a change in between makes the server
/// refuse it (409). So a write that was given up, and arrives late, does not undo what was written after it, and
/// none lands in an object that was deleted and created again. (The UID would not do: in a write of a custom
/// resource's status the server looks at no other metadata.)
pub(super) async fn write_status<K, S>(
    leadership: &Leadership,
    api: &Api<K>,
    object: &K,
    version: Option<&str>,
    status: &S,
) -> Result<K, CallError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize + Debug,
{
    apply_status(leadership, api, &ApiResource::erase::<K>(&()), &object.name_any(), version, status).await
}

/// The same for an object that may not be readable as its kind.
pub(super) async fn apply_status<K, S>(
    leadership: &Leadership,
    api: &Api<K>,
    resource: &ApiResource,
    name: &str,
    version: Option<&str>,
    status: &S,
) -> Result<K, CallError>
where
    K: Clone + Debug + DeserializeOwned,
    S: Serialize + Debug,
{
    let body = StatusApply {
        api_version: &resource.api_version,
        kind: &resource.kind,
        metadata: serde_json::json!({"name": name, "resourceVersion": version}),
        status,
    };
    let params = PatchParams::apply(MANAGER).force();
    leadership.tell(api.patch_status(name, &params, &Patch::Apply(&body))).await
}

/// Sets or takes off a finalizer, against the version of the object that was read: a change in between
/// makes the server refuse it (409), and the next reconcile tries again.
pub(super) async fn write_finalizer<K>(
    leadership: &Leadership,
    api: &Api<K>,
    metadata: &ObjectMeta,
    finalizer: &str,
    wanted: bool,
) -> Result<(), CallError>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|other| other != finalizer);
    if wanted {
        finalizers.push(finalizer.to_owned());
    }
    let body = serde_json::json!({"metadata": {
        "resourceVersion": metadata.resource_version,
        "uid": metadata.uid,
        "finalizers": finalizers,
    }});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let name = metadata.name.as_deref().unwrap_or_default();
    leadership.tell(api.patch(name, &params, &Patch::Merge(&body))).await.map(drop)
}

/// Whether something of an integration may exist in AWS.
pub(super) fn has_finalizer(object: &PortAwsIntegration) -> bool {
    carries(&object.metadata, FINALIZER)
}

pub(super) fn carries(metadata: &ObjectMeta, finalizer: &str) -> bool {
    metadata.finalizers.iter().flatten().any(|other| other == finalizer)
}

/// Where an integration is written to.
pub(super) fn integrations(client: &Client, object: &PortAwsIntegration) -> Api<PortAwsIntegration> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}
