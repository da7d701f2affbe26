//! Events: each distinct note once, then counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};

use super::{cluster_call::CallError, lease::Leadership};
use crate::{
    api::{PortAwsIntegration, Reason, cut},
    clock::Clock,
    telemetry::metrics::Metrics,
};

const CONTROLLER: &str = "integrations.port.io/port-aws-operator";
/// Notes remembered at most; the oldest knowledge goes first, at the price of a second event.
const REMEMBERED: usize = 10_000;
const NOTE_BYTES: usize = 1024;

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Something was done.
    Done,
    /// Something is so, and somebody should look.
    State,
}

/// An event that was written.
struct Known {
    kind: Kind,
    name: String,
    count: i32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct NoteKey {
    uid: String,
    reason: Reason,
    note: String,
}

/// Publishes events, while this process leads; what fails is only logged.
#[derive(Clone)]
pub(super) struct Events {
    client: Client,
    leadership: Leadership,
    instance: String,
    clock: Clock,
    metrics: Metrics,
    known: Arc<Mutex<BTreeMap<NoteKey, Known>>>,
}

impl Events {
    pub(super) fn new(
        client: Client,
        leadership: Leadership,
        instance: String,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        Self { client, leadership, instance, clock, metrics, known: Arc::default() }
    }

    /// Tells of something that was done. If it is done again, the event's count goes up.
    pub(super) async fn done(&self, object: &PortAwsIntegration, reason: Reason, note: &str) {
        let key = key(object, reason, note);
        let counted = self.known().get_mut(&key).map(|known| {
            known.count += 1;
            (known.name.clone(), known.count)
        });
        if let Some((name, count)) = counted
            && self.count(object, &name, count).await
        {
            return;
        }
        self.create(object, key, Kind::Done).await;
    }

    /// Tells of something that is so. The same is not told again until [`Events::forget`].
    pub(super) async fn state(&self, object: &PortAwsIntegration, reason: Reason, note: &str) {
        let key = key(object, reason, note);
        if !self.known().contains_key(&key) {
            self.create(object, key, Kind::State).await;
        }
    }

    /// What was so is over: if it comes back, it is told again.
    pub(super) fn forget(&self, object: &PortAwsIntegration, is_over: impl Fn(Reason, &str) -> bool) {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        let over = |key: &NoteKey| key.uid == uid && is_over(key.reason, &key.note);
        self.known().retain(|key, known| known.kind == Kind::Done || !over(key));
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<NoteKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn create(&self, object: &PortAwsIntegration, key: NoteKey, kind: Kind) {
        let now = self.clock.wall();
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let object_name = object.metadata.name.as_deref().unwrap_or_default();
        // The suffix keeps two events of one moment apart, also across restarts.
        let name = format!("{object_name}.{:x}{:04x}", now.as_nanosecond(), fastrand::u16(..));
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(key.note.clone()),
            reason: Some(key.reason.to_string()),
            regarding: Some(reference(object)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if kind == Kind::Done { "Normal" } else { "Warning" }.to_owned()),
            ..Event::default()
        };
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        match self.leadership.tell(api.create(&PostParams::default(), &event)).await {
            Ok(_) => {
                let mut known = self.known();
                if known.len() >= REMEMBERED {
                    known.pop_first();
                }
                known.insert(key, Known { kind, name, count: 1 });
            }
            Err(error) => {
                self.metrics.dropped_event();
                // One whose Lease runs out says so where it counts.
                if matches!(error, CallError::NotLeading) {
                    tracing::debug!(%error, reason = %key.reason, "an event is not written");
                } else {
                    tracing::warn!(%error, reason = %key.reason, "an event could not be written");
                }
            }
        }
    }

    async fn count(&self, object: &PortAwsIntegration, name: &str, count: i32) -> bool {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let series = serde_json::json!({"series": {"count": count, "lastObservedTime": MicroTime(self.clock.wall())}});
        let api = Api::<Event>::namespaced(self.client.clone(), namespace);
        let patched = self.leadership.tell(api.patch(name, &PatchParams::default(), &Patch::Merge(&series))).await;
        patched
            .inspect_err(|error| tracing::debug!(%error, "an event could not be counted, so a new one is written"))
            .is_ok()
    }
}

fn key(object: &PortAwsIntegration, reason: Reason, note: &str) -> NoteKey {
    NoteKey { uid: object.metadata.uid.clone().unwrap_or_default(), reason, note: cut(note, NOTE_BYTES) }
}

fn reference(object: &PortAwsIntegration) -> ObjectReference {
    ObjectReference {
        api_version: Some(PortAwsIntegration::api_version(&()).into_owned()),
        kind: Some(PortAwsIntegration::kind(&()).into_owned()),
        name: object.metadata.name.clone(),
        namespace: object.metadata.namespace.clone(),
        uid: object.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}
