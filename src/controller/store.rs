//! Writes to the resources themselves: status and finalizers. None starts unless the Lease lasts for it.

use std::{borrow::Cow, fmt::Debug, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};

use super::lease::Leadership;
use crate::api::{FINALIZER, PortAwsIntegration};

/// The field manager of everything that the operator writes to the cluster.
pub(super) const MANAGER: &str = "port-aws-operator";

/// A failed call to the API server; the controller tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// The API server refused a write, or did not answer.
    #[error("writing to the cluster failed: {0}")]
    Kubernetes(#[from] Box<kube::Error>),
    /// The lease does not last for a write.
    #[error("the lease is not held for long enough to write to the cluster")]
    NotLeading,
    /// The API server did not answer in time.
    #[error("no answer from the API server in {0:?}")]
    Timeout(Duration),
}

impl From<kube::Error> for StoreError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(Box::new(error))
    }
}

impl StoreError {
    /// Whether the API server has nothing at that path. Of a kind that it does not know it gives no reason.
    pub(super) fn is_unknown_path(&self) -> bool {
        let Self::Kubernetes(cause) = self else { return false };
        matches!(&**cause, kube::Error::Api(status) if status.code == 404)
    }

    /// Whether the API server may have stored what was to be written. What it answers is its word; no answer,
    /// and its own trouble, are none.
    pub(super) fn may_have_been_stored(&self) -> bool {
        match self {
            Self::Kubernetes(cause) => !matches!(&**cause, kube::Error::Api(status) if status.code < 500),
            Self::NotLeading => false,
            Self::Timeout(_) => true,
        }
    }

    /// Whether the write was refused because the object is another by now.
    pub(super) fn is_outdated(&self) -> bool {
        let Self::Kubernetes(cause) = self else { return false };
        matches!(&**cause, kube::Error::Api(status) if status.is_conflict() || status.is_not_found())
    }
}

/// Reads an object from the API server itself, not from the watch, for a write that follows.
pub(super) async fn read<K>(leadership: &Leadership, api: &Api<K>, object: &K) -> Result<K, StoreError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    leadership.tell(api.get(&object.name_any())).await
}

/// Bounds a call to the API server in time; the client itself does not.
pub(super) async fn bounded<T>(limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(StoreError::from),
        Err(_) => Err(StoreError::Timeout(limit)),
    }
}

/// The body of an apply of status. A status may be large, and is not copied for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusApply<'a, S> {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    metadata: serde_json::Value,
    status: &'a S,
}

/// Writes status by server-side apply. The UID in the body makes the server refuse it (409) if the
/// object was deleted and created again meanwhile.
pub(super) async fn write_status<K, S>(
    leadership: &Leadership,
    api: &Api<K>,
    object: &K,
    status: &S,
) -> Result<K, StoreError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize + Debug,
{
    let body = StatusApply {
        api_version: K::api_version(&()),
        kind: K::kind(&()),
        metadata: serde_json::json!({"name": object.name_any(), "uid": object.meta().uid}),
        status,
    };
    let params = PatchParams::apply(MANAGER).force();
    leadership.tell(api.patch_status(&object.name_any(), &params, &Patch::Apply(&body))).await
}

/// Sets or takes off a finalizer, against the version of the object that was read: a change in between
/// makes the server refuse it (409), and the next reconcile tries again.
pub(super) async fn write_finalizer<K>(
    leadership: &Leadership,
    api: &Api<K>,
    metadata: &ObjectMeta,
    finalizer: &str,
    wanted: bool,
) -> Result<(), StoreError>
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
