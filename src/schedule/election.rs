//! Who may act, by a Lease that all candidates see. Pure: it is told what was read and when, by a clock
//! that only goes forward, and says what to try next.
//!
//! No wall clock is compared with another: a holder counts as gone once its Lease has not changed for the
//! Lease's duration, as seen from here; and a holder stops acting a duration after it *began* the renewal
//! that last succeeded. So whatever the clocks of two machines say, the second starts after the first has
//! stopped.

use std::time::Duration;

/// What a Lease says, as far as an election goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; nobody, if it was released.
    pub holder: Option<String>,
    /// How long after its last change others leave it alone.
    pub duration: Duration,
    /// The version of the object, which changes with each write.
    pub version: String,
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long others leave the Lease alone after a renewal.
    pub duration: Duration,
    /// How long after the beginning of a renewal the next one begins.
    pub renew: Duration,
    /// How long after a look at somebody else's Lease the next one follows, at most.
    pub retry: Duration,
}

impl LeaseTimes {
    /// The times that go with a duration.
    #[must_use]
    pub fn of(duration: Duration) -> Self {
        Self { duration, renew: duration / 6, retry: (duration / 12).min(Duration::from_secs(5)) }
    }

    /// How long a write to AWS may take, with its retries: the half of what the Lease lasts leaves room for
    /// it after a renewal.
    #[must_use]
    pub fn aws_call(&self) -> Duration {
        (self.duration / 2).min(Duration::from_secs(30))
    }

    /// How long the Lease has to last when a write to AWS starts. By then it has taken effect, or never does, also
    /// if nobody answers.
    #[must_use]
    pub fn aws_write(&self) -> Duration {
        self.aws_call() + self.spare()
    }

    /// How long a call to the API server may take.
    #[must_use]
    pub fn cluster_call(&self) -> Duration {
        (self.duration / 4).min(Duration::from_secs(10))
    }

    /// How much longer than a write may take the Lease has to last when the write starts.
    #[must_use]
    pub fn spare(&self) -> Duration {
        (self.duration / 12).min(Duration::from_secs(5))
    }
}

/// What to try next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStep {
    /// Write the Lease with this process as its holder.
    Take,
    /// Look at the Lease again in a while.
    Wait(Duration),
}

/// One candidate's view of the election.
#[derive(Debug)]
pub struct Election {
    me: String,
    times: LeaseTimes,
    /// What was last seen, and since when it has been so.
    seen: Option<(Option<LeaseRecord>, Duration)>,
    /// When the renewal that last succeeded began.
    renewed: Option<Duration>,
}

impl Election {
    /// A candidate that has seen nothing yet. `me` must be no other process's name.
    #[must_use]
    pub fn new(me: String, times: LeaseTimes) -> Self {
        Self { me, times, seen: None, renewed: None }
    }

    /// Takes a reading of the Lease; none, if it does not exist. Gives the holder to whom the Lease was
    /// lost, if it was held until now.
    pub fn observe(&mut self, record: Option<LeaseRecord>, now: Duration) -> Option<String> {
        let holder = record.as_ref().and_then(|record| record.holder.clone());
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record, now));
        }
        if self.renewed.is_some() && holder.as_ref() != Some(&self.me) {
            self.renewed = None;
            return Some(holder.unwrap_or_else(|| "nobody".to_owned()));
        }
        None
    }

    /// A write that took or renewed the Lease has succeeded; it began at `began`.
    pub fn written(&mut self, record: LeaseRecord, began: Duration) {
        self.seen = Some((Some(record), began));
        self.renewed = Some(began);
    }

    /// The version against which to write; none, if the Lease is to be created.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.seen.as_ref()?.0.as_ref().map(|record| record.version.as_str())
    }

    /// Until when this process may act, if it may.
    #[must_use]
    pub fn valid_until(&self) -> Option<Duration> {
        self.renewed.map(|began| began + self.times.duration)
    }

    /// What to try next.
    #[must_use]
    pub fn step(&self, now: Duration) -> LeaseStep {
        if let Some(began) = self.renewed {
            return wait_until(began + self.times.renew, now, Duration::MAX);
        }
        match &self.seen {
            None => LeaseStep::Wait(Duration::ZERO),
            // The answer to our write was lost: only another one says since when it is ours.
            Some((Some(LeaseRecord { holder: Some(holder), .. }), _)) if *holder == self.me => LeaseStep::Take,
            Some((Some(LeaseRecord { holder: Some(_), duration, .. }), since)) => {
                wait_until(*since + *duration, now, self.times.retry)
            }
            Some(_) => LeaseStep::Take,
        }
    }
}

