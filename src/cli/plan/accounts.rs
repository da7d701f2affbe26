//! A look at each target account, some at once.

use std::{
    collections::BTreeSet,
    io::{IsTerminal as _, Write as _},
};

use futures::{StreamExt as _, stream};

use super::gather::{Gathered, Resource};
use crate::{
    api::{AccountRemovalPolicy, AccountState, CONFIRM_REMOVAL, DeletionPolicy, Mode, Reason},
    aws::{Aws, Errand, Visitor},
    domain::{AccountId, ClusterId, Owner, Partition, tags},
    plan::{Claim, Desired, Granted, MOST_ACCOUNTS, Observed, Target, may_remove, plan, plan_removal, select},
    preview::{AccountPreview, Outcome, Preview, ResourcePreview, Trouble, removal},
};

/// Accounts that are looked at at once.
const AT_ONCE: usize = 8;
/// Stands for the id of an installation that is not known, where a tag is to be made with it.
const UNKNOWN_CLUSTER: &str = "cluster-id-not-given";

/// One look.
struct Look {
    resource: usize,
    account: AccountId,
    /// Whether the account is wanted, or else one that has left.
    is_target: bool,
}

/// Looks at all accounts of all resources.
pub(super) async fn examine(aws: &Aws, gathered: Gathered) -> Result<Preview, String> {
    let Gathered { cluster_id, warnings, mut resources } = gathered;
    let active = |resource: &Option<Resource>| resource.as_ref().is_some_and(|it| !it.object.spec.suspend);
    let mut looks = Vec::new();
    if resources.iter().any(|(_, resource)| active(resource)) {
        let caller = aws.caller().await;
        caller.map_err(|error| format!("AWS cannot be read: {error}"))?;
    }
    let rivals = rivals(&resources);
    let examiner = Examiner { aws, cluster_id: cluster_id.as_ref(), rivals };
    for (index, (preview, resource)) in resources.iter_mut().enumerate() {
        let Some(resource) = resource.as_ref().filter(|resource| !resource.object.spec.suspend) else { continue };
        match examiner.targets(resource, preview).await {
            Ok(targets) => {
                let look = |account, is_target| Look { resource: index, account, is_target };
                let left = leaving(resource, &targets, preview);
                looks.extend(left.into_iter().map(|account| look(account, false)));
                looks.extend(targets.into_iter().map(|account| look(account, true)));
            }
            Err(problem) => preview.problem = Some(problem),
        }
    }
    let progress = Progress::new(looks.len());
    let found: Vec<(usize, AccountPreview)> = stream::iter(&looks)
        .map(|look| examiner.look(look, &resources))
        .buffer_unordered(AT_ONCE)
        .enumerate()
        .inspect(|(done, _)| progress.show(done + 1))
        .filter_map(async |(_, found)| found)
        .collect()
        .await;
    progress.end();
    for (index, account) in found {
        resources[index].0.accounts.push(account);
    }
    let resources = resources.into_iter().map(|(mut preview, _)| {
        preview.accounts.sort_by(|a, b| a.account.cmp(&b.account));
        preview
    });
    Ok(Preview::new(cluster_id.map(|id| id.to_string()), warnings, resources.collect()))
}

/// What the files say of who wants which role, by which an account may pass from one resource to another.
fn rivals(resources: &[(ResourcePreview, Option<Resource>)]) -> Vec<Rival> {
    let known = resources.iter().filter_map(|(_, resource)| resource.as_ref());
    known
        .map(|resource| Rival {
            owner: resource.owner.clone(),
            role_name: resource.object.spec.role_name(),
            accounts: resource.object.spec.accounts.iter().cloned().collect(),
            discovers: resource.object.spec.discovery.is_some(),
        })
        .collect()
}

struct Rival {
    owner: Owner,
    role_name: String,
    accounts: BTreeSet<String>,
    discovers: bool,
}

