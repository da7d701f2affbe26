//! The status of an access object, computed from what is remembered of the integrations that use it.

use std::collections::BTreeMap;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};

use super::{account_memory::AccountMemory, failure::Failure};
use crate::{
    api::{ConditionStatus, ConditionType, Conditions, PortAwsAccess, PortAwsAccessStatus, ReachStatus, Reason, cut},
    aws::CredentialsError,
    domain::AccountId,
};

/// Why something is not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    reason: Reason,
    message: String,
    stalls: bool,
}

impl Trouble {
    pub(super) fn of(account: &AccountMemory) -> Self {
        let stalls = account.failing.is_some_and(crate::schedule::Disposition::stalls);
        Self { reason: account.reason, message: account.message.clone().unwrap_or_default(), stalls }
    }
}

impl From<&CredentialsError> for Trouble {
    fn from(error: &CredentialsError) -> Self {
        Self { reason: error.reason(), message: error.advice(), stalls: error.disposition().stalls() }
    }
}

impl From<&Failure> for Trouble {
    fn from(failure: &Failure) -> Self {
        Self {
            reason: failure.reason,
            message: format!("discovery: {}", failure.message),
            stalls: failure.disposition.stalls(),
        }
    }
}

/// Whether an account was reached when it was last tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AccountReach {
    /// It is not visited, as things stand.
    Idle,
    /// It is to be visited, by the access as it is now.
    Due,
    /// It was.
    Reached,
    /// It was not.
    Unreached(Trouble),
}

impl AccountReach {
    fn rank(&self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Due => 1,
            Self::Reached => 2,
            Self::Unreached(_) => 3,
        }
    }
}

/// What is seen of an access object.
#[derive(Debug)]
pub(super) struct Sight {
    caller: Result<String, Trouble>,
    accounts: BTreeMap<AccountId, AccountReach>,
    pub(super) integrations: usize,
    discovery: Option<Trouble>,
    /// Whether AWS Organizations is still to be asked by the access as it is now.
    pub(super) discovers: bool,
}

impl Sight {
    pub(super) fn new(caller: Result<String, Trouble>) -> Self {
        Self { caller, accounts: BTreeMap::new(), integrations: 0, discovery: None, discovers: false }
    }

    /// Of several integrations in one account, one that did not get there counts: always the same, in
    /// whatever order they come.
    pub(super) fn note(&mut self, account: &AccountId, reach: AccountReach) {
        let known = self.accounts.entry(account.clone()).or_insert(AccountReach::Idle);
        let first = match (&reach, &*known) {
            (AccountReach::Unreached(new), AccountReach::Unreached(old)) => new.message < old.message,
            _ => reach.rank() > known.rank(),
        };
        if first {
            *known = reach;
        }
    }

    /// Of several discoveries that fail, always the same counts.
    pub(super) fn note_discovery(&mut self, trouble: Trouble) {
        if self.discovery.as_ref().is_none_or(|known| trouble.message < known.message) {
            self.discovery = Some(trouble);
        }
    }

    /// Whether a former process's status tells of each account and discovery that was due then.
    pub(super) fn is_settled(access: &PortAwsAccess, former: &PortAwsAccessStatus) -> bool {
        let reconciling = ConditionType::Reconciling.to_string();
        let due = |condition: &Condition| {
            condition.type_ == reconciling && condition.reason == Reason::Provisioning.to_string()
        };
        former.observed_generation == access.metadata.generation && !former.conditions.iter().any(due)
    }

    /// The status.
    pub(super) fn status(
        &self,
        access: &PortAwsAccess,
        former: &PortAwsAccessStatus,
        now: Timestamp,
    ) -> PortAwsAccessStatus {
        let reach = self.reach();
        let unreached = self.first_unreached();
        let trouble = self.own_trouble().or_else(|| unreached.clone().filter(|_| reach.reached == 0));
        let generation = access.metadata.generation.unwrap_or_default();
        let mut conditions = Conditions::new(&former.conditions, generation, now);
        let progress = format!("{} of {} accounts reached", reach.reached, reach.accounts);
        if access.metadata.deletion_timestamp.is_some() {
            let message = format!(
                "{} PortAwsIntegrations need it to clear what they made: delete them first",
                reach.integrations
            );
            conditions.set(ConditionType::Ready, ConditionStatus::False, Reason::AccessInUse, &message);
            conditions.set(ConditionType::Reconciling, ConditionStatus::True, Reason::AccessInUse, &message);
        } else if let Some(trouble) = &trouble {
            let message = format!("{progress}; {}", trouble.message);
            conditions.set(ConditionType::Ready, ConditionStatus::False, trouble.reason, &message);
            let kind = if trouble.stalls { ConditionType::Stalled } else { ConditionType::Reconciling };
            conditions.set(kind, ConditionStatus::True, trouble.reason, &message);
        } else if self.discovers || self.accounts.values().any(|reach| *reach == AccountReach::Due) {
            // What an older spec got hold of says nothing of this one.
            conditions.set(ConditionType::Ready, ConditionStatus::Unknown, Reason::Provisioning, &progress);
            conditions.set(ConditionType::Reconciling, ConditionStatus::True, Reason::Provisioning, &progress);
        } else {
            // The access works. An account that lets nobody in is told of, and is its integrations' to wait for:
            // what installs the operator, and waits for this object, is not to fail for it.
            let message = unreached.as_ref().map_or(progress.clone(), |it| format!("{progress}; {}", it.message));
            conditions.set(ConditionType::Ready, ConditionStatus::True, Reason::Ready, &message);
        }
        PortAwsAccessStatus {
            observed_generation: Some(generation),
            conditions: conditions.finish(),
            caller_arn: self.caller.as_ref().ok().cloned(),
            reach: Some(reach),
            last_error: trouble.or(unreached).map(|trouble| cut(&trouble.message, 512)),
        }
    }

