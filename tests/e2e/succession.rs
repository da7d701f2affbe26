//! Clusters come and go; the roles stay.

mod heirs;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::json;
use testkit::{
    Result,
    aws::actions,
    fixture::{Scenario, condition},
};

use crate::{OPERATOR, scenario};

const ROLE: &str = "PortIntegrationRole-aws-prod";

#[tokio::test]
async fn a_successor_takes_over_only_where_the_access_says_so_and_deletes_nothing() -> Result<()> {
    let mut it = scenario("succession").await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let before = it.state().await?;
    it.stop_operator().await?;

    // The same resources in another installation.
    it.operator_options().cluster_id = Some("successor".to_owned());
    it.start_operator().await?;
    let seq = it.seq().await?;
    let object = it.request_check("aws-prod").await?;
    assert_eq!(object["status"]["accounts"][0]["state"], "Conflict");
    assert_eq!(object["status"]["accounts"][0]["reason"], "OwnedByOther");
    assert_eq!(condition(&object, "RoleReady")["reason"], "OwnedByOther");
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);

    let former = it.namespace().to_owned();
    it.patch_access(json!({"takeOver": [{"clusterId": former}]})).await?;
    it.request_check("aws-prod").await?;
    it.ready("aws-prod").await?;
    assert_eq!(actions(&it.operator_writes_since(seq).await?), ["TagRole"]);
    assert!(it.event("aws-prod", "RoleTakenOver").await?.note.contains(&former));
    let after = it.state().await?;
    let (old, new) = (before.role(ROLE).expect("the role"), after.role(ROLE).expect("the role"));
    assert_eq!(new.tags["port-aws-operator/cluster"], "successor");
    assert_eq!(
        (&new.id, &new.trust_policy, &new.attached_policies),
        (&old.id, &old.trust_policy, &old.attached_policies)
    );

    // The former installation, started again, leaves the role alone, and so does its end.
    it.stop_operator().await?;
    it.operator_options().cluster_id = Some(former);
    it.patch_access(json!({"takeOver": null})).await?;
    it.start_operator().await?;
    let seq = it.seq().await?;
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert_eq!(it.state().await?, after);
    it.finish().await
}

#[tokio::test]
async fn who_names_no_cluster_id_gets_the_uid_of_kube_system() -> Result<()> {
    let mut it = Scenario::builder("unnamed", OPERATOR).without_operator().start().await?;
    it.operator_options().cluster_id = None;
    it.start_operator().await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let namespaces = Api::<Namespace>::all(it.world().plane().admin_client()?);
    let uid = namespaces.get("kube-system").await?.metadata.uid;
    let state = it.state().await?;
    assert_eq!(state.role(ROLE).expect("the role").tags.get("port-aws-operator/cluster"), uid.as_ref());
    it.finish().await
}

#[tokio::test]
async fn a_rebuilt_cluster_with_the_same_id_finds_its_roles() -> Result<()> {
    let mut it = scenario("rebuilt").await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let before = it.state().await?;
    it.kill_operator().await?;

    // All that the cluster knew is gone; the manifests are applied again.
    it.strip_finalizers("aws-prod").await?;
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    it.integration("aws-prod", |_| ()).await?;
    let seq = it.seq().await?;
    it.start_operator().await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert_eq!(it.state().await?, before);
    assert_eq!(object["metadata"]["finalizers"], json!(["integrations.port.io/cleanup"]));
    assert_eq!(object["status"]["accounts"][0]["roleId"], before.role(ROLE).expect("the role").id);
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    assert!(it.state().await?.role(ROLE).is_none());
    it.finish().await
}
