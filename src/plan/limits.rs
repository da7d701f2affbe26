//! The guard: what an integration asks for, against what its `PortAwsAccess` allows. It fails
//! closed, and nothing is wanted of AWS without it: [`Granted`] is the only way to a `Desired`.

use std::collections::BTreeMap;

use crate::api::{Adoption, AdoptionLimit, PortAwsAccessSpec, PortAwsIntegrationSpec};

/// A rule of the `PortAwsAccess` that the integration breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field of the `PortAwsAccess` that does not allow it.
    pub rule: &'static str,
    /// What is asked for and what to do, in words.
    pub message: String,
}

impl Violation {
    /// All broken rules in one sentence.
    #[must_use]
    pub fn describe(violations: &[Self], access: &str) -> String {
        let rules = violations.iter().map(|violation| format!("{} ({})", violation.message, violation.rule));
        format!("PortAwsAccess {access} does not allow it: {}", rules.collect::<Vec<_>>().join("; "))
    }
}

/// A spec that its `PortAwsAccess` allows. Whether each account is covered is asked of
/// [`PortAwsAccessSpec::allows_account`] account by account.
#[derive(Debug, Clone, Copy)]
pub struct Granted<'a> {
    pub(super) spec: &'a PortAwsIntegrationSpec,
    pub(super) access: &'a PortAwsAccessSpec,
}

impl<'a> Granted<'a> {
    /// Checks a spec of a namespace. Values are compared exactly.
    ///
    /// # Errors
    /// Every rule that is broken.
    pub fn check(
        spec: &'a PortAwsIntegrationSpec,
        namespace: &str,
        namespace_labels: Option<&BTreeMap<String, String>>,
        access: &'a PortAwsAccessSpec,
    ) -> Result<Self, Vec<Violation>> {
        let mut violations = Vec::new();
        let mut require = |allowed: bool, rule: &'static str, message: String| {
            if !allowed {
                violations.push(Violation { rule, message });
            }
        };
        let limits = &access.limits;
        require(
            access.allows_namespace(namespace, namespace_labels),
            "allowedNamespaces",
            format!("namespace {namespace} may not use this access"),
        );
        require(
            limits.organization_ids.contains(&spec.organization_id),
            "limits.organizationIds",
            format!("Port organization {} is not allowed", spec.organization_id),
        );
        if let Some(subject) = &spec.oidc_provider.subject {
            require(
                *subject == computed_subject(&spec.organization_id) || limits.subjects.contains(subject),
                "limits.subjects",
                format!("subject {subject} is not allowed"),
            );
        }
        let provider = &spec.oidc_provider;
        require(
            limits.issuer_urls.contains(&provider.url),
            "limits.issuerUrls",
            format!("issuer {} is not allowed", provider.url),
        );
        require(
            limits.client_ids.contains(&provider.client_id),
            "limits.clientIds",
            format!("client ID {} is not allowed", provider.client_id),
        );
        require(
            spec.discovery.is_none() || access.organizations.is_some(),
            "organizations",
            "discovery is not allowed, as nothing says how AWS Organizations is asked".to_owned(),
        );
        check_role(spec, access, &mut require);
        if violations.is_empty() { Ok(Self { spec, access }) } else { Err(violations) }
    }

    /// The spec that was checked.
    #[must_use]
    pub fn spec(&self) -> &'a PortAwsIntegrationSpec {
        self.spec
    }

    /// Whether a role that is there already may be taken over.
    #[must_use]
    pub fn may_adopt(&self) -> bool {
        self.spec.role.adoption == Adoption::Adopt && self.access.limits.adoption == AdoptionLimit::Adopt
    }

    /// The boundary that the role gets: the access's own if it has one.
    #[must_use]
    pub fn permissions_boundary(&self) -> Option<&'a str> {
        let forced = self.access.limits.permissions_boundary_arn.as_deref();
        forced.or(self.spec.role.permissions_boundary_arn.as_deref())
    }
}

fn check_role(
    spec: &PortAwsIntegrationSpec,
    access: &PortAwsAccessSpec,
    require: &mut impl FnMut(bool, &'static str, String),
) {
    let (role, limits) = (&spec.role, &access.limits);
    for arn in &role.managed_policy_arns {
        require(
            limits.managed_policy_arns.contains(arn),
            "limits.managedPolicyArns",
            format!("managed policy {arn} is not allowed"),
        );
    }
    let name = spec.role_name();
    // The bound of 8 is the schema's; an access object that an older schema let in may have less.
    require(
        limits.role_name_prefix.len() >= 8 && name.starts_with(&limits.role_name_prefix),
        "limits.roleNamePrefix",
        format!("role name {name} does not start with {}", limits.role_name_prefix),
    );
    if let (Some(forced), Some(asked)) = (&limits.permissions_boundary_arn, &role.permissions_boundary_arn) {
        require(
            forced == asked,
            "limits.permissionsBoundaryArn",
            format!("permissions boundary {asked} is not allowed: leave it out, or write {forced}"),
        );
    }
    require(
        role.max_session_duration <= limits.max_session_duration,
        "limits.maxSessionDuration",
        format!("maxSessionDuration {} is over {}", role.max_session_duration, limits.max_session_duration),
    );
    for key in role.tags.keys() {
        require(limits.tag_keys.contains(key), "limits.tagKeys", format!("role tag {key} is not allowed"));
    }
    require(
        role.adoption == Adoption::Refuse || limits.adoption == AdoptionLimit::Adopt,
        "limits.adoption",
        "taking over an existing role is not allowed".to_owned(),
    );
}

/// The subject of Port's tokens for an organization, as Port's documentation gives it. How Port maps
/// an ID to it is not published, hence `oidcProvider.subject`.
pub(super) fn computed_subject(organization_id: &str) -> String {
    format!("system:serviceaccount:org-{organization_id}-port-oidc-sa")
}

impl PortAwsIntegrationSpec {
    /// The role's name: the one given, else made from the integration identifier.
    #[must_use]
    pub fn role_name(&self) -> String {
        let default = || format!("PortIntegrationRole-{}", self.integration_identifier);
        self.role.name.clone().unwrap_or_else(default)
    }

    /// The subject that the role demands: the one given, else made from the organization ID.
    #[must_use]
    pub fn subject(&self) -> String {
        self.oidc_provider.subject.clone().unwrap_or_else(|| computed_subject(&self.organization_id))
    }
}
