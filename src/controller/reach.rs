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
<<<<<<< HEAD
        let organizations = access.spec.organizations.clone().ok_or(CredentialsError::NoOrganizations)?;
        let Some(role_arn) = organizations.role_arn else { return self.aws.organizations(None).await };
        Partition::of_arn(&role_arn)?;
        let fields: Vec<&str> = role_arn.splitn(6, ':').collect();
        let reach = Reach {
            account: fields.get(4).copied().unwrap_or_default().parse()?,
            access: (access.uid().unwrap_or_default(), access.metadata.generation.unwrap_or_default()),
            role: fields.get(5).and_then(|role| role.strip_prefix("role/")).unwrap_or_default().to_owned(),
            external_id: organizations.external_id,
            session_name: session_name(self.cluster.as_str(), resource),
            purpose: Purpose::Discover,
            policy: session::discover(),
        };
        self.aws.organizations(Some(&reach)).await
=======
        self.aws.reach_organizations(access, self.visitor(resource)).await
>>>>>>> wt-plan
    }

    fn visitor<'a>(&'a self, resource: &'a Owner) -> Visitor<'a> {
        Visitor { cluster: self.cluster.as_str(), resource }
    }
}

pub(super) fn unreachable(key: &WorkKey, error: &CredentialsError) -> Failure {
    tracing::warn!(%key, %error, "the account cannot be reached");
    Failure::from(error)
}
