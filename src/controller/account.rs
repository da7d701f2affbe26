//! One pass over one account: read once, decide, arm, act, report.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::Instrument;

use super::{
    context::{Access, Context, Snapshot},
    failure::Failure,
    gate::Superseded,
    measure::pass_span,
    reach::unreachable,
    report::Report,
};
use crate::{
    api::{AccountState, Mode, PortAwsIntegration, Reason, Use},
    aws::{AccountApi, AwsError, Errand},
    clock::jitter,
    domain::AccountId,
    plan::{Action, Desired, Granted, Observed, Origin, Ownership, Phase, Plan, Step, ownership, plan, used},
    schedule::{Disposition, Priority, WorkKey},
};

impl Context {
    /// One pass for a live resource.
    pub(super) async fn ensure(&self, snapshot: &Snapshot) -> Result<Report, Superseded> {
        let (object, key) = (&snapshot.object, &snapshot.key);
        let access_name = &object.spec.access_ref.name;
        let Access::Found(access) = self.access(access_name) else { return Err(Superseded) };
        let labels = self.namespace_labels(&key.resource.namespace);
        let granted = Granted::check(&object.spec, &key.resource.namespace, labels.as_ref(), &access.spec)
            .map_err(|_| Superseded)?;
        if object.spec.suspend || snapshot.is_left_out || !access.spec.allows_account(key.account.as_str()) {
            return Err(Superseded);
        }
        let partition = match self.aws.caller().await {
            Ok(caller) => caller.partition,
            Err(error) => return Ok(Report::failed(unreachable(key, &error))),
        };
        let mut desired = match Desired::build(granted, &key.account, partition, &self.claim(&key.resource, &access)) {
            Ok(desired) => desired,
            Err(error) => return Ok(Report::failed(Failure::invalid(&error.to_string()))),
        };
        let api = match self.reach(&access, key, Errand::Manage(&desired)).await {
            Ok(api) => api,
            Err(error) => return Ok(Report::failed(unreachable(key, &error))),
        };
        let observed = match api.observe(&desired.target).await {
            Ok(observed) => observed,
            Err(error) => {
                return Ok(Report::failed(self.aws_failure(&snapshot.key, &snapshot.key.account, &error).await));
            }
        };
        desired.claim.predecessor = observed.role.as_ref().and_then(|role| self.predecessor(role, key));
        let mut plan = plan(&desired, &observed, snapshot.account.role_id.as_deref());
        let unsettled = snapshot.account.settling.hold_back(&mut plan.steps, self.clock.now());
        let mut report = Report::of_plan(&plan);
        report.unsettled = unsettled;
        self.note_role(&mut report, &desired, &observed, snapshot);
        if plan.owned || (object.spec.mode == Mode::Enforce && !plan.steps.is_empty()) {
            self.arm(snapshot).await?;
        }
        if object.spec.mode == Mode::Observe {
            report.pending = plan.steps.iter().map(|step| step.action.to_string()).collect();
            return Ok(report);
        }
        self.execute(snapshot, &api, &desired, plan, &mut report).await?;
        Ok(report)
    }

    /// What the reading alone says of the role: its ID if we made it, and whether Port uses it.
    fn note_role(&self, report: &mut Report, desired: &Desired, observed: &Observed, snapshot: &Snapshot) {
        let Some(role) = &observed.role else { return };
        self.with_account(snapshot, |account| account.role_made = None);
        let whose = ownership(role, &desired.claim, snapshot.account.role_id.as_deref());
        if let Ownership::Ours(origin) = whose {
            report.role_id = (origin == Origin::Created).then(|| role.role_id.clone());
            report.used = Some(used(role, self.clock.wall()));
        }
    }

