//! Which accounts an integration connects, from one answer of AWS Organizations to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    api::{Discovery, DiscoveryScope},
    domain::AccountId,
};

/// The most accounts of one integration, as the schema bounds `spec.accounts`.
pub const MOST_ACCOUNTS: usize = 2000;

/// The state of an account in AWS Organizations
/// (<https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_accounts_account_state.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberState {
    /// It works.
    Active,
    /// It does not: SUSPENDED, `PENDING_CLOSURE` and the like, in AWS's own word.
    Other(String),
}

/// What AWS Organizations answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The management account.
    pub management: AccountId,
    /// The accounts of the units that were asked for, and of those below them.
    pub accounts: BTreeMap<AccountId, MemberState>,
}

/// The accounts that one answer stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Those to connect.
    pub active: BTreeSet<AccountId>,
    /// Those that are wanted and not ACTIVE, with AWS's word for it.
    pub left_out: BTreeMap<AccountId, String>,
    /// Whether none but the management account was found, and nobody named it.
    pub empty: bool,
}

/// Applies a scope to an answer.
#[must_use]
pub fn select(discovery: &Discovery, listing: &Listing) -> Found {
    let named = |id: &AccountId| discovery.account_ids.iter().any(|named| named == id.as_str());
    let wanted = |id: &AccountId| match discovery.scope {
        DiscoveryScope::All => true,
        DiscoveryScope::Intersection => named(id),
        DiscoveryScope::Difference => !named(id),
    };
    let mut found = Found { empty: true, ..Found::default() };
    for (id, state) in listing.accounts.iter().filter(|(id, _)| wanted(id)) {
        match state {
            MemberState::Active => {
                found.empty &= *id == listing.management && discovery.scope != DiscoveryScope::Intersection;
                found.active.insert(id.clone());
            }
            MemberState::Other(word) => {
                found.left_out.insert(id.clone(), word.clone());
            }
        }
    }
    let management = &listing.management;
    let excluded = discovery.scope == DiscoveryScope::Difference && named(management);
    if !excluded && !found.left_out.contains_key(management) {
        found.active.insert(management.clone());
    }
    found
}

/// An answer that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has no account. That is rather an error somewhere than what somebody wants.
    Empty,
    /// It has more than [`MOST_ACCOUNTS`].
    TooMany(usize),
}

/// The accounts that an integration has by discovery. An account that an answer has joins at once; one
/// that an answer lacks stays until the next one, an interval later, lacks the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    active: BTreeSet<AccountId>,
    left_out: BTreeMap<AccountId, String>,
    missing: Option<(BTreeSet<AccountId>, Duration)>,
}

impl Membership {
    /// What a former process knew.
    #[must_use]
    pub fn new(active: BTreeSet<AccountId>, left_out: BTreeMap<AccountId, String>) -> Self {
        Self { active, left_out, missing: None }
    }

    /// The accounts to connect.
    #[must_use]
    pub fn active(&self) -> &BTreeSet<AccountId> {
        &self.active
    }

    /// The accounts that are not ACTIVE, with AWS's word for it.
    #[must_use]
    pub fn left_out(&self) -> &BTreeMap<AccountId, String> {
        &self.left_out
    }

