//! Deletion: the role goes, then the provider where that is asked for, then the finalizer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    account_memory::AccountMemory,
    context::{Access, Context, Snapshot, owner_of},
    failure::Failure,
    gate::Superseded,
    memory::Asked,
    reach::unreachable,
    remains::{Discovered, Remains, discover, remains},
    report::Report,
    status::View,
    succession::{GRACE, Heir},
};
use crate::{
    api::{
        AccountRemovalPolicy, AccountState, CONFIRM_DELETION, DeletionPolicy, Mode, PortAwsIntegration,
        ProviderDeletionPolicy, Reason,
    },
    aws::{AccountApi, Errand},
    clock::jitter,
    domain::{AccountId, Owner},
    plan::{
        Action, BATCH_WINDOW, Claim, ObservedRole, Ownership, ProviderFate, Target, batch_size, ownership,
        plan_removal, provider_fate, waits_for_confirmation,
    },
    schedule::{Disposition, Priority, WorkKey},
};

/// Where the deletion of a resource stands.
pub(super) enum Decision {
    /// Nothing of it is left: the finalizer may go.
    Done,
    /// Accounts are still to be cleared; the status to show meanwhile, and when to look again.
    Wait(BTreeSet<AccountId>, View, Option<Duration>),
}

/// Decides what to do next about a resource that is being deleted, and asks for the visits.
pub(super) async fn decide(context: &Arc<Context>, resource: &Owner, object: &PortAwsIntegration) -> Decision {
    let Remains { accounts: targets, unknown } = remains(context, resource, object);
    let mut open = open_accounts(context, resource, &targets);
    let abandon = Asked::of(object).abandon;
    let mut blocked = blocked_in_cluster(context, object);
    let mut again = None;
    if unknown && abandon {
        let note = "the deletion was abandoned: the accounts are not known, and roles and tags may stay behind in them";
        context.events.done(object, Reason::Abandoned, note).await;
    } else if unknown && blocked.is_none() {
        match discover(context, resource, object) {
            Discovered::Soon(wait) => return Decision::Wait(targets, View::Deleting(None), wait),
            Discovered::Blocked(reason, message, wait) => (blocked, again) = (Some((reason, message)), wait),
        }
    }
    if blocked.is_some() && abandon {
        for account in std::mem::take(&mut open) {
            leave_behind(context, resource, object, &account, "nobody could look").await;
        }
    }
    if open.is_empty() && (abandon || !unknown) {
        return Decision::Done;
    }
    if let Some((reason, message)) = blocked {
        context.queue().forget(resource);
        // Without numbers: they grow while a batch is coming in, and each would be another event.
        let note = message.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>();
        context.events.state(object, Reason::DeletionBlocked, &format!("{reason}: {note}")).await;
        return Decision::Wait(targets, View::Deleting(Some((reason, message))), again);
    }
    request_removals(context, resource, object, &open);
    Decision::Wait(targets, View::Deleting(failing(context, resource, &open)), again)
}

fn open_accounts(context: &Context, resource: &Owner, targets: &BTreeSet<AccountId>) -> BTreeSet<AccountId> {
    let resources = context.resources();
    let Some(memory) = resources.get(resource) else { return BTreeSet::new() };
    let open = |id: &&AccountId| memory.accounts.get(*id).is_some_and(|account| !account.gone);
    targets.iter().filter(open).cloned().collect()
}

/// Whether the account was no target any more when the deletion was asked for. A list says so by itself: nobody
/// may have looked between its last change and the deletion.
fn has_left(snapshot: &Snapshot) -> bool {
    snapshot.account.state == AccountState::Removed || !snapshot.is_listed
}

/// What in the cluster keeps AWS from being touched.
fn blocked_in_cluster(context: &Context, object: &PortAwsIntegration) -> Option<(Reason, String)> {
    if object.spec.suspend {
        return Some((Reason::Suspended, "spec.suspend is set, so AWS is left alone: unset it".to_owned()));
    }
    let name = &object.spec.access_ref.name;
    match context.access(name) {
        Access::Found(_) | Access::Leaving(_) => context.unconfirmed_batch(object).map(|size| {
            let message = format!(
                "{size} deletions were asked for within a minute: to confirm, annotate {CONFIRM_DELETION}=\"{size}\""
            );
            (Reason::ManyDeletions, message)
        }),
        Access::Missing => Some((
            Reason::AccessNotFound,
            format!("PortAwsAccess {name} does not exist, so the account cannot be reached: create it again"),
        )),
        Access::Unreadable(_) => Some((Reason::NotAllowed, format!("PortAwsAccess {name} cannot be read: correct it"))),
    }
}

