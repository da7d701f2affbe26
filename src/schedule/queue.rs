//! The queue of account passes: who is next, and who has to wait for whom.

#[cfg(test)]
mod model;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl Priority {
    /// Every priority, the most urgent first.
    pub const ALL: [Self; 5] = [Self::Deletion, Self::SpecChanged, Self::NeverVisited, Self::NotReady, Self::Poll];
}

/// How much waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depth {
    /// What is due.
    pub due: BTreeMap<Priority, usize>,
    /// What is not.
    pub later: BTreeMap<Priority, usize>,
    /// For how long what is due longest has waited.
    pub oldest: Option<Duration>,
    /// Passes that run.
    pub running: usize,
    /// Passes that may run at once.
    pub slots: usize,
}

/// How many passes run at once.
#[derive(Debug, Clone, Copy)]
pub struct Slots {
    /// In all, at least 1. One resource gets half of them at most while others wait.
    pub total: usize,
    /// Those that regular checks may not take.
    pub reserved: usize,
}

/// Where a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// For its time.
    Later,
    /// For a slot.
    Ready,
    /// For the pass that runs in its account.
    Parked,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    priority: Priority,
    due: Duration,
    place: Place,
}

/// The requests of one resource.
#[derive(Debug, Default)]
struct Lane {
    entries: BTreeMap<AccountId, Entry>,
    /// Those that wait for a slot, the next one first.
    ready: BTreeSet<(Priority, Duration, AccountId)>,
    /// The turn at which a pass of the resource was last started.
    served: u64,
    running: usize,
    /// What the resource has in [`Queue::fronts`].
    front: Option<Front>,
}

/// The next request of a resource. The least goes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Front {
    over: bool,
    priority: Priority,
    served: u64,
    due: Duration,
    resource: Arc<Owner>,
    account: AccountId,
}

