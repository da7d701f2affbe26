//! What a Pod's probes ask: whether the process still goes round, and whether it is there for its work.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::clock::Clock;

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It does not know the objects of the cluster yet.
    Starting,
    /// Another process acts, and this one would take over.
    StandingBy,
    /// It knows them, and acts.
    Acting,
}

/// A loop that has to come round, and when it last did.
#[derive(Debug, Clone, Copy)]
struct Beat {
    at: Duration,
    within: Duration,
}

#[derive(Debug)]
struct State {
    readiness: Readiness,
    beats: BTreeMap<&'static str, Beat>,
}

/// The health of the process. It says nothing of AWS, nor of an API server that does not answer: a new start
/// would not mend either.
#[derive(Debug, Clone)]
pub struct Health {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Health {
    /// Of a process that starts.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let state = State { readiness: Readiness::Starting, beats: BTreeMap::new() };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    /// A loop comes round, and will again within that time.
    pub fn beat(&self, part: &'static str, within: Duration) {
        self.beat_at(part, within, self.clock.now());
    }

    fn beat_at(&self, part: &'static str, within: Duration, at: Duration) {
        self.state().beats.insert(part, Beat { at, within });
    }

    /// A loop has ended, as it was to.
    pub fn end(&self, part: &'static str) {
        self.state().beats.remove(part);
    }

    /// Says how far the process is.
    pub fn set(&self, readiness: Readiness) {
        self.state().readiness = readiness;
    }

    /// Whether every loop comes round, and a line for each.
    #[must_use]
    pub fn live(&self) -> (bool, String) {
        self.live_at(self.clock.now())
    }

    fn live_at(&self, now: Duration) -> (bool, String) {
        let (mut live, mut text) = (true, String::new());
        for (part, beat) in &self.state().beats {
            let (age, within) = (now.saturating_sub(beat.at), beat.within);
            let good = age <= within;
            live &= good;
            let word = if good { "ok" } else { "stuck" };
            // Writing to a String does not fail.
            let _ =
                writeln!(text, "{part}: {word}, came round {} s ago, at most {} s", age.as_secs(), within.as_secs());
        }
        (live, text)
    }

    /// Whether the process is there for its work, and why not.
    #[must_use]
    pub fn ready(&self) -> (bool, &'static str) {
        match self.state().readiness {
            Readiness::Starting => (false, "the objects of the cluster are not all known yet\n"),
            Readiness::StandingBy => (true, "standing by: another process acts\n"),
            Readiness::Acting => (true, "acting\n"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_come_round_is_told_until_it_does() {
        let (health, at) = (Health::new(Clock::system()), Duration::from_secs);
        assert!(health.live_at(at(0)).0);
        health.beat_at("lease", at(60), at(0));
        health.beat_at("passes", at(600), at(0));
        assert!(health.live_at(at(60)).0);
        let (live, text) = health.live_at(at(61));
        assert!(!live && text.contains("lease: stuck") && text.contains("passes: ok"), "{text}");
        health.beat_at("lease", at(60), at(61));
        assert!(health.live_at(at(62)).0);
        assert!(!health.live_at(at(122)).0);
        health.end("lease");
        assert!(health.live_at(at(122)).0);
    }

    #[test]
    fn one_that_stands_by_is_ready_and_one_that_starts_is_not() {
        let health = Health::new(Clock::system());
        assert!(!health.ready().0);
        health.set(Readiness::StandingBy);
        assert!(health.ready().0);
        health.set(Readiness::Acting);
        assert_eq!(health.ready(), (true, "acting\n"));
    }
}