fn wait_until(at: Duration, now: Duration, most: Duration) -> LeaseStep {
    match at.saturating_sub(now) {
        Duration::ZERO => LeaseStep::Take,
        wait => LeaseStep::Wait(wait.min(most)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMES: LeaseTimes =
        LeaseTimes { duration: Duration::from_secs(60), renew: Duration::from_secs(10), retry: Duration::from_secs(5) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn record(holder: Option<&str>, version: u64) -> LeaseRecord {
        LeaseRecord { holder: holder.map(str::to_owned), duration: TIMES.duration, version: version.to_string() }
    }

    #[test]
    fn calls_fit_into_a_lease_of_any_duration() {
        let long = LeaseTimes::of(at(60));
        assert_eq!((long.renew, long.retry), (at(10), at(5)));
        assert_eq!((long.aws_call(), long.cluster_call(), long.spare()), (at(30), at(10), at(5)));
        assert_eq!(LeaseTimes::of(at(3600)).aws_call(), at(30));
        for seconds in 10..=3600 {
            let it = LeaseTimes::of(at(seconds));
            let longest = it.aws_call().max(it.cluster_call()) + it.spare();
            assert!(longest + it.renew < it.duration, "{it:?}: between two renewals a write has to be able to start");
        }
    }

    #[test]
    fn a_lease_that_is_free_is_taken_at_once_and_renewed_in_time() {
        let mut me = Election::new("me".into(), TIMES);
        assert_eq!(me.step(at(1)), LeaseStep::Wait(Duration::ZERO), "it looks first");
        assert_eq!(me.observe(None, at(1)), None);
        assert_eq!((me.step(at(1)), me.version()), (LeaseStep::Take, None));
        me.written(record(Some("me"), 1), at(1));
        assert_eq!((me.valid_until(), me.version()), (Some(at(61)), Some("1")));
        assert_eq!(me.step(at(3)), LeaseStep::Wait(at(8)));
        assert_eq!(me.step(at(11)), LeaseStep::Take);
        me.observe(Some(record(None, 2)), at(12));
        assert_eq!(me.step(at(12)), LeaseStep::Take, "a released one is free");
    }

    #[test]
    fn another_holder_is_gone_once_its_lease_has_not_changed_for_its_duration() {
        let mut me = Election::new("me".into(), TIMES);
        me.observe(Some(record(Some("other"), 1)), at(100));
        assert_eq!(me.step(at(100)), LeaseStep::Wait(at(5)));
        me.observe(Some(record(Some("other"), 2)), at(150));
        me.observe(Some(record(Some("other"), 2)), at(200));
        assert_eq!(me.step(at(208)), LeaseStep::Wait(at(2)));
        assert_eq!(me.step(at(210)), LeaseStep::Take);
    }

    #[test]
    fn a_lease_that_somebody_else_holds_is_lost() {
        let mut me = Election::new("me".into(), TIMES);
        me.observe(None, at(1));
        me.written(record(Some("me"), 1), at(1));
        assert_eq!(me.observe(Some(record(Some("me"), 1)), at(2)), None);
        assert_eq!(me.observe(Some(record(Some("other"), 2)), at(90)).as_deref(), Some("other"));
        assert_eq!((me.valid_until(), me.step(at(90))), (None, LeaseStep::Wait(at(5))));
    }

    #[test]
    fn a_lease_that_names_us_though_we_know_of_no_write_is_written_at_once() {
        let mut me = Election::new("me".into(), TIMES);
        me.observe(Some(record(Some("me"), 1)), at(100));
        assert_eq!((me.valid_until(), me.step(at(100)), me.version()), (None, LeaseStep::Take, Some("1")));
        me.written(record(Some("me"), 2), at(101));
        assert_eq!((me.valid_until(), me.step(at(101))), (Some(at(161)), LeaseStep::Wait(at(10))));
    }

    /// What becomes of a write.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fate {
        Answered,
        /// It is stored, and nobody hears of it.
        Unheard,
        Lost,
    }

    fn any_fate() -> impl Strategy<Value = Fate> {
        prop_oneof![3 => Just(Fate::Answered), 1 => Just(Fate::Unheard), 2 => Just(Fate::Lost)]
    }

    /// One thing that happens: who is on, how long it takes until then, and how long the call takes.
    type Turn = (usize, u64, u64, Fate);

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Two candidates with clocks of their own, whatever their calls take and whichever get through:
        /// never may both act at once.
        #[test]
        fn two_never_hold_it_at_once(
            offset in 0..10_000_u64,
            turns in proptest::collection::vec((0..2_usize, 0..40_u64, 0..40_u64, any_fate()), 1..300),
        ) {
            let mut candidates = [Election::new("a".into(), TIMES), Election::new("b".into(), TIMES)];
            let offsets = [0, offset];
            let (mut stored, mut time): (Option<LeaseRecord>, u64) = (None, 0);
            for turn in turns {
                let (who, wait, takes, fate): Turn = turn;
                time += wait;
                let (candidate, local) = (&mut candidates[who], |time: u64| at(time + offsets[who]));
                let began = local(time);
                let version = stored.as_ref().map(|record| record.version.clone());
                if candidate.step(began) != LeaseStep::Take || candidate.version() != version.as_deref() {
                    time += takes;
                    candidate.observe(stored.clone(), local(time));
                } else if fate != Fate::Lost {
                    let next = version.map_or(1, |version| version.parse::<u64>().unwrap() + 1);
                    let name = ["a", "b"][who];
                    stored = Some(record(Some(name), next));
                    time += takes;
                    if fate == Fate::Answered {
                        candidate.written(record(Some(name), next), began);
                    }
                } else {
                    time += takes;
                }
                let acts = |who: usize| candidates[who].valid_until().is_some_and(|until| at(time + offsets[who]) < until);
                prop_assert!(!(acts(0) && acts(1)), "both act at {time}");
            }
        }
    }
}
