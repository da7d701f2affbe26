//! When which account is visited: pure data structures. Times are durations since a moment that the
//! caller chooses, so that nothing here reads a clock.

mod backoff;
mod bucket;
mod election;
mod queue;

pub use backoff::{Disposition, poll_delay, retry_delay};
pub use bucket::TokenBucket;
pub use election::{Election, LeaseRecord, LeaseStep, LeaseTimes};
pub use queue::{Depth, Priority, Queue, Slots, WorkKey};
