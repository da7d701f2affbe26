//! The way into an account for a pass.

use super::{context::Context, failure::Failure};
use crate::{
    api::PortAwsAccess,
    aws::{AccountApi, CredentialsError, Errand, OrganizationsApi, Visitor},
    domain::Owner,
    schedule::WorkKey,
};

impl Context {
    /// IAM in an account, as its access object says, with no more rights than the errand takes.
    pub(super) async fn reach(
        &self,
        access: &PortAwsAccess,
        key: &WorkKey,
        errand: Errand<'_>,
    ) -> Result<AccountApi, CredentialsError> {
        self.aws.reach(access, &key.account, self.visitor(&key.resource), errand).await
    }

    /// AWS Organizations, as an access object says.
    pub(super) async fn organizations(
        &self,
        access: &PortAwsAccess,
        resource: &Owner,
    ) -> Result<OrganizationsApi, CredentialsError> {
        self.aws.reach_organizations(access, self.visitor(resource)).await
    }

    fn visitor<'a>(&'a self, resource: &'a Owner) -> Visitor<'a> {
        Visitor { cluster: self.cluster.as_str(), resource }
    }
}

pub(super) fn unreachable(key: &WorkKey, error: &CredentialsError) -> Failure {
    tracing::warn!(%key, %error, "the account cannot be reached");
    Failure::from(error)
}
