//! Organizations, with accounts of one's choice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Backend;
use crate::{Error, Result};

/// What an organization is to look like. Units have names that are unique in it; no unit is the root.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use = "nothing is made until this is given to the backend"]
pub struct OrganizationSetup {
    management: String,
    units: Vec<Unit>,
    accounts: Vec<Account>,
    delegated_administrators: Vec<String>,
    empty_pages: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Unit {
    name: String,
    parent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Account {
    id: String,
    unit: Option<String>,
    state: MemberState,
}

/// The state of an account in its organization. Roles can be assumed only in one that is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MemberState {
    /// Its sign-up was never completed.
    PendingActivation,
    /// It can be used.
    Active,
    /// AWS has suspended it.
    Suspended,
    /// It is being closed.
    PendingClosure,
    /// It is closed, and still in the organization.
    Closed,
}

impl OrganizationSetup {
    /// One that has no account but its management account, which is at the root.
    pub fn new(management: &str) -> Self {
        Self {
            management: management.to_owned(),
            units: Vec::new(),
            accounts: Vec::new(),
            delegated_administrators: Vec::new(),
            empty_pages: false,
        }
    }

    /// Adds a unit; its parent must have been added before.
    pub fn unit(mut self, name: &str, parent: Option<&str>) -> Self {
        self.units.push(Unit { name: name.to_owned(), parent: parent.map(str::to_owned) });
        self
    }

    /// Adds an account that is active. The management account may be put into a unit this way.
    pub fn account(self, id: &str, unit: Option<&str>) -> Self {
        self.account_in_state(id, unit, MemberState::Active)
    }

    /// Adds several accounts that are active to one unit.
    pub fn accounts<'a>(self, ids: impl IntoIterator<Item = &'a str>, unit: Option<&str>) -> Self {
        ids.into_iter().fold(self, |setup, id| setup.account(id, unit))
    }

    /// Adds an account.
    pub fn account_in_state(mut self, id: &str, unit: Option<&str>, state: MemberState) -> Self {
        self.accounts.push(Account { id: id.to_owned(), unit: unit.map(str::to_owned), state });
        self
    }

    /// Lets one of the accounts list what is in the organization, as the management account may.
    pub fn delegated(mut self, id: &str) -> Self {
        self.delegated_administrators.push(id.to_owned());
        self
    }

    /// Has every listing begin and end with an empty page, with one between any two others.
    pub fn empty_pages(mut self) -> Self {
        self.empty_pages = true;
        self
    }
}

/// An organization that the backend has.
#[derive(Debug)]
pub struct Organization<'a> {
    backend: &'a Backend,
    /// Account that manages it.
    pub management: String,
    /// Its id, as `o-...`.
    pub id: String,
    /// Id of its root.
    pub root_id: String,
    /// Ids of its units by their names.
    pub unit_ids: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    id: String,
    root_id: String,
    unit_ids: BTreeMap<String, String>,
}

impl Backend {
    /// Makes an organization. None of its accounts may be in another one.
    pub async fn organization(&self, setup: &OrganizationSetup) -> Result<Organization<'_>> {
        let Made { id, root_id, unit_ids } = self.post("organization", serde_json::to_value(setup)?).await?;
        Ok(Organization { backend: self, management: setup.management.clone(), id, root_id, unit_ids })
    }
}

impl Organization<'_> {
    /// The id of a unit.
    pub fn unit_id(&self, name: &str) -> Result<&str> {
        let id = self.unit_ids.get(name).ok_or_else(|| Error::Setup(format!("no unit {name}")))?;
        Ok(id)
    }

    /// Adds a unit, and returns its id.
    pub async fn add_unit(&mut self, name: &str, parent: Option<&str>) -> Result<String> {
        let body = self.body(json!({"name": name, "parent": parent}));
        let answer: Value = self.backend.post("organization/unit", body).await?;
        let id = answer["id"].as_str().unwrap_or_default().to_owned();
        self.unit_ids.insert(name.to_owned(), id.clone());
        Ok(id)
    }

    /// Removes a unit that has neither accounts nor units.
    pub async fn remove_unit(&mut self, name: &str) -> Result<()> {
        self.change("remove-unit", json!({"unit": name})).await?;
        self.unit_ids.remove(name);
        Ok(())
    }

    /// Has an account join that is active.
    pub async fn add_account(&self, id: &str, unit: Option<&str>) -> Result<()> {
        self.change("account", json!({"id": id, "unit": unit})).await
    }

    /// Moves an account.
    pub async fn move_account(&self, id: &str, unit: Option<&str>) -> Result<()> {
        self.change("move", json!({"account": id, "unit": unit})).await
    }

    /// Has an account leave, be it a delegated administrator or not.
    pub async fn remove_account(&self, id: &str) -> Result<()> {
        self.change("remove", json!({"account": id})).await
    }

    /// Says what state an account is in.
    pub async fn set_state(&self, id: &str, state: MemberState) -> Result<()> {
        self.change("state", json!({"account": id, "state": state})).await
    }

    /// Makes an account a delegated administrator, or ends that.
    pub async fn set_delegated(&self, id: &str, delegated: bool) -> Result<()> {
        self.change("delegate", json!({"account": id, "delegated": delegated})).await
    }

    /// Has listings give empty pages from now on, or not.
    pub async fn set_empty_pages(&self, wanted: bool) -> Result<()> {
        self.change("empty-pages", json!({"emptyPages": wanted})).await
    }

    async fn change(&self, call: &str, body: Value) -> Result<()> {
        let path = format!("organization/{call}");
        self.backend.order(&path, self.body(body)).await
    }

    fn body(&self, mut body: Value) -> Value {
        body["management"] = json!(self.management);
        body
    }
}
