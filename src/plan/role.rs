use std::collections::BTreeSet;

use super::{
    Note, Plan, Problem,
    action::{Action, Phase, Step},
    adoption,
    desired::{Desired, DesiredRole},
    observed::ObservedRole,
    ownership::{Origin, Ownership, ownership},
};
use crate::{
    api::{AccountState, ExtraPolicies, Reason},
    domain::{
        PolicyArn,
        tags::{self, Tags},
    },
    policy::{FieldDrift, covers, published::INCIDENT_POLICIES},
};

/// The inline policy that IAM's console adds to revoke sessions.
const REVOKE_SESSIONS: &str = "AWSRevokeOlderSessions";

/// Plans the role into `plan`.
pub(super) fn plan_role(
    desired: &Desired,
    observed: Option<&ObservedRole>,
    known_role_id: Option<&str>,
    plan: &mut Plan,
) {
    let Some(role) = observed else {
        create(&desired.role, plan);
        return;
    };
    let standing = match whose(desired, role, known_role_id) {
        Ok(standing) => standing,
        Err(problem) => {
            plan.role = Some(problem);
            return;
        }
    };
    plan.owned = role.tags.contains_key(tags::CLUSTER);
    if role.tags.contains_key(tags::HOLD) {
        plan.role = Some(Problem::new(
            AccountState::Held,
            Reason::Held,
            format!("the role has the tag {}: it is read and not written until the tag is taken off", tags::HOLD),
        ));
        return;
    }
    tag(&desired.role, role, &standing, plan);
    boundary(&desired.role, role, plan);
    extras(&desired.role, role, plan);
    // Of the steps that widen, the trust comes first: until it is right, nobody gains anything.
    trust(&desired.role, role, plan);
    missing(&desired.role, role, plan);
    unbound(&desired.role, role, plan);
    settings(&desired.role, role, plan);
    if plan.role.is_some() {
        plan.steps.retain(|step| step.phase != Phase::Widen);
    }
}

/// How a role stands that is ours or becomes ours.
struct Standing {
    origin: Origin,
    /// Whether it was nobody's, whatever tags of ours somebody left on it.
    adopts: bool,
}

/// The standing of a role that is ours or may become ours.
fn whose(desired: &Desired, role: &ObservedRole, known_role_id: Option<&str>) -> Result<Standing, Problem> {
    let other = |message| Err(Problem::new(AccountState::Conflict, Reason::OwnedByOther, message));
    let name = &desired.target.role_name;
    match ownership(role, &desired.claim, known_role_id) {
        Ownership::Ours(origin) => Ok(Standing { origin, adopts: false }),
        Ownership::OtherResource(owner) => {
            other(format!("role {name} belongs to PortAwsIntegration {owner}: give this one another role.name"))
        }
        Ownership::OtherInstallation(cluster) => other(format!(
            "role {name} belongs to the operator installation {cluster}: give this one another role.name"
        )),
        Ownership::Unclaimed => {
            adoption::check(desired, role).map(|()| Standing { origin: Origin::Adopted, adopts: true })
        }
    }
}

fn create(desired: &DesiredRole, plan: &mut Plan) {
    step(plan, Phase::Widen, Action::CreateRole(Box::new(desired.clone())));
    for arn in &desired.policies {
        step(plan, Phase::Widen, Action::AttachPolicy(arn.clone()));
    }
}

/// Tags that are missing or differ. The claim comes before everything else, so that a crash never
/// leaves a role changed and not marked as ours.
fn tag(desired: &DesiredRole, role: &ObservedRole, standing: &Standing, plan: &mut Plan) {
    let mut wanted = desired.tags.clone();
    wanted.insert(tags::ORIGIN.to_owned(), standing.origin.tag_value().to_owned());
    let differing: Tags = wanted.into_iter().filter(|(key, value)| role.tags.get(key) != Some(value)).collect();
    if differing.is_empty() {
        return;
    }
    let claims = tags::CLAIM.iter().any(|key| differing.contains_key(*key));
    let adopts = standing.adopts;
    let former = |key: &str| role.tags.get(key).filter(|_| !adopts && differing.contains_key(key));
    let former = former(tags::CLUSTER)
        .map(|cluster| format!("the installation {cluster}"))
        .or_else(|| former(tags::OWNER).map(|owner| format!("PortAwsIntegration {owner}")));
    let phase = if claims { Phase::Claim } else { Phase::Settle };
    step(plan, phase, Action::TagRole { tags: differing, adopts, former });
}

fn boundary(desired: &DesiredRole, role: &ObservedRole, plan: &mut Plan) {
    match (&desired.boundary, &role.boundary) {
        (_, Some(found)) if is_incident_policy(found) => incident(plan, "permissions boundary", found),
        (Some(wanted), found) if found.as_deref() != Some(wanted.as_str()) => {
            step(plan, Phase::Narrow, Action::PutBoundary { arn: wanted.clone(), found: found.clone() });
        }
        _ => {}
    }
}

fn unbound(desired: &DesiredRole, role: &ObservedRole, plan: &mut Plan) {
    if let (None, Some(found)) = (&desired.boundary, &role.boundary)
        && !is_incident_policy(found)
    {
        step(plan, Phase::Widen, Action::DeleteBoundary { found: found.clone() });
    }
}

