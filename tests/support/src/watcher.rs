//! Records every version of every object of one kind, and checks each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::wait::eventually;
use crate::{Error, Result, kstatus};

const START_DEADLINE: Duration = Duration::from_secs(30);
const RETRY_PERIOD: Duration = Duration::from_millis(200);

/// A running watch over one kind of object.
///
/// It outlives restarts of the API server: the watch goes on from the last version seen. Only when
/// the server no longer knows that version are objects listed anew, and versions may be missing;
/// steps over such a gap are not judged.
#[derive(Debug)]
pub struct StatusWatch {
    api: Api<DynamicObject>,
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Record {
    /// Whether names need their namespace to be told apart.
    all_namespaces: bool,
    /// Whether [`StatusWatch::keep_last`] was asked for.
    keep_last: bool,
    /// What [`StatusWatch::writes_may_take`] was told.
    late: Option<Duration>,
    objects: BTreeMap<String, History>,
    violations: Vec<String>,
    last_error: Option<String>,
    listed: bool,
    /// Names that the list that is being read now has shown.
    in_list: BTreeSet<String>,
    /// How many lists have been begun; the first is the start itself.
    lists: usize,
}

#[derive(Debug, Default)]
struct History {
    versions: Vec<Value>,
    deleted: bool,
}

impl StatusWatch {
    /// Starts to watch and returns once all existing objects are recorded: no version from then on
    /// is missed. Without a namespace all of them are watched, and cluster-scoped kinds.
    pub async fn start(client: Client, resource: &ApiResource, namespace: Option<&str>) -> Result<Self> {
        let api = match namespace {
            Some(namespace) => Api::<DynamicObject>::namespaced_with(client, namespace, resource),
            None => Api::all_with(client, resource),
        };
        let record = Arc::new(Mutex::new(Record { all_namespaces: namespace.is_none(), ..Record::default() }));
        let events = watch(api.clone(), Config::default()).backoff(Every(RETRY_PERIOD));
        let this = Self { api, record: Arc::clone(&record), task: tokio::spawn(follow(events.boxed(), record)) };
        let what = format!("the first list of {}", resource.plural);
        eventually(&what, START_DEADLINE, async || {
            let record = this.lock();
            match (&record.last_error, record.listed) {
                (_, true) => Ok(Some(())),
                (Some(error), false) => Err(Error::not_yet(error.as_str())),
                (None, false) => Ok(None),
            }
        })
        .await?;
        Ok(this)
    }

    /// All versions of an object, the oldest first; empty if there was none.
    ///
    /// The name is `namespace/name` when all namespaces of a namespaced kind are watched.
    #[must_use]
    pub fn history(&self, name: &str) -> Vec<Value> {
        let record = self.lock();
        let history = record.objects.get(name);
        history.map(|it| it.versions.clone()).unwrap_or_default()
    }

    /// Keeps no more than the last version of each object from now on, for tests that see very many. Each
    /// version is checked all the same.
    pub fn keep_last(&self) {
        self.lock().keep_last = true;
    }

    /// Says that something holds writes up for so long at most.
    pub fn writes_may_take(&self, time: Duration) {
        self.lock().late = Some(time);
    }

    /// The present version of an object; `null` if it is not there (any more).
    #[must_use]
    pub fn current(&self, name: &str) -> Value {
        let record = self.lock();
        let history = record.objects.get(name).filter(|it| !it.deleted);
        let last = history.and_then(|it| it.versions.last());
        last.cloned().unwrap_or_default()
    }

    /// Waits until the present version of an object (`null` while there is none) is as wanted.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(&format!("{name}: {what}"), deadline, async || {
            let current = self.current(name);
            if wanted(&current) {
                return Ok(Some(current));
            }
            // The whole object, managedFields and all, would fill the message.
            let generation = &current["metadata"]["generation"];
            let status = &current["status"];
            Err(Error::not_yet(format!("generation {generation}, status {status}")))
        })
        .await
    }

    /// The rules broken so far, each with the object and its version.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// How often the objects had to be listed anew, so that versions may be missing.
    #[must_use]
    pub fn gaps(&self) -> usize {
        self.lock().lists.saturating_sub(1)
    }

    /// Waits until everything that the server has now is recorded, and ends the watch; an error
    /// if any version broke a rule.
    pub async fn finish(self) -> Result<()> {
        eventually("the watch to catch up", START_DEADLINE, async || {
            let list = self.api.list(&ListParams::default()).await?;
            let record = self.lock();
            let expected = list.items.iter().map(|it| {
                let version = it.metadata.resource_version.clone();
                (record.name_of(it), version.unwrap_or_default())
            });
            Ok((expected.collect::<BTreeMap<_, _>>() == record.present()).then_some(()))
        })
        .await?;
        let violations = self.violations();
        if violations.is_empty() {
            return Ok(());
        }
        Err(Error::Violations(violations))
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StatusWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut events: impl Stream<Item = watcher::Result<Event<DynamicObject>>> + Unpin,
    record: Arc<Mutex<Record>>,
) {
    while let Some(event) = events.next().await {
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(event) => record.take(event),
            Err(error) => record.last_error = Some(error.to_string()),
        }
    }
}

