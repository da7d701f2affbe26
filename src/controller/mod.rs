//! The wiring: watches, the controller, the runner of account passes, and their end.

mod access;
mod access_status;
mod access_version;
mod account;
mod account_memory;
mod cluster_call;
mod context;
mod crds;
mod discovery;
mod discovery_memory;
mod events;
mod failure;
mod finalize;
mod gate;
mod grants;
mod invalid;
mod lease;
mod measure;
mod memory;
mod namespaces;
mod reach;
mod reconcile;
mod remains;
mod removal;
mod report;
mod runner;
mod status;
mod store;
mod succession;
mod visits;
mod watches;
mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::{Duration, Instant},
};

use futures::{StreamExt, channel::mpsc};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        Controller, WatchStreamExt,
        controller::{Action, Config},
        reflector,
    },
};
use tokio::sync::{Notify, Semaphore, watch};
use tracing::Instrument;

use cluster_call::CallError;
use context::{Context, Guarded, GuardedAccess};
use lease::{Campaign, Leadership};
use reconcile::reconcile;
use watches::{follow, mark, quiet, references};

use crate::{
    aws::Aws,
    clock::Clock,
    domain::ClusterId,
    schedule::{Queue, Slots},
    telemetry::{
        health::{Health, Readiness},
        metrics::Metrics,
    },
};

pub use lease::LeaseOptions;

/// Longest pass over one account.
const PASS_TIMEOUT: Duration = Duration::from_secs(120);
/// How often an access object is looked at, at most: with many accounts there is much to hear of it. (The
/// controller's own debounce would put a look off for as long as more is heard.)
const ACCESS_GAP: Duration = Duration::from_millis(500);
/// How long what is under way may go on after the end was asked for: passes to their next gate, one call at most.
const DRAIN: Duration = Duration::from_secs(35);
/// Objects reconciled at once; a reconcile writes to the cluster at most and takes milliseconds.
const RECONCILES: u16 = 8;

/// How the operator runs.
#[derive(Debug)]
pub struct Options {
    /// The installation, in tags.
    pub cluster: ClusterId,
    /// Namespaces to watch; none means all.
    pub namespaces: Vec<String>,
    /// Which integrations to watch there, by their labels; none means all.
    pub selector: Option<String>,
    /// Passes at once.
    pub slots: Slots,
    /// Deletions within a minute that need no confirmation; 0 means any number.
    pub deletions_at_once: usize,
    /// Name of this process in events.
    pub instance: String,
    /// The Lease to hold while acting; without one the process acts alone.
    pub lease: Option<LeaseOptions>,
    /// What probes are told.
    pub health: Health,
    /// Where the work is measured.
    pub metrics: Metrics,
    /// By what time is told.
    pub clock: Clock,
}

/// Runs the operator until `stop` becomes true: it stands by until it holds the lease, then acts.
///
/// # Errors
/// If the lease is lost to another process, or a part of this one ends abnormally. Failures of a watch are
/// logged, and it is tried again.
pub async fn run(client: Client, aws: Aws, options: Options, stop: watch::Receiver<bool>) -> Result<(), String> {
    let (mut campaign, leadership) = Campaign::begin(&client, options.lease.clone(), options.clock, &options.health);
    options.metrics.set_leader(false);
    let acting = async {
        let mut waiting = leadership.clone();
        tokio::select! {
            biased;
            () = stopped(stop.clone()) => return Ok(()),
            () = waiting.acquired() => {}
        }
        options.metrics.set_leader(true);
        options.health.set(Readiness::Starting);
        act(client, aws.clone(), options, leadership.clone(), stop).await
    };
    let outcome = tokio::select! {
        biased;
        outcome = acting => outcome,
        error = Campaign::broken(&mut campaign) => return Err(error),
    };
    if let Some(campaign) = campaign {
        campaign.end(aws.unanswered()).await?;
    }
    match leadership.lost_to() {
        Some(holder) => {
            Err(format!("the lease is held by {holder} now: this process ends, so that a fresh one stands by"))
        }
        None => outcome,
    }
}

/// Becomes true once this process is to end, or may no longer act.
fn halt_on(stop: watch::Receiver<bool>, mut leadership: Leadership) -> watch::Receiver<bool> {
    let (halt, halted) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = stopped(stop) => {}
            () = leadership.lost() => {}
        }
        halt.send_replace(true);
        // Who waits for it sees the value only as long as the sender lives.
        halt.closed().await;
    });
    halted
}