fn request_removals(context: &Context, resource: &Owner, object: &PortAwsIntegration, open: &BTreeSet<AccountId>) {
    let now_asked = Asked::of(object);
    let changed = {
        let mut resources = context.resources();
        let Some(memory) = resources.get_mut(resource) else { return };
        let changed = memory.asked.as_ref() != Some(&now_asked);
        memory.asked = Some(now_asked);
        if changed {
            memory.accounts.values_mut().for_each(AccountMemory::start_afresh);
        }
        changed
    };
    let mut queue = context.queue();
    queue.keep_only(resource, |id| open.contains(id));
    for account in open {
        if changed || !queue.contains(resource, account) {
            let key = WorkKey { resource: resource.clone(), account: account.clone() };
            queue.request(key, Priority::Deletion, context.clock.now() + GRACE);
        }
    }
    drop(queue);
    context.wake.notify_one();
}

fn failing(context: &Context, resource: &Owner, open: &BTreeSet<AccountId>) -> Option<(Reason, String)> {
    let resources = context.resources();
    let memory = resources.get(resource)?;
    open.iter().find_map(|id| {
        let account = memory.accounts.get(id)?;
        account.failing.filter(|failing| failing.stalls())?;
        Some((account.reason, format!("account {id}: {}", account.message.clone().unwrap_or_default())))
    })
}

async fn leave_behind(
    context: &Context,
    resource: &Owner,
    object: &PortAwsIntegration,
    account: &AccountId,
    why: &str,
) {
    let role = object.spec.role_name();
    let note = format!(
        "the deletion was abandoned ({why}): role {role} may stay in account {account}, with the operator's tags"
    );
    context.events.done(object, Reason::Abandoned, &note).await;
    if let Some(memory) = context.resources().get_mut(resource)
        && let Some(account) = memory.accounts.get_mut(account)
    {
        account.gone = true;
    }
}

impl Context {
    /// The size of the batch of deletions that an object belongs to, if it waits for confirmation.
    fn unconfirmed_batch(&self, object: &PortAwsIntegration) -> Option<usize> {
        let time = |object: &PortAwsIntegration| object.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let mine = time(object)?;
        let others: BTreeMap<Owner, Timestamp> = self
            .integrations
            .state()
            .iter()
            .filter_map(|other| other.0.as_ref().ok().filter(|other| self.may_hold(other)))
            .filter_map(|other| Some((owner_of(other), time(other)?)))
            .chain(self.deleted().iter().map(|(owner, at)| (owner.clone(), *at)))
            .filter(|(owner, _)| *owner != owner_of(object))
            .collect();
        let size = batch_size(mine, others.into_values());
        let confirmed = object.annotations().get(CONFIRM_DELETION).map(String::as_str);
        waits_for_confirmation(size, self.deletions_at_once, confirmed).then_some(size)
    }

    /// Keeps in mind that a resource is gone, for the count of deletions.
    pub(super) fn note_deleted(&self, resource: &Owner, object: &PortAwsIntegration) {
        let Some(at) = object.metadata.deletion_timestamp.as_ref().map(|time| time.0) else { return };
        let mut deleted = self.deleted();
        deleted.retain(|_, other| at.duration_since(*other).abs() <= BATCH_WINDOW);
        deleted.insert(resource.clone(), at);
    }