impl Record {
    fn take(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Apply(object) => self.add(&object, true),
            Event::Delete(object) => {
                let name = self.name_of(&object);
                if let Some(history) = self.objects.get_mut(&name) {
                    history.deleted = true;
                }
            }
            Event::Init => {
                self.lists += 1;
                self.in_list.clear();
            }
            Event::InitApply(object) => {
                let name = self.name_of(&object);
                self.in_list.insert(name);
                self.add(&object, false);
            }
            Event::InitDone => {
                for (name, history) in &mut self.objects {
                    history.deleted = !self.in_list.contains(name);
                }
                self.listed = true;
            }
        }
    }

    fn name_of(&self, object: &DynamicObject) -> String {
        let name = object.metadata.name.clone().unwrap_or_default();
        match &object.metadata.namespace {
            Some(namespace) if self.all_namespaces => format!("{namespace}/{name}"),
            _ => name,
        }
    }

    /// The versions of the objects that are there.
    fn present(&self) -> BTreeMap<String, String> {
        let there = self.objects.iter().filter(|(_, history)| !history.deleted);
        let version = |history: &History| {
            let last = history.versions.last();
            last.and_then(|it| it["metadata"]["resourceVersion"].as_str().map(str::to_owned))
        };
        there.map(|(name, history)| (name.clone(), version(history).unwrap_or_default())).collect()
    }

    /// Records a version. `adjacent` says that it follows the last one without a gap.
    fn add(&mut self, object: &DynamicObject, adjacent: bool) {
        let name = self.name_of(object);
        let new = match serde_json::to_value(object) {
            Ok(new) => new,
            Err(error) => {
                self.violations.push(format!("{name}: cannot be read: {error}"));
                return;
            }
        };
        let history = self.objects.entry(name.clone()).or_default();
        let old = history.versions.last();
        let field = |object: &Value, key: &str| object["metadata"][key].clone();
        let same = |key: &str| old.is_some_and(|old| field(old, key) == field(&new, key));
        if same("resourceVersion") {
            // Listed again, not changed.
            return;
        }
        let mut broken = kstatus::check(&new);
        if let Some(old) = old.filter(|_| adjacent && same("uid")) {
            broken.extend(kstatus::check_late_transition(old, &new, self.late.unwrap_or(kstatus::USUAL)));
        }
        let version = field(&new, "resourceVersion");
        let broken = broken.into_iter().map(|rule| format!("{name} at version {version}: {rule}"));
        self.violations.extend(broken);
        history.deleted = false;
        if self.keep_last {
            history.versions.clear();
        }
        history.versions.push(new);
    }
}

/// The same pause after each error: a test should not wait longer the longer an outage lasts.
struct Every(Duration);

impl Iterator for Every {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0)
    }
}

impl Backoff for Every {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(uid: &str, version: &str, ready: &str, time: &str) -> DynamicObject {
        let condition = json!({"type": "Ready", "status": ready, "reason": "Because",
            "message": "text", "lastTransitionTime": time, "observedGeneration": 1});
        let value = json!({
            "apiVersion": "example.org/v1", "kind": "Thing",
            "metadata": {"name": "x", "uid": uid, "generation": 1, "resourceVersion": version},
            "spec": {"suspend": true},
            "status": {"observedGeneration": 1, "conditions": [condition]},
        });
        serde_json::from_value(value).unwrap_or_else(|_| DynamicObject::new("none", &resource()))
    }

    fn resource() -> ApiResource {
        ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&())
    }

    const T1: &str = "2024-05-01T10:00:00Z";
    const T2: &str = "2024-05-01T10:01:00Z";

    #[test]
    fn steps_are_judged_only_where_no_version_is_missing() {
        let mut record = Record::default();
        record.take(Event::Init);
        record.take(Event::InitApply(object("a", "1", "True", T1)));
        record.take(Event::InitDone);
        record.take(Event::Apply(object("a", "2", "True", T2)));
        assert_eq!(record.violations.len(), 1, "{:?}", record.violations);

        // A list after a gap: the same version again is no new one, another is not compared.
        record.take(Event::Init);
        record.take(Event::InitApply(object("a", "2", "True", T2)));
        record.take(Event::InitApply(object("a", "3", "True", T1)));
        record.take(Event::InitDone);
        assert_eq!((record.lists, record.violations.len()), (2, 1));

        // Made anew: not a step of the same object.
        record.take(Event::Delete(object("a", "4", "True", T1)));
        record.take(Event::Apply(object("b", "5", "True", T2)));
        assert_eq!(record.violations.len(), 1);
        assert_eq!(record.objects["x"].versions.len(), 4);
    }

    #[test]
    fn each_version_is_checked_and_deletions_are_seen() {
        let mut record = Record::default();
        record.take(Event::Init);
        record.take(Event::InitApply(object("a", "1", "Perhaps", T1)));
        record.take(Event::InitDone);
        assert!(record.violations[0].contains("x at version \"1\""), "{:?}", record.violations);
        record.take(Event::Init);
        record.take(Event::InitDone);
        assert!(record.objects["x"].deleted);
    }
}
