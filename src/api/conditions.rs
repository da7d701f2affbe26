//! Conditions by the rules of kstatus
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>) and of the
//! Kubernetes API conventions.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::Reason;

/// The types of condition that the operator writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionType {
    /// Every target account is as wanted.
    Ready,
    /// Work is under way or due soon. Present only when true.
    Reconciling,
    /// Nothing will get better without somebody's help. Present only when true.
    Stalled,
    /// The target accounts are known.
    AccountsResolved,
    /// The OIDC provider is as wanted in every target account.
    OIDCProviderReady,
    /// The role is as wanted in every target account.
    RoleReady,
    /// Port uses the role.
    InUse,
}

impl std::fmt::Display for ConditionType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// Value of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known.
    Unknown,
}

/// The conditions of one status, built from scratch against the former ones, so that a condition
/// that is not set again goes away and a time of transition moves only with the value.
#[derive(Debug)]
pub struct Conditions<'a> {
    former: &'a [Condition],
    generation: i64,
    now: Timestamp,
    list: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// Starts with no condition. `now` is written with second precision, as Kubernetes does.
    #[must_use]
    pub fn new(former: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self { former, generation, now, list: Vec::new() }
    }

    /// Sets a condition. Messages are cut to 1,024 bytes.
    pub fn set(&mut self, kind: ConditionType, status: ConditionStatus, reason: Reason, message: &str) {
        let (type_, status) = (kind.to_string(), format!("{status:?}"));
        let same = self.former.iter().find(|former| former.type_ == type_ && former.status == status);
        self.list.retain(|condition| condition.type_ != type_);
        self.list.push(Condition {
            last_transition_time: same.map_or(Time(self.now), |former| former.last_transition_time.clone()),
            message: cut(message, 1024),
            observed_generation: Some(self.generation),
            reason: reason.to_string(),
            status,
            type_,
        });
    }

    /// The conditions, in the order in which they were set.
    #[must_use]
    pub fn finish(self) -> Vec<Condition> {
        self.list
    }
}

/// Cuts text to a number of bytes, between characters, with an ellipsis where something is lost.
#[must_use]
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub('…'.len_utf8())).rev().find(|&end| text.is_char_boundary(end));
    format!("{}…", &text[..end.unwrap_or(0)])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_transition_moves_only_with_the_value() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut first = Conditions::new(&[], 1, at(10));
        first.set(ConditionType::Ready, ConditionStatus::False, Reason::Provisioning, "a");
        let first = first.finish();
        let mut second = Conditions::new(&first, 2, at(20));
        second.set(ConditionType::Ready, ConditionStatus::False, Reason::Retrying, "b");
        let second = second.finish();
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        assert_eq!((second[0].reason.as_str(), second[0].observed_generation), ("Retrying", Some(2)));
        let mut third = Conditions::new(&second, 2, at(30));
        third.set(ConditionType::Ready, ConditionStatus::True, Reason::Ready, "c");
        assert_eq!(third.finish()[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcdef", 5), "ab…");
        assert_eq!(cut("äöüä", 6), "ä…");
    }
}
