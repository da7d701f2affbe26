use std::collections::BTreeSet;

use super::limits::Granted;
use crate::{
    api::{ExtraPolicies, ProviderManagement},
    domain::{
        AccountId, ClusterId, InvalidValue, IssuerUrl, Owner, Partition, PolicyArn, RoleName, oidc_provider_arn,
        role_arn,
        tags::{self, Tags},
    },
    policy::TrustPolicy,
};

/// By what we know our own: this installation, and the resource in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The installation.
    pub cluster: ClusterId,
    /// Former installations whose objects are to become ours.
    pub former: BTreeSet<ClusterId>,
    /// The resource.
    pub owner: Owner,
    /// A resource whose role becomes ours, because it has given it up.
    pub predecessor: Option<Owner>,
}

impl Claim {
    /// Whether the value of a cluster tag is this installation, or one that it takes over.
    #[must_use]
    pub fn covers(&self, cluster: &str) -> bool {
        cluster == self.cluster.as_str() || self.former.iter().any(|former| former.as_str() == cluster)
    }

    /// Whether the value of an owner tag is this resource, or one that it succeeds.
    #[must_use]
    pub fn owns(&self, owner: &str) -> bool {
        [Some(&self.owner), self.predecessor.as_ref()].into_iter().flatten().any(|known| known.to_string() == owner)
    }
}

/// Names of the two AWS objects in one account: all that a read or a removal needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The account.
    pub account: AccountId,
    /// The issuer of the provider.
    pub issuer: IssuerUrl,
    /// ARN of the provider.
    pub provider_arn: String,
    /// Name of the role.
    pub role_name: RoleName,
    /// ARN of the role, at path `/`.
    pub role_arn: String,
}

impl Target {
    /// Computes the names from a spec.
    ///
    /// # Errors
    /// If the issuer or the role name is not valid, as an object of an older schema may have it.
    pub fn new(
        spec: &crate::api::PortAwsIntegrationSpec,
        account: &AccountId,
        partition: Partition,
    ) -> Result<Self, InvalidValue> {
        let issuer: IssuerUrl = spec.oidc_provider.url.parse()?;
        let role_name: RoleName = spec.role_name().parse()?;
        Ok(Self {
            account: account.clone(),
            provider_arn: oidc_provider_arn(partition, account, &issuer),
            role_arn: role_arn(partition, account, &role_name),
            issuer,
            role_name,
        })
    }
}

/// What is wanted in one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The names.
    pub target: Target,
    /// The provider.
    pub provider: DesiredProvider,
    /// The role.
    pub role: DesiredRole,
    /// What makes a role adoptable; none means that none is.
    pub adoption: Option<AdoptionBounds>,
    /// By what we know our own.
    pub claim: Claim,
}

/// The OIDC provider that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredProvider {
    /// The client ID that it must have.
    pub client_id: String,
    /// Whether we may write to it.
    pub managed: bool,
    /// Its tags, if we make it.
    pub tags: Tags,
}

/// The role that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DesiredRole {
    /// Its name.
    pub name: RoleName,
    /// Its description, at most 1,000 characters.
    pub description: String,
    /// Its trust policy.
    pub trust: TrustPolicy,
    /// Its managed policies.
    pub policies: BTreeSet<PolicyArn>,
    /// Its permissions boundary.
    pub boundary: Option<PolicyArn>,
    /// Its maximum session duration, in seconds.
    pub max_session_duration: i32,
    /// What to do about other managed policies.
    pub extra_policies: ExtraPolicies,
    /// The managed policies that the access object allows.
    pub allowed_policies: BTreeSet<PolicyArn>,
    /// Its tags, with the claim and with origin Created.
    pub tags: Tags,
}

/// What a role may have at most to be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptionBounds {
    /// Managed policies.
    pub policies: BTreeSet<PolicyArn>,
    /// ARNs of the providers that it may trust.
    pub provider_arns: BTreeSet<String>,
}

impl Desired {
    /// What an allowed spec wants in one account.
    ///
    /// # Errors
    /// If a value is not valid after all, as an object of an older schema may have it.
    pub fn build(
        granted: Granted<'_>,
        account: &AccountId,
        partition: Partition,
        claim: &Claim,
    ) -> Result<Self, InvalidValue> {
        let (spec, limits) = (granted.spec, &granted.access.limits);
        let target = Target::new(spec, account, partition)?;
        let expand = |arns: &[String]| -> Result<BTreeSet<PolicyArn>, InvalidValue> {
            arns.iter().map(|arn| PolicyArn::expand(arn, account)).collect()
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut tags = spec.role.tags.clone();
        tags.retain(|key, _| !tags::is_reserved(key));
        tags.extend([
            pair(tags::INTEGRATION, &spec.integration_identifier),
            pair(tags::CLUSTER, claim.cluster.as_str()),
            pair(tags::OWNER, &claim.owner.to_string()),
            pair(tags::ORIGIN, tags::ORIGIN_CREATED),
        ]);
        let mut provider_tags = tags.clone();
        provider_tags.retain(|key, _| [tags::INTEGRATION, tags::CLUSTER, tags::ORIGIN].contains(&key.as_str()));
        let default_description =
            || format!("Read access for Port, integration {}. Kept by port-aws-operator.", spec.integration_identifier);
        let role = DesiredRole {
            name: target.role_name.clone(),
            description: spec.role.description.clone().unwrap_or_else(default_description),
            trust: TrustPolicy {
                provider_arn: target.provider_arn.clone(),
                issuer: target.issuer.clone(),
                audience: spec.oidc_provider.client_id.clone(),
                subject: spec.subject(),
            },
            policies: expand(&spec.role.managed_policy_arns)?,
            boundary: granted.permissions_boundary().map(|arn| PolicyArn::expand(arn, account)).transpose()?,
            max_session_duration: spec.role.max_session_duration,
            extra_policies: spec.role.extra_policies,
            // What is no ARN allows nothing.
            allowed_policies: limits
                .managed_policy_arns
                .iter()
                .filter_map(|arn| PolicyArn::expand(arn, account).ok())
                .collect(),
            tags,
        };
        let adoption = granted
            .may_adopt()
            .then(|| -> Result<_, InvalidValue> {
                let issuers = limits.issuer_urls.iter().map(|url| url.parse::<IssuerUrl>());
                let arns = issuers.map(|issuer| Ok(oidc_provider_arn(partition, account, &issuer?)));
                Ok(AdoptionBounds {
                    policies: expand(&limits.managed_policy_arns)?,
                    provider_arns: arns.collect::<Result<_, _>>()?,
                })
            })
            .transpose()?;
        let provider = DesiredProvider {
            client_id: spec.oidc_provider.client_id.clone(),
            managed: spec.oidc_provider.management == ProviderManagement::CreateOrAdopt,
            tags: provider_tags,
        };
        Ok(Self { target, provider, role, adoption, claim: claim.clone() })
    }
}
