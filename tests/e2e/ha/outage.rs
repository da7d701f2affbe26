//! An API server that takes connections and never answers, and an operator that stood still for too long.

use std::time::Duration;

use serde_json::json;
use testkit::{
    Error, Result,
    fixture::{SOON, Scenario, World},
    operator::Operator,
    process::Signal,
    wait::eventually,
};

use super::SHORT_LEASE;
use crate::OPERATOR;

/// More than the loop of a short Lease may stay away: a wait, and four calls of a quarter of the Lease each.
const TOO_LONG: Duration = Duration::from_secs(13);
/// The pause may meet the loop as an answer has just come, which then counts.
const TRIES: usize = 3;

async fn leads(operator: &Operator) -> Result<bool> {
    Ok(operator.metrics().await?.sum("leader", &[]) > 0.5)
}

/// Waits until it leads or no longer does, and sees that it lives all the while.
async fn until_leading(operator: &Operator, wanted: bool) -> Result<()> {
    eventually(&format!("the metric to say leader={wanted}"), SOON, async || {
        let (status, text) = operator.probe("/livez").await?;
        assert_eq!(status, 200, "{text}");
        Ok((leads(operator).await? == wanted).then_some(()))
    })
    .await
}

#[tokio::test]
async fn an_api_server_that_never_answers_takes_the_lead_but_not_the_life() -> Result<()> {
    // Of its own, as no other test could do without the API server.
    let world: &'static World = Box::leak(Box::new(World::start(false).await?));
    let it = Scenario::builder("outage", OPERATOR).world(world).args(SHORT_LEASE).start().await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let operator = it.operator()?;
    until_leading(operator, true).await?;

    world.plane().signal_api_server(Signal::STOP)?;
    until_leading(operator, false).await?;
    world.plane().signal_api_server(Signal::CONT)?;
    until_leading(operator, true).await?;
    it.patch_spec("aws-prod", json!({"role": {"description": "after the outage"}})).await?;
    it.ready("aws-prod").await?;
    it.finish().await
}

#[tokio::test]
async fn a_loop_that_has_not_come_round_for_too_long_is_told_until_it_does() -> Result<()> {
    let world: &'static World = Box::leak(Box::new(World::start(false).await?));
    let it = Scenario::builder("stuck", OPERATOR).world(world).args(SHORT_LEASE).start().await?;
    let operator = it.operator()?;
    let mut seen = None;
    for _ in 0..TRIES {
        until_leading(operator, true).await?;
        operator.signal(Signal::STOP)?;
        world.plane().signal_api_server(Signal::STOP)?;
        tokio::time::sleep(TOO_LONG).await;
        operator.signal(Signal::CONT)?;
        // As long as the call hangs with which the loop goes on.
        let (status, text) = operator.probe("/livez").await?;
        if status == 503 {
            seen = Some(text);
            break;
        }
        world.plane().signal_api_server(Signal::CONT)?;
    }
    let text = seen.ok_or_else(|| Error::not_yet("the probe never failed"))?;
    assert!(text.contains("lease: stuck") && text.contains("passes: ok"), "{text}");
    // The API server is as silent as before, and the loop comes round.
    eventually("the probe to be well again", SOON, async || {
        let (status, text) = operator.probe("/livez").await?;
        if status == 200 { Ok(Some(())) } else { Err(Error::not_yet(text)) }
    })
    .await?;
    assert!(!leads(operator).await?, "its lease has run out");
    world.plane().signal_api_server(Signal::CONT)?;
    until_leading(operator, true).await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    it.finish().await
}
