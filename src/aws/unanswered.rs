//! Writes to IAM that nobody answered: AWS may have got them, and they may take effect after the call was given up.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
        },
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};

use crate::clock::Clock;

/// When the latest of them began.
#[derive(Debug, Clone)]
pub(super) struct Unanswered {
    latest: Arc<Mutex<Option<Duration>>>,
    clock: Clock,
}

impl Unanswered {
    /// None yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self { latest: Arc::default(), clock }
    }

    /// When the latest attempt began that had no answer; the SDK makes several at one call.
    pub(super) fn latest(&self) -> Option<Duration> {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, began: Duration) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = latest.max(Some(began));
    }
}

/// An attempt. It is dropped with the call, also when nobody waits for that any more, or with the next attempt.
#[derive(Debug)]
struct Attempt {
    unanswered: Unanswered,
    began: Duration,
    is_answered: AtomicBool,
}

impl Storable for Attempt {
    type Storer = StoreReplace<Self>;
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_answered.load(Ordering::Acquire) {
            self.unanswered.note(self.began);
        }
    }
}

impl Intercept for Unanswered {
    fn name(&self) -> &'static str {
        "Unanswered"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = cfg.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        if !operation.starts_with("Get") && !operation.starts_with("List") {
            let (began, is_answered) = (self.clock.now(), AtomicBool::new(false));
            cfg.interceptor_state().store_put(Attempt { unanswered: self.clone(), began, is_answered });
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(attempt) = cfg.load::<Attempt>() {
            attempt.is_answered.store(context.response().is_some(), Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aws::{
            canned::{Canned, config},
            measure,
        },
        telemetry::metrics::Metrics,
    };

    fn client(answer: Canned) -> (aws_sdk_iam::Client, Unanswered) {
        let unanswered = Unanswered::new(Clock::system());
        (measure::iam(&config(answer), &Metrics::default(), &unanswered), unanswered)
    }

    #[tokio::test]
    async fn a_write_that_was_given_up_is_noted_and_one_that_was_refused_is_not() {
        let (client, unanswered) = client(Canned(None, ""));
        let mut call = Box::pin(client.delete_role().role_name("a").send());
        assert!(futures::poll!(call.as_mut()).is_pending());
        assert_eq!(unanswered.latest(), None);
        drop(call);
        assert!(unanswered.latest().is_some_and(|began| began <= unanswered.clock.now()));

        let (client, unanswered) = self::client(Canned(Some(403), ""));
        assert!(client.delete_role().role_name("a").send().await.is_err());
        assert_eq!(unanswered.latest(), None);
    }

    #[tokio::test]
    async fn a_read_changes_nothing_whenever_it_arrives() {
        let (client, unanswered) = client(Canned(None, ""));
        let mut get = Box::pin(client.get_role().role_name("a").send());
        let mut list = Box::pin(client.list_roles().send());
        assert!(futures::poll!(get.as_mut()).is_pending() && futures::poll!(list.as_mut()).is_pending());
        drop((get, list));
        assert_eq!(unanswered.latest(), None);
    }
}