async fn act(
    client: Client,
    aws: Aws,
    options: Options,
    leadership: Leadership,
    stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let stop = halt_on(stop, leadership.clone());
    tokio::select! {
        biased;
        () = stopped(stop.clone()) => return Ok(()),
        () = crds::wait(&client) => {}
    }
    let (integrations, integration_writer) = reflector::store();
    let (accesses, access_writer) = reflector::store();
    let (namespaces, namespace_writer) = reflector::store();
    let (trigger, triggered) = mpsc::unbounded();
    let (access_trigger, access_triggered) = mpsc::unbounded();
    let stores = Stores { integrations: integrations.clone(), accesses: accesses.clone(), namespaces };
    let context = Arc::new(new_context(&client, aws, &options, stores, (trigger, access_trigger), leadership));

    // Not the context itself, which has the metrics.
    let seen = Arc::downgrade(&context);
    options.metrics.look_at(move || seen.upgrade().map(|context| context.sample()).unwrap_or_default());

    let access_events = follow(Api::<GuardedAccess>::all(client.clone()), None);
    let access_events = mark(&context, ACCESSES, access_events.reflect(access_writer));
    let namespace_events = follow(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), None);
    let namespace_events = mark(&context, NAMESPACES, namespace_events.reflect(namespace_writer));
    let integration_events = namespaces::watch(&client, &options.namespaces, options.selector.as_deref());
    let integration_events = mark(&context, INTEGRATIONS, integration_events.reflect(integration_writer));

    let on_access = Arc::clone(&context);
    let (by_access, by_namespace) = (integrations.clone(), integrations.clone());
    let controller = Controller::for_stream(quiet(integration_events.touched_objects()), integrations)
        .with_config(Config::default().concurrency(RECONCILES))
        .watches_stream(quiet(access_events.touched_objects()), move |access: GuardedAccess| {
            let name = access.name_any();
            on_access.access_soon(&name);
            references(&by_access, move |object| object.spec.access_ref.name == name)
        })
        .watches_stream(quiet(namespace_events.touched_objects()), move |namespace| {
            let name = namespace.name_any();
            references(&by_namespace, move |object| object.metadata.namespace.as_deref() == Some(name.as_str()))
        })
        .reconcile_on(triggered)
        .graceful_shutdown_on(stopped(stop.clone()))
        .run(after_sync, retry, Arc::clone(&context))
        .for_each(|_| std::future::ready(()));

    let accesses_controller = reconcile_accesses(accesses, access_triggered, stop.clone(), Arc::clone(&context));
    let runner = tokio::spawn(runner::run(Arc::clone(&context), stop.clone(), options.health.clone()));
    tokio::spawn(close(Arc::clone(&context), stop.clone()));
    tokio::spawn(announce(Arc::clone(&context), options.namespaces, options.selector, options.health.clone()));
    let reconciling = async { tokio::join!(controller, accesses_controller) };
    tokio::select! {
        _ = reconciling => {}
        () = drained(Arc::clone(&context), stop) => {}
    }
    runner.await.map_err(|error| format!("the runner of passes ended abnormally: {error}"))
}

