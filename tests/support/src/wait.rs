//! Waiting for a condition instead of sleeping.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{Error, Result};

const PERIOD: Duration = Duration::from_millis(50);

/// Polls `probe` every 50 ms until it gives `Some`, at most for `deadline`.
///
/// `Ok(None)` and `Err(_)` both mean "not yet": an API server that is down for a moment is no
/// reason to give up. The text of the last error is part of the final message, so a probe that
/// returns [`Error::not_yet`] with what it saw makes the failure readable.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let end = start + deadline;
    let mut last = None;
    loop {
        // A probe that hangs must not outlive the deadline.
        match timeout_at(end, probe()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => last = last.or_else(|| Some("nothing".to_owned())),
            Ok(Err(error)) => last = Some(error.to_string()),
            Err(_) => last = last.or_else(|| Some("no answer from the first probe".to_owned())),
        }
        let next = Instant::now() + PERIOD;
        if next >= end {
            return Err(Error::Timeout {
                what: what.to_owned(),
                after: start.elapsed(),
                last: last.unwrap_or_default(),
            });
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    #[tokio::test]
    async fn gives_the_first_value() -> TestResult {
        let mut calls = 0;
        let value = eventually("the third call", Duration::from_secs(5), async || {
            calls += 1;
            Ok((calls == 3).then_some("third"))
        })
        .await?;
        assert_eq!((value, calls), ("third", 3));
        Ok(())
    }

    #[tokio::test]
    async fn names_what_was_missing_and_what_was_seen() {
        let mut calls = 0;
        let outcome = eventually("the moon", Duration::from_millis(120), async || {
            calls += 1;
            if calls == 1 {
                return Err(Error::not_yet("only stars"));
            }
            Ok(None::<()>)
        })
        .await;
        let text = outcome.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(text.contains("the moon"), "{text}");
        assert!(text.contains("only stars"), "{text}");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_ends_at_the_deadline() {
        let outcome = eventually("an answer", Duration::from_millis(60), async || {
            std::future::pending::<Result<Option<()>>>().await
        })
        .await;
        let text = outcome.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(text.contains("no answer"), "{text}");
    }
}
