//! Time and chance, behind one value that a test can hold.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// Tells time. Durations come from tokio's clock, which a test can pause.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    wall: fn() -> Timestamp,
}

impl Clock {
    /// The system's clock, with the moment of the call as the start.
    #[must_use]
    pub fn system() -> Self {
        Self { start: Instant::now(), wall: Timestamp::now }
    }

    /// Time since the start; it never goes back.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        (self.wall)()
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