    /// Makes the writes in order. One that narrows and is refused does not keep the others that
    /// narrow from being tried, but forbids everything after them.
    async fn execute(
        &self,
        snapshot: &Snapshot,
        api: &AccountApi,
        desired: &Desired,
        plan: Plan,
        report: &mut Report,
    ) -> Result<(), Superseded> {
        let widens = plan.steps.iter().any(|step| step.phase == Phase::Widen);
        let mut refused: Option<AwsError> = None;
        for step in plan.steps {
            if refused.is_some() && step.phase > Phase::Narrow {
                break;
            }
            let turn = api.turn().await;
            self.gate(snapshot)?;
            match api.execute(turn, &desired.target, &step.action).await {
                Ok(role_id) => self.wrote(snapshot, desired, &step, role_id, report).await,
                Err(error) => {
                    let goes_on = step.phase == Phase::Narrow && error.disposition.stalls();
                    let failure = self.aws_failure(&snapshot.key, &snapshot.key.account, &error).await;
                    let unclear = matches!(error.reason, Reason::Unreachable | Reason::ConcurrentChange);
                    if unclear && matches!(step.action, Action::CreateRole(_)) {
                        // Only the answer may have been lost, of this attempt or of one before.
                        let now = self.clock.now();
                        self.with_account(snapshot, |account| account.role_made = Some(now));
                    }
                    if goes_on {
                        refused.get_or_insert(error);
                    } else {
                        let part = if step.phase == Phase::Provider { &mut report.provider } else { &mut report.role };
                        *part = Some(failure);
                        return Ok(());
                    }
                }
            }
        }
        if let Some(error) = refused {
            let mut failure = Failure::from(&error);
            if widens {
                failure.reason = Reason::RoleTooBroad;
                failure.message = format!("the role has more than is wanted and is not opened: {}", failure.message);
            }
            report.role = Some(failure);
        }
        Ok(())
    }

    async fn wrote(
        &self,
        snapshot: &Snapshot,
        desired: &Desired,
        step: &Step,
        role_id: Option<String>,
        report: &mut Report,
    ) {
        let now = self.clock.now();
        tracing::info!(key = %snapshot.key, operation = step.action.operation(), "{}", step.action.done());
        self.with_account(snapshot, |account| {
            account.settling.wrote(&step.action, now);
            if matches!(step.action, Action::CreateRole(_)) {
                account.role_made = Some(now);
            }
        });
        self.count_correction(snapshot, &step.action);
        if let Some(role_id) = role_id {
            report.role_id = Some(role_id);
            report.used = Some(Use::NotYet);
            report.created = true;
        }
        // Attaching to a role that was made a moment ago is part of making it.
        if report.created && matches!(step.action, Action::AttachPolicy(_)) {
            return;
        }
        let account = &snapshot.key.account;
        if step.phase == Phase::Claim
            && let Some(predecessor) = &desired.claim.predecessor
        {
            self.handed_over(predecessor, account);
        }
        let object = match step.phase {
            Phase::Provider => &desired.target.provider_arn,
            _ => &desired.target.role_arn,
        };
        let note = format!("account {account}: {} ({object})", step.action.done());
        self.events.done(&snapshot.object, step.action.event_reason(), &note).await;
    }

    /// Logs AWS's own words, which go nowhere else, and asks for other credentials if AWS does not
    /// take the present ones.
    pub(super) async fn aws_failure(
        &self,
        key: &(impl std::fmt::Display + Sync),
        account: &AccountId,
        error: &AwsError,
    ) -> Failure {
        let request_id = error.request_id.as_deref().unwrap_or("none");
        tracing::warn!(%key, operation = error.operation, code = error.code.as_deref(), reason = %error.reason, request_id, "a call to AWS failed");
        tracing::debug!(%key, operation = error.operation, detail = %error.detail, "AWS's answer");
        if error.reason == Reason::CredentialsUnavailable {
            self.aws.forget(account).await;
        }
        Failure::from(error)
    }

