//! Clusters come and go; the roles stay.

use aws_sdk_iam::types::Tag;
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{AccountState, actions},
    fixture::{Scenario, condition, unused_account},
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
    it.operator_options().cluster_id = "successor".to_owned();
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
    it.operator_options().cluster_id = former;
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

const SHARED: &str = "PortIntegrationRole-shared";

fn shared(spec: &mut Value) {
    spec["role"] = json!({"name": SHARED});
}

/// Asserts that nothing of the role but its owner has changed.
async fn assert_handed_over(it: &Scenario, before: &AccountState, seq: u64, owner: &str) -> Result<()> {
    let after = it.state().await?;
    let (old, new) = (before.role(SHARED).expect("the role"), after.role(SHARED).expect("the role"));
    assert_eq!(new.tags["port-aws-operator/owner"], format!("{}.{owner}", it.namespace()));
    assert_eq!(
        (&new.id, &new.trust_policy, &new.attached_policies),
        (&old.id, &old.trust_policy, &old.attached_policies)
    );
    let writes = it.operator_writes_since(seq).await?;
    assert!(writes.iter().all(|call| ["TagRole", "UpdateRole"].contains(&call.action.as_str())), "{writes:?}");
    Ok(())
}

#[tokio::test]
async fn an_account_that_moves_to_another_resource_keeps_its_role() -> Result<()> {
    let other = unused_account();
    let allowed = other.clone();
    let it = Scenario::builder("moving", OPERATOR)
        .access(move |spec| {
            let account = spec["accounts"][0].take();
            spec["accounts"] = json!([account, allowed]);
            spec["assumeRole"] = json!({"roleName": "PortAwsOperator"});
        })
        .start()
        .await?;
    it.integration("aws-first", |spec| {
        shared(spec);
        spec["accounts"] = json!([it.account(), other]);
        spec["accountRemovalPolicy"] = "Delete".into();
    })
    .await?;
    it.ready("aws-first").await?;
    let before = it.state().await?;
    // While the first has it, the second waits.
    it.integration("aws-second", shared).await?;
    let waits = |object: &Value| object["status"]["accounts"][0]["reason"] == "OwnedByOther";
    it.until("aws-second", "it waits", waits).await?;

    let seq = it.seq().await?;
    it.patch_spec("aws-first", json!({"accounts": [other]})).await?;
    it.ready("aws-second").await?;
    assert_handed_over(&it, &before, seq, "aws-second").await?;
    assert!(it.event("aws-second", "RoleTakenOver").await?.note.contains("aws-first"));
    it.until("aws-first", "it has let go", |it| it["status"]["accounts"].as_array().is_some_and(|all| all.len() == 1))
        .await?;

    // Back again, by the deletion of the second.
    it.patch_spec("aws-first", json!({"accounts": [it.account(), other]})).await?;
    it.until("aws-first", "it waits", |it| it["status"].to_string().contains("OwnedByOther")).await?;
    let seq = it.seq().await?;
    it.delete("aws-second").await?;
    it.gone("aws-second").await?;
    it.ready("aws-first").await?;
    assert_handed_over(&it, &before, seq, "aws-first").await?;
    it.finish().await
}

#[tokio::test]
async fn a_role_of_another_namespace_is_not_taken_even_if_its_resource_is_no_more() -> Result<()> {
    let it = scenario("other-tenant").await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let owner = Tag::builder().key("port-aws-operator/owner").value("elsewhere.aws-prod").build().expect("a tag");
    it.iam().await?.tag_role().role_name(ROLE).tags(owner).send().await.expect("tagged");
    let seq = it.seq().await?;
    let object = it.request_check("aws-prod").await?;
    assert_eq!(object["status"]["accounts"][0]["reason"], "OwnedByOther");
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    assert!(it.state().await?.role(ROLE).is_some());
    it.finish().await
}
