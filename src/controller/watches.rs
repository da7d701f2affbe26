//! What every watch needs: its errors logged, its first list noticed, its objects traced to
//! integrations.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt, TryStreamExt};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;

use super::context::{Context, Guarded, owner_of, reference_to};
use crate::{api::PortAwsIntegration, domain::Owner};

/// A watch over objects, or over those whose labels match a selector, without what the API server notes of who wrote which field: nothing here asks for
/// that, and it grows with the object.
pub(super) fn follow<K>(
    api: Api<K>,
    selector: Option<&str>,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config { label_selector: selector.map(str::to_owned), ..watcher::Config::default() };
    let events = watcher(api, config).default_backoff();
    events.modify(|object| object.meta_mut().managed_fields = None)
}

/// Notes in the context once the first list of a watch is in its store, and forgets what is gone. (A store's own
/// `wait_until_ready` wakes only the last of several tasks that wait.)
pub(super) fn mark<K: Send + 'static>(
    context: &Arc<Context>,
    what: &'static str,
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static {
    let (context, metrics) = (Arc::clone(context), context.metrics.clone());
    let events = events.inspect_err(move |_| metrics.interrupted(what));
    events.inspect_ok(move |event| {
        if matches!(event, watcher::Event::InitDone) {
            context.listed.send_if_modified(|listed| listed.insert(what));
        }
        if matches!(event, watcher::Event::InitDone | watcher::Event::Delete(_)) {
            context.forget_gone();
        }
    })
}

/// Watch errors are logged here, and the watch goes on; the controller sees objects only.
pub(super) fn quiet<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<K>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<K>> + Send + 'static {
    events
        .inspect_err(|error| tracing::warn!(%error, "a watch was interrupted"))
        .filter(|event| std::future::ready(event.is_ok()))
}

/// The integrations for which something holds.
pub(super) fn references(
    store: &Store<Guarded>,
    wanted: impl Fn(&PortAwsIntegration) -> bool,
) -> Vec<ObjectRef<Guarded>> {
    let objects = store.state();
    let matching = objects.iter().filter_map(|object| object.0.as_ref().ok()).filter(|object| wanted(object));
    // In order: the store's own differs from one process to the next.
    let owners: BTreeSet<Owner> = matching.map(owner_of).collect();
    owners.iter().map(reference_to).collect()
}