    /// How many accounts the last answer lacked that are still members.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.as_ref().map_or(0, |(missing, _)| missing.len())
    }

    /// Takes an answer at time `now`. Two answers count as such if the second comes `apart` later.
    ///
    /// # Errors
    /// If the answer is not believed; then nothing changes.
    pub fn take(&mut self, found: Found, now: Duration, apart: Duration) -> Result<(), Refusal> {
        if found.empty {
            return Err(Refusal::Empty);
        }
        let total = found.active.len() + found.left_out.len();
        if total > MOST_ACCOUNTS {
            return Err(Refusal::TooMany(total));
        }
        let Found { mut active, mut left_out, .. } = found;
        let has = |id: &&AccountId| active.contains(*id) || left_out.contains_key(*id);
        let missing: BTreeSet<AccountId> =
            self.active.iter().chain(self.left_out.keys()).filter(|id| !has(id)).cloned().collect();
        let since = match self.missing.take() {
            Some((former, since)) if former == missing => since,
            _ => now,
        };
        let confirmed = since != now && now.saturating_sub(since) >= apart;
        if !missing.is_empty() && !confirmed {
            active.extend(missing.iter().filter(|id| self.active.contains(*id)).cloned());
            let stays = |id: &AccountId| Some((id.clone(), self.left_out.get(id)?.clone()));
            left_out.extend(missing.iter().filter_map(stays));
            self.missing = Some((missing, since));
        }
        (self.active, self.left_out) = (active, left_out);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(number: usize) -> AccountId {
        format!("{number:012}").parse().unwrap()
    }

    fn ids(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<AccountId> {
        numbers.into_iter().map(id).collect()
    }

    fn found(numbers: impl IntoIterator<Item = usize>) -> Found {
        Found { active: ids(numbers), ..Found::default() }
    }

    fn listing() -> Listing {
        let state = |number| if number == 4 { MemberState::Other("SUSPENDED".into()) } else { MemberState::Active };
        Listing { management: id(9), accounts: (1..=4).map(|number| (id(number), state(number))).collect() }
    }

    fn discovery(scope: DiscoveryScope, named: &[usize]) -> Discovery {
        let account_ids = named.iter().map(|number| id(*number).to_string()).collect();
        Discovery { organizational_unit_ids: vec!["ou-ab12-cdef3456".into()], scope, account_ids }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn scopes_choose_among_what_is_found_and_the_management_account_comes_along() {
        use DiscoveryScope::{All, Difference, Intersection};
        for (scope, named, active, left_out) in [
            (All, &[][..], &[1, 2, 3, 9][..], 1),
            (Intersection, &[1, 7], &[1, 9], 0),
            (Intersection, &[1, 4], &[1, 9], 1),
            (Difference, &[1, 4], &[2, 3, 9], 0),
            (Difference, &[9], &[1, 2, 3], 1),
        ] {
            let found = select(&discovery(scope, named), &listing());
            assert_eq!(found.active, ids(active.iter().copied()), "{scope:?} {named:?}");
            assert_eq!(found.left_out.len(), left_out, "{scope:?} {named:?}");
            assert!(!found.empty);
        }
        assert!(select(&discovery(Intersection, &[7]), &listing()).empty);
        assert!(select(&discovery(Intersection, &[4]), &listing()).empty, "a suspended one does not count");
        let mut alone = listing();
        alone.accounts.clear();
        alone.accounts.insert(alone.management.clone(), MemberState::Active);
        assert!(select(&discovery(All, &[]), &alone).empty, "the management account is everywhere");
        let named = Discovery { account_ids: vec![alone.management.to_string()], ..discovery(Intersection, &[]) };
        assert!(!select(&named, &alone).empty);
    }

    #[test]
    fn a_management_account_that_is_not_active_is_left_out() {
        let mut listing = listing();
        listing.management = id(4);
        let found = select(&discovery(DiscoveryScope::All, &[]), &listing);
        assert!(!found.active.contains(&id(4)) && found.left_out.contains_key(&id(4)));
    }

    #[test]
    fn what_an_answer_lacks_goes_with_the_second_answer_an_interval_later() {
        let mut members = Membership::default();
        members.take(found(1..=4), MINUTE, MINUTE).unwrap();
        members.take(found([1, 2, 5]), 2 * MINUTE, MINUTE).unwrap();
        assert_eq!((members.active(), members.missing()), (&ids(1..=5), 2), "the new one joins, none goes");
        members.take(found([1, 2, 5]), 2 * MINUTE + MINUTE / 2, MINUTE).unwrap();
        assert_eq!(members.missing(), 2, "too early to count");
        members.take(found([1, 2, 5]), 3 * MINUTE, MINUTE).unwrap();
        assert_eq!((members.active(), members.missing()), (&ids([1, 2, 5]), 0));
    }

    #[test]
    fn answers_that_differ_or_show_the_missing_again_start_the_count_anew() {
        let mut members = Membership::default();
        members.take(found(1..=4), MINUTE, MINUTE).unwrap();
        members.take(found([1, 2, 3]), 2 * MINUTE, MINUTE).unwrap();
        members.take(found([1, 2]), 3 * MINUTE, MINUTE).unwrap();
        assert_eq!((members.active().len(), members.missing()), (4, 2));
        members.take(found(1..=4), 4 * MINUTE, MINUTE).unwrap();
        members.take(found([1, 2]), 5 * MINUTE, MINUTE).unwrap();
        assert_eq!((members.active().len(), members.missing()), (4, 2));
    }

    #[test]
    fn an_empty_answer_and_one_of_too_many_change_nothing() {
        let mut members = Membership::default();
        members.take(found(1..=4), MINUTE, MINUTE).unwrap();
        let before = members.clone();
        let empty = Found { empty: true, ..found([9]) };
        assert_eq!(members.take(empty, 2 * MINUTE, MINUTE), Err(Refusal::Empty));
        assert_eq!(members.take(found(0..2001), 2 * MINUTE, MINUTE), Err(Refusal::TooMany(2001)));
        assert_eq!(members, before);
        members.take(found(0..2000), 2 * MINUTE, MINUTE).unwrap();
    }

    #[test]
    fn an_account_that_is_suspended_is_left_out_at_once_and_comes_back_at_once() {
        let mut members = Membership::default();
        members.take(found(1..=2), MINUTE, MINUTE).unwrap();
        let suspended = Found { left_out: BTreeMap::from([(id(2), "SUSPENDED".to_owned())]), ..found([1]) };
        members.take(suspended.clone(), 2 * MINUTE, MINUTE).unwrap();
        assert_eq!((members.active(), members.left_out().len(), members.missing()), (&ids([1]), 1, 0));
        members.take(found([1]), 3 * MINUTE, MINUTE).unwrap();
        assert_eq!((members.left_out().len(), members.missing()), (1, 1), "it is still a member");
        members.take(found(1..=2), 4 * MINUTE, MINUTE).unwrap();
        assert_eq!((members.active(), members.left_out().len()), (&ids(1..=2), 0));
    }
}
