//! What everything in a simulation shares: time, chance, the two models, and what is noted of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use crate::{aws::Aws, cluster::Cluster, mutation::Mutation, rules::Record};

/// 2026-01-01T00:00:00Z, at which every simulation begins.
const EPOCH: i64 = 1_767_225_600;

/// How things go for now.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// Share of the calls to AWS that fail before or after they take effect.
    pub aws_faults: f64,
    /// Share of the calls to AWS that take seconds.
    pub aws_slow: f64,
    /// How far behind a reading of IAM may be.
    pub lag: Duration,
    /// Accounts that are throttled.
    pub throttled: BTreeSet<String>,
    /// Accounts whose role cannot be assumed.
    pub denied: BTreeSet<String>,
    /// Share of the calls to the API server that fail before or after they take effect.
    pub cluster_faults: f64,
    /// Whether the API server is down.
    pub cluster_down: bool,
    /// By how many milliseconds more, at most, a watch tells of a change.
    pub watch_lag: u64,
}

/// One run of the operator, as long as it lasts.
#[derive(Debug)]
pub struct Instance {
    /// Its name, which is also its identity in the Lease.
    pub name: String,
    dead: AtomicBool,
    cut_off: AtomicBool,
}

impl Instance {
    pub fn new(name: String) -> Arc<Self> {
        Arc::new(Self { name, dead: AtomicBool::new(false), cut_off: AtomicBool::new(false) })
    }

    /// It ends at once: nothing that it asks for from now on is heard.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether it does not get to the API server.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::SeqCst)
    }

    pub fn cut_off(&self, wanted: bool) {
        self.cut_off.store(wanted, Ordering::SeqCst);
    }
}

/// The part that changes.
pub struct State {
    pub random: fastrand::Rng,
    pub weather: Weather,
    pub aws: Aws,
    pub cluster: Cluster,
    pub record: Record,
    pub mutation: Option<Mutation>,
    /// Whether two of the integrations have one role, of which only one can be the owner.
    pub shares_role: bool,
}

/// All of it.
pub struct World {
    start: Instant,
    state: Mutex<State>,
    /// Told at every change of the cluster, and of what keeps it from being seen.
    pub changed: Notify,
}

impl World {
    pub fn new(seed: u64, mutation: Option<Mutation>) -> Arc<Self> {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            weather: Weather::default(),
            aws: Aws::default(),
            cluster: Cluster::default(),
            record: Record::default(),
            mutation,
            shares_role: false,
        };
        Arc::new(Self { start: Instant::now(), state: Mutex::new(state), changed: Notify::new() })
    }

    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn wall(&self) -> Timestamp {
        Self::epoch().saturating_add(self.now()).unwrap_or(Timestamp::MAX)
    }

    pub fn epoch() -> Timestamp {
        Timestamp::from_second(EPOCH).unwrap_or_default()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request and what became of it.
    pub fn log(&self, line: impl std::fmt::Display) {
        let at = self.now().as_millis();
        self.state().record.log.push(format!("{at:>10} {line}"));
    }
}

impl State {
    /// True with a probability.
    pub fn chance(&mut self, share: f64) -> bool {
        self.random.f64() < share
    }

    /// A duration between two, in milliseconds.
    pub fn between(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.u64(from..=to))
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.random.usize(..from.len())) }
    }
}

/// The parameters of a call.
pub type Params = BTreeMap<String, String>;
