//! Time and chance, behind one value that a test can hold.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// Tells time. Durations come from tokio's clock, which a test can pause.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// The time of day at the start; none if it is asked of the system each time.
    epoch: Option<Timestamp>,
}

impl Clock {
    /// The system's clock, with the moment of the call as the start.
    #[must_use]
    pub fn system() -> Self {
        Self { start: Instant::now(), epoch: None }
    }

    /// A clock whose time of day goes with tokio's clock, `epoch` being the moment of the call: where that is
    /// paused, everything stands still.
    #[must_use]
    pub fn simulated(epoch: Timestamp) -> Self {
        Self { start: Instant::now(), epoch: Some(epoch) }
    }

    /// Time since the start; it never goes back.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.epoch.map_or_else(Timestamp::now, |epoch| epoch.saturating_add(self.now()).unwrap_or(Timestamp::MAX))
    }

    /// The moment that a duration since the start stands for.
    #[must_use]
    pub fn instant(&self, at: Duration) -> Instant {
        self.start + at
    }
}

/// A random number from 0 to 1, from the thread's generator, which a test can seed.
#[must_use]
pub fn jitter() -> f64 {
    fastrand::f64()
}
