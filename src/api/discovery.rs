//! Which accounts of an AWS organization an integration connects.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The accounts of some organizational units, and the management account, through which Port lists
/// the organization. Accounts that AWS Organizations does not call ACTIVE are left out.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.accountIds) == (has(self.scope) && self.scope != 'All')").message("accountIds goes with scope Intersection or Difference, and they need it")
)]
pub struct Discovery {
    /// IDs of organizational units, as ou-ab12-cdef3456, or of the root, as r-ab12. Units below them
    /// count too.
    #[schemars(
        length(min = 1, max = 50),
        inner(length(max = 68), regex(pattern = r"^(ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})$"))
    )]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub organizational_unit_ids: Vec<String>,

    /// Which of the accounts found are connected, as in Port's own account scope: All of them; those
    /// that accountIds names too (Intersection); those that it does not name (Difference). The
    /// management account is connected in any case, unless Difference names it.
    #[serde(default)]
    pub scope: DiscoveryScope,

    /// IDs of accounts, for Intersection and Difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 2000), inner(regex(pattern = r"^[0-9]{12}$")))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub account_ids: Vec<String>,
}

/// Which of the accounts found are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DiscoveryScope {
    /// All.
    #[default]
    All,
    /// Those that accountIds names too.
    Intersection,
    /// Those that accountIds does not name.
    Difference,
}
