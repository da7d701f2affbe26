//! Credentials of other accounts: a role assumed in each, narrowed by a session policy, and kept until
//! shortly before they end.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex as Lock, PoisonError},
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::Mutex;

use super::{Ambient, AwsError, CredentialsError, EARLY, RENEWAL_RETRY, measure};
use crate::{
    api::Reason,
    clock::{Clock, jitter},
    domain::{AccountId, Partition},
    policy::session::Purpose,
    schedule::{Disposition, TokenBucket},
    telemetry::metrics::Metrics,
};

/// How long the credentials of an account last, in seconds: the most that AWS gives to a role that
/// is assumed by another role.
const LIFE_SECONDS: i32 = 3600;
/// Credentials are replaced up to this much earlier than they have to be, so that those of many
/// accounts do not end together.
const SPREAD: Duration = Duration::from_secs(60);
/// Calls to `AssumeRole` at once, in all.
const BURST: u32 = 20;

/// How an account is reached, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The account.
    pub account: AccountId,
    /// The access object by which it is reached: its UID and generation.
    pub access: (String, i64),
    /// Name of the role to assume, with its path if that is not `/`.
    pub role: String,
    /// The external ID that the role's trust policy asks for.
    pub external_id: Option<String>,
    /// Name of the session in `CloudTrail`, at most 64 characters.
    pub session_name: String,
    /// What the session is for.
    pub purpose: Purpose,
    /// The session policy.
    pub policy: String,
}

/// What makes two sessions the same. Of the policy there is a hash, by a key that nobody knows: the text would
/// be most of what is kept of a session, and nobody can write a policy that takes another's session.
type Key = ((String, i64), AccountId, Purpose, u64);
type Slot = Arc<Mutex<Option<(Credentials, Timestamp)>>>;

/// The sessions.
#[derive(Debug, Clone)]
pub(super) struct Assumed {
    sessions: Arc<Lock<BTreeMap<Key, Slot>>>,
    hashes: RandomState,
    bucket: Arc<Lock<TokenBucket>>,
    clock: Clock,
}

impl Assumed {
    /// No session yet; `per_second` calls to `AssumeRole` in the long run.
    pub(super) fn new(clock: Clock, per_second: f64) -> Self {
        let bucket = Arc::new(Lock::new(TokenBucket::new(BURST, per_second)));
        Self { sessions: Arc::default(), hashes: RandomState::new(), bucket, clock }
    }

    /// The configuration with which calls go to an account. One caller at a time assumes a role; the
    /// others that want the same session wait for its result.
    pub(super) async fn config(&self, ambient: &Ambient, reach: &Reach) -> Result<SdkConfig, CredentialsError> {
        let (hub, caller) = ambient.config().await?;
        let slot = self.slot(reach);
        let mut session = slot.lock().await;
        let now = self.clock.wall();
        if session.as_ref().is_none_or(|(_, until)| *until <= now) {
            let present = session.take().filter(|(credentials, _)| lasts(credentials, now));
            *session = match (self.assume(&hub, ambient.metrics(), caller.partition, reach, now).await, present) {
                (Ok(new), _) => Some(new),
                // The renewal comes early, so that the present session serves until another try. One that is
                // refused is not: who may come in has changed.
                (Err(error), Some((credentials, _))) if error.disposition() == Disposition::Transient => {
                    tracing::warn!(account = %reach.account, %error, "a session is not renewed yet, the present one still serves");
                    Some((credentials, now.checked_add(RENEWAL_RETRY).unwrap_or(now)))
                }
                (Err(error), _) => return Err(error),
            };
        }
        let Some((credentials, _)) = session.as_ref() else {
            return Err(CredentialsError::Unavailable("the session ended at once".to_owned()));
        };
        let fixed = SharedCredentialsProvider::new(credentials.clone());
        Ok(ambient.bare().to_builder().credentials_provider(fixed).build())
    }

    /// How many sessions are kept.
    pub(super) fn count(&self) -> usize {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.values().filter(|slot| slot.try_lock().is_ok_and(|session| session.is_some())).count()
    }

    /// Drops the sessions of an account: AWS no longer takes them.
    pub(super) fn forget(&self, account: &AccountId) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| key.1 != *account);
    }

    fn slot(&self, reach: &Reach) -> Slot {
        let key = (reach.access.clone(), reach.account.clone(), reach.purpose, self.hashes.hash_one(&reach.policy));
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended, or is of a former generation of the access, is never asked for again.
        let now = self.clock.wall();
        sessions.retain(|((uid, generation), ..), slot| {
            let outdated = *uid == reach.access.0 && *generation != reach.access.1;
            let ended = || slot.try_lock().is_ok_and(|session| session.as_ref().is_none_or(|(_, until)| *until <= now));
            !outdated && (Arc::strong_count(slot) > 1 || !ended())
        });
        Arc::clone(sessions.entry(key).or_default())
    }

    async fn assume(
        &self,
        hub: &SdkConfig,
        metrics: &Metrics,
        partition: Partition,
        reach: &Reach,
        now: Timestamp,
    ) -> Result<(Credentials, Timestamp), CredentialsError> {
        let wait = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.clock.now());
        tokio::time::sleep(wait).await;
        metrics.waited_to_assume(wait);
        let role_arn = format!("arn:{partition}:iam::{}:role/{}", reach.account, reach.role);
        let call = measure::sts(hub, metrics)
            .assume_role()
            .role_arn(&role_arn)
            .role_session_name(&reach.session_name)
            .set_external_id(reach.external_id.clone())
            .duration_seconds(LIFE_SECONDS)
            .policy(&reach.policy);
        let failed = |error| CredentialsError::Assume { role_arn: role_arn.clone(), error };
        let answer = call.send().await.map_err(|error| failed(AwsError::new("AssumeRole", &error)))?;
        let user = answer.assumed_role_user.as_ref().map(|user| user.arn.clone()).unwrap_or_default();
        if user.split(':').nth(4) != Some(reach.account.as_str()) {
            return Err(failed(unexpected("the session is not of the account that was asked for")));
        }
        let Some(given) = answer.credentials else { return Err(failed(unexpected("no credentials in the answer"))) };
        let end = Timestamp::from_second(given.expiration.secs()).unwrap_or(now);
        let until = end.checked_sub(EARLY + SPREAD.mul_f64(jitter())).unwrap_or(now);
        let credentials = Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            Some(SystemTime::from(end)),
            "AssumeRole",
        );
        tracing::debug!(account = %reach.account, purpose = ?reach.purpose, "a role is assumed");
        Ok((credentials, until))
    }
}

/// Whether credentials serve beyond the next try to renew them.
fn lasts(credentials: &Credentials, now: Timestamp) -> bool {
    let end = credentials.expiry().and_then(|end| Timestamp::try_from(end).ok());
    end.is_some_and(|end| now.checked_add(RENEWAL_RETRY).is_ok_and(|retry| retry < end))
}

fn unexpected(detail: &str) -> AwsError {
    AwsError::ours("AssumeRole", Reason::UnexpectedAnswer, Disposition::Transient, detail.to_owned())
}
