//! A pass that takes away what is ours in one account: the role, then the provider where that is asked for.

use std::{collections::BTreeSet, time::Duration};

use super::{
    context::{Context, Snapshot},
    failure::Failure,
    finalize::{blocked_in_cluster, leave_behind},
    gate::Superseded,
    memory::Asked,
    reach::unreachable,
    report::Report,
    succession::Heir,
};
use crate::{
    api::{AccountRemovalPolicy, AccountState, DeletionPolicy, Mode, ProviderDeletionPolicy, Reason},
    aws::{AccountApi, Errand},
    clock::jitter,
    plan::{Action, Claim, ObservedRole, Ownership, ProviderFate, Target, ownership, plan_removal, provider_fate},
    schedule::{Disposition, Priority},
};

/// Whether the account was no target any more when the deletion was asked for. A list says so by itself: nobody
/// may have looked between its last change and the deletion.
fn has_left(snapshot: &Snapshot) -> bool {
    snapshot.account.state == AccountState::Removed || !snapshot.is_listed
}

impl Context {
    /// One pass for a resource that is being deleted, or for an account that has left one.
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
        self.not_removed(snapshot, failure).await;
        Ok(())
    }

    /// Something of ours is left in the account: it is told, and tried again, or left behind if that was asked for.
    pub(super) async fn not_removed(&self, snapshot: &Snapshot, failure: Failure) {
        let (object, key) = (&snapshot.object, &snapshot.key);
        if Asked::of(object).abandon {
            leave_behind(self, &key.resource, object, &key.account, &failure.message).await;
            self.reconcile_soon(&key.resource);
            return;
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