    /// One pass for a resource that is being deleted.
    pub(super) async fn remove(&self, snapshot: &Snapshot) -> Result<(), Superseded> {
        let (object, key) = (&snapshot.object, &snapshot.key);
        let abandon = Asked::of(object).abandon;
        let Some(failure) = self.clear(snapshot, abandon).await? else {
            self.with_account(snapshot, |account| account.gone = true);
            let account = BTreeSet::from([key.account.clone()]);
            self.hand_over(&key.resource, &object.spec.role_name(), &account);
            self.reconcile_soon(&key.resource);
            return Ok(());
        };
        if abandon {
            leave_behind(self, &key.resource, object, &key.account, &failure.message).await;
            self.reconcile_soon(&key.resource);
            return Ok(());
        }
        let blocked = failure.disposition.stalls();
        let note = format!("account {}: {}", key.account, failure.message);
        let now = self.clock.now();
        let interval = Duration::from(object.spec.interval);
        let report = Report::failed(failure);
        let left = object.metadata.deletion_timestamp.is_none();
        let delay = self.with_account(snapshot, |account| {
            let delay = report.remember(account, interval, jitter(), now);
            if left {
                account.state = AccountState::Removed;
            }
            delay
        });
        if blocked {
            self.events.state(object, Reason::DeletionBlocked, &note).await;
        }
        self.request(key.clone(), Priority::Deletion, delay.unwrap_or(interval));
        self.reconcile_soon(&key.resource);
        Ok(())
    }

    /// Takes away what is ours in one account. None means that nothing of ours is left.
    async fn clear(&self, snapshot: &Snapshot, abandon: bool) -> Result<Option<Failure>, Superseded> {
        let (object, key) = (&snapshot.object, &snapshot.key);
        if blocked_in_cluster(self, object).is_some() {
            return Err(Superseded);
        }
        let Some(access) = self.access(&object.spec.access_ref.name).for_removal() else { return Err(Superseded) };
        let partition = match self.aws.caller().await {
            Ok(caller) => caller.partition,
            Err(error) => return Ok(Some(unreachable(key, &error))),
        };
        let target = match Target::new(&object.spec, &key.account, partition) {
            Ok(target) => target,
            Err(error) => return Ok(Some(Failure::invalid(&error.to_string()))),
        };
        let api = match self.reach(&access, key, Errand::Remove(&target)).await {
            Ok(api) => api,
            Err(error) => return Ok(Some(unreachable(key, &error))),
        };
        let role = match api.observe_role(&target).await {
            Ok(role) => role,
            Err(error) => return Ok(Some(self.aws_failure(&snapshot.key, &snapshot.key.account, &error).await)),
        };
        if role.is_none() && snapshot.account.may_be_hidden(self.clock.now()) {
            return Ok(Some(Failure::hidden(&target.role_name)));
        }
        let deleting = object.metadata.deletion_timestamp.is_some();
        let retained =
            deleting && has_left(snapshot) && object.spec.account_removal_policy == AccountRemovalPolicy::Retain;
        let lets_go = retained || abandon || object.spec.mode == Mode::Observe;
        let policy = match (lets_go, deleting) {
            (true, _) => DeletionPolicy::Retain,
            (false, true) => object.spec.deletion_policy,
            (false, false) => DeletionPolicy::Delete,
        };
        let known = snapshot.account.role_id.as_deref();
        let claim = self.claim(&key.resource, &access);
        if !abandon && let Some(waits) = self.waits_for_heir(snapshot, role.as_ref(), &claim, &target).await {
            return Ok(Some(waits));
        }
        let plan = plan_removal(role.as_ref(), &claim, known, policy);
        if let Some(problem) = plan.blocked {
            return Ok(Some(Failure::from(&problem)));
        }
        let role_stays = role.is_some() && !plan.actions.contains(&Action::DeleteRole);
        for action in plan.actions {
            if let Some(failure) = self.take_away(snapshot, &api, &target, &action).await? {
                return Ok(Some(failure));
            }
        }
        if !lets_go {
            return self.clear_provider(snapshot, &api, &target, &claim, role_stays).await;
        }
        if abandon {
            self.tell_of_abandoned_provider(snapshot, &api, &target).await;
        }
        Ok(None)
    }

    /// Leaves a role of ours as it is if another resource of the namespace wants it, until that one has put
    /// its name on it. Gives what is waited for.
    async fn waits_for_heir(
        &self,
        snapshot: &Snapshot,
        role: Option<&ObservedRole>,
        claim: &Claim,
        target: &Target,
    ) -> Option<Failure> {
        let (object, key) = (&snapshot.object, &snapshot.key);
        let role = role?;
        if !matches!(ownership(role, claim, snapshot.account.role_id.as_deref()), Ownership::Ours(_)) {
            return None;
        }
        let (waits, heir) = match self.heir(key, target.role_name.as_str()) {
            Heir::Nobody => return None,
            Heir::Perhaps(heir) => ("stays until it is known whether that may have it", heir),
            Heir::Is(heir) => ("is left to it", heir),
        };
        let message = format!("role {} is wanted by PortAwsIntegration {heir} and {waits}", target.role_name);
        let note = format!("account {}: {message} ({})", key.account, target.role_arn);
        self.events.state(object, Reason::RoleReleased, &note).await;
        self.hand_over(&key.resource, target.role_name.as_str(), &BTreeSet::from([key.account.clone()]));
        Some(Failure::handing_over(message))
    }

