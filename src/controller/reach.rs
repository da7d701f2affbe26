//! The way into an account: with the operator's own credentials, or through a role there.

use kube::ResourceExt;

use super::{context::Context, failure::Failure};
use crate::{
    api::PortAwsAccess,
    aws::{AccountApi, CredentialsError, OrganizationsApi, Reach},
    domain::{Owner, Partition, PolicyArn},
    plan::{Desired, Target},
    policy::session::{self, Purpose, Scope},
    schedule::WorkKey,
};

/// Most characters of a session name.
const SESSION_NAME: usize = 64;

/// What somebody wants in an account.
#[derive(Debug, Clone, Copy)]
pub(super) enum Errand<'a> {
    /// To keep it as wanted.
    Manage(&'a Desired),
    /// To take away what is ours.
    Remove(&'a Target),
}

impl Context {
    /// IAM in an account, as its access object says, with no more rights than the errand takes.
    pub(super) async fn reach(
        &self,
        access: &PortAwsAccess,
        key: &WorkKey,
        errand: Errand<'_>,
    ) -> Result<AccountApi, CredentialsError> {
        let Some(assume) = &access.spec.assume_role else { return self.aws.own_account(&key.account).await };
        let (purpose, policy) = session_policy(errand);
        let reach = Reach {
            account: key.account.clone(),
            access: (access.uid().unwrap_or_default(), access.metadata.generation.unwrap_or_default()),
            role: assume.role_name.clone(),
            external_id: assume.external_id.clone(),
            session_name: session_name(self.cluster.as_str(), &key.resource),
            purpose,
            policy,
        };
        self.aws.assume(&reach).await
    }

    /// AWS Organizations, as an access object says.
    pub(super) async fn organizations(
        &self,
        access: &PortAwsAccess,
        resource: &Owner,
    ) -> Result<OrganizationsApi, CredentialsError> {
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
    }
}

fn session_policy(errand: Errand<'_>) -> (Purpose, String) {
    match errand {
        Errand::Manage(desired) => {
            let target = &desired.target;
            let scope = Scope { role_arn: &target.role_arn, provider_arn: &target.provider_arn };
            let boundary = desired.role.boundary.as_ref().map(PolicyArn::as_str);
            let policies = desired.role.policies.iter().map(PolicyArn::as_str);
            (Purpose::Manage, session::manage(scope, policies, boundary))
        }
        Errand::Remove(target) => {
            let scope = Scope { role_arn: &target.role_arn, provider_arn: &target.provider_arn };
            (Purpose::Remove, session::remove(scope))
        }
    }
}

/// `paio-<8 hexadecimal digits of the installation>-<namespace>.<name>`, cut to what STS takes: what a
/// reader of `CloudTrail` sees. Names of Kubernetes hold no other characters than STS allows.
fn session_name(cluster: &str, resource: &Owner) -> String {
    // FNV-1a: it tells installations apart, and protects nothing.
    let hash = cluster.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("paio-{hash:08x}-{resource}").chars().take(SESSION_NAME).collect()
}

pub(super) fn unreachable(key: &WorkKey, error: &CredentialsError) -> Failure {
    tracing::warn!(%key, %error, "the account cannot be reached");
    Failure::from(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_tell_installations_and_resources_apart_and_fit() {
        let owner = |name: &str| Owner { namespace: "platform".into(), name: name.into() };
        let name = session_name("cluster-a", &owner("production"));
        assert!(name.starts_with("paio-") && name.ends_with("-platform.production"), "{name}");
        assert_ne!(name, session_name("cluster-b", &owner("production")));
        assert_eq!(session_name("cluster-a", &owner(&"x".repeat(63))).len(), SESSION_NAME);
    }
}
