//! The cluster, as far as there is one: it is only read, and nothing depends on it that files can say.

use std::{collections::BTreeMap, fmt, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config, ResourceExt};

use crate::{
    api::{PortAwsAccess, PortAwsIntegration},
    domain::{ClusterId, Owner},
};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The cluster of the current kubeconfig, or that of the Pod.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
}

impl Cluster {
    /// The one that is configured, if any is. It is not asked yet.
    pub(super) async fn configured() -> Option<Self> {
        let config = Config::infer().await.ok()?;
        Some(Self { client: Client::try_from(config).ok()? })
    }

    /// The namespace of documents that name none.
    pub(super) fn namespace(&self) -> String {
        self.client.default_namespace().to_owned()
    }

    /// The id that an operator in this cluster has by default.
    pub(super) async fn id(&self) -> Result<ClusterId, String> {
        let found = answer(Api::<Namespace>::all(self.client.clone()).get("kube-system")).await?;
        found.uid().unwrap_or_default().parse().map_err(|error: crate::domain::InvalidValue| error.to_string())
    }

    pub(super) async fn access(&self, name: &str) -> Result<Option<PortAwsAccess>, String> {
        answer(Api::<PortAwsAccess>::all(self.client.clone()).get_opt(name)).await
    }

    pub(super) async fn integration(&self, resource: &Owner) -> Result<Option<PortAwsIntegration>, String> {
        let api = Api::<PortAwsIntegration>::namespaced(self.client.clone(), &resource.namespace);
        match answer(api.get_opt(&resource.name)).await {
            // The kind may be about to be installed.
            Err(error) if error.contains("404") => Ok(None),
            other => other,
        }
    }

    /// The labels of a namespace; none if it is not there.
    pub(super) async fn labels(&self, namespace: &str) -> Result<Option<BTreeMap<String, String>>, String> {
        let found = answer(Api::<Namespace>::all(self.client.clone()).get_opt(namespace)).await?;
        Ok(found.map(|namespace| namespace.metadata.labels.unwrap_or_default()))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

async fn answer<T>(asking: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(outcome) => outcome.map_err(|error| match error {
            kube::Error::Api(status) => format!("{} {}: {}", status.code, status.reason, status.message),
            error => error.to_string(),
        }),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