fn extras(desired: &DesiredRole, role: &ObservedRole, plan: &mut Plan) {
    let wanted: BTreeSet<&str> = desired.policies.iter().map(PolicyArn::as_str).collect();
    for arn in role.attached.iter().filter(|arn| !wanted.contains(arn.as_str())) {
        if is_incident_policy(arn) {
            incident(plan, "managed policy", arn);
        } else if desired.extra_policies == ExtraPolicies::Remove {
            step(plan, Phase::Narrow, Action::DetachPolicy(arn.clone()));
        } else {
            let message = format!("role {} has {arn}, which is not wanted; extraPolicies is Report", role.name);
            plan.notes.push(Note { reason: Reason::ExtraPolicies, message });
        }
    }
}

fn missing(desired: &DesiredRole, role: &ObservedRole, plan: &mut Plan) {
    for arn in desired.policies.iter().filter(|arn| !role.attached.contains(arn.as_str())) {
        step(plan, Phase::Widen, Action::AttachPolicy(arn.clone()));
    }
}

fn trust(desired: &DesiredRole, role: &ObservedRole, plan: &mut Plan) {
    let (foreign, revoking): (Vec<&String>, Vec<&String>) =
        role.inline.iter().partition(|name| !is_incident_inline(name));
    if !revoking.is_empty() {
        let message = format!("role {} has the inline policy {REVOKE_SESSIONS}; it is left alone", role.name);
        plan.notes.push(Note { reason: Reason::IncidentPolicy, message });
    }
    if !foreign.is_empty() {
        let names = foreign.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!("role {} has inline policies that are not ours and are left alone: {names}", role.name);
        plan.notes.push(Note { reason: Reason::ForeignInlinePolicy, message });
    }
    let unreadable =
        |error: &_| vec![FieldDrift { field: "document".into(), found: format!("{error}"), wanted: "a policy".into() }];
    let drift = role.trust.as_ref().map_or_else(unreadable, |found| desired.trust.drift(found));
    if drift.is_empty() {
        return;
    }
    let narrows = role.trust.as_ref().is_ok_and(|found| covers(found, &desired.trust.document()));
    let action = Action::UpdateTrust { trust: desired.trust.clone(), drift };
    if narrows {
        step(plan, Phase::Narrow, action);
        return;
    }
    let beyond = beyond_limits(desired, role);
    if foreign.is_empty() && beyond.is_empty() {
        step(plan, Phase::Widen, action);
    } else if plan.role.is_none() {
        let why = if foreign.is_empty() {
            format!(
                "managed policies that the PortAwsAccess does not allow ({}): remove them, or allow them in its limits",
                beyond.join(", ")
            )
        } else {
            "inline policies that are not ours: remove them".to_owned()
        };
        let message = format!("the role's trust policy is not opened while the role has {why}");
        plan.role = Some(Problem::new(AccountState::Conflict, Reason::RoleTooBroad, message));
    }
}

/// The managed policies that stay on the role although nobody allows them: an administrator of the account may have
/// attached them, or they were allowed once.
fn beyond_limits<'a>(desired: &DesiredRole, role: &'a ObservedRole) -> Vec<&'a str> {
    if desired.extra_policies == ExtraPolicies::Remove {
        return Vec::new();
    }
    let allowed: BTreeSet<&str> =
        desired.policies.iter().chain(&desired.allowed_policies).map(PolicyArn::as_str).collect();
    role.attached.iter().map(String::as_str).filter(|arn| !allowed.contains(arn)).collect()
}

fn settings(desired: &DesiredRole, role: &ObservedRole, plan: &mut Plan) {
    let mut drift = Vec::new();
    let found = role.description.clone().unwrap_or_default();
    if found != desired.description {
        drift.push(FieldDrift { field: "Description".into(), found, wanted: desired.description.clone() });
    }
    if role.max_session_duration != desired.max_session_duration {
        drift.push(FieldDrift {
            field: "MaxSessionDuration".into(),
            found: role.max_session_duration.to_string(),
            wanted: desired.max_session_duration.to_string(),
        });
    }
    if !drift.is_empty() {
        let (description, max_session_duration) = (desired.description.clone(), desired.max_session_duration);
        step(plan, Phase::Settle, Action::UpdateRole { description, max_session_duration, drift });
    }
}

/// Whether a managed policy is the answer to an incident.
pub(super) fn is_incident_policy(arn: &str) -> bool {
    INCIDENT_POLICIES.iter().any(|pattern| pattern.strip_suffix('*').map_or(*pattern == arn, |it| arn.starts_with(it)))
}

/// Whether an inline policy is the answer to an incident.
pub(super) fn is_incident_inline(name: &str) -> bool {
    name == REVOKE_SESSIONS
}

fn incident(plan: &mut Plan, what: &str, arn: &str) {
    plan.role = Some(Problem::new(
        AccountState::Held,
        Reason::IncidentPolicy,
        format!("the role has the {what} {arn}, which stops it: it is left alone until somebody takes it off"),
    ));
}

fn step(plan: &mut Plan, phase: Phase, action: Action) {
    plan.steps.push(Step { phase, action });
}
