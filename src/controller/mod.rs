//! The wiring: watches, the controller, the runner of account passes, and their end.

mod account;
mod context;
mod events;
mod finalize;
mod invalid;
mod memory;
mod namespaces;
mod reconcile;
mod report;
mod runner;
mod status;
mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use futures::{Stream, StreamExt, TryStreamExt, channel::mpsc};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::{
        Controller, WatchStreamExt,
        controller::{Action, Config},
        reflector::{self, ObjectRef},
        watcher,
    },
};
use tokio::sync::{Notify, watch};

use context::{Context, Guarded, GuardedAccess, owner_of};
use reconcile::{ReconcileError, reconcile};

use crate::{
    aws::Ambient,
    clock::Clock,
    domain::ClusterId,
    schedule::{Queue, Slots},
};

/// Longest pass over one account.
const PASS_TIMEOUT: Duration = Duration::from_secs(120);
/// Objects reconciled at once; a reconcile writes to the cluster at most and takes milliseconds.
const RECONCILES: u16 = 8;

/// How the operator runs.
#[derive(Debug)]
pub struct Options {
    /// The installation, in tags.
    pub cluster: ClusterId,
    /// Namespaces to watch; none means all.
    pub namespaces: Vec<String>,
    /// Passes at once.
    pub slots: Slots,
    /// Deletions within a minute that need no confirmation; 0 means any number.
    pub deletions_at_once: usize,
    /// Name of this process in events.
    pub instance: String,
}

/// Runs the operator until `stop` becomes true.
///
/// # Errors
/// If a watch cannot begin, for want of a CRD or of rights; what fails later is tried again.
pub async fn run(client: Client, aws: Ambient, options: Options, stop: watch::Receiver<bool>) -> Result<(), String> {
    let clock = Clock::system();
    let (integrations, integration_writer) = reflector::store();
    let (accesses, access_writer) = reflector::store();
    let (namespace_store, namespace_writer) = reflector::store();
    let (trigger, triggered) = mpsc::unbounded();
    let context = Arc::new(Context {
        events: events::Events::new(client.clone(), options.instance, clock),
        client: client.clone(),
        integrations: integrations.clone(),
        accesses: accesses.clone(),
        namespaces: namespace_store.clone(),
        aws,
        cluster: options.cluster,
        clock,
        queue: Mutex::new(Queue::new(options.slots)),
        resources: Mutex::new(BTreeMap::new()),
        wake: Notify::new(),
        durable: Notify::new(),
        trigger,
        deleted: Mutex::new(BTreeMap::new()),
        deletions_at_once: options.deletions_at_once,
        closing: AtomicBool::new(false),
    });

    let access_events = watcher(Api::<GuardedAccess>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(access_writer)
        .touched_objects();
    let namespace_events =
        watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), watcher::Config::default())
            .default_backoff()
            .reflect(namespace_writer)
            .touched_objects();
    let integration_events =
        namespaces::watch(&client, &options.namespaces).reflect(integration_writer).touched_objects();

    let (by_access, by_namespace) = (integrations.clone(), integrations.clone());
    let controller = Controller::for_stream(quiet(integration_events), integrations.clone())
        .with_config(Config::default().concurrency(RECONCILES))
        .watches_stream(quiet(access_events), move |access: GuardedAccess| {
            let name = kube::ResourceExt::name_any(&access);
            references(&by_access, move |object| object.spec.access_ref.name == name)
        })
        .watches_stream(quiet(namespace_events), move |namespace| {
            let name = kube::ResourceExt::name_any(&namespace);
            references(&by_namespace, move |object| object.metadata.namespace.as_deref() == Some(name.as_str()))
        })
        .reconcile_on(triggered)
        .graceful_shutdown_on(stopped(stop.clone()))
        .run(
            move |object, context| after_sync(object, context, accesses.clone(), namespace_store.clone()),
            retry,
            Arc::clone(&context),
        )
        .for_each(|_| std::future::ready(()));

    let runner = tokio::spawn(runner::run(Arc::clone(&context), stop.clone()));
    let closing = Arc::clone(&context);
    tokio::spawn(async move {
        stopped(stop).await;
        closing.closing.store(true, Ordering::Release);
        closing.durable.notify_waiters();
    });
    let synced = Arc::clone(&context);
    tokio::spawn(async move {
        let ready = synced.integrations.wait_until_ready().await.is_ok()
            && synced.accesses.wait_until_ready().await.is_ok()
            && synced.namespaces.wait_until_ready().await.is_ok();
        if ready {
            let namespaces =
                if options.namespaces.is_empty() { "all".to_owned() } else { options.namespaces.join(", ") };
            tracing::info!(%namespaces, cluster = %synced.cluster, "watching PortAwsIntegration");
        }
    });
    controller.await;
    runner.await.map_err(|error| format!("the runner of passes ended abnormally: {error}"))
}

/// Watch errors are logged here, and the watch goes on; the controller sees objects only.
fn quiet<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<K>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
    events
        .inspect_err(|error| tracing::warn!(%error, "a watch was interrupted"))
        .filter(|event| std::future::ready(event.is_ok()))
}

fn references(
    store: &reflector::Store<Guarded>,
    wanted: impl Fn(&crate::api::PortAwsIntegration) -> bool,
) -> Vec<ObjectRef<Guarded>> {
    let objects = store.state();
    let matching = objects.iter().filter_map(|object| object.0.as_ref().ok()).filter(|object| wanted(object));
    matching
        .map(|object| {
            let owner = owner_of(object);
            ObjectRef::new(&owner.name).within(&owner.namespace)
        })
        .collect()
}

/// Decides nothing before it is known what access objects and namespaces there are.
async fn after_sync(
    object: Arc<Guarded>,
    context: Arc<Context>,
    accesses: reflector::Store<GuardedAccess>,
    namespaces: reflector::Store<PartialObjectMeta<Namespace>>,
) -> Result<Action, ReconcileError> {
    if accesses.wait_until_ready().await.is_err() || namespaces.wait_until_ready().await.is_err() {
        return Ok(Action::await_change());
    }
    reconcile(object, context).await
}

// The controller's own signature for it.
#[allow(clippy::needless_pass_by_value)]
/// A write to the cluster failed: a conflict is resolved by a fresh read, the rest may pass.
fn retry(object: Arc<Guarded>, error: &ReconcileError, _: Arc<Context>) -> Action {
    if error.is_outdated() {
        tracing::debug!(name = kube::ResourceExt::name_any(&*object), %error, "the object has changed; it is read again");
        return Action::requeue(Duration::from_millis(200));
    }
    tracing::warn!(name = kube::ResourceExt::name_any(&*object), %error, "a reconcile failed");
    Action::requeue(Duration::from_secs(2).mul_f64(1.0 + crate::clock::jitter()))
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: the process is ending.
    let _ = stop.wait_for(|stopped| *stopped).await;
}
