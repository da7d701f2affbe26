//! Objects that this version cannot read, as an older schema may have let them in. The schema is
//! changed here, so these tests have a control plane of their own, one after the other.

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::{
    Result,
    fixture::{SOON, Scenario, World, condition},
    wait::eventually,
};
use tokio::sync::Mutex;

use crate::OPERATOR;

const CRD: &str = "crds/portawsintegrations.integrations.port.io.yaml";

/// Held by the test whose turn it is to change the schema.
static TURN: Mutex<Option<&'static World>> = Mutex::const_new(None);

async fn world(turn: &mut Option<&'static World>) -> Result<&'static World> {
    if let Some(world) = turn {
        return Ok(world);
    }
    let made: &'static World = Box::leak(Box::new(World::start(false).await?));
    Ok(turn.insert(made))
}

async fn kubectl(world: &World, args: &[&str]) -> Result<()> {
    let output = world.plane().kubectl(args).await?;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Has the API server take anything for `accounts` and any text for `mode`.
async fn loosen(it: &Scenario) -> Result<()> {
    // An earlier test may have left it loose.
    tighten(it).await?;
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
    let patch = json!([
        // A rule that speaks of a field without a type does not compile.
        {"op": "remove", "path": format!("{spec}/x-kubernetes-validations")},
        {"op": "replace", "path": format!("{spec}/properties/accounts"), "value": anything},
        {"op": "remove", "path": format!("{spec}/properties/mode/enum")},
    ]);
    let patch = format!("--patch={patch}");
    kubectl(it.world(), &["patch", "crd", "portawsintegrations.integrations.port.io", "--type=json", &patch]).await?;
    served(it, true).await
}

/// Brings the shipped schema back.
async fn tighten(it: &Scenario) -> Result<()> {
    let file = format!("{}/{CRD}", env!("CARGO_MANIFEST_DIR"));
    kubectl(it.world(), &["apply", "--server-side", "--force-conflicts", "-f", &file]).await?;
    served(it, false).await
}

/// Waits until the API server goes by the new schema.
async fn served(it: &Scenario, loose: bool) -> Result<()> {
    let params = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the schema to be in force", SOON, async || {
        let outcome = it.integrations().create(&params, &unreadable(it, "probe", "mode")?).await;
        Ok((outcome.is_ok() == loose).then_some(()))
    })
    .await
}

/// An integration with one field that cannot be read.
fn unreadable(it: &Scenario, name: &str, field: &str) -> Result<DynamicObject> {
    let mut spec = json!({
        "organizationId": "org_Test1",
        "integrationIdentifier": name,
        "accessRef": {"name": it.namespace()},
        "accounts": [it.account()],
    });
    spec[field] = json!("Foo");
    Ok(serde_json::from_value(json!({
        "apiVersion": "integrations.port.io/v1alpha1",
        "kind": "PortAwsIntegration",
        "metadata": {"name": name},
        "spec": spec,
    }))?)
}

fn is_invalid(object: &Value) -> bool {
    let is = |kind, status| {
        let found = condition(object, kind);
        found["status"] == status && found["reason"] == "InvalidSpec"
    };
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && is("Ready", "False")
        && is("Stalled", "True")
}

/// Breaks an integration that is there.
async fn break_it(it: &Scenario, name: &str) -> Result<Value> {
    it.patch_spec(name, json!({"mode": "Foo"})).await?;
    it.until(name, "it is known to be unreadable", is_invalid).await
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_of_and_stops_no_other() -> Result<()> {
    let mut turn = TURN.lock().await;
    let world = world(&mut turn).await?;
    let mut it = Scenario::builder("older", OPERATOR).world(world).start().await?;
    loosen(&it).await?;
    let seq = it.seq().await?;
    for (name, field) in [("text-for-list", "accounts"), ("unknown-mode", "mode")] {
        it.integrations().create(&PostParams::default(), &unreadable(&it, name, field)?).await?;
        let event = it.event(name, "InvalidSpec").await?;
        assert_eq!(event.type_, "Warning");
        assert!(event.note.contains("the object cannot be read, and AWS is left alone"), "{}", event.note);
        let object = it.until(name, "its conditions say so", is_invalid).await?;
        assert_eq!(condition(&object, "Ready")["message"], event.note);
        assert!(object["metadata"]["finalizers"].is_null());
    }
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);
    it.integration("valid", |_| ()).await?;
    it.ready("valid").await?;

    // Corrected, it works; the other one goes at once, as nothing of it is in AWS.
    it.patch_spec("unknown-mode", json!({"mode": "Enforce"})).await?;
    it.ready("unknown-mode").await?;
    it.delete("text-for-list").await?;
    it.gone("text-for-list").await?;

    // The schema forbids it by now, and with it perhaps the write of its status.
    it.stop_operator().await?;
    it.integrations().create(&PostParams::default(), &unreadable(&it, "left-over", "mode")?).await?;
    tighten(&it).await?;
    it.start_operator().await?;
    it.event("left-over", "InvalidSpec").await?;
    it.integration("valid-too", |_| ()).await?;
    it.ready("valid-too").await?;
    let told = it.events("left-over").await?;
    assert_eq!(told.len(), 1, "{told:?}");
    it.finish().await
}

#[tokio::test]
async fn an_object_that_became_unreadable_keeps_its_role_until_it_is_corrected_or_abandoned() -> Result<()> {
    let mut turn = TURN.lock().await;
    let world = world(&mut turn).await?;
    let it = Scenario::builder("broken", OPERATOR).world(world).start().await?;
    for name in ["corrected", "abandoned"] {
        it.integration(name, |_| ()).await?;
        it.ready(name).await?;
    }
    loosen(&it).await?;
    let (seq, before) = (it.seq().await?, it.state().await?);
    for name in ["corrected", "abandoned"] {
        let object = break_it(&it, name).await?;
        // What was known of claims stays, for the day when it can be read.
        assert_eq!(object["status"]["accounts"][0]["claimed"], true, "{name}");
        assert_eq!(object["metadata"]["finalizers"], json!(["integrations.port.io/cleanup"]), "{name}");
        it.delete(name).await?;
    }
    it.annotate("abandoned", "integrations.port.io/abandon", "true").await?;
    it.gone("abandoned").await?;
    let event = it.event("abandoned", "Abandoned").await?;
    assert!(event.note.contains("roles and tags of this resource may stay behind"), "{}", event.note);
    assert!(it.integrations().get_opt("corrected").await?.is_some());
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert_eq!(it.state().await?, before);

    let patch = Patch::Merge(json!({"spec": {"mode": "Enforce"}}));
    it.integrations().patch("corrected", &PatchParams::default(), &patch).await?;
    it.gone("corrected").await?;
    let state = it.state().await?;
    assert!(state.role("PortIntegrationRole-corrected").is_none());
    assert_eq!(state.role("PortIntegrationRole-abandoned"), before.role("PortIntegrationRole-abandoned"));
    it.finish().await
}
