//! Discovery: when AWS Organizations is asked for the accounts of a resource, and what becomes of its
//! answer. Asking is no part of a reconcile: it may take minutes where there are many units.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use kube::ResourceExt;

use super::{
    access_version::AccessVersion, context::Context, discovery_memory::Question, failure::Failure,
    gate::for_one_account,
};
use crate::{
    api::{AccountState, Discovery, PortAwsAccess, PortAwsIntegration, Reason},
    domain::Owner,
    plan::Listing,
    schedule::Disposition,
    telemetry::metrics::Word,
};

/// Longest discovery, from its first call. At 5 calls a second it is enough for an organization of 2,000
/// accounts in 500 units.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Discoveries that run at once.
pub(super) const AT_ONCE: usize = 4;
/// What every note of discovery begins with.
const NOTE: &str = "discovery: ";

/// Asks AWS Organizations if it is time to. Gives the wait until it is.
pub(super) fn attend(
    context: &Arc<Context>,
    resource: &Owner,
    object: &PortAwsIntegration,
    access: &Arc<PortAwsAccess>,
) -> Option<Duration> {
    let question = Question::of(object)?;
    let now = context.clock.now();
    {
        let mut resources = context.resources();
        let discovery = resources.get_mut(resource)?.discovery.as_mut()?;
        if let Err(wait) = discovery.start(&question, now) {
            return wait;
        }
    }
    let (context, access, object) = (Arc::clone(context), Arc::clone(access), for_one_account(object));
    let resource = resource.clone();
    tokio::spawn(async move {
        let answer = context.ask(&resource, &question.discovery, &access).await;
        context.record(&resource, &object, question, &access, answer).await;
    });
    None
}

impl Context {
    async fn ask(&self, resource: &Owner, discovery: &Discovery, access: &PortAwsAccess) -> Result<Listing, Failure> {
        // Those of one organization go one after another: they share its pace, and would be late together.
        let organization = self.organization_turn(access);
        let _turn_of_organization = organization.lock().await;
        // It fails only if it was closed, which nobody does.
        let _turn = self.discoveries.acquire().await;
        let asking = async {
            let api = self.organizations(access, resource).await.map_err(|error| {
                tracing::warn!(%resource, %error, "AWS Organizations cannot be reached");
                Failure::from(&error)
            })?;
            match api.list(&discovery.organizational_unit_ids).await {
                Ok(listing) => Ok(listing),
                Err(error) => Err(self.aws_failure(resource, api.account(), &error).await),
            }
        };
        let timed_out = || Failure {
            state: AccountState::Failed,
            reason: Reason::Unreachable,
            message: format!("AWS Organizations gave no answer in {} s", TIMEOUT.as_secs()),
            disposition: Disposition::Transient,
            decided: false,
            unreached: true,
        };
        tokio::time::timeout(TIMEOUT, asking).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// The turns of the account whose AWS Organizations an access object asks; those of the operator's own
    /// account have the empty name.
    fn organization_turn(&self, access: &PortAwsAccess) -> Arc<tokio::sync::Mutex<()>> {
        let role_arn = access.spec.organizations.as_ref().and_then(|it| it.role_arn.as_deref());
        let account = role_arn.and_then(|arn| arn.split(':').nth(4)).unwrap_or_default();
        let mut turns = self.organization_turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|name, turn| name == account || Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(account.to_owned()).or_default())
    }

    async fn record(
        &self,
        resource: &Owner,
        object: &PortAwsIntegration,
        question: Question,
        access: &PortAwsAccess,
        answer: Result<Listing, Failure>,
    ) {
        let now = self.clock.now();
        let by = AccessVersion::of(access);
        let same_access =
            self.access(&access.name_any()).for_removal().is_some_and(|now| AccessVersion::of(&now) == by);
        let still_asked = same_access && self.with_object(resource, Question::of).flatten().as_ref() == Some(&question);
        let failure = {
            let mut resources = self.resources();
            let memory = resources.get_mut(resource).filter(|memory| Some(&memory.uid) == object.metadata.uid.as_ref());
            let Some(discovery) = memory.and_then(|memory| memory.discovery.as_mut()) else { return };
            if !still_asked {
                // An answer to what is no longer asked, or by an access object that was changed, could bring
                // accounts that nobody wants now.
                discovery.drop_try();
                drop(resources);
                self.metrics.discovered("Outdated");
                return self.reconcile_soon(resource);
            }
            let before = discovery.accounts();
            discovery.take(question, by, answer, object.spec.interval.into(), now);
            let after = discovery.accounts();
            tracing::info!(
                %resource,
                accounts = after.len(),
                joined = after.difference(&before).count(),
                left = before.difference(&after).count(),
                missing = discovery.members.missing(),
                answered = discovery.failure.is_none(),
                "AWS Organizations was asked"
            );
            discovery.failure.as_ref().map(|(failure, _)| failure.clone())
        };
        self.metrics.discovered(failure.as_ref().map_or(Word::OK, |failure| failure.reason.into()));
        let note = failure.map(|failure| (failure.reason, format!("{NOTE}{}", failure.message)));
        let still = |reason, text: &str| note.as_ref().is_some_and(|(r, note)| *r == reason && note == text);
        self.events.forget(object, |reason, text| text.starts_with(NOTE) && !still(reason, text));
        if let Some((reason, note)) = &note {
            self.events.state(object, *reason, note).await;
        }
        self.reconcile_soon(resource);
    }
}
