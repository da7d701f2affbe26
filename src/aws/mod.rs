//! The edge to AWS: credentials, one reading of an account, one write at a time.

mod classify;
mod credentials;
mod execute;
mod observe;

use std::sync::{Arc, Mutex, PoisonError};

pub use classify::{AwsError, Fault, classify};
pub use credentials::{Ambient, Caller, CredentialsError};

use crate::{
    clock::Clock,
    domain::{AccountId, Partition},
    schedule::TokenBucket,
};

/// Calls to IAM that one account gets at once from us.
const BURST: u32 = 20;
/// Calls to IAM a second that one account gets from us in the long run. IAM limits an account as a
/// whole, and does not raise the limit.
const PER_SECOND: f64 = 5.0;

/// Paces the calls to one account.
#[derive(Debug, Clone)]
pub struct Pace {
    bucket: Arc<Mutex<TokenBucket>>,
    clock: Clock,
}

impl Pace {
    /// A full allowance.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { bucket: Arc::new(Mutex::new(TokenBucket::new(BURST, PER_SECOND))), clock }
    }

    async fn turn(&self) {
        let wait = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.clock.now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// IAM in one account.
#[derive(Debug, Clone)]
pub struct AccountApi {
    /// The account.
    pub account: AccountId,
    /// Its partition.
    pub partition: Partition,
    iam: aws_sdk_iam::Client,
    pace: Pace,
}
