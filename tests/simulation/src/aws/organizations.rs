//! AWS Organizations: one organization, with units in units, and accounts in them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Refusal;

/// An organization.
#[derive(Debug, Clone, Default)]
pub struct Organization {
    /// The management account; empty if there is no organization.
    pub management: String,
    /// The parent of each unit.
    pub units: BTreeMap<String, String>,
    /// The parent of each account, and its state.
    pub accounts: BTreeMap<String, (String, String)>,
}

/// Members of a page.
const PAGE: usize = 2;

impl Organization {
    /// Answers a call by an account.
    pub fn answer(&self, caller: &str, action: &str, body: &Value) -> Result<Value, Refusal> {
        if caller != self.management {
            return Err(Refusal::new(400, "AccessDeniedException"));
        }
        let parent = body["ParentId"].as_str().unwrap_or_default();
        match action {
            "DescribeOrganization" => Ok(json!({"Organization": {"MasterAccountId": self.management}})),
            "ListAccountsForParent" => {
                let inside = self.accounts.iter().filter(|(_, (unit, _))| unit == parent);
                let each = inside.map(|(id, (_, state))| json!({"Id": id, "State": state})).collect();
                Ok(page("Accounts", each, body))
            }
            "ListOrganizationalUnitsForParent" => {
                let inside = self.units.iter().filter(|(_, unit)| *unit == parent);
                Ok(page("OrganizationalUnits", inside.map(|(id, _)| json!({"Id": id})).collect(), body))
            }
            _ => Err(Refusal::new(400, "InvalidAction")),
        }
    }
}

fn page(name: &str, all: Vec<Value>, body: &Value) -> Value {
    let from: usize = body["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or_default();
    let next = (from + PAGE < all.len()).then(|| (from + PAGE).to_string());
    let some: Vec<Value> = all.into_iter().skip(from).take(PAGE).collect();
    json!({name: some, "NextToken": next})
}