/// The accounts that the cluster has something in for this resource, and that are no targets any more.
fn leaving(resource: &Resource, targets: &BTreeSet<AccountId>, preview: &mut ResourcePreview) -> BTreeSet<AccountId> {
    let status = resource.live.as_ref().and_then(|live| live.status.as_ref());
    let claimed = status.into_iter().flat_map(|status| &status.accounts).filter(|account| account.claimed);
    let ids = claimed.filter_map(|account| account.id.parse::<AccountId>().ok());
    let skipped: BTreeSet<AccountId> =
        preview.accounts.iter().filter_map(|account| account.account.parse().ok()).collect();
    let left: BTreeSet<AccountId> = ids.filter(|id| !targets.contains(id) && !skipped.contains(id)).collect();
    if left.is_empty() {
        return left;
    }
    let names = left.iter().map(AccountId::as_str).collect::<Vec<_>>().join(", ");
    let spec = &resource.object.spec;
    match spec.account_removal_policy {
        _ if spec.mode == Mode::Observe => {
            preview.notes.push(format!("no target any more, and left as it is (mode Observe): {names}"));
            BTreeSet::new()
        }
        AccountRemovalPolicy::Retain => {
            preview.notes.push(format!("no target any more, and left as it is (accountRemovalPolicy Retain): {names}"));
            BTreeSet::new()
        }
        AccountRemovalPolicy::Delete => {
            preview.notes.push(format!("no target any more (accountRemovalPolicy Delete): {names}"));
            if !may_remove(targets.len() + left.len(), left.len(), None, None) {
                let number = left.len();
                preview.notes.push(format!(
                    "more than a tenth leaves at once: that waits for the annotation {CONFIRM_REMOVAL}=\"{number}\""
                ));
            }
            left
        }
    }
}

struct Examiner<'a> {
    aws: &'a Aws,
    cluster_id: Option<&'a ClusterId>,
    rivals: Vec<Rival>,
}

impl Examiner<'_> {
    fn visitor<'a>(&'a self, resource: &'a Resource) -> Visitor<'a> {
        Visitor { cluster: self.cluster_id.map_or(UNKNOWN_CLUSTER, ClusterId::as_str), resource: &resource.owner }
    }

    /// The accounts to look at. Those that are left out go into the preview at once.
    async fn targets(
        &self,
        resource: &Resource,
        preview: &mut ResourcePreview,
    ) -> Result<BTreeSet<AccountId>, Trouble> {
        let spec = &resource.object.spec;
        let invalid = |error: crate::domain::InvalidValue| {
            Trouble::new(AccountState::Failed, Reason::InvalidSpec, format!("spec.accounts: {error}"))
        };
        let (mut accounts, discovers) = match &spec.discovery {
            None => (spec.accounts.iter().map(|id| id.parse()).collect::<Result<_, _>>().map_err(invalid)?, false),
            Some(discovery) => {
                let reached = self.aws.reach_organizations(&resource.access, self.visitor(resource)).await;
                let api = reached.map_err(|error| Trouble::from(&error))?;
                let listing = api.list(&discovery.organizational_unit_ids).await;
                let found = select(discovery, &listing.map_err(|error| Trouble::from(&error))?);
                check_found(found.empty, found.active.len() + found.left_out.len())?;
                preview.accounts.extend(found.left_out.iter().map(|(id, word)| {
                    let message = format!("AWS Organizations calls the account {word}");
                    let (state, reason) = (AccountState::AccountSuspended, Reason::AccountSuspended);
                    AccountPreview::skipped(id, Trouble::new(state, reason, message))
                }));
                (found.active, true)
            }
        };
        let access = &spec.access_ref.name;
        accounts.retain(|id: &AccountId| {
            let allowed = resource.access.spec.allows_account(id.as_str());
            if !allowed {
                let message = format!("PortAwsAccess {access} does not cover this account");
                let trouble = Trouble::new(AccountState::NotAllowed, Reason::NotAllowed, message);
                let make = if discovers { AccountPreview::skipped } else { AccountPreview::failed };
                preview.accounts.push(make(id, trouble));
            }
            allowed
        });
        Ok(accounts)
    }

    async fn look(
        &self,
        look: &Look,
        resources: &[(ResourcePreview, Option<Resource>)],
    ) -> Option<(usize, AccountPreview)> {
        let resource = resources[look.resource].1.as_ref()?;
        let found = if look.is_target {
            self.target(resource, &look.account).await
        } else {
            self.leaver(resource, &look.account).await
        };
        Some((look.resource, found.unwrap_or_else(|trouble| AccountPreview::failed(&look.account, trouble))))
    }

    /// What the operator would do in an account that is wanted.
    async fn target(&self, resource: &Resource, account: &AccountId) -> Result<AccountPreview, Trouble> {
        let (target, observed) = self.observe(resource, account).await?;
        let (spec, access) = (&resource.object.spec, &resource.access.spec);
        let granted = Granted::check(spec, &resource.owner.namespace, Some(&resource.labels), access);
        let granted = granted.map_err(|violations| Trouble::not_allowed(&violations, &spec.access_ref.name))?;
        let claim = self.claim(resource, account, &observed)?;
        let desired =
            Desired::build(granted, &target.account, Partition::Aws, &claim).map_err(|error| invalid(&error))?;
        let plan = plan(&desired, &observed, known_role_id(resource, account));
        Ok(AccountPreview::of_plan(&desired, &observed, &plan))
    }

    /// What the operator would do in an account that has left.
    async fn leaver(&self, resource: &Resource, account: &AccountId) -> Result<AccountPreview, Trouble> {
        let (target, observed) = self.observe(resource, account).await?;
        let claim = self.claim(resource, account, &observed)?;
        let role = observed.role.as_ref();
        let plan = plan_removal(role, &claim, known_role_id(resource, account), DeletionPolicy::Delete);
        let changes = removal(&target, role, &plan.actions);
        let result = match (&plan.blocked, changes.is_empty()) {
            (Some(_), _) => Outcome::Failed,
            (None, false) => Outcome::Change,
            (None, true) => Outcome::Unchanged,
        };
        let problems = plan.blocked.iter().map(Trouble::from).collect();
        Ok(AccountPreview { account: account.to_string(), result, problems, notes: Vec::new(), changes })
    }

    async fn observe(&self, resource: &Resource, account: &AccountId) -> Result<(Target, Observed), Trouble> {
        let target = Target::new(&resource.object.spec, account, Partition::Aws).map_err(|error| invalid(&error))?;
        let (visitor, errand) = (self.visitor(resource), Errand::Look(&target));
        let api = self.aws.reach(&resource.access, account, visitor, errand).await;
        let observed = api.map_err(|error| Trouble::from(&error))?.observe(&target).await;
        Ok((target, observed.map_err(|error| Trouble::from(&error))?))
    }

    /// By what the operator would know its own. Without an id, what carries a tag of any installation counts
    /// as carrying that of this one.
    fn claim(&self, resource: &Resource, account: &AccountId, observed: &Observed) -> Result<Claim, Trouble> {
        let tagged = observed.role.as_ref().and_then(|role| role.tags.get(tags::CLUSTER));
        let cluster = match self.cluster_id {
            Some(id) => id.clone(),
            None => tagged.map_or(UNKNOWN_CLUSTER, String::as_str).parse().map_err(|error| invalid(&error))?,
        };
        let former =
            resource.access.spec.take_over.iter().filter_map(|former| former.cluster_id.parse().ok()).collect();
        let predecessor = self.predecessor(resource, account, observed);
        Ok(Claim { cluster, former, owner: resource.owner.clone(), predecessor })
    }

    /// Another resource of the files and of the same namespace that the role is tagged with, and that gives
    /// it up.
    fn predecessor(&self, resource: &Resource, account: &AccountId, observed: &Observed) -> Option<Owner> {
        let role = observed.role.as_ref()?;
        let owner = role.tags.get(tags::OWNER)?;
        let other = self.rivals.iter().find(|rival| rival.owner.to_string() == *owner)?;
        let same_namespace = other.owner.namespace == resource.owner.namespace && other.owner != resource.owner;
        let has_it = other.role_name == role.name && (other.discovers || other.accounts.contains(account.as_str()));
        (same_namespace && !has_it).then(|| other.owner.clone())
    }
}

