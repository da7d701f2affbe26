use super::{
    Problem,
    desired::{AdoptionBounds, Desired},
    observed::ObservedRole,
};
use crate::{
    api::{AccountState, Reason},
    policy::{ASSUME_ACTION, Effect},
};

/// Whether a role that is nobody's may be taken over.
///
/// # Errors
/// Why not. Of a role that is not ours the message says nothing but that its name is taken: what it
/// holds is not for the namespace to know.
pub(super) fn check(desired: &Desired, role: &ObservedRole) -> Result<(), Problem> {
    let conflict = |reason, message: String| Problem::new(AccountState::Conflict, reason, message);
    let name = &desired.target.role_name;
    if role.path != "/" {
        return Err(conflict(
            Reason::RoleNameTaken,
            format!("a role {name} exists at another path, where Port does not find it: rename or delete it"),
        ));
    }
    let Some(bounds) = desired.adoption.as_ref() else {
        return Err(conflict(
            Reason::RoleNameTaken,
            format!(
                "a role {name} exists and is not ours: rename or delete it, or allow adoption in spec.role and in the PortAwsAccess"
            ),
        ));
    };
    if within(bounds, desired, role) {
        Ok(())
    } else {
        Err(conflict(
            Reason::RoleTooBroad,
            format!(
                "role {name} is not taken over: policies, boundary or trust go beyond the PortAwsAccess; narrow the role first"
            ),
        ))
    }
}

fn within(bounds: &AdoptionBounds, desired: &Desired, role: &ObservedRole) -> bool {
    let policies = role.attached.iter().all(|arn| bounds.policies.iter().any(|allowed| allowed.as_str() == arn));
    let boundary = role.boundary.as_deref() == desired.role.boundary.as_ref().map(crate::domain::PolicyArn::as_str);
    policies && boundary && role.inline.is_empty() && trust_within(bounds, role)
}

/// One statement that lets nobody but an allowed issuer in, by web identity.
fn trust_within(bounds: &AdoptionBounds, role: &ObservedRole) -> bool {
    let Ok(document) = &role.trust else { return false };
    let (1, Some(statement)) = (document.statements.len(), document.statements.first()) else { return false };
    let action = statement.actions.len() == 1 && statement.actions.contains(&ASSUME_ACTION.to_ascii_lowercase());
    let federated = statement.principals.get("Federated").filter(|_| statement.principals.len() == 1);
    let issuer = federated.is_some_and(|arns| !arns.is_empty() && arns.is_subset(&bounds.provider_arns));
    statement.effect == Effect::Allow && statement.others.is_empty() && action && issuer
}
