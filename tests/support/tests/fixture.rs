//! The surroundings of end-to-end tests, without an operator: the test plays its part.

use std::time::SystemTime;

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::Error;
use testkit::aws::Fault;
use testkit::fixture::{Scenario, condition, integration_resource};

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

async fn scenario(name: &str) -> TestResult<Scenario> {
    Ok(Scenario::builder(name, "/nowhere/operator").without_credentials().without_operator().start().await?)
}

/// What an operator may do to a status, with the operator's own rights.
async fn write_status(scenario: &Scenario, name: &str, ready: &str, time: &str) -> TestResult {
    let world = scenario.world();
    let client = world.plane().client_for(world.operator_kubeconfig()).await?;
    let resource = integration_resource();
    let api = Api::<DynamicObject>::namespaced_with(client, scenario.namespace(), &resource);
    let generation = scenario.integrations().get(name).await?.metadata.generation;
    let condition = json!({"type": "Ready", "status": ready, "reason": "Because", "message": "text",
        "lastTransitionTime": time, "observedGeneration": generation});
    let status = json!({"status": {"observedGeneration": generation, "conditions": [condition]}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

#[tokio::test]
async fn objects_are_made_changed_and_waited_for() -> TestResult {
    let scenario = scenario("objects").await?;
    let start = SystemTime::now();
    scenario.integration("prod", |_| {}).await?;
    let made = scenario.until("prod", "it is there", Value::is_object).await?;
    assert_eq!(made["spec"]["accounts"], json!([scenario.account()]));
    assert_eq!(made["spec"]["accessRef"]["name"], scenario.namespace());

    let refused = scenario.try_integration("bad", |spec| spec["accounts"] = json!(["1"])).await?;
    assert!(refused.is_err_and(|text| text.contains("spec.accounts")));
    let patch = json!({"integrationIdentifier": "other"});
    let refused = scenario.try_patch_spec("prod", patch).await?;
    assert!(refused.is_err_and(|text| text.contains("cannot be changed")));
    scenario.patch_access(json!({"limits": {"maxSessionDuration": 7200}})).await?;

    write_status(&scenario, "prod", "True", "2024-05-01T10:00:00Z").await?;
    let ready = scenario.ready("prod").await?;
    assert_eq!(condition(&ready, "Ready")["reason"], "Because");
    let changed = scenario.patch_spec("prod", json!({"suspend": true})).await?;
    assert_eq!(changed["metadata"]["generation"], 2);
    write_status(&scenario, "prod", "True", "2024-05-01T10:00:00Z").await?;
    let ready = scenario.ready("prod").await?;
    assert_eq!(ready["spec"]["suspend"], true, "an older version is no answer");

    let writes = testkit::wait::eventually("the writes in the audit log", testkit::fixture::SOON, async || {
        let writes = scenario.k8s_writes_since(start)?;
        Ok((writes.len() >= 2).then_some(writes))
    });
    let writes = writes.await?;
    assert!(writes.iter().all(|it| it.subresource.as_deref() == Some("status")), "{writes:?}");
    assert!(scenario.events("prod").await?.is_empty());

    scenario.annotate("prod", "example.org/a", "b").await?;
    scenario.annotate("prod", "example.org/a", Value::Null).await?;
    scenario.delete("prod").await?;
    scenario.gone("prod").await?;
    scenario.finish().await?;
    Ok(())
}

#[tokio::test]
async fn a_broken_rule_fails_the_test_in_the_end() -> TestResult {
    let scenario = scenario("broken").await?;
    scenario.integration("prod", |_| {}).await?;
    write_status(&scenario, "prod", "True", "2024-05-01T10:00:00Z").await?;
    write_status(&scenario, "prod", "False", "2024-05-01T10:00:00Z").await?;
    let outcome = scenario.finish().await;
    let text = outcome.map_or_else(|error| error.to_string(), |()| String::new());
    assert!(text.contains("broken rule"), "{text}");
    Ok(())
}

#[tokio::test]
async fn the_account_is_ones_own() -> TestResult {
    let mut scenario = scenario("account").await?;
    let seq = scenario.seq().await?;
    let iam = scenario.iam().await?;
    scenario.fault(Fault::throttle()).await?;
    assert!(iam.list_roles().send().await.is_err());
    scenario.clear_faults().await?;
    iam.list_roles().send().await?;
    assert!(scenario.state().await?.is_empty());
    assert!(scenario.operator_calls_since(seq).await?.is_empty());
    assert!(scenario.operator_writes_since(seq).await?.is_empty());

    assert!(scenario.operator().is_err());
    let outcome = scenario.start_operator().await;
    assert!(matches!(outcome, Err(Error::Process { .. })), "{outcome:?}");
    scenario.finish().await?;
    Ok(())
}
