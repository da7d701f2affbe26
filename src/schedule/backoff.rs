use std::time::Duration;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The same will fail again until the resource changes; looked at again now and then.
    Terminal,
    /// Somebody has to do something outside the resource, a permission above all.
    Waiting,
    /// It may pass by itself.
    Transient,
    /// Something else got there first: look again.
    Conflict,
}

impl Disposition {
    /// Whether the failure counts as stalled: nothing gets better by itself.
    #[must_use]
    pub fn stalls(self) -> bool {
        matches!(self, Self::Terminal | Self::Waiting)
    }
}

const FIRST: Duration = Duration::from_secs(2);
const MOST: Duration = Duration::from_secs(5 * 60);
const WAITING_MINUTES: [u64; 4] = [1, 2, 5, 15];
const TERMINAL: Duration = Duration::from_secs(60 * 60);

/// How long to wait after a number of failures in a row (at least 1). `jitter` is from 0 to 1 and
/// adds up to a fifth.
#[must_use]
pub fn retry_delay(disposition: Disposition, failures: u32, jitter: f64) -> Duration {
    let nth = failures.max(1) - 1;
    let base = match disposition {
        Disposition::Terminal => TERMINAL,
        Disposition::Waiting => {
            let index = usize::try_from(nth).unwrap_or(usize::MAX).min(WAITING_MINUTES.len() - 1);
            Duration::from_secs(60 * WAITING_MINUTES[index])
        }
        Disposition::Transient | Disposition::Conflict => FIRST.saturating_mul(1 << nth.min(16)).min(MOST),
    };
    base.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 5.0)
}

/// The time to the next drift check: the interval, moved by up to a tenth either way. `jitter` is
/// from 0 to 1.
#[must_use]
pub fn poll_delay(interval: Duration, jitter: f64) -> Duration {
    interval.mul_f64(0.9 + jitter.clamp(0.0, 1.0) / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_slow_down_to_a_bound_and_never_stop() {
        let seconds = |disposition| -> Vec<u64> {
            [1, 2, 3, 4, 9, 1000].map(|failures| retry_delay(disposition, failures, 0.0).as_secs()).to_vec()
        };
        assert_eq!(seconds(Disposition::Transient), [2, 4, 8, 16, 300, 300]);
        assert_eq!(seconds(Disposition::Conflict), [2, 4, 8, 16, 300, 300]);
        assert_eq!(seconds(Disposition::Waiting), [60, 120, 300, 900, 900, 900]);
        assert_eq!(seconds(Disposition::Terminal), [3600; 6]);
        assert_eq!(retry_delay(Disposition::Transient, 1, 1.0), Duration::from_millis(2400));
    }

    #[test]
    fn polls_are_spread_by_a_tenth() {
        let interval = Duration::from_secs(1800);
        assert_eq!(poll_delay(interval, 0.0).as_secs(), 1620);
        assert_eq!(poll_delay(interval, 1.0).as_secs(), 1980);
    }
}