/// Reconciles access objects. It hears of changes by the controller of integrations, whose watch of access
/// objects serves both.
async fn reconcile_accesses(
    accesses: reflector::Store<GuardedAccess>,
    triggered: mpsc::UnboundedReceiver<reflector::ObjectRef<GuardedAccess>>,
    stop: watch::Receiver<bool>,
    context: Arc<Context>,
) {
    Controller::for_stream(futures::stream::pending(), accesses)
        .with_config(Config::default().concurrency(1))
        .reconcile_on(triggered)
        .graceful_shutdown_on(stopped(stop))
        .run(access_after_sync, retry_access, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

const INTEGRATIONS: &str = "integrations";
const ACCESSES: &str = "accesses";
const NAMESPACES: &str = "namespaces";
const WATCHES: [&str; 3] = [INTEGRATIONS, ACCESSES, NAMESPACES];

struct Stores {
    integrations: reflector::Store<Guarded>,
    accesses: reflector::Store<GuardedAccess>,
    namespaces: reflector::Store<PartialObjectMeta<Namespace>>,
}

type Triggers =
    (mpsc::UnboundedSender<reflector::ObjectRef<Guarded>>, mpsc::UnboundedSender<reflector::ObjectRef<GuardedAccess>>);

fn new_context(
    client: &Client,
    aws: Aws,
    options: &Options,
    stores: Stores,
    (trigger, access_trigger): Triggers,
    leadership: Leadership,
) -> Context {
    let clock = options.clock;
    let (instance, metrics) = (options.instance.clone(), options.metrics.clone());
    Context {
        events: events::Events::new(client.clone(), leadership.clone(), instance, clock, metrics),
        metrics: options.metrics.clone(),
        client: client.clone(),
        integrations: stores.integrations,
        accesses: stores.accesses,
        namespaces: stores.namespaces,
        listed: watch::Sender::new(BTreeSet::new()),
        aws,
        cluster: options.cluster.clone(),
        clock,
        queue: Mutex::new(Queue::new(options.slots)),
        resources: Mutex::new(BTreeMap::new()),
        wake: Notify::new(),
        durable: Notify::new(),
        trigger,
        access_trigger,
        written_accesses: Mutex::default(),
        looks: Mutex::default(),
        watched: options.namespaces.iter().cloned().collect(),
        selective: options.selector.is_some(),
        deleted: Mutex::new(BTreeMap::new()),
        deletions_at_once: options.deletions_at_once,
        leadership,
        discoveries: Semaphore::new(discovery::AT_ONCE),
        organization_turns: Mutex::default(),
        closing: AtomicBool::new(false),
    }
}

/// The end was asked for, and what was under way has had its time. As long as not all is listed there is nothing, and
/// the controllers would wait for ever: nothing is listed any more.
async fn drained(context: Arc<Context>, stop: watch::Receiver<bool>) {
    stopped(stop).await;
    let all = context.is_listed(&WATCHES);
    if all {
        tokio::time::sleep(DRAIN).await;
    }
    tracing::debug!(all, "reconciles are not waited for any longer");
}

/// From the moment that the end is asked for, no write to AWS starts.
async fn close(context: Arc<Context>, stop: watch::Receiver<bool>) {
    stopped(stop).await;
    context.close();
}

async fn announce(context: Arc<Context>, namespaces: Vec<String>, selector: Option<String>, health: Health) {
    if !context.wait_listed(&WATCHES).await {
        return;
    }
    let namespaces = if namespaces.is_empty() { "all".to_owned() } else { namespaces.join(", ") };
    health.set(Readiness::Acting);
    tracing::info!(%namespaces, selector, cluster = %context.cluster, "watching PortAwsIntegration");
}

/// Decides nothing before it is known what access objects and namespaces there are.
async fn after_sync(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, CallError> {
    if !context.wait_listed(&[ACCESSES, NAMESPACES]).await {
        return Ok(Action::await_change());
    }
    let (began, metrics) = (Instant::now(), context.metrics.clone());
    let span = measure::reconcile_span("PortAwsIntegration", object.as_ref());
    let result = reconcile(object, context).instrument(span).await;
    metrics.reconciled("PortAwsIntegration", measure::outcome(&result), began.elapsed());
    result
}

async fn access_after_sync(object: Arc<GuardedAccess>, context: Arc<Context>) -> Result<Action, CallError> {
    if !context.wait_listed(&[INTEGRATIONS, NAMESPACES]).await {
        return Ok(Action::await_change());
    }
    if let Some(rest) = context.looked_at(&object.name_any()) {
        return Ok(Action::requeue(rest));
    }
    let (began, metrics) = (Instant::now(), context.metrics.clone());
    let span = measure::reconcile_span("PortAwsAccess", object.as_ref());
    let result = access::reconcile(object, context).instrument(span).await;
    metrics.reconciled("PortAwsAccess", measure::outcome(&result), began.elapsed());
    result
}

// The controller's own signature for it.
#[allow(clippy::needless_pass_by_value)]
fn retry_access(object: Arc<GuardedAccess>, error: &CallError, _: Arc<Context>) -> Action {
    retry_in(&object.name_any(), error)
}

// The controller's own signature for it.
#[allow(clippy::needless_pass_by_value)]
fn retry(object: Arc<Guarded>, error: &CallError, _: Arc<Context>) -> Action {
    retry_in(&object.name_any(), error)
}

/// A write to the cluster failed: after a conflict the watch brings what has changed, the rest may pass.
fn retry_in(name: &str, error: &CallError) -> Action {
    if error.is_outdated() {
        tracing::debug!(name, %error, "the object has changed");
        return Action::requeue(Duration::from_secs(1));
    }
    if matches!(error, CallError::NotLeading) {
        tracing::debug!(name, %error, "a reconcile waits for the lease");
    } else {
        tracing::warn!(name, %error, "a reconcile failed");
    }
    Action::requeue(Duration::from_secs(2).mul_f64(1.0 + crate::clock::jitter()))
}

/// Waits until the value becomes true.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: the process is ending.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Text that several hands write.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The level at which an error is logged.
    fn level(error: &CallError) -> String {
        let page = Page::default();
        let writer = page.clone();
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).without_time().with_ansi(false);
        tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), || retry_in("a", error));
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        text.split_whitespace().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn that_the_lease_is_not_held_is_no_warning() {
        assert_eq!(level(&CallError::NotLeading), "DEBUG");
        assert_eq!(level(&CallError::Timeout(Duration::from_secs(1))), "WARN");
    }
}
