//! A model of AWS: accounts with IAM, STS, and AWS Organizations.

pub mod connector;
pub mod iam;
mod organizations;
mod sts;
pub mod xml;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

pub use iam::{Provider, Role, trust_policy};
pub use organizations::Organization;

/// How long former states of an account are kept, for readings that lag.
const KEPT: Duration = Duration::from_secs(30);

/// How a call is refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
}

impl Refusal {
    pub fn new(status: u16, code: &str) -> Self {
        Self { status, code: code.to_owned() }
    }
}

/// What is in one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// By name.
    pub roles: BTreeMap<String, Role>,
    /// By ARN.
    pub providers: BTreeMap<String, Provider>,
}

/// A key by which calls are signed.
#[derive(Debug, Clone)]
struct Key {
    account: String,
    until: Option<Duration>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Aws {
    accounts: BTreeMap<String, Account>,
    former: BTreeMap<String, VecDeque<(Duration, Account)>>,
    keys: BTreeMap<String, Key>,
    /// The organization, if there is one.
    pub organization: Organization,
    ids: u64,
}

impl Aws {
    /// An account; empty if nothing was ever done there.
    pub fn account(&self, id: &str) -> Account {
        self.accounts.get(id).cloned().unwrap_or_default()
    }

    /// The accounts in which something was done.
    pub fn ids(&self) -> Vec<String> {
        self.accounts.keys().cloned().collect()
    }

    /// Changes an account.
    pub fn change(&mut self, id: &str, now: Duration, change: impl FnOnce(&mut Account)) {
        let account = self.accounts.entry(id.to_owned()).or_default();
        let former = self.former.entry(id.to_owned()).or_default();
        former.push_back((now, account.clone()));
        while former.len() > 1 && former.get(1).is_some_and(|(at, _)| *at + KEPT < now) {
            former.pop_front();
        }
        change(account);
    }

    /// An account as a reading shows it that is behind by `lag`.
    fn seen(&self, id: &str, now: Duration, lag: Duration) -> Account {
        let at = now.saturating_sub(lag);
        // Each entry is what was there until its time.
        let former = self.former.get(id).into_iter().flatten().find(|(until, _)| *until > at);
        former.map_or_else(|| self.account(id), |(_, account)| account.clone())
    }

    /// A number that was not given out before.
    pub fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Makes a key of an account.
    pub fn give_key(&mut self, account: &str, until: Option<Duration>) -> String {
        let id = format!("ASIA{:016}", self.next_id());
        self.keys.insert(id.clone(), Key { account: account.to_owned(), until });
        id
    }

    /// The account that a key is of.
    fn account_of(&self, key: &str, now: Duration) -> Result<String, Refusal> {
        let known = self.keys.get(key).ok_or_else(|| Refusal::new(403, "InvalidClientTokenId"))?;
        if known.until.is_some_and(|until| until <= now) {
            return Err(Refusal::new(403, "ExpiredToken"));
        }
        Ok(known.account.clone())
    }
}
