//! An account that moves from one resource to another keeps its role.

use aws_sdk_iam::types::Tag;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DynamicObject, ObjectMeta, PostParams},
};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{AccountState, Fault, FaultId, OrganizationSetup, Parked},
    fixture::{SOON, Scenario, condition, integration_resource, unused_account},
};

use crate::{OPERATOR, scenario};

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

/// The scenario of most of these tests: `aws-first` has a role in the account, and `aws-second` waits for it.
async fn waiting(name: &str) -> Result<(Scenario, AccountState)> {
    let it = scenario(name).await?;
    it.integration("aws-first", shared).await?;
    it.ready("aws-first").await?;
    let before = it.state().await?;
    it.integration("aws-second", shared).await?;
    it.until("aws-second", "it waits", |it| it["status"].to_string().contains("OwnedByOther")).await?;
    Ok((it, before))
}

/// Holds the write by which the second puts its name on the role.
async fn hold_claim(it: &Scenario) -> Result<FaultId> {
    it.world().backend().fault(Fault::hold_before().account(it.account()).action("TagRole").count(1)).await
}

async fn claim_of(it: &Scenario, held: &FaultId) -> Result<Parked> {
    it.world().backend().next_parked(held, SOON).await
}

#[tokio::test]
async fn who_is_deleted_keeps_the_role_until_the_heir_has_it_also_over_a_restart() -> Result<()> {
    let (mut it, before) = waiting("handover").await?;
    let seq = it.seq().await?;
    let held = hold_claim(&it).await?;
    it.delete("aws-first").await?;
    let parked = claim_of(&it, &held).await?;
    // Nothing of the heir is on the role yet: its former owner has it still, and is there.
    assert_eq!(it.state().await?, before);
    let first = it.integrations().get("aws-first").await?;
    assert_eq!(first.metadata.finalizers, Some(vec!["integrations.port.io/cleanup".to_owned()]));

    it.kill_operator().await?;
    it.world().backend().release(&parked.id, false, false).await?;
    assert_eq!(it.state().await?, before);
    it.start_operator().await?;
    it.gone("aws-first").await?;
    it.ready("aws-second").await?;
    assert_handed_over(&it, &before, seq, "aws-second").await?;
    assert!(it.event("aws-first", "RoleReleased").await?.note.contains("aws-second"));
    it.finish().await
}

#[tokio::test]
async fn an_heir_that_goes_before_it_has_the_role_leaves_it_to_its_owner() -> Result<()> {
    let (it, before) = waiting("lost-heir").await?;
    let held = hold_claim(&it).await?;
    it.delete("aws-first").await?;
    let parked = claim_of(&it, &held).await?;
    it.delete("aws-second").await?;
    let deleted = |it: &Value| !it["metadata"]["deletionTimestamp"].is_null();
    it.until("aws-second", "its deletion is seen", deleted).await?;
    // The claim never takes effect: the connection breaks before, and that of each further try, too.
    it.fault(Fault::cut_before().action("TagRole")).await?;
    it.world().backend().release(&parked.id, false, false).await?;
    it.gone("aws-second").await?;
    it.gone("aws-first").await?;
    assert!(before.role(SHARED).is_some());
    assert!(it.state().await?.role(SHARED).is_none(), "nobody wants it any more, so it goes");
    it.finish().await
}

#[tokio::test]
async fn a_role_stays_until_it_is_known_whether_another_resource_discovers_its_account() -> Result<()> {
    let management = unused_account();
    let organizations = format!("arn:aws:iam::{management}:role/PortAwsOrganizations");
    let it = Scenario::builder("perhaps", OPERATOR)
        .access(move |spec| {
            spec["accounts"] = json!(["*"]);
            spec["assumeRole"] = json!({"roleName": "PortAwsOperator"});
            spec["organizations"] = json!({"roleArn": organizations});
        })
        .start()
        .await?;
    let setup = OrganizationSetup::new(&management).unit("workloads", None).account(it.account(), Some("workloads"));
    let organization = it.world().backend().organization(&setup).await?;
    it.integration("aws-first", shared).await?;
    it.ready("aws-first").await?;
    let before = it.state().await?;
    let denied = Fault::access_denied().account(&management).service("organizations");
    it.world().backend().fault(denied).await?;
    let unit = organization.unit_id("workloads")?.to_owned();
    it.integration("aws-second", |spec| {
        shared(spec);
        spec.as_object_mut().expect("fields").remove("accounts");
        spec["discovery"] = json!({"organizationalUnitIds": [unit]});
    })
    .await?;
    it.until("aws-second", "it cannot discover", |it| condition(it, "AccountsResolved")["status"] == "False").await?;

    let seq = it.seq().await?;
    it.delete("aws-first").await?;
    let note = it.event("aws-first", "RoleReleased").await?.note;
    assert!(note.contains("aws-second") && note.contains("until it is known"), "{note}");
    assert_eq!((it.operator_writes_since(seq).await?, it.state().await?), (vec![], before.clone()));
    it.world().backend().clear_faults(&management).await?;
    it.annotate("aws-second", "integrations.port.io/requestedAt", "now").await?;
    it.ready("aws-second").await?;
    it.gone("aws-first").await?;
    assert_handed_over(&it, &before, seq, "aws-second").await?;
    it.finish().await
}

#[tokio::test]
async fn a_role_of_another_namespace_is_not_taken_even_if_its_resource_has_left_the_account() -> Result<()> {
    let mut it = scenario("other-tenant").await?;
    let other = format!("{}-other", it.namespace());
    let client = it.world().plane().admin_client()?;
    let metadata = ObjectMeta { name: Some(other.clone()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    it.operator_options().namespaces.push(other.clone());
    it.restart_operator().await?;
    it.integration("aws-prod", shared).await?;
    it.ready("aws-prod").await?;
    // A resource of the other tenant that wants a role of that name, in another account.
    let theirs = Api::<DynamicObject>::namespaced_with(client, &other, &integration_resource());
    let ours: DynamicObject = it.integrations().get("aws-prod").await?;
    let mut copy = DynamicObject::new("aws-theirs", &integration_resource());
    copy.data = json!({"spec": ours.data["spec"]});
    copy.data["spec"]["accounts"] = json!([unused_account()]);
    theirs.create(&PostParams::default(), &copy).await?;
    testkit::wait::eventually("the other's status", SOON, async || {
        let status = theirs.get("aws-theirs").await?.data["status"]["conditions"].take();
        Ok((!status.is_null()).then_some(()))
    })
    .await?;

    let owner = format!("{other}.aws-theirs");
    let owner = Tag::builder().key("port-aws-operator/owner").value(owner).build().expect("a tag");
    it.iam().await?.tag_role().role_name(SHARED).tags(owner).send().await.expect("tagged");
    let seq = it.seq().await?;
    let object = it.request_check("aws-prod").await?;
    assert_eq!(object["status"]["accounts"][0]["reason"], "OwnedByOther");
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    assert!(it.state().await?.role(SHARED).is_some());
    it.finish().await
}
