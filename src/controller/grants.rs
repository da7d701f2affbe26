//! What an integration may do by its access object, as both are in the cluster now.

use std::sync::Arc;

use super::{
    context::{Context, owner_of},
    store::has_finalizer,
};
use crate::{
    api::{PortAwsAccess, PortAwsIntegration},
    plan::{Granted, Violation},
};

impl Context {
    /// Whether an access object allows an integration; the accounts are another question.
    pub(super) fn is_granted(&self, object: &PortAwsIntegration, access: &PortAwsAccess) -> bool {
        self.check_grant(object, access).is_ok()
    }

    /// The access object of an integration, be it on its way out, if it allows the integration.
    ///
    /// # Errors
    /// What it does not allow, or that it is not there, in words.
    pub(super) fn granted_access(&self, object: &PortAwsIntegration) -> Result<Arc<PortAwsAccess>, String> {
        let name = &object.spec.access_ref.name;
        let access = self.access(name).for_removal();
        let access = access.ok_or_else(|| format!("PortAwsAccess {name} is not there or cannot be read"))?;
        self.check_grant(object, &access)?;
        Ok(access)
    }

    /// Whether something may have been made for an integration. Anybody who may write the object can set
    /// its finalizer; only the operator writes its status.
    pub(super) fn may_hold(&self, object: &PortAwsIntegration) -> bool {
        let claims = object.status.iter().flat_map(|status| &status.accounts).any(|account| account.claimed);
        has_finalizer(object) && (claims || self.granted_access(object).is_ok())
    }

    fn check_grant(&self, object: &PortAwsIntegration, access: &PortAwsAccess) -> Result<(), String> {
        let namespace = owner_of(object).namespace;
        let labels = self.namespace_labels(&namespace);
        let granted = Granted::check(&object.spec, &namespace, labels.as_ref(), &access.spec);
        granted.map(drop).map_err(|violations| Violation::describe(&violations, &object.spec.access_ref.name))
    }
}
