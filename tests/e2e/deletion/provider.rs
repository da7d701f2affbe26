//! `oidcProvider.deletionPolicy: DeleteIfUnused`.

use aws_sdk_iam::types::Tag;
use serde_json::{Value, json};
use testkit::{Result, aws::Fault, fixture::Scenario};

use super::{ABANDON, ROLE, blocked, delete, with_ready};
use crate::scenario;

const ISSUER: &str = "oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4";

fn if_unused(spec: &mut Value) {
    spec["oidcProvider"] = json!({"deletionPolicy": "DeleteIfUnused"});
}

fn provider_arn(it: &Scenario) -> String {
    format!("arn:aws:iam::{}:oidc-provider/{ISSUER}", it.account())
}

/// The event that says why the provider stays.
async fn stays(it: &Scenario, name: &str, why: &str) -> Result<()> {
    let event = it.event(name, "ProviderRetained").await?;
    assert_eq!(event.note, format!("account {}: the OIDC provider stays ({why})", it.account()));
    assert!(it.state().await?.provider().is_some());
    Ok(())
}

#[tokio::test]
async fn a_provider_of_ours_goes_with_the_last_that_needs_it() -> Result<()> {
    let it = with_ready("last", if_unused).await?;
    it.integration("aws-test", if_unused).await?;
    it.ready("aws-test").await?;
    delete(&it, "aws-prod").await?;
    stays(&it, "aws-prod", "another PortAwsIntegration needs it").await?;
    assert_eq!(it.state().await?.roles.len(), 1);
    delete(&it, "aws-test").await?;
    assert!(it.state().await?.is_empty());
    let event = it.event("aws-test", "ProviderDeleted").await?;
    assert_eq!(event.note, format!("account {}: deleted the OIDC provider ({})", it.account(), provider_arn(&it)));
    it.finish().await
}

#[tokio::test]
async fn a_provider_stays_that_a_role_of_somebody_trusts_however_its_trust_policy_is_written() -> Result<()> {
    let it = with_ready("trusted", if_unused).await?;
    let iam = it.iam().await?;
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
        {"Effect": "Allow", "Principal": {"Federated": [provider_arn(&it)]},
         "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
         "Condition": {"StringEquals": {format!("{ISSUER}:sub"): ["a", "b"]}}},
    ]});
    let role = iam.create_role().role_name("Theirs").path("/team/").assume_role_policy_document(trust.to_string());
    role.send().await.expect("a role");
    for seed in 1..=3 {
        it.world().backend().permute(it.account(), Some(seed)).await?;
        let name = format!("aws-{seed}");
        it.integration(&name, if_unused).await?;
        it.ready(&name).await?;
        if seed == 1 {
            // From here on none of the others needs it.
            delete(&it, "aws-prod").await?;
        }
        delete(&it, &name).await?;
        stays(&it, &name, "role Theirs trusts it").await?;
    }
    iam.delete_role().role_name("Theirs").send().await.expect("deleted");
    it.integration("aws-prod", if_unused).await?;
    it.ready("aws-prod").await?;
    delete(&it, "aws-prod").await?;
    assert!(it.state().await?.is_empty());
    it.finish().await
}

#[tokio::test]
async fn a_provider_stays_that_the_role_that_is_left_behind_trusts() -> Result<()> {
    for (name, patch, taken) in
        [("left-behind", json!({"deletionPolicy": "Retain"}), false), ("taken", json!({"suspend": false}), true)]
    {
        let it = with_ready(name, if_unused).await?;
        it.patch_spec("aws-prod", patch).await?;
        it.ready("aws-prod").await?;
        if taken {
            let tag = Tag::builder().key("port-aws-operator/cluster").value("another").build().expect("a tag");
            it.iam().await?.tag_role().role_name(ROLE).tags(tag).send().await.expect("tagged");
        }
        delete(&it, "aws-prod").await?;
        stays(&it, "aws-prod", &format!("role {ROLE} trusts it")).await?;
        assert_eq!(it.state().await?.roles.len(), 1, "{name}");
        it.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_stays_that_the_operator_did_not_make() -> Result<()> {
    let it = scenario("not-ours").await?;
    let provider = it.iam().await?.create_open_id_connect_provider().url(format!("https://{ISSUER}"));
    provider.client_id_list("sts.amazonaws.com").send().await.expect("a provider");
    let before = it.state().await?;
    it.integration("aws-prod", if_unused).await?;
    it.ready("aws-prod").await?;
    delete(&it, "aws-prod").await?;
    stays(&it, "aws-prod", "the operator did not make it, or it is held").await?;
    assert_eq!(it.state().await?, before);
    it.finish().await
}

#[tokio::test]
async fn a_provider_stays_that_is_held() -> Result<()> {
    let it = with_ready("held-provider", if_unused).await?;
    let hold = Tag::builder().key("port-aws-operator/hold").value("because").build().expect("a tag");
    let tag = it.iam().await?.tag_open_id_connect_provider().open_id_connect_provider_arn(provider_arn(&it));
    tag.tags(hold).send().await.expect("tagged");
    delete(&it, "aws-prod").await?;
    stays(&it, "aws-prod", "the operator did not make it, or it is held").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.finish().await
}

#[tokio::test]
async fn a_provider_that_may_not_be_deleted_blocks_and_is_told_of_when_it_is_abandoned() -> Result<()> {
    let it = with_ready("denied-provider", if_unused).await?;
    it.fault(Fault::access_denied().action("DeleteOpenIDConnectProvider")).await?;
    it.delete("aws-prod").await?;
    blocked(&it, "aws-prod", "AWS refuses DeleteOpenIDConnectProvider").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.annotate("aws-prod", ABANDON, "true").await?;
    it.gone("aws-prod").await?;
    stays(&it, "aws-prod", "the deletion was abandoned").await?;
    it.finish().await
}
