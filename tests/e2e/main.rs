//! The operator as a process, on a real API server under the rights that `deploy/` ships, against
//! an HTTP AWS backend. Each test has an account, a namespace and an operator of its own, and at its
//! end every status that was ever written is held against the rules of kstatus.

// A test fails by an assertion.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod access;
mod adoption;
mod crash;
mod create;
mod credentials;
mod deletion;
mod discovery;
mod drift;
mod fairness;
mod faults;
mod guard;
mod ha;
mod hostile;
mod iam;
mod many;
mod metrics;
mod older_schema;
mod plan;
mod policies;
mod rbac;
mod schema;
mod sharding;
mod shared;
mod soak;
mod startup;
mod succession;

use testkit::{Result, fixture::Scenario};

/// The operator under test.
const OPERATOR: &str = env!("CARGO_BIN_EXE_port-aws-operator");

/// A scenario of the usual kind.
async fn scenario(name: &str) -> Result<Scenario> {
    Scenario::start(name, OPERATOR).await
}
