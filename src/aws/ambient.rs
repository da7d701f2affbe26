//! The operator's own credentials, from wherever the AWS SDK finds them: environment, profile, IRSA
//! web identity, EKS Pod Identity or container, instance metadata.

use std::{sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::region::EnvironmentVariableRegionProvider,
    identity::IdentityCache, meta::region::RegionProviderChain, profile::region::ProfileFileRegionProvider,
    retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::Mutex;

use super::{AwsError, CredentialsError, EARLY, RENEWAL_RETRY, http::OneConnector, measure};
use crate::{
    clock::Clock,
    domain::{AccountId, Partition},
    telemetry::metrics::Metrics,
};

/// Longest wait for one attempt at a call.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for credentials from their source.
const PROVIDE_TIMEOUT: Duration = Duration::from_secs(30);
/// The SDK's own attempts at a call; what is left is for our backoff.
const ATTEMPTS: u32 = 2;
/// How long credentials without an end are kept before they are asked for again.
const LIFE_WITHOUT_END: Duration = Duration::from_secs(15 * 60);

/// Bounds on each call with its retries, and on each attempt at it; the SDK itself sets none.
fn timeouts(limit: Duration) -> TimeoutConfig {
    let attempt = ATTEMPT_TIMEOUT.min(limit);
    TimeoutConfig::builder()
        .connect_timeout(attempt / 2)
        .operation_attempt_timeout(attempt)
        .operation_timeout(limit)
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// Whom the credentials belong to, as `GetCallerIdentity` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// ARN of the user or role.
    pub arn: String,
    /// The partition.
    pub partition: Partition,
}

#[derive(Debug)]
struct Known {
    caller: Caller,
    config: SdkConfig,
    /// When they are to be renewed.
    until: Timestamp,
    /// When they end.
    end: Timestamp,
    access_key_id: String,
}

/// The operator's own credentials, asked whose they are once each.
#[derive(Debug, Clone)]
pub struct Ambient {
    config: SdkConfig,
    provider: Option<SharedCredentialsProvider>,
    known: Arc<Mutex<Option<Known>>>,
    metrics: Metrics,
    clock: Clock,
}

impl Ambient {
    /// Loads region, endpoints and the source of credentials from the environment, as every AWS tool
    /// does. Without a region `us-east-1` serves, where IAM lives. `limit` bounds each call with its
    /// retries.
    pub async fn load(clock: Clock, limit: Duration) -> Self {
        // Not from instance metadata: its region changes nothing for IAM, and asking takes seconds.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::new("us-east-1"));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region)
            .timeout_config(timeouts(limit))
            .retry_config(retries());
        if let Ok(name) = aws_config::AppName::new(concat!("port-aws-operator-", env!("CARGO_PKG_VERSION"))) {
            loader = loader.app_name(name);
        }
        let config = loader.load().await.into_builder().http_client(OneConnector::default()).build();
        Self::new(&config, clock, limit)
    }

    /// Takes the SDK's configuration, with its source of credentials; timeouts and retries are ours.
    #[must_use]
    pub fn new(config: &SdkConfig, clock: Clock, limit: Duration) -> Self {
        let provider = config.credentials_provider();
        // Calls are signed with credentials that we keep ourselves, so the SDK has none to keep.
        let config = config
            .to_builder()
            .identity_cache(IdentityCache::no_cache())
            .timeout_config(timeouts(limit))
            .retry_config(retries())
            .build();
        Self { config, provider, known: Arc::default(), metrics: Metrics::default(), clock }
    }

    /// Measures all calls from now on in these metrics.
    #[must_use]
    pub fn measured(self, metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone(), ..self }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Region and endpoint, for the log at start.
    #[must_use]
    pub fn describe(&self) -> String {
        let region = self.config.region().map_or("none", AsRef::as_ref);
        let endpoint = self.config.endpoint_url().unwrap_or("AWS's own");
        format!("region {region}, endpoint {endpoint}")
    }

    /// Whose the credentials are. The answer is kept as long as the credentials last.
    ///
    /// # Errors
    /// If there are none, or AWS does not take them.
    pub async fn caller(&self) -> Result<Caller, CredentialsError> {
        self.with_known(|known| known.caller.clone()).await
    }

    /// The configuration with which calls are signed by these credentials, and whose they are.
    ///
    /// # Errors
    /// If there are none, or AWS does not take them.
    pub(super) async fn config(&self) -> Result<(SdkConfig, Caller), CredentialsError> {
        self.with_known(|known| (known.config.clone(), known.caller.clone())).await
    }

    /// The same configuration, without credentials.
    pub(super) fn bare(&self) -> &SdkConfig {
        &self.config
    }

    /// Asks for new credentials at the next use: AWS no longer takes the present ones.
    pub async fn forget(&self) {
        *self.known.lock().await = None;
    }

    /// One caller at a time refreshes; the others wait for its result.
    async fn with_known<T>(&self, read: impl FnOnce(&Known) -> T) -> Result<T, CredentialsError> {
        let mut slot = self.known.lock().await;
        let now = self.clock.wall();
        if let Some(known) = slot.as_ref().filter(|known| now < known.until) {
            return Ok(read(known));
        }
        match self.renew(slot.as_mut(), now).await {
            Ok(None) => {}
            Ok(Some(known)) => *slot = Some(known),
            // The renewal comes early, so that the present ones serve until another try.
            Err(error) => match slot.as_mut().filter(|known| now < known.end) {
                Some(known) => {
                    tracing::warn!(%error, "AWS credentials are not renewed yet, the present ones still serve");
                    known.until = now.checked_add(RENEWAL_RETRY).unwrap_or(known.end).min(known.end);
                }
                None => return Err(error),
            },
        }
        slot.as_ref().map(read).ok_or_else(|| CredentialsError::Unavailable("they ended at once".to_owned()))
    }

    /// New credentials; none if they are those that are known, which then last longer.
    async fn renew(&self, known: Option<&mut Known>, now: Timestamp) -> Result<Option<Known>, CredentialsError> {
        let credentials = self.provide().await?;
        let end = credentials.expiry().and_then(|end| Timestamp::try_from(end).ok());
        let until = match end {
            Some(end) => end.checked_sub(EARLY).ok().filter(|early| *early > now).unwrap_or(end),
            None => now.checked_add(LIFE_WITHOUT_END).unwrap_or(now),
        };
        let end = end.unwrap_or(until);
        if let Some(known) = known.filter(|known| known.access_key_id == credentials.access_key_id()) {
            (known.until, known.end) = (until, end);
            return Ok(None);
        }
        self.identify(credentials, until, end).await.map(Some)
    }

    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let Some(provider) = &self.provider else {
            return Err(CredentialsError::Unavailable("no source is configured".to_owned()));
        };
        match tokio::time::timeout(PROVIDE_TIMEOUT, provider.provide_credentials()).await {
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(error)) => Err(CredentialsError::Unavailable(chain(&error))),
            Err(_) => Err(CredentialsError::Unavailable("no answer from their source".to_owned())),
        }
    }

    async fn identify(
        &self,
        credentials: Credentials,
        until: Timestamp,
        end: Timestamp,
    ) -> Result<Known, CredentialsError> {
        let access_key_id = credentials.access_key_id().to_owned();
        let fixed = SharedCredentialsProvider::new(credentials);
        let config = self.config.to_builder().credentials_provider(fixed).build();
        let answer = measure::sts(&config, &self.metrics).get_caller_identity().send().await;
        let answer = answer.map_err(|error| AwsError::new("GetCallerIdentity", &error))?;
        let arn = answer.arn.unwrap_or_default();
        let partition = Partition::of_arn(&arn)?;
        let account = answer.account.unwrap_or_default().parse()?;
        let caller = Caller { account, arn, partition };
        tracing::debug!(account = %caller.account, arn = %caller.arn, "AWS credentials verified");
        Ok(Known { caller, config, until, end, access_key_id })
    }
}

/// An error and what caused it, without the SDK's structures, and without its list of all that it tried.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ").lines().next().unwrap_or_default().to_owned()
}
