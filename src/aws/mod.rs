//! The edge to AWS: credentials, one reading of an account, one write at a time.

mod ambient;
mod assumed;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod canned;
mod classify;
mod credentials;
mod execute;
mod http;
mod measure;
mod observe;
mod organizations;
mod reach;
mod unanswered;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use ambient::{Ambient, Caller};
pub use assumed::Reach;
pub use classify::{AwsError, Fault, classify};
pub use credentials::CredentialsError;
pub use organizations::OrganizationsApi;
pub use reach::{Errand, Visitor};
use unanswered::Unanswered;

use crate::{clock::Clock, domain::AccountId, schedule::TokenBucket, telemetry::metrics::Metrics};

/// How long before their end credentials are replaced, at least.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// Wait after a renewal of credentials that failed while the present ones last.
const RENEWAL_RETRY: Duration = Duration::from_secs(20);
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

/// A call's turn, which has come. It is waited for before it is asked whether the write may start, so that it
/// starts right then.
#[derive(Debug)]
#[must_use]
pub struct Turn(());

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
    iam: aws_sdk_iam::Client,
    pace: Pace,
}

impl AccountApi {
    /// Waits for the turn of a write.
    pub async fn turn(&self) -> Turn {
        self.pace.turn().await;
        Turn(())
    }
}

/// Every account that the operator reaches.
#[derive(Debug, Clone)]
pub struct Aws {
    ambient: Ambient,
    assumed: assumed::Assumed,
    paces: Arc<Mutex<BTreeMap<AccountId, Pace>>>,
    unanswered: Unanswered,
    clock: Clock,
}

impl Aws {
    /// Reaches accounts with the operator's own credentials, and from there; `assume_per_second` calls
    /// to `AssumeRole` in the long run.
    #[must_use]
    pub fn new(ambient: Ambient, clock: Clock, assume_per_second: f64) -> Self {
        let (assumed, unanswered) = (assumed::Assumed::new(clock, assume_per_second), Unanswered::new(clock));
        Self { ambient, assumed, paces: Arc::default(), unanswered, clock }
    }

    /// Whose the operator's own credentials are.
    ///
    /// # Errors
    /// If there are none, or AWS does not take them.
    pub async fn caller(&self) -> Result<Caller, CredentialsError> {
        self.ambient.caller().await
    }

    /// IAM in the operator's own account, which must be `account`.
    ///
    /// # Errors
    /// If there are no credentials, or they are of another account or partition.
    pub async fn own_account(&self, account: &AccountId) -> Result<AccountApi, CredentialsError> {
        let (config, caller) = self.ambient.config().await?;
        if caller.account != *account {
            return Err(CredentialsError::Account { wanted: account.clone(), caller: caller.account });
        }
        Ok(self.api(account, &config))
    }

    /// IAM in an account, through a role there.
    ///
    /// # Errors
    /// If there are no credentials, or the role cannot be assumed.
    pub async fn assume(&self, reach: &Reach) -> Result<AccountApi, CredentialsError> {
        let config = self.assumed.config(&self.ambient, reach).await?;
        Ok(self.api(&reach.account, &config))
    }

    /// AWS Organizations: through a role, or with the operator's own credentials.
    ///
    /// # Errors
    /// If there are no credentials, or the role cannot be assumed.
    pub async fn organizations(&self, reach: Option<&Reach>) -> Result<OrganizationsApi, CredentialsError> {
        let (account, config) = if let Some(reach) = reach {
            (reach.account.clone(), self.assumed.config(&self.ambient, reach).await?)
        } else {
            let (config, caller) = self.ambient.config().await?;
            (caller.account, config)
        };
        let pace = self.pace(&account);
        Ok(OrganizationsApi { account, client: measure::organizations(&config, self.metrics()), pace })
    }

    /// Asks for new credentials of an account at the next use: AWS no longer takes the present ones.
    pub async fn forget(&self, account: &AccountId) {
        self.assumed.forget(account);
        self.ambient.forget().await;
    }

    /// How many sessions in other accounts are kept.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.assumed.count()
    }

    /// When the latest attempt at a write to IAM began that nobody answered, by the operator's clock: it may take
    /// effect still.
    #[must_use]
    pub fn unanswered(&self) -> Option<Duration> {
        self.unanswered.latest()
    }

    fn metrics(&self) -> &Metrics {
        self.ambient.metrics()
    }

    fn api(&self, account: &AccountId, config: &aws_config::SdkConfig) -> AccountApi {
        let iam = measure::iam(config, self.metrics(), &self.unanswered);
        AccountApi { iam, pace: self.pace(account) }
    }

    fn pace(&self, account: &AccountId) -> Pace {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.entry(account.clone()).or_insert_with(|| Pace::new(self.clock)).clone()
    }
}