fn check_found(empty: bool, total: usize) -> Result<(), Trouble> {
    let failed = |reason, message: String| Err(Trouble::new(AccountState::Failed, reason, message));
    if empty {
        return failed(Reason::NothingDiscovered, "discovery found no account".to_owned());
    }
    if total > MOST_ACCOUNTS {
        let message = format!("discovery found {total} accounts, and a resource may have {MOST_ACCOUNTS}");
        return failed(Reason::TooManyAccounts, message);
    }
    Ok(())
}

fn invalid(error: &crate::domain::InvalidValue) -> Trouble {
    Trouble::new(AccountState::Failed, Reason::InvalidSpec, error.to_string())
}

/// IAM's ID of the role that the operator made, as the cluster's status keeps it.
fn known_role_id<'a>(resource: &'a Resource, account: &AccountId) -> Option<&'a str> {
    let status = resource.live.as_ref()?.status.as_ref()?;
    status.accounts.iter().find(|entry| entry.id == account.as_str())?.role_id.as_deref()
}

/// How far it has come, where somebody watches.
struct Progress {
    total: usize,
    shown: bool,
}

#[allow(clippy::print_stderr)]
impl Progress {
    fn new(total: usize) -> Self {
        Self { total, shown: total > AT_ONCE && std::io::stderr().is_terminal() }
    }

    fn show(&self, done: usize) {
        if self.shown {
            eprint!("\r{done} of {} accounts", self.total);
            let _ = std::io::stderr().flush();
        }
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
