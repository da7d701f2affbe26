//! The same queue, as simple as can be: it looks at all that waits each time. The real one is held
//! against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Priority, Slots, WorkKey};
use crate::domain::{AccountId, Owner};

#[derive(Debug, Clone, Copy)]
struct Entry {
    priority: Priority,
    due: Duration,
}

#[derive(Debug)]
pub(super) struct SimpleQueue {
    slots: Slots,
    waiting: BTreeMap<WorkKey, Entry>,
    running: BTreeSet<WorkKey>,
    served: BTreeMap<Owner, u64>,
    turn: u64,
}

impl SimpleQueue {
    pub(super) fn new(slots: Slots) -> Self {
        let (waiting, running, served) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { slots, waiting, running, served, turn: 0 }
    }

    pub(super) fn request(&mut self, key: WorkKey, priority: Priority, due: Duration) {
        let entry = self.waiting.entry(key).or_insert(Entry { priority, due });
        entry.priority = entry.priority.min(priority);
        entry.due = entry.due.min(due);
    }

    pub(super) fn keep_only(&mut self, resource: &Owner, keep: impl Fn(&AccountId) -> bool) {
        self.waiting.retain(|key, _| key.resource != *resource || keep(&key.account));
        if !self.waiting.keys().any(|key| key.resource == *resource) {
            self.served.remove(resource);
        }
    }

    pub(super) fn forget(&mut self, resource: &Owner) {
        self.keep_only(resource, |_| false);
    }

    pub(super) fn contains(&self, key: &WorkKey) -> bool {
        self.waiting.contains_key(key) || self.running.contains(key)
    }

    pub(super) fn start(&mut self, now: Duration) -> Option<WorkKey> {
        if self.running.len() >= self.slots.total {
            return None;
        }
        let polls = self.running.len() + self.slots.reserved < self.slots.total;
        let busy: BTreeSet<&AccountId> = self.running.iter().map(|key| &key.account).collect();
        let startable = |(key, entry): &(&WorkKey, &Entry)| {
            entry.due <= now && !busy.contains(&key.account) && (polls || entry.priority != Priority::Poll)
        };
        let half = (self.slots.total / 2).max(1);
        let rank = |key: &WorkKey, entry: &Entry| {
            let served = self.served.get(&key.resource).copied().unwrap_or_default();
            (self.running_of(&key.resource) >= half, entry.priority, served, entry.due)
        };
        let (key, _) = self.waiting.iter().filter(startable).min_by_key(|(key, entry)| rank(key, entry))?;
        let key = key.clone();
        self.waiting.remove(&key);
        self.running.insert(key.clone());
        self.turn += 1;
        self.served.insert(key.resource.clone(), self.turn);
        Some(key)
    }

    pub(super) fn finish(&mut self, key: &WorkKey) {
        self.running.remove(key);
    }

    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        self.waiting.values().map(|entry| entry.due).filter(|due| *due > now).min()
    }

    fn running_of(&self, resource: &Owner) -> usize {
        self.running.iter().filter(|key| key.resource == *resource).count()
    }
}