    /// What is wrong with the operator's credentials, or else with the way to AWS Organizations.
    fn own_trouble(&self) -> Option<Trouble> {
        self.caller.as_ref().err().or(self.discovery.as_ref()).cloned()
    }

    fn first_unreached(&self) -> Option<Trouble> {
        self.accounts.iter().find_map(|(id, reach)| match reach {
            AccountReach::Unreached(trouble) => {
                Some(Trouble { message: format!("{id}: {}", trouble.message), ..trouble.clone() })
            }
            _ => None,
        })
    }

    fn reach(&self) -> ReachStatus {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let count = |wanted: fn(&AccountReach) -> bool| number(self.accounts.values().filter(|it| wanted(it)).count());
        ReachStatus {
            integrations: number(self.integrations),
            accounts: number(self.accounts.len()),
            reached: count(|reach| *reach == AccountReach::Reached),
            unreached: count(|reach| matches!(reach, AccountReach::Unreached(_))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn trouble() -> Trouble {
        Trouble { reason: Reason::AccessDenied, message: "nobody is let in".into(), stalls: true }
    }

    fn sight(reaches: &[AccountReach]) -> Sight {
        let mut sight = Sight::new(Ok("arn:aws:sts::111122223333:assumed-role/Operator/it".into()));
        for (number, reach) in (1_u64..).zip(reaches) {
            sight.note(&format!("{number:012}").parse().unwrap(), reach.clone());
        }
        sight
    }

    /// Status and reason of `Ready`, and which of the abnormal conditions is there.
    fn judged(sight: &Sight) -> (PortAwsAccessStatus, String) {
        let access = PortAwsAccess::new(
            "default",
            serde_json::from_value(serde_json::json!({
                "accounts": ["*"],
                "limits": {"organizationIds": ["org_BneDtWovPqXaA2VZ"]},
            }))
            .unwrap(),
        );
        let status = sight.status(&access, &PortAwsAccessStatus::default(), Timestamp::UNIX_EPOCH);
        let mut told: Vec<_> =
            status.conditions.iter().map(|it| format!("{}={} {}", it.type_, it.status, it.reason)).collect();
        told.sort();
        (status, told.join(", "))
    }

    #[test]
    fn one_account_that_is_not_reached_does_not_make_the_access_fail() {
        let (status, told) = judged(&sight(&[AccountReach::Unreached(trouble()), AccountReach::Reached]));
        assert_eq!(told, "Ready=True Ready");
        assert_eq!(status.conditions[0].message, "1 of 2 accounts reached; 000000000001: nobody is let in");
        assert_eq!(status.last_error.as_deref(), Some("000000000001: nobody is let in"));
        assert_eq!(status.reach.unwrap().unreached, 1);
    }

    #[test]
    fn an_access_by_which_nothing_is_reached_fails() {
        let all = [AccountReach::Unreached(trouble()), AccountReach::Idle, AccountReach::Unreached(trouble())];
        assert_eq!(judged(&sight(&all)).1, "Ready=False AccessDenied, Stalled=True AccessDenied");
    }

    #[test]
    fn its_own_faults_count_whatever_is_reached() {
        let mut caller = sight(&[AccountReach::Reached]);
        caller.caller = Err(trouble());
        let mut discovery = sight(&[AccountReach::Reached]);
        discovery.note_discovery(trouble());
        for sight in [caller, discovery] {
            assert_eq!(judged(&sight).1, "Ready=False AccessDenied, Stalled=True AccessDenied");
        }
    }

    #[test]
    fn what_is_still_to_be_visited_is_waited_for() {
        let some = [AccountReach::Reached, AccountReach::Due, AccountReach::Unreached(trouble())];
        assert_eq!(judged(&sight(&some)).1, "Ready=Unknown Provisioning, Reconciling=True Provisioning");
    }
}
