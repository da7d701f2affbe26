use super::{
    Plan, Problem,
    action::{Action, Phase, Step},
    desired::DesiredProvider,
    observed::ObservedProvider,
};
use crate::{
    api::{AccountState, Reason},
    domain::tags,
};

/// Plans the provider: make it, add our client ID, or nothing. Its thumbprints, other client IDs and
/// tags are never written: others share it.
pub(super) fn plan_provider(desired: &DesiredProvider, observed: Option<&ObservedProvider>, plan: &mut Plan) {
    let client_id = desired.client_id.clone();
    let missing = observed.is_none_or(|provider| !provider.client_ids.contains(&client_id));
    if !missing {
        return;
    }
    let action = match observed {
        Some(provider) if provider.tags.contains_key(tags::HOLD) => {
            plan.provider = Some(Problem::new(
                AccountState::Held,
                Reason::Held,
                format!("the OIDC provider lacks client ID {client_id}, and its tag {} forbids to add it", tags::HOLD),
            ));
            return;
        }
        Some(_) if !desired.managed => {
            plan.provider = Some(Problem::new(
                AccountState::Failed,
                Reason::ClientIdMissing,
                format!(
                    "the OIDC provider lacks client ID {client_id}: add it, or set oidcProvider.management to CreateOrAdopt"
                ),
            ));
            return;
        }
        None if !desired.managed => {
            plan.provider = Some(Problem::new(
                AccountState::Failed,
                Reason::ProviderNotFound,
                "the OIDC provider does not exist: create it, or set oidcProvider.management to CreateOrAdopt",
            ));
            return;
        }
        Some(_) => Action::AddClientId { client_id },
        None => Action::CreateProvider { client_id, tags: desired.tags.clone() },
    };
    plan.steps.push(Step { phase: Phase::Provider, action });
}
