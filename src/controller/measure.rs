//! What the metrics say of the controller's work.

use std::time::Instant;

use kube::{Resource, core::DeserializeGuard};

use super::{
    cluster_call::CallError,
    context::{Context, Guarded, Snapshot},
};
use crate::{
    api::{AccountState, PortAwsIntegration, Reason},
    plan::Action,
    telemetry::metrics::{Sample, Word},
};

impl Context {
    /// How things stand now. Accounts are counted as the stored status has them.
    pub(super) fn sample(&self) -> Sample {
        let mut sample = Sample { sessions: self.aws.sessions(), ..Sample::default() };
        // A Lease that has run out is nobody's news, so it is asked for each time.
        sample.leads = self.leadership.may_write();
        sample.queue = self.queue().depth(self.clock.now());
        for object in self.integrations.state() {
            *sample.integrations.entry(standing(&object)).or_default() += 1;
            let DeserializeGuard(Ok(object)) = object.as_ref() else { continue };
            for account in object.status.iter().flat_map(|status| &status.accounts) {
                *sample.accounts.entry(account.state).or_default() += 1;
            }
        }
        sample
    }

    /// Counts a pass that came to its end.
    pub(super) fn count_pass(&self, snapshot: &Snapshot, removes: bool, began: Instant) {
        let outcome = self.with_account(snapshot, |account| match (removes, account.failing) {
            (true, _) if account.gone => "Cleared".into(),
            (true, Some(failing)) if failing.stalls() => "Blocked".into(),
            (true, _) => "Retrying".into(),
            (false, None) if account.reason == Reason::NotSettled => "Unsettled".into(),
            (false, _) => Word::State(account.state),
        });
        self.count_pass_as(outcome.unwrap_or("Superseded".into()), removes, began);
    }

    /// Counts a pass that ended as the caller says.
    pub(super) fn count_pass_as(&self, outcome: Word, removes: bool, began: Instant) {
        tracing::Span::current().record("outcome", tracing::field::display(outcome));
        self.metrics.passed(if removes { "Remove" } else { "Ensure" }, outcome, began.elapsed());
    }

    /// Counts what a write has set right. What comes of a change of spec is no drift, nor what a first
    /// pass finds.
    pub(super) fn count_correction(&self, snapshot: &Snapshot, action: &Action) {
        if snapshot.account.generation != snapshot.object.metadata.generation {
            return;
        }
        for field in corrected(action, snapshot.account.state == AccountState::Ready) {
            self.metrics.corrected(field);
        }
    }
}

/// What is logged in a pass is logged in this span; [`Context::count_pass_as`] adds the outcome.
pub(super) fn pass_span(snapshot: &Snapshot, removes: bool) -> tracing::Span {
    let (resource, account) = (&snapshot.key.resource, &snapshot.key.account);
    tracing::info_span!(
        "pass",
        kind = if removes { "Remove" } else { "Ensure" },
        namespace = resource.namespace,
        name = resource.name,
        generation = snapshot.object.metadata.generation,
        %account,
        outcome = tracing::field::Empty,
    )
}

/// What is logged in a reconcile is logged in this span.
pub(super) fn reconcile_span(kind: &'static str, object: &impl Resource) -> tracing::Span {
    let meta = object.meta();
    let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    tracing::info_span!("reconcile", kind, namespace, name, generation = meta.generation)
}

/// The outcome of a reconcile.
pub(super) fn outcome<T>(result: &Result<T, CallError>) -> &'static str {
    match result {
        Ok(_) => "Ok",
        Err(error) if error.is_outdated() => "Outdated",
        Err(_) => "Failed",
    }
}

/// How a resource stands, in one word.
fn standing(object: &Guarded) -> &'static str {
    let DeserializeGuard(Ok(object)) = object else { return "Unreadable" };
    let is_so = |kind: &str| condition(object, kind).is_some_and(|(status, _)| status == "True");
    let blocked =
        || condition(object, "Ready").is_some_and(|(_, reason)| reason == Reason::DeletionBlocked.to_string());
    match () {
        () if object.metadata.deletion_timestamp.is_some() && blocked() => "DeletionBlocked",
        () if object.metadata.deletion_timestamp.is_some() => "Deleting",
        () if object.spec.suspend => "Suspended",
        () if is_so("Stalled") => "Stalled",
        () if is_so("Ready") => "Ready",
        () => "Reconciling",
    }
}

fn condition<'a>(object: &'a PortAwsIntegration, kind: &str) -> Option<(&'a str, &'a str)> {
    let conditions = &object.status.as_ref()?.conditions;
    let found = conditions.iter().find(|condition| condition.type_ == kind)?;
    Some((&found.status, &found.reason))
}

/// The fields that a write sets right. `was_ready` says that what is made now had been there.
fn corrected(action: &Action, was_ready: bool) -> Vec<&'static str> {
    match action {
        Action::CreateRole(_) if was_ready => vec!["Role"],
        Action::CreateProvider { .. } if was_ready => vec!["Provider"],
        Action::AddClientId { .. } if was_ready => vec!["ClientIds"],
        Action::TagRole { adopts: false, former: None, .. } => vec!["Tags"],
        Action::UpdateTrust { drift, .. } | Action::UpdateRole { drift, .. } => {
            let mut fields: Vec<&str> = drift.iter().map(|drift| field(&drift.field)).collect();
            fields.dedup();
            fields
        }
        Action::AttachPolicy(_) => vec!["MissingPolicy"],
        Action::DetachPolicy(_) => vec!["ExtraPolicy"],
        Action::PutBoundary { .. } | Action::DeleteBoundary { .. } => vec!["PermissionsBoundary"],
        _ => Vec::new(),
    }
}

/// A field's name without what somebody else wrote: a condition's key is their text.
fn field(path: &str) -> &'static str {
    match path.split('.').next().unwrap_or_default() {
        "Description" => "Description",
        "MaxSessionDuration" => "MaxSessionDuration",
        "Version" => "TrustVersion",
        "Statement" => "TrustStatement",
        "Effect" => "TrustEffect",
        "Principal" => "TrustPrincipal",
        "Action" => "TrustAction",
        "Condition" => "TrustCondition",
        _ => "TrustDocument",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::FieldDrift;

    #[test]
    fn a_field_never_has_somebody_elses_words() {
        let drift = |field: &str| FieldDrift { field: field.into(), found: "x".into(), wanted: "y".into() };
        let fields = ["Description", "Condition.StringLike.evil\"key", "Condition.StringEquals.sub", "document"];
        let drift = fields.map(drift).to_vec();
        let action = Action::UpdateRole { description: String::new(), max_session_duration: 3600, drift };
        assert_eq!(corrected(&action, false), ["Description", "TrustCondition", "TrustDocument"]);
        let made = Action::AddClientId { client_id: "x".into() };
        assert_eq!((corrected(&made, true), corrected(&made, false)), (vec!["ClientIds"], vec![]));
    }
}