/// The queue. At most one pass runs in an account at a time, whoever asks for it.
///
/// Whatever is asked of it takes time that grows with the logarithm of what waits, so that thousands of
/// accounts can wait for their regular checks.
#[derive(Debug)]
pub struct Queue {
    slots: Slots,
    lanes: BTreeMap<Arc<Owner>, Lane>,
    /// Requests whose time had not come when it was last looked for.
    later: BTreeSet<(Duration, Arc<Owner>, AccountId)>,
    /// The next request of each resource: of those with less than half of the slots, and of the others.
    fronts: [BTreeSet<Front>; 2],
    /// What was found to wait for the pass that runs in an account. Some of it may be gone by now.
    parked: BTreeMap<AccountId, Vec<Arc<Owner>>>,
    running: BTreeMap<AccountId, Arc<Owner>>,
    turn: u64,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(slots: Slots) -> Self {
        Self {
            slots,
            lanes: BTreeMap::new(),
            later: BTreeSet::new(),
            fronts: [BTreeSet::new(), BTreeSet::new()],
            parked: BTreeMap::new(),
            running: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Asks for a visit. Of several requests for the same key the most urgent priority and the
    /// earliest time hold. A request for a key that is running is kept for afterwards.
    pub fn request(&mut self, key: WorkKey, priority: Priority, due: Duration) {
        let WorkKey { resource, account } = key;
        let resource = self.known(resource);
        let lane = self.lanes.entry(Arc::clone(&resource)).or_default();
        let former = lane.entries.get(&account).copied();
        let mut entry = former.unwrap_or(Entry { priority, due, place: Place::Later });
        entry.priority = entry.priority.min(priority);
        entry.due = entry.due.min(due);
        if let Some(former) = former {
            self.displace(&resource, &account, former);
        }
        self.place(&resource, account, entry);
    }

    /// Forgets the requests of a resource for the accounts that are not to be kept. What runs goes
    /// on to its next gate.
    pub fn keep_only(&mut self, resource: &Owner, keep: impl Fn(&AccountId) -> bool) {
        let Some((resource, lane)) = self.lanes.get_key_value(resource) else { return };
        let resource = Arc::clone(resource);
        let unwanted = lane.entries.iter().filter(|(account, _)| !keep(account));
        let unwanted: Vec<(AccountId, Entry)> = unwanted.map(|(account, entry)| (account.clone(), *entry)).collect();
        for (account, entry) in unwanted {
            self.displace(&resource, &account, entry);
        }
        self.change(&resource, |lane| {
            if lane.entries.is_empty() {
                lane.served = 0;
            }
        });
        self.drop_if_idle(&resource);
    }

    /// Forgets every request of a resource.
    pub fn forget(&mut self, resource: &Owner) {
        self.keep_only(resource, |_| false);
    }

    /// Whether a visit is asked for or under way.
    #[must_use]
    pub fn contains(&self, resource: &Owner, account: &AccountId) -> bool {
        let waits = || self.lanes.get(resource).is_some_and(|lane| lane.entries.contains_key(account));
        self.runs(resource, account) || waits()
    }

    /// Whether a visit is asked for that is as urgent, or under way.
    #[must_use]
    pub fn contains_as(&self, resource: &Owner, account: &AccountId, priority: Priority) -> bool {
        let entry = self.lanes.get(resource).and_then(|lane| lane.entries.get(account));
        self.runs(resource, account) || entry.is_some_and(|entry| entry.priority <= priority)
    }

    /// Starts the next pass, if one is due and a slot is free for it. `now` never goes back.
    pub fn start(&mut self, now: Duration) -> Option<WorkKey> {
        if self.running.len() >= self.slots.total {
            return None;
        }
        self.ripen(now);
        let polls = self.running.len() + self.slots.reserved < self.slots.total;
        loop {
            let may_start = |front: &&Front| polls || front.priority != Priority::Poll;
            // The first one is the most urgent, so if it may not start, none after it may.
            let front = self.fronts.iter().find_map(|fronts| fronts.first().filter(may_start))?;
            let (resource, account) = (Arc::clone(&front.resource), front.account.clone());
            let entry = *self.lanes.get(&resource)?.entries.get(&account)?;
            self.displace(&resource, &account, entry);
            if self.running.contains_key(&account) {
                self.parked.entry(account.clone()).or_default().push(Arc::clone(&resource));
                self.place(&resource, account, Entry { place: Place::Parked, ..entry });
                continue;
            }
            self.turn += 1;
            let turn = self.turn;
            self.running.insert(account.clone(), Arc::clone(&resource));
            self.change(&resource, |lane| (lane.served, lane.running) = (turn, lane.running + 1));
            return Some(WorkKey { resource: Owner::clone(&resource), account });
        }
    }

    /// Ends a pass.
    pub fn finish(&mut self, key: &WorkKey) {
        if !self.runs(&key.resource, &key.account) {
            return;
        }
        let Some(resource) = self.running.remove(&key.account) else { return };
        self.change(&resource, |lane| lane.running -= 1);
        for resource in self.parked.remove(&key.account).unwrap_or_default() {
            let entry = self.lanes.get(&resource).and_then(|lane| lane.entries.get(&key.account)).copied();
            // It may have been forgotten, or asked for anew, since it was parked.
            if let Some(entry) = entry.filter(|entry| entry.place == Place::Parked) {
                self.place(&resource, key.account.clone(), Entry { place: Place::Ready, ..entry });
            }
        }
        self.drop_if_idle(&resource);
    }

    /// The next time after `now` at which a waiting visit becomes due.
    #[must_use]
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        self.later.iter().map(|(due, ..)| *due).find(|due| *due > now)
    }

    /// How much waits. This alone looks at everything that does.
    #[must_use]
    pub fn depth(&self, now: Duration) -> Depth {
        let mut depth = Depth { running: self.running.len(), slots: self.slots.total, ..Depth::default() };
        for entry in self.lanes.values().flat_map(|lane| lane.entries.values()) {
            let waited = now.checked_sub(entry.due);
            let counts = if waited.is_some() { &mut depth.due } else { &mut depth.later };
            *counts.entry(entry.priority).or_default() += 1;
            depth.oldest = depth.oldest.max(waited);
        }
        depth
    }

    fn runs(&self, resource: &Owner, account: &AccountId) -> bool {
        self.running.get(account).is_some_and(|running| **running == *resource)
    }

    /// The shared name of a resource.
    fn known(&self, resource: Owner) -> Arc<Owner> {
        self.lanes.get_key_value(&resource).map_or_else(|| Arc::new(resource), |(known, _)| Arc::clone(known))
    }

    /// What has become due waits for a slot.
    fn ripen(&mut self, now: Duration) {
        while let Some((due, ..)) = self.later.first()
            && *due <= now
            && let Some((_, resource, account)) = self.later.pop_first()
        {
            let entry = self.lanes.get(&resource).and_then(|lane| lane.entries.get(&account)).copied();
            if let Some(entry) = entry {
                self.place(&resource, account, Entry { place: Place::Ready, ..entry });
            }
        }
    }

    /// Takes a request out of where it waits.
    fn displace(&mut self, resource: &Arc<Owner>, account: &AccountId, entry: Entry) {
        if entry.place == Place::Later {
            self.later.remove(&(entry.due, Arc::clone(resource), account.clone()));
        }
        self.change(resource, |lane| {
            lane.entries.remove(account);
            if entry.place == Place::Ready {
                lane.ready.remove(&(entry.priority, entry.due, account.clone()));
            }
        });
    }

    /// Puts a request where it waits. What is parked is found by who parked it.
    fn place(&mut self, resource: &Arc<Owner>, account: AccountId, entry: Entry) {
        if entry.place == Place::Later {
            self.later.insert((entry.due, Arc::clone(resource), account.clone()));
        }
        self.change(resource, |lane| {
            if entry.place == Place::Ready {
                lane.ready.insert((entry.priority, entry.due, account.clone()));
            }
            lane.entries.insert(account, entry);
        });
    }

    /// Changes a lane, and lets [`Queue::fronts`] follow.
    fn change(&mut self, resource: &Arc<Owner>, change: impl FnOnce(&mut Lane)) {
        let half = (self.slots.total / 2).max(1);
        let Some(lane) = self.lanes.get_mut(resource) else { return };
        change(lane);
        let over = lane.running >= half;
        let next = lane.ready.first();
        let same = |front: &Front, (priority, due, account): &(Priority, Duration, AccountId)| {
            (front.over, front.served) == (over, lane.served)
                && (front.priority, front.due, &front.account) == (*priority, *due, account)
        };
        match (&lane.front, next) {
            (None, None) => return,
            (Some(front), Some(next)) if same(front, next) => return,
            _ => {}
        }
        let next = next.map(|(priority, due, account)| Front {
            over,
            priority: *priority,
            served: lane.served,
            due: *due,
            resource: Arc::clone(resource),
            account: account.clone(),
        });
        if let Some(former) = std::mem::replace(&mut lane.front, next.clone()) {
            self.fronts[usize::from(former.over)].remove(&former);
        }
        if let Some(next) = next {
            self.fronts[usize::from(next.over)].insert(next);
        }
    }

    fn drop_if_idle(&mut self, resource: &Arc<Owner>) {
        let idle = |lane: &Lane| lane.entries.is_empty() && lane.running == 0 && lane.served == 0;
        if self.lanes.get(resource).is_some_and(idle) {
            self.lanes.remove(resource);
        }
    }
}
