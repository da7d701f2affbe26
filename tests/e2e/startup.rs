//! A start without what the operator needs, and an end amid a start.

use kube::api::{DynamicObject, ObjectMeta, PostParams};
use testkit::{
    Result,
    aws::Fault,
    fixture::{SOON, Scenario, World, wait_until_served},
    operator::Operator,
    process::Signal,
    wait::eventually,
};

use crate::OPERATOR;

const WAITS: &str = "waiting for CustomResourceDefinition";

async fn kubectl(world: &World, args: &[&str]) -> Result<()> {
    let output = world.plane().kubectl(args).await?;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test]
async fn without_its_definitions_it_says_what_to_apply_and_waits_for_it() -> Result<()> {
    // Of its own, as no other test could do without the definitions.
    let world: &'static World = Box::leak(Box::new(World::start(false).await?));
    let crds = format!("{}/crds", env!("CARGO_MANIFEST_DIR"));
    let mut it = Scenario::builder("bare", OPERATOR).world(world).without_operator().start().await?;
    let access = it.accesses().get(it.namespace()).await?;
    kubectl(world, &["delete", "--wait", "-f", &crds]).await?;

    let operator = Operator::spawn(it.operator_options())?;
    let line = eventually("the operator to say what it waits for", SOON, async || {
        Ok(operator.log()?.lines().find(|line| line.contains(WAITS)).map(str::to_owned))
    })
    .await?;
    let both = "portawsintegrations.integrations.port.io and portawsaccesses.integrations.port.io";
    assert!(line.contains(&format!("{WAITS} {both}: apply crds/ first")), "{line}");
    assert!(!operator.log()?.contains("a watch was interrupted"), "{}", operator.log_tail(20));
    assert_eq!(operator.probe("/readyz").await?.0, 503);
    assert_eq!(operator.probe("/livez").await?.0, 200);

    kubectl(world, &["apply", "--server-side", "-f", &crds]).await?;
    wait_until_served(world.plane()).await?;
    operator.wait_until_ready().await?;
    let metadata = ObjectMeta { name: access.metadata.name.clone(), ..ObjectMeta::default() };
    it.accesses().create(&PostParams::default(), &DynamicObject { metadata, ..access }).await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let log = operator.log()?;
    assert!(log.matches(WAITS).count() <= 2, "the line is not repeated all the time: {log}");
    assert_eq!(operator.terminate().await?, 0);
    it.finish().await
}

#[tokio::test]
async fn asked_to_end_before_it_may_list_anything_it_ends_in_order() -> Result<()> {
    // Of its own, as no other test could do without the rights.
    let world: &'static World = Box::leak(Box::new(World::start(false).await?));
    let mut it = Scenario::builder("unlisted", OPERATOR).world(world).without_operator().start().await?;
    kubectl(world, &["delete", "clusterrolebinding", "port-aws-operator"]).await?;
    let operator = Operator::spawn(it.operator_options())?;
    eventually("the operator to be refused", SOON, async || {
        Ok(operator.log()?.contains("a watch was interrupted").then_some(()))
    })
    .await?;
    operator.signal(Signal::TERM)?;
    assert_eq!(operator.wait(SOON).await, Some(0), "{}", operator.log_tail(20));
    assert!(operator.log()?.contains("the lease is released"), "{}", operator.log_tail(20));
    it.finish().await
}

#[tokio::test]
async fn asked_to_end_while_it_starts_it_ends_in_order() -> Result<()> {
    let mut it = Scenario::builder("early", OPERATOR).without_operator().start().await?;
    // Its first call, long before it knows the cluster.
    let rule = it.fault(Fault::hold_before().action("GetCallerIdentity")).await?;
    let operator = Operator::spawn(it.operator_options())?;
    it.world().backend().next_parked(&rule, SOON).await?;
    operator.signal(Signal::TERM)?;
    assert_eq!(operator.wait(SOON).await, Some(0), "{}", operator.log_tail(20));
    let log = operator.log()?;
    assert!(log.contains("ends before it has begun") && !log.contains("holds the lease"), "{log}");
    it.finish().await
}
