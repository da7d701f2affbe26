//! Runs account passes as the queue gives them out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{DRAIN, account::visit, context::Context};
use crate::{
    schedule::{Priority, WorkKey},
    telemetry::health::Health,
};

/// How often the loop comes round at least, for the probe that asks.
const TICK: Duration = Duration::from_secs(15);
/// What the probe calls the loop.
const PART: &str = "passes";

/// Runs passes until `stop` changes, then lets those under way come to their next gate.
pub(super) async fn run(context: Arc<Context>, mut stop: watch::Receiver<bool>, health: Health) {
    let mut passes = JoinSet::new();
    let mut keys: BTreeMap<tokio::task::Id, WorkKey> = BTreeMap::new();
    let mut leadership = context.leadership.clone();
    loop {
        health.beat(PART, TICK * 4);
        while let Some(key) = next(&context) {
            let task = passes.spawn(visit(Arc::clone(&context), key.clone()));
            keys.insert(task.id(), key);
        }
        let due = wake_at(&context);
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(ended) = passes.join_next_with_id(), if !passes.is_empty() => settle(&context, &mut keys, &ended),
            () = context.wake.notified() => {}
            () = leadership.changed() => {}
            () = sleep_until(&context, due) => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
    health.end(PART);
    let drained = async {
        while let Some(ended) = passes.join_next_with_id().await {
            settle(&context, &mut keys, &ended);
        }
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("passes were still under way at the end; the next start reads AWS afresh");
    }
}

fn next(context: &Context) -> Option<WorkKey> {
    // A pass that could not write would only read for nothing.
    if !context.leadership.may_write() {
        return None;
    }
    let now = context.clock.now();
    context.queue().start(now)
}

/// When to look again by the clock. What is due and was not started waits for a pass to end, which
/// wakes us anyway.
fn wake_at(context: &Context) -> Option<Duration> {
    let now = context.clock.now();
    context.queue().next_due(now)
}

async fn sleep_until(context: &Context, due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep_until(context.clock.instant(due)).await,
        None => std::future::pending().await,
    }
}

type Ended = Result<(tokio::task::Id, ()), tokio::task::JoinError>;

/// A pass that panicked is a defect of ours; its account is visited again, and the rest go on.
fn settle(context: &Context, keys: &mut BTreeMap<tokio::task::Id, WorkKey>, ended: &Ended) {
    let (id, failed) = match ended {
        Ok((id, ())) => (*id, None),
        Err(error) => (error.id(), Some(error)),
    };
    let Some(key) = keys.remove(&id) else { return };
    if let Some(error) = failed {
        tracing::error!(%key, %error, "a pass ended abnormally");
        context.metrics.passed("Ensure", "Panicked", Duration::ZERO);
        context.queue().finish(&key);
        context.request(key, Priority::NotReady, Duration::from_secs(60));
    }
}
