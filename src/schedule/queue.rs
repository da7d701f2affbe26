//! The queue of account passes: who is next, and who has to wait for whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use crate::domain::{AccountId, Owner};

/// The unit of work: one resource in one account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkKey {
    /// The resource.
    pub resource: Owner,
    /// The account.
    pub account: AccountId,
}

impl fmt::Display for WorkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} in {}", self.resource.namespace, self.resource.name, self.account)
    }
}

/// Why an account is to be visited; what comes first is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The resource is being deleted.
    Deletion,
    /// What is wanted has changed, or somebody asked for a check.
    SpecChanged,
    /// The account was never visited.
    NeverVisited,
    /// The last visit did not end well.
    NotReady,
    /// The regular check for drift.
    Poll,
}

/// How many passes run at once.
#[derive(Debug, Clone, Copy)]
pub struct Slots {
    /// In all, at least 1. One resource gets half of them at most while others wait.
    pub total: usize,
    /// Those that regular checks may not take.
    pub reserved: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    priority: Priority,
    due: Duration,
}

/// The queue. At most one pass runs in an account at a time, whoever asks for it.
#[derive(Debug)]
pub struct Queue {
    slots: Slots,
    waiting: BTreeMap<WorkKey, Entry>,
    running: BTreeSet<WorkKey>,
    served: BTreeMap<Owner, u64>,
    turn: u64,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(slots: Slots) -> Self {
        let (waiting, running, served) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { slots, waiting, running, served, turn: 0 }
    }

    /// Asks for a visit. Of several requests for the same key the most urgent priority and the
    /// earliest time hold. A request for a key that is running is kept for afterwards.
    pub fn request(&mut self, key: WorkKey, priority: Priority, due: Duration) {
        let entry = self.waiting.entry(key).or_insert(Entry { priority, due });
        entry.priority = entry.priority.min(priority);
        entry.due = entry.due.min(due);
    }

    /// Forgets the requests of a resource for the accounts that are not to be kept. What runs goes
    /// on to its next gate.
    pub fn keep_only(&mut self, resource: &Owner, keep: impl Fn(&AccountId) -> bool) {
        self.waiting.retain(|key, _| key.resource != *resource || keep(&key.account));
        if !self.waiting.keys().any(|key| key.resource == *resource) {
            self.served.remove(resource);
        }
    }

    /// Forgets every request of a resource.
    pub fn forget(&mut self, resource: &Owner) {
        self.keep_only(resource, |_| false);
    }

    /// Whether a visit is asked for or under way.
    #[must_use]
    pub fn contains(&self, key: &WorkKey) -> bool {
        self.waiting.contains_key(key) || self.running.contains(key)
    }

    /// Whether a visit is asked for that is as urgent, or under way.
    #[must_use]
    pub fn contains_as(&self, key: &WorkKey, priority: Priority) -> bool {
        self.running.contains(key) || self.waiting.get(key).is_some_and(|entry| entry.priority <= priority)
    }

    /// When the next visit of a resource is due; now, if one is under way.
    #[must_use]
    pub fn due(&self, resource: &Owner) -> Option<Duration> {
        if self.running.iter().any(|key| key.resource == *resource) {
            return Some(Duration::ZERO);
        }
        self.waiting.iter().filter(|(key, _)| key.resource == *resource).map(|(_, entry)| entry.due).min()
    }

    /// Starts the next pass, if one is due and a slot is free for it.
    pub fn start(&mut self, now: Duration) -> Option<WorkKey> {
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

    /// Ends a pass.
    pub fn finish(&mut self, key: &WorkKey) {
        self.running.remove(key);
    }

    /// When the next waiting visit is due, whether or not a slot is free.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let busy: BTreeSet<&AccountId> = self.running.iter().map(|key| &key.account).collect();
        let free = self.waiting.iter().filter(|(key, _)| !busy.contains(&key.account));
        free.map(|(_, entry)| entry.due).min()
    }

