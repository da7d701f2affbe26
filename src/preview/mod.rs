//! What the operator would do, as a person or a program reads it. Nothing here does I/O.

mod change;
mod takeover;
mod text;

pub use change::{Change, FieldChange, changes, removal};
use serde::Serialize;
pub use takeover::{takeover, trusted_issuer};
pub use text::Style;

use crate::{
    api::{AccountState, Mode, Reason},
    aws::{AwsError, CredentialsError},
    domain::{AccountId, Owner},
    plan::{Desired, Note, Observed, Plan, Problem, Violation},
};

/// The version of the JSON form. It is raised when a field goes or means something else.
const FORMAT_VERSION: u32 = 1;

/// What the operator would do for all resources.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    format_version: u32,
    /// The installation that roles are taken to belong to; none if it is not known.
    cluster_id: Option<String>,
    /// Accounts by what becomes of them.
    summary: Summary,
    /// What should be known of the whole.
    warnings: Vec<String>,
    /// The resources, in the order of the files.
    resources: Vec<ResourcePreview>,
}

/// Accounts by what becomes of them. A resource that fails as a whole counts as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Those in which something would be changed.
    pub change: usize,
    /// Those that are as wanted.
    pub unchanged: usize,
    /// Those that would not be ready.
    pub failed: usize,
    /// Those that discovery finds and that are left out.
    pub skipped: usize,
}

/// One resource.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourcePreview {
    namespace: String,
    name: String,
    /// File and document.
    source: String,
    /// Name of the `PortAwsAccess`.
    access: String,
    mode: Mode,
    /// Why nothing of it would be done.
    pub problem: Option<Trouble>,
    /// What else should be known.
    pub notes: Vec<String>,
    /// Its accounts, sorted by id.
    pub accounts: Vec<AccountPreview>,
}

/// What keeps something from being as wanted, in the words of status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// State of the account.
    state: AccountState,
    /// Why, in one word.
    reason: String,
    /// What somebody can do about it.
    message: String,
}

/// Something worth telling that stops nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    reason: String,
    message: String,
}

/// What becomes of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It is as wanted.
    Unchanged,
    /// Something would be changed.
    Change,
    /// It would not be ready.
    Failed,
    /// Discovery found it, and it is left out.
    Skipped,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountPreview {
    /// ID of the account.
    pub account: String,
    /// What becomes of it.
    pub result: Outcome,
    /// What keeps it from being ready.
    pub problems: Vec<Trouble>,
    /// What else should be known.
    pub notes: Vec<Remark>,
    /// What would be changed, in order.
    pub changes: Vec<Change>,
}

impl Preview {
    /// Counts what was found.
    #[must_use]
    pub fn new(cluster_id: Option<String>, warnings: Vec<String>, resources: Vec<ResourcePreview>) -> Self {
        let mut summary = Summary::default();
        for resource in &resources {
            summary.failed += usize::from(resource.problem.is_some());
            for account in &resource.accounts {
                *match account.result {
                    Outcome::Unchanged => &mut summary.unchanged,
                    Outcome::Change => &mut summary.change,
                    Outcome::Failed => &mut summary.failed,
                    Outcome::Skipped => &mut summary.skipped,
                } += 1;
            }
        }
        Self { format_version: FORMAT_VERSION, cluster_id, summary, warnings, resources }
    }

    /// Accounts by what becomes of them.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary
    }
}

impl ResourcePreview {
    /// One without accounts yet.
    #[must_use]
    pub fn new(resource: &Owner, source: &str, access: &str, mode: Mode) -> Self {
        Self {
            namespace: resource.namespace.clone(),
            name: resource.name.clone(),
            source: source.to_owned(),
            access: access.to_owned(),
            mode,
            problem: None,
            notes: Vec::new(),
            accounts: Vec::new(),
        }
    }
}

impl Trouble {
    /// In words of one's own.
    #[must_use]
    pub fn new(state: AccountState, reason: Reason, message: impl Into<String>) -> Self {
        Self { state, reason: reason.to_string(), message: message.into() }
    }

    /// What the access object does not allow.
    #[must_use]
    pub fn not_allowed(violations: &[Violation], access: &str) -> Self {
        Self::new(AccountState::NotAllowed, Reason::NotAllowed, Violation::describe(violations, access))
    }
}

impl From<&Problem> for Trouble {
    fn from(problem: &Problem) -> Self {
        Self::new(problem.state, problem.reason, problem.message.clone())
    }
}

impl From<&AwsError> for Trouble {
    fn from(error: &AwsError) -> Self {
        Self::new(AccountState::failed(error.reason), error.reason, error.advice())
    }
}

impl From<&CredentialsError> for Trouble {
    fn from(error: &CredentialsError) -> Self {
        Self::new(AccountState::Denied, error.reason(), error.advice())
    }
}

impl From<&Note> for Remark {
    fn from(note: &Note) -> Self {
        Self { reason: note.reason.to_string(), message: note.message.clone() }
    }
}

impl AccountPreview {
    /// What a plan says.
    #[must_use]
    pub fn of_plan(desired: &Desired, observed: &Observed, plan: &Plan) -> Self {
        let problems: Vec<Trouble> = [&plan.role, &plan.provider].into_iter().flatten().map(Trouble::from).collect();
        let changes = changes(desired, observed, plan);
        let result = match (problems.is_empty(), changes.is_empty()) {
            (false, _) => Outcome::Failed,
            (true, false) => Outcome::Change,
            (true, true) => Outcome::Unchanged,
        };
        let notes = plan.notes.iter().map(Remark::from).collect();
        Self { account: desired.target.account.to_string(), result, problems, notes, changes }
    }

    /// An account that cannot be made ready.
    #[must_use]
    pub fn failed(account: &AccountId, trouble: Trouble) -> Self {
        Self::without_changes(account, Outcome::Failed, trouble)
    }

    /// An account that is left out.
    #[must_use]
    pub fn skipped(account: &AccountId, trouble: Trouble) -> Self {
        Self::without_changes(account, Outcome::Skipped, trouble)
    }

    fn without_changes(account: &AccountId, result: Outcome, trouble: Trouble) -> Self {
        Self { account: account.to_string(), result, problems: vec![trouble], notes: Vec::new(), changes: Vec::new() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
