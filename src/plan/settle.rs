//! IAM is eventually consistent: for some seconds a read may show what was there before a write
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency>).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::action::{Action, Step};

/// How long a reading that answers our own write with the value before it is not believed.
pub const SETTLE_TIME: Duration = Duration::from_secs(60);

/// The writes of the last [`SETTLE_TIME`] to one account. Times are given by the caller, as
/// durations since a moment of its own.
///
/// Of each only a fingerprint is kept: thousands of accounts are remembered at once.
#[derive(Debug, Clone, Default)]
pub struct Settling {
    written: Vec<(u64, Duration)>,
}

impl Settling {
    /// Keeps a write in mind.
    pub fn wrote(&mut self, action: &Action, now: Duration) {
        self.written.retain(|(_, at)| now < *at + SETTLE_TIME);
        self.written.push((fingerprint(action), now));
    }

    /// Forgets all: what is wanted has changed, so that a repeated write may be meant.
    pub fn clear(&mut self) {
        self.written.clear();
    }

    /// Drops the steps that a former reading has already brought about, and says in how long they
    /// would be believed if a reading still asks for them. A role that is not visible yet holds back
    /// every step for it.
    #[must_use]
    pub fn hold_back(&self, steps: &mut Vec<Step>, now: Duration) -> Option<Duration> {
        let until = |action: &Action| {
            let fingerprint = fingerprint(action);
            let same = self.written.iter().rev().find(|(written, _)| *written == fingerprint);
            same.map(|(_, at)| *at + SETTLE_TIME).filter(|until| *until > now)
        };
        let held: Vec<Option<Duration>> = steps.iter().map(|step| until(&step.action)).collect();
        let latest = held.iter().flatten().max().copied();
        let unseen_role =
            steps.iter().zip(&held).any(|(step, held)| matches!(step.action, Action::CreateRole(_)) && held.is_some());
        let mut held = held.into_iter();
        steps.retain(|step| {
            let settled = held.next().flatten().is_none();
            settled && !(unseen_role && matches!(step.action, Action::AttachPolicy(_)))
        });
        latest.map(|until| until.saturating_sub(now))
    }
}

fn fingerprint(action: &Action) -> u64 {
    let mut hasher = DefaultHasher::new();
    action.hash(&mut hasher);
    hasher.finish()
}
