//! Several releases in one cluster, each with the integrations of one label.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::Call,
    fixture::{Scenario, condition},
    operator::Operator,
};

use crate::{OPERATOR, shared::ROLE};

async fn label(it: &Scenario, name: &str, shard: &str) -> Result<()> {
    let patch = json!({"metadata": {"labels": {"shard": shard}}});
    it.integrations().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// The writes that were made with an operator's credentials.
async fn writes_of(it: &Scenario, key: &str, seq: u64) -> Result<Vec<String>> {
    let calls = testkit::aws::writes(it.operator_calls_since(seq).await?);
    let own = |call: &Call| call.access_key_id.as_deref() == Some(key);
    Ok(calls.into_iter().filter(own).map(|call| call.action).collect())
}

#[tokio::test]
async fn each_release_keeps_to_its_label_and_a_change_of_it_hands_over_what_is_there() -> Result<()> {
    let mut it = Scenario::builder("shards", OPERATOR).args(["--watch-label-selector", "shard=a"]).start().await?;
    let first_key = it.operator_options().credentials.clone().expect("credentials").access_key_id;
    let mut options = it.operator_options().clone();
    let rights = testkit::fixture::operator_rights(OPERATOR).await?;
    let credentials = it.world().backend().credentials_with(it.account(), "Operator", &rights).await?;
    let second_key = credentials.access_key_id.clone();
    options.credentials = Some(credentials);
    options.args = vec!["--watch-label-selector".to_owned(), "shard=b".to_owned()];
    options.log = options.log.with_extension("second.log");
    let second = Operator::start(options).await?;

    let seq = it.seq().await?;
    it.integration("aws-prod", |_| ()).await?;
    it.integration("aws-test", |_| ()).await?;
    label(&it, "aws-prod", "a").await?;
    it.ready("aws-prod").await?;
    // Without the label nobody looks at it; what came later is ready, so this would be.
    let unseen: Value = serde_json::to_value(it.integrations().get("aws-test").await?)?;
    assert!(unseen["status"].is_null(), "{unseen}");
    label(&it, "aws-test", "b").await?;
    it.ready("aws-test").await?;
    assert!(writes_of(&it, &first_key, seq).await?.contains(&"CreateRole".to_owned()));
    assert_eq!(writes_of(&it, &second_key, seq).await?, ["CreateRole", "AttachRolePolicy"]);

    // Neither speaks for the access object, as neither sees all that uses it.
    let access = serde_json::to_value(it.accesses().get(it.namespace()).await?)?;
    assert!(access["status"].is_null() && access["metadata"]["finalizers"].is_null(), "{access}");

    let (before, seq) = (it.state().await?, it.seq().await?);
    label(&it, "aws-prod", "b").await?;
    let object = it.request_check("aws-prod").await?;
    assert_eq!(condition(&object, "Ready")["status"], "True");
    assert_eq!(it.state().await?, before);
    let calls = it.operator_calls_since(seq).await?;
    assert!(calls.iter().all(|call| call.access_key_id.as_deref() == Some(second_key.as_str())), "{calls:?}");
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    assert!(it.state().await?.role(ROLE).is_none());
    drop(second);
    it.finish().await
}

#[tokio::test]
async fn a_selector_that_is_none_is_refused_at_the_start() -> Result<()> {
    let mut it = Scenario::builder("no-selector", OPERATOR).without_operator().start().await?;
    it.operator_options().args = vec!["--watch-label-selector".to_owned(), "shard in".to_owned()];
    let error = it.start_operator().await.expect_err("it ends").to_string();
    assert!(error.contains("--watch-label-selector") && error.contains("shard in"), "{error}");
    it.finish().await
}