    /// Says that a provider stays which should have gone, unless there is none.
    async fn tell_of_abandoned_provider(&self, snapshot: &Snapshot, api: &AccountApi, target: &Target) {
        let policy = snapshot.object.spec.oidc_provider.deletion_policy;
        if policy == ProviderDeletionPolicy::Retain || matches!(api.observe_provider(target).await, Ok(None)) {
            return;
        }
        self.tell_of_provider(snapshot, "the deletion was abandoned").await;
    }

    async fn tell_of_provider(&self, snapshot: &Snapshot, why: &str) {
        let note = format!("account {}: the OIDC provider stays ({why})", snapshot.key.account);
        self.events.done(&snapshot.object, Reason::ProviderRetained, &note).await;
    }

    async fn clear_provider(
        &self,
        snapshot: &Snapshot,
        api: &AccountApi,
        target: &Target,
        claim: &Claim,
        role_stays: bool,
    ) -> Result<Option<Failure>, Superseded> {
        let policy = snapshot.object.spec.oidc_provider.deletion_policy;
        if policy == ProviderDeletionPolicy::Retain {
            return Ok(None);
        }
        let provider = match api.observe_provider(target).await {
            Ok(provider) => provider,
            Err(error) => return Ok(Some(self.aws_failure(&snapshot.key, &snapshot.key.account, &error).await)),
        };
        let (resource, account) = (&snapshot.key.resource, &snapshot.key.account);
        let needed = self.provider_needed_by_others(resource, account, target.issuer.as_str());
        let why = match provider_fate(provider.as_ref(), claim, policy, needed) {
            ProviderFate::Stays if provider.is_none() => return Ok(None),
            ProviderFate::Stays => "the operator did not make it, or it is held".to_owned(),
            ProviderFate::NeededHere => "another PortAwsIntegration needs it".to_owned(),
            ProviderFate::GoesUnlessTrusted => match api.role_that_trusts(target, role_stays).await {
                Err(error) => return Ok(Some(self.aws_failure(&snapshot.key, &snapshot.key.account, &error).await)),
                Ok(None) => return self.take_away(snapshot, api, target, &Action::DeleteProvider).await,
                Ok(Some(role)) => format!("role {role} trusts it"),
            },
        };
        self.tell_of_provider(snapshot, &why).await;
        Ok(None)
    }

    async fn take_away(
        &self,
        snapshot: &Snapshot,
        api: &AccountApi,
        target: &Target,
        action: &Action,
    ) -> Result<Option<Failure>, Superseded> {
        let turn = api.turn().await;
        self.gate(snapshot)?;
        // Somebody may have come to want the role since it was read.
        if matches!(action, Action::DeleteRole | Action::DetachPolicy(_))
            && !Asked::of(&snapshot.object).abandon
            && self.heir(&snapshot.key, target.role_name.as_str()) != Heir::Nobody
        {
            return Err(Superseded);
        }
        match api.execute(turn, target, action).await {
            Ok(_) => {
                tracing::info!(key = %snapshot.key, operation = action.operation(), "{}", action.done());
                if *action == Action::DeleteRole {
                    self.with_account(snapshot, |account| account.role_made = None);
                }
                if !matches!(action, Action::DetachPolicy(_)) {
                    let arn = if *action == Action::DeleteProvider { &target.provider_arn } else { &target.role_arn };
                    let note = format!("account {}: {} ({arn})", snapshot.key.account, action.done());
                    self.events.done(&snapshot.object, action.event_reason(), &note).await;
                }
                Ok(None)
            }
            Err(error) => {
                let mut failure = self.aws_failure(&snapshot.key, &snapshot.key.account, &error).await;
                if failure.reason == Reason::DeletionBlocked {
                    failure.state = AccountState::Conflict;
                    failure.disposition = Disposition::Waiting;
                }
                Ok(Some(failure))
            }
        }
    }
}
