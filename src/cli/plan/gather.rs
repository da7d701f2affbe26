//! All that a plan needs beside AWS: from the files first, and what they lack from the cluster.

use std::collections::BTreeMap;

use super::cluster::Cluster;
use crate::{
    api::{AccountState, PortAwsAccess, PortAwsIntegration, Reason},
    domain::{ClusterId, Owner},
    manifest::{Documents, Integration, Kind},
    plan::Granted,
    preview::{ResourcePreview, Trouble},
};

/// A resource that may be looked at in AWS.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) owner: Owner,
    pub(super) object: PortAwsIntegration,
    pub(super) access: PortAwsAccess,
    pub(super) labels: BTreeMap<String, String>,
    /// The same resource in the cluster.
    pub(super) live: Option<PortAwsIntegration>,
}

/// All resources.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) cluster_id: Option<ClusterId>,
    pub(super) warnings: Vec<String>,
    /// Each with what is to be looked at, if it may be.
    pub(super) resources: Vec<(ResourcePreview, Option<Resource>)>,
}

/// Finds what belongs to the integrations of the files.
pub(super) async fn gather(documents: Documents, cluster: Option<Cluster>, id: Option<ClusterId>) -> Gathered {
    let mut warnings: Vec<String> = Vec::new();
    if !documents.skipped.is_empty() {
        warnings.push(format!("not looked at, as it is of no kind of ours: {}", documents.skipped.join("; ")));
    }
    if documents.integrations.is_empty() {
        warnings.push("the files have no PortAwsIntegration".to_owned());
    }
    let mut gather = Gather { documents, cluster, warnings };
    let cluster_id = match id {
        Some(id) => Some(id),
        None => gather.default_id().await,
    };
    let mut resources = Vec::new();
    for integration in std::mem::take(&mut gather.documents.integrations) {
        let spec = &integration.object.spec;
        let mut preview =
            ResourcePreview::new(&integration.resource, &integration.source, &spec.access_ref.name, spec.mode);
        let resource = match gather.resource(integration, &mut preview).await {
            Ok(resource) => Some(resource),
            Err(problem) => {
                preview.problem = Some(problem);
                None
            }
        };
        resources.push((preview, resource));
    }
    Gathered { cluster_id, warnings: gather.warnings, resources }
}

struct Gather {
    documents: Documents,
    cluster: Option<Cluster>,
    warnings: Vec<String>,
}

impl Gather {
    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The id of the cluster at hand.
    async fn default_id(&mut self) -> Option<ClusterId> {
        let why = match &self.cluster {
            None => "no cluster is configured".to_owned(),
            Some(cluster) => match cluster.id().await {
                Ok(id) => return Some(id),
                Err(error) => format!("the cluster does not tell its identity ({error})"),
            },
        };
        self.warn(format!(
            "{why}, and --cluster-id is not given: a role of any installation is taken for one of this, and the value of the tag port-aws-operator/cluster is not compared"
        ));
        None
    }

    async fn resource(&mut self, found: Integration, preview: &mut ResourcePreview) -> Result<Resource, Trouble> {
        let live = self.live(&found.resource).await;
        if let Some(live) = &live {
            if live.metadata.deletion_timestamp.is_some() {
                preview
                    .notes
                    .push("the resource in the cluster is being deleted: this is what a new one would do".to_owned());
            }
            check_change(&found, live)?;
        }
        let access = self.access(&found.object.spec.access_ref.name).await?;
        let labels = self.labels(&found.resource.namespace, &access).await;
        let granted = Granted::check(&found.object.spec, &found.resource.namespace, Some(&labels), &access.spec);
        granted.map_err(|violations| Trouble::not_allowed(&violations, &found.object.spec.access_ref.name))?;
        if found.object.spec.suspend {
            preview.notes.push("spec.suspend is set: the operator neither reads nor writes AWS for it".to_owned());
        }
        Ok(Resource { owner: found.resource, object: found.object, access, labels, live })
    }

    async fn live(&mut self, resource: &Owner) -> Option<PortAwsIntegration> {
        let found = self.cluster.as_ref()?.integration(resource).await;
        found.unwrap_or_else(|error| {
            self.warn(format!(
                "the cluster does not tell what it has of PortAwsIntegration objects ({error}): rules about changes are not asked"
            ));
            None
        })
    }

    async fn access(&mut self, name: &str) -> Result<PortAwsAccess, Trouble> {
        if let Some(access) = self.documents.accesses.get(name) {
            return Ok(access.clone());
        }
        let why = match &self.cluster {
            None => "no cluster is configured".to_owned(),
            Some(cluster) => match cluster.access(name).await {
                Ok(Some(access)) => return Ok(access),
                Ok(None) => "it does not exist in the cluster".to_owned(),
                Err(error) => format!("the cluster does not tell of it ({error})"),
            },
        };
        let message = format!("PortAwsAccess {name} is not in the files, and {why}: add it to -f");
        Err(Trouble::new(AccountState::Failed, Reason::AccessNotFound, message))
    }

    /// The labels of a namespace, where the access asks for them.
    async fn labels(&mut self, namespace: &str, access: &PortAwsAccess) -> BTreeMap<String, String> {
        if let Some(labels) = self.documents.namespaces.get(namespace) {
            return labels.clone();
        }
        let selects = access.spec.allowed_namespaces.as_ref().is_some_and(|allowed| allowed.selector.is_some());
        if !selects {
            return BTreeMap::new();
        }
        let why = match &self.cluster {
            None => "no cluster is configured".to_owned(),
            Some(cluster) => match cluster.labels(namespace).await {
                Ok(Some(labels)) => return labels,
                Ok(None) => "it does not exist in the cluster".to_owned(),
                Err(error) => format!("the cluster does not tell of it ({error})"),
            },
        };
        self.warn(format!("the labels of namespace {namespace} are not known, as {why}: add the Namespace to -f"));
        BTreeMap::new()
    }
}

/// The rules about a change, as the API server would ask them.
fn check_change(found: &Integration, live: &PortAwsIntegration) -> Result<(), Trouble> {
    let old = serde_json::to_value(live).unwrap_or_default();
    let outcome = Kind::integration().check(found.value.clone(), Some(&old));
    outcome.map(drop).map_err(|invalid| {
        let all = invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Trouble::new(AccountState::Failed, Reason::InvalidSpec, all)
    })
}