    fn running_of(&self, resource: &Owner) -> usize {
        self.running.iter().filter(|key| key.resource == *resource).count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(resource: &str, account: u64) -> WorkKey {
        let resource = Owner { namespace: "ns".into(), name: resource.into() };
        WorkKey { resource, account: format!("{account:012}").parse().unwrap() }
    }

    fn queue(total: usize, reserved: usize) -> Queue {
        Queue::new(Slots { total, reserved })
    }

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn the_most_urgent_goes_first_and_nothing_before_its_time() {
        let mut queue = queue(8, 0);
        queue.request(key("poll", 1), Priority::Poll, NOW);
        queue.request(key("new", 2), Priority::NeverVisited, NOW);
        queue.request(key("gone", 3), Priority::Deletion, NOW);
        queue.request(key("later", 4), Priority::Deletion, NOW + Duration::from_secs(1));
        let order: Vec<_> = std::iter::from_fn(|| queue.start(NOW)).map(|key| key.resource.name).collect();
        assert_eq!(order, ["gone", "new", "poll"]);
        assert_eq!(queue.next_due(), Some(NOW + Duration::from_secs(1)));
    }

    #[test]
    fn one_pass_at_a_time_in_an_account_and_a_new_request_waits_for_the_running_one() {
        let mut queue = queue(8, 0);
        queue.request(key("a", 1), Priority::NotReady, NOW);
        queue.request(key("b", 1), Priority::NotReady, NOW);
        let first = queue.start(NOW).unwrap();
        assert_eq!(queue.start(NOW), None);
        assert_eq!(queue.next_due(), None);
        queue.request(first.clone(), Priority::SpecChanged, NOW);
        assert_eq!(queue.start(NOW), None);
        queue.finish(&first);
        assert_eq!(queue.start(NOW), Some(first));
    }

    #[test]
    fn polls_leave_the_reserved_slots_free() {
        let mut queue = queue(4, 1);
        for account in 0..6 {
            queue.request(key(&format!("r{account}"), account), Priority::Poll, NOW);
        }
        assert_eq!(std::iter::from_fn(|| queue.start(NOW)).count(), 3);
        queue.request(key("new", 9), Priority::NeverVisited, NOW);
        assert_eq!(queue.start(NOW), Some(key("new", 9)));
        assert_eq!(queue.start(NOW), None);
    }

    #[test]
    fn one_resource_takes_half_the_slots_only_while_others_wait() {
        let mut queue = queue(4, 0);
        for account in 0..10 {
            queue.request(key("big", account), Priority::SpecChanged, NOW);
        }
        queue.request(key("small", 50), Priority::NotReady, NOW);
        let started: Vec<_> = std::iter::from_fn(|| queue.start(NOW)).map(|key| key.resource.name).collect();
        assert_eq!(started, ["big", "big", "small", "big"]);
    }

    #[test]
    fn resources_of_one_priority_take_turns() {
        let mut queue = queue(6, 0);
        for account in 0..3 {
            queue.request(key("a", account), Priority::Poll, NOW);
            queue.request(key("b", 10 + account), Priority::Poll, NOW + Duration::ZERO);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.start(NOW)).map(|key| key.resource.name).collect();
        assert_eq!(order, ["a", "b", "a", "b", "a", "b"]);
    }

    #[test]
    fn requests_merge_to_the_most_urgent_and_earliest() {
        let mut queue = queue(1, 0);
        queue.request(key("a", 1), Priority::Poll, NOW + Duration::from_secs(60));
        queue.request(key("a", 1), Priority::SpecChanged, NOW + Duration::from_secs(90));
        assert_eq!(queue.due(&key("a", 1).resource), Some(NOW + Duration::from_secs(60)));
        assert!(queue.contains_as(&key("a", 1), Priority::SpecChanged));
        assert!(!queue.contains_as(&key("a", 1), Priority::Deletion));
        queue.keep_only(&key("a", 1).resource, |_| false);
        assert!(!queue.contains(&key("a", 1)));
    }
}