    /// Ends a pass for a live resource: remembers, tells, and asks for the next visit.
    pub(super) async fn conclude(&self, snapshot: &Snapshot, report: Report) {
        let (object, key) = (&snapshot.object, &snapshot.key);
        let failure = report.failure().cloned();
        let notes = report.notes.clone();
        let interval = object.spec.interval.into();
        let now = self.clock.now();
        let delay = self.with_account(snapshot, |account| {
            account.generation = object.metadata.generation;
            account.answered.clone_from(&snapshot.requested_at);
            account.visited_by.clone_from(&snapshot.access_version);
            report.remember(account, interval, jitter(), now)
        });
        let Some(delay) = delay else { return };
        self.tell(object, key, failure.as_ref(), &notes).await;
        let priority = if failure.is_some() { Priority::NotReady } else { Priority::Poll };
        self.request(key.clone(), priority, delay);
        self.reconcile_soon(&key.resource);
    }

    async fn tell(
        &self,
        object: &PortAwsIntegration,
        key: &WorkKey,
        failure: Option<&Failure>,
        notes: &[crate::plan::Note],
    ) {
        let prefix = format!("account {}: ", key.account);
        let now: Vec<(Reason, String)> = failure
            .map(|failure| (failure.reason, failure.message.clone()))
            .into_iter()
            .chain(notes.iter().map(|note| (note.reason, note.message.clone())))
            .map(|(reason, message)| (reason, format!("{prefix}{message}")))
            .collect();
        let still = |reason: Reason, note: &str| now.iter().any(|(r, n)| *r == reason && n == note);
        self.events.forget(object, |reason, note| note.starts_with(&prefix) && !still(reason, note));
        for (reason, note) in &now {
            self.events.state(object, *reason, note).await;
        }
    }
}

/// Runs one pass to its end, and tells the queue.
pub(super) async fn visit(context: Arc<Context>, key: WorkKey) {
    if let Some(snapshot) = context.snapshot(&key) {
        let deleting = snapshot.object.metadata.deletion_timestamp.is_some();
        let removes = deleting || !snapshot.is_target;
        // An account that has just left may still be asked for, and must not be cleared by that.
        if !removes || deleting || snapshot.may_clear {
            let span = pass_span(&snapshot, removes);
            pass(&context, &snapshot, removes).instrument(span).await;
        }
    }
    context.queue().finish(&key);
    context.wake.notify_one();
}

async fn pass(context: &Context, snapshot: &Snapshot, removes: bool) {
    let key = &snapshot.key;
    tracing::debug!("a pass begins");
    let began = Instant::now();
    let work = async {
        if removes {
            return context.remove(snapshot).await;
        }
        let report = context.ensure(snapshot).await?;
        context.conclude(snapshot, report).await;
        Ok(())
    };
    match tokio::time::timeout(super::PASS_TIMEOUT, work).await {
        Ok(Ok(())) => context.count_pass(snapshot, removes, began),
        Ok(Err(Superseded)) => {
            tracing::debug!(%key, "a pass ends early, as the object has changed");
            context.count_pass_as("Superseded".into(), removes, began);
            context.retry_superseded(snapshot);
        }
        Err(_) => {
            tracing::warn!(%key, "a pass took too long");
            context.count_pass_as("TimedOut".into(), removes, began);
            let failure = Failure {
                state: AccountState::Failed,
                reason: Reason::Unreachable,
                message: format!("AWS did not answer within {} s", super::PASS_TIMEOUT.as_secs()),
                disposition: Disposition::Transient,
                decided: false,
                unreached: true,
            };
            if removes {
                context.not_removed(snapshot, failure).await;
            } else {
                context.conclude(snapshot, Report::failed(failure)).await;
            }
        }
    }
}

impl Context {
    /// The change that ended the pass may have been seen by the reconcile before the pass began, so
    /// the account is asked for again, and the reconcile decides whether it still is a target.
    fn retry_superseded(&self, snapshot: &Snapshot) {
        let uid = &snapshot.object.metadata.uid;
        let there = self.with_object(&snapshot.key.resource, |object| object.metadata.uid == *uid) == Some(true);
        if there && !self.is_closing() {
            self.request(snapshot.key.clone(), Priority::SpecChanged, Duration::from_millis(200));
            self.reconcile_soon(&snapshot.key.resource);
        }
    }
}
