//! Letting go: what to do about a role and a provider when their resource is deleted.

use super::{
    Problem,
    action::Action,
    desired::Claim,
    observed::{ObservedProvider, ObservedRole},
    ownership::{Origin, Ownership, ownership},
    role::{is_incident_inline, is_incident_policy},
};
use crate::{
    api::{AccountState, DeletionPolicy, ProviderDeletionPolicy, Reason},
    domain::tags,
};

/// What to do about a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovalPlan {
    /// The writes, in order.
    pub actions: Vec<Action>,
    /// What keeps the role from going.
    pub blocked: Option<Problem>,
}

/// Plans the end of a role: deleted if we made it and the policy says so, else left without our
/// tags; one that is not ours is not touched. What would make IAM refuse the deletion is found
/// before anything is taken off the role.
#[must_use]
pub fn plan_removal(
    role: Option<&ObservedRole>,
    claim: &Claim,
    known_role_id: Option<&str>,
    policy: DeletionPolicy,
) -> RemovalPlan {
    let Some(role) = role else { return RemovalPlan::default() };
    let Ownership::Ours(origin) = ownership(role, claim, known_role_id) else { return RemovalPlan::default() };
    let blocked = |reason, message: String| RemovalPlan {
        actions: Vec::new(),
        blocked: Some(Problem::new(AccountState::Held, reason, message)),
    };
    if role.tags.contains_key(tags::HOLD) {
        return blocked(Reason::Held, format!("role {} has the tag {}: take it off", role.name, tags::HOLD));
    }
    if origin == Origin::Adopted || policy == DeletionPolicy::Retain {
        return release(role);
    }
    let incident = role.attached.iter().any(|arn| is_incident_policy(arn))
        || role.inline.iter().any(|name| is_incident_inline(name));
    if incident {
        return blocked(
            Reason::IncidentPolicy,
            format!("role {} has a policy that answers an incident: take it off once that is over", role.name),
        );
    }
    if !role.inline.is_empty() {
        return blocked(
            Reason::ForeignInlinePolicy,
            format!("role {} has inline policies that are not ours: delete them", role.name),
        );
    }
    let detach = role.attached.iter().cloned().map(Action::DetachPolicy);
    RemovalPlan { actions: detach.chain([Action::DeleteRole]).collect(), blocked: None }
}

/// Takes our claim off a role, as far as it is on it.
fn release(role: &ObservedRole) -> RemovalPlan {
    let keys: Vec<String> =
        tags::CLAIM.iter().filter(|key| role.tags.contains_key(**key)).map(ToString::to_string).collect();
    let actions = if keys.is_empty() { Vec::new() } else { vec![Action::UntagRole { keys }] };
    RemovalPlan { actions, blocked: None }
}

/// What becomes of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderFate {
    /// It stays: the policy says so, it is not ours, or it is held.
    Stays,
    /// It stays, because another resource here needs it.
    NeededHere,
    /// It may go if no role in the account trusts it.
    GoesUnlessTrusted,
}

/// What becomes of a provider when one of the resources that use it goes.
#[must_use]
pub fn provider_fate(
    provider: Option<&ObservedProvider>,
    claim: &Claim,
    policy: ProviderDeletionPolicy,
    needed_by_others: bool,
) -> ProviderFate {
    let ours = provider.is_some_and(|provider| {
        let tag = |key| provider.tags.get(key).map(String::as_str);
        tag(tags::CLUSTER).is_some_and(|cluster| claim.covers(cluster))
            && tag(tags::ORIGIN) == Some(tags::ORIGIN_CREATED)
            && tag(tags::HOLD).is_none()
    });
    match (policy, ours) {
        (ProviderDeletionPolicy::DeleteIfUnused, true) if needed_by_others => ProviderFate::NeededHere,
        (ProviderDeletionPolicy::DeleteIfUnused, true) => ProviderFate::GoesUnlessTrusted,
        _ => ProviderFate::Stays,
    }
}
