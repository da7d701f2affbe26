//! A model of the Kubernetes API server, with the kinds that the operator uses.

mod rights;
pub mod server;
mod watch;

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A kind, by its plural name.
pub type Kind = &'static str;

pub const INTEGRATIONS: Kind = "portawsintegrations";
pub const ACCESSES: Kind = "portawsaccesses";
pub const NAMESPACES: Kind = "namespaces";
pub const LEASES: Kind = "leases";
pub const EVENTS: Kind = "events";
/// What the API server says it has; no object is of this kind.
pub const RESOURCES: Kind = "resources";
pub const KINDS: [Kind; 5] = [INTEGRATIONS, ACCESSES, NAMESPACES, LEASES, EVENTS];

/// Names an object: its kind, its namespace (empty if it has none) and its name.
pub type Key = (Kind, String, String);

/// A change of an object.
#[derive(Debug, Clone)]
pub struct Change {
    pub version: u64,
    pub kind: Kind,
    /// ADDED, MODIFIED or DELETED.
    pub word: &'static str,
    pub object: Value,
}

/// How a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    NotFound,
    Conflict,
    AlreadyExists,
    Forbidden,
}

/// What is stored, and how it came to be.
#[derive(Debug, Default)]
pub struct Cluster {
    objects: BTreeMap<Key, Value>,
    journal: Vec<Change>,
    version: u64,
    /// Changes up to this version are not kept any more.
    compacted: u64,
    uids: u64,
}

impl Cluster {
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    pub fn list(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter().filter(move |(key, _)| key.0 == kind)
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// The next change of a kind after a version; an error if it may have been forgotten.
    pub fn next_change(&self, kind: Kind, after: u64) -> Result<Option<&Change>, Refused> {
        if after < self.compacted {
            return Err(Refused::Conflict);
        }
        let from = self.journal.partition_point(|change| change.version <= after);
        Ok(self.journal.get(from..).unwrap_or_default().iter().find(|change| change.kind == kind))
    }

    /// Forgets all changes so far, as etcd does by and by.
    pub fn compact(&mut self) {
        self.compacted = self.version;
        self.journal.clear();
    }

    fn note(&mut self, kind: Kind, word: &'static str, object: Value) {
        self.version += 1;
        let mut object = object;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.journal.push(Change { version: self.version, kind, word, object });
    }

    /// Creates an object. `moment` is the time of day.
    pub fn create(&mut self, key: Key, mut object: Value, moment: &str) -> Result<Value, Refused> {
        if self.objects.contains_key(&key) {
            return Err(Refused::AlreadyExists);
        }
        self.uids += 1;
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.2);
        if !key.1.is_empty() {
            metadata["namespace"] = json!(key.1);
        }
        metadata["uid"] = json!(format!("uid-{}", self.uids));
        metadata["generation"] = json!(1);
        metadata["creationTimestamp"] = json!(moment);
        Ok(self.store(key, object, "ADDED"))
    }

    fn store(&mut self, key: Key, object: Value, word: &'static str) -> Value {
        self.note(key.0, word, object);
        let stored = self.journal.last().map(|change| change.object.clone()).unwrap_or_default();
        self.objects.insert(key, stored.clone());
        stored
    }

    /// Changes an object. A change of spec makes another generation; one that changes nothing is none; and
    /// what is to be deleted goes with its last finalizer.
    pub fn change(&mut self, key: &Key, change: impl FnOnce(&mut Value)) -> Result<Value, Refused> {
        let former = self.objects.get(key).ok_or(Refused::NotFound)?.clone();
        let mut object = former.clone();
        change(&mut object);
        if object == former {
            return Ok(former);
        }
        if object["spec"] != former["spec"] {
            let generation = former["metadata"]["generation"].as_i64().unwrap_or_default();
            object["metadata"]["generation"] = json!(generation + 1);
        }
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        if !object["metadata"]["deletionTimestamp"].is_null() && !held {
            self.objects.remove(key);
            self.note(key.0, "DELETED", object.clone());
            return Ok(object);
        }
        Ok(self.store(key.clone(), object, "MODIFIED"))
    }

    /// Asks for the deletion of an object.
    pub fn delete(&mut self, key: &Key, moment: &str) {
        // One that is not there is deleted.
        let _ = self.change(key, |object| {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = json!(moment);
                let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
                object["metadata"]["generation"] = json!(generation + 1);
            }
        });
    }
}
