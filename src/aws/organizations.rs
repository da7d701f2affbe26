use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};

use super::{AwsError, Pace};
use crate::{
    api::Reason,
    domain::AccountId,
    plan::{Listing, MemberState},
    schedule::Disposition,
};

/// The most that AWS gives on one page
/// (<https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccountsForParent.html>).
const PAGE: i32 = 20;

/// AWS Organizations, as the management account or a delegated administrator sees it.
#[derive(Debug, Clone)]
pub struct OrganizationsApi {
    pub(super) account: AccountId,
    pub(super) client: aws_sdk_organizations::Client,
    pub(super) pace: Pace,
}

impl OrganizationsApi {
    /// The account that asks.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Lists the accounts of roots and organizational units, and of all units below them: a call for the
    /// management account, and for each unit a page for every 20 accounts and one for every 20 units.
    ///
    /// # Errors
    /// If a call fails. There is no half of an answer.
    pub async fn list(&self, parents: &[String]) -> Result<Listing, AwsError> {
        let management = self.management().await?;
        let mut accounts = BTreeMap::new();
        let mut seen: BTreeSet<String> = parents.iter().cloned().collect();
        let mut open: VecDeque<String> = seen.iter().cloned().collect();
        while let Some(parent) = open.pop_front() {
            self.accounts_of(&parent, &mut accounts).await?;
            for unit in self.units_of(&parent).await? {
                if seen.insert(unit.clone()) {
                    open.push_back(unit);
                }
            }
        }
        Ok(Listing { management, accounts })
    }

    async fn management(&self) -> Result<AccountId, AwsError> {
        const OPERATION: &str = "DescribeOrganization";
        self.pace.turn().await;
        let answer = self.client.describe_organization().send().await;
        let organization = answer.map_err(|error| AwsError::new(OPERATION, &error))?.organization;
        let id = organization.and_then(|organization| organization.master_account_id);
        parse(OPERATION, &id.unwrap_or_default())
    }

    async fn accounts_of(&self, parent: &str, accounts: &mut BTreeMap<AccountId, MemberState>) -> Result<(), AwsError> {
        const OPERATION: &str = "ListAccountsForParent";
        let mut token = None;
        loop {
            self.pace.turn().await;
            let call = self.client.list_accounts_for_parent().parent_id(parent).max_results(PAGE);
            let page = call.set_next_token(token).send().await.map_err(|error| AwsError::new(OPERATION, &error))?;
            for account in page.accounts() {
                accounts.insert(parse(OPERATION, account.id().unwrap_or_default())?, state(account));
            }
            // A page may be empty and not be the last.
            token = page.next_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    async fn units_of(&self, parent: &str) -> Result<Vec<String>, AwsError> {
        const OPERATION: &str = "ListOrganizationalUnitsForParent";
        let (mut units, mut token) = (Vec::new(), None);
        loop {
            self.pace.turn().await;
            let call = self.client.list_organizational_units_for_parent().parent_id(parent).max_results(PAGE);
            let page = call.set_next_token(token).send().await.map_err(|error| AwsError::new(OPERATION, &error))?;
            units.extend(page.organizational_units().iter().filter_map(|unit| unit.id.clone()));
            token = page.next_token;
            if token.is_none() {
                return Ok(units);
            }
        }
    }
}

fn parse(operation: &'static str, id: &str) -> Result<AccountId, AwsError> {
    let unexpected = |detail| AwsError::ours(operation, Reason::UnexpectedAnswer, Disposition::Transient, detail);
    id.parse().map_err(|error: crate::domain::InvalidValue| unexpected(error.to_string()))
}

/// `State` took the place of `Status`, which an older endpoint may give alone.
fn state(account: &Account) -> MemberState {
    #[allow(deprecated)]
    let status = account.status().map(AccountStatus::as_str);
    match account.state().map(AccountState::as_str).or(status) {
        Some("ACTIVE") => MemberState::Active,
        other => MemberState::Other(other.unwrap_or("without a state").to_owned()),
    }
}
