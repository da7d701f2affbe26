use std::time::Duration;

/// A token bucket: `burst` calls at once, then `per_second`.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    at: Duration,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(burst: u32, per_second: f64) -> Self {
        Self { burst: f64::from(burst), per_second, tokens: f64::from(burst), at: Duration::ZERO }
    }

    /// Takes a token, and says how long to wait before it counts. Tokens that are not there yet are
    /// lent, so that callers are served in the order in which they ask.
    #[must_use]
    pub fn take(&mut self, now: Duration) -> Duration {
        let gained = now.saturating_sub(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.at = self.at.max(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / self.per_second) }
    }

    /// Takes a token if one is there. What goes ahead without one does not hold up what comes after it.
    pub fn spend(&mut self, now: Duration) {
        if self.wait(now).is_zero() {
            let _ = self.take(now);
        }
    }

    /// How long until a token is there; none is taken.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.clone().take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = TokenBucket::new(2, 4.0);
        let now = Duration::from_secs(10);
        let waits: Vec<u128> = (0..4).map(|_| bucket.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 250, 500]);
        assert_eq!(bucket.wait(now + Duration::from_millis(750)).as_millis(), 0);
        bucket.spend(now);
        assert_eq!(bucket.wait(now).as_millis(), 750, "nothing was lent");
        let mut later = bucket.clone();
        assert_eq!(later.take(now + Duration::from_secs(100)).as_millis(), 0);
    }
}
