//! The surroundings of an end-to-end test: one control plane and one AWS backend for all tests of
//! a process ([`World`]), and in it a namespace, an account and an operator for each ([`Scenario`]).

mod builder;
mod objects;
mod rights;
mod scenario;
mod view;
mod world;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

pub use builder::ScenarioBuilder;
pub use objects::{REQUESTED_AT, access_resource, condition, integration_resource, is_ready};
pub use rights::operator_rights;
pub use scenario::Scenario;
pub use view::Event;
pub use world::{World, wait_until_served};

/// How long anything that a test waits for may take.
pub const SOON: Duration = Duration::from_secs(30);

/// The organization that a test's integrations belong to.
pub const ORGANIZATION: &str = "org_Test1";

pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// An account id that no other test has.
#[must_use]
pub fn unused_account() -> String {
    const FIRST: u64 = 100_000_000_000;
    format!("{}", FIRST + random() % (9 * FIRST))
}
