//! The IAM policies that an administrator gives to the operator: as little as it works with, by
//! resource and by condition, made from the [actions] that it takes. Which action takes which
//! condition key: <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>.
//!
//! What is left out on purpose, because a way of the operator's own would end there:
//! - A role's tags (`aws:ResourceTag`) as a condition of changing or deleting it. Somebody may have
//!   taken our tags off a role that we made, which is then deleted by its ID, and adoption tags a role
//!   that has none of ours. Whoever may tag any role of that name gains nothing by such a condition
//!   anyway: the prefix of the name is the border.
//! - `iam:PolicyARN` as a condition of detaching, but for the policies that answer an incident: what
//!   somebody attached, whatever it is, has to come off.
//! - The boundary as a condition of changing a role (`iam:PermissionsBoundary`): a role that lost it is
//!   repaired, and IAM may take a moment to see that it is back.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::actions::{
    ADD_CLIENT_ID, ASSUME_ROLE, ATTACH_POLICY, CREATE_PROVIDER, CREATE_ROLE, DELETE_BOUNDARY, DELETE_PROVIDER,
    DELETE_ROLE, DETACH_POLICY, DISCOVER, LIST_ROLES, READ_PROVIDER, READ_ROLE, SET_BOUNDARY, TAG_ROLE, UNTAG_ROLE,
    UPDATE_ROLE,
};
use crate::{
    api::Limits,
    domain::{AccountId, InvalidValue, IssuerUrl, PolicyArn, RoleName, tags},
};

/// The most characters, without white space, that IAM takes for the inline policies of a role
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
pub const INLINE_POLICY_CHARACTERS: usize = 10_240;

/// Policies of AWS that somebody attaches to stop a principal, and those that AWS itself attaches after
/// a leak. The operator leaves them where they are. An asterisk stands for any rest.
pub const INCIDENT_POLICIES: [&str; 2] =
    ["arn:aws:iam::aws:policy/AWSDenyAll", "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine*"];

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Published {
    /// Of the role that the operator assumes in an account, or its own where it is in that account
    Target,
    /// The operator's own, where it assumes roles
    Hub,
    /// Of the role, or the operator's own, by which accounts are found in AWS Organizations
    Organizations,
}

/// The name of the operator's role in every account, where nobody wants another.
pub const ROLE_NAME: &str = "PortAwsOperator";

/// What the policies are made for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// ID of the account, an asterisk, or a placeholder.
    pub account: String,
    /// What the names of the roles start with (`limits.roleNamePrefix`).
    pub role_name_prefix: String,
    /// The issuers (`limits.issuerUrls`).
    pub issuers: Vec<IssuerUrl>,
    /// The managed policies that a role may have (`limits.managedPolicyArns`).
    pub managed_policy_arns: Vec<String>,
    /// The boundary that every role has to have (`limits.permissionsBoundaryArn`).
    pub permissions_boundary_arn: Option<String>,
    /// Keys of further role tags (`limits.tagKeys`).
    pub tag_keys: Vec<String>,
    /// Name of the role that the operator assumes (`assumeRole.roleName`).
    pub role_name: String,
    /// The role by which accounts are found (`organizations.roleArn`).
    pub organizations_role_arn: Option<String>,
}

/// A policy document, with its elements in the order in which people write them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    /// `Version`.
    pub version: &'static str,
    /// `Statement`.
    pub statement: Vec<Allow>,
}

/// A statement that allows something.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Allow {
    /// `Sid`: what it is for.
    pub sid: &'static str,
    /// `Effect`.
    pub effect: &'static str,
    /// `Action`.
    pub action: Vec<&'static str>,
    /// `Resource`.
    pub resource: Vec<String>,
    /// `Condition`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub condition: Map<String, Value>,
}

impl Published {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Target, Self::Hub, Self::Organizations];

    /// The policy.
    #[must_use]
    pub fn policy(self, settings: &Settings) -> Policy {
        let statement = match self {
            Self::Target => [on_provider(settings), on_role(settings)].concat(),
            Self::Hub => hub(settings),
            Self::Organizations => vec![allow("FindAccounts", &[DISCOVER], &["*".to_owned()])],
        };
        Policy { version: "2012-10-17", statement }
    }

    /// The actions that it allows.
    #[must_use]
    pub fn actions(self, settings: &Settings) -> Vec<&'static str> {
        self.policy(settings).statement.iter().flat_map(|statement| statement.action.clone()).collect()
    }
}

impl Policy {
    /// Its length as IAM counts it: without white space.
    #[must_use]
    pub fn characters(&self) -> usize {
        json!(self).to_string().chars().filter(|character| !character.is_whitespace()).count()
    }
}

impl Settings {
    /// What an access object with these limits takes, in any account.
    ///
    /// # Errors
    /// If an issuer, the ARN of a policy or the prefix of role names is not valid.
    pub fn within(limits: &Limits) -> Result<Self, InvalidValue> {
        let any: AccountId = "000000000000".parse()?;
        for arn in limits.managed_policy_arns.iter().chain(&limits.permissions_boundary_arn) {
            PolicyArn::expand(arn, &any)?;
        }
        limits.role_name_prefix.parse::<RoleName>()?;
        Ok(Self {
            account: "*".to_owned(),
            role_name_prefix: limits.role_name_prefix.clone(),
            issuers: limits.issuer_urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?,
            managed_policy_arns: limits.managed_policy_arns.clone(),
            permissions_boundary_arn: limits.permissions_boundary_arn.clone(),
            tag_keys: limits.tag_keys.clone(),
            role_name: ROLE_NAME.to_owned(),
            organizations_role_arn: None,
        })
    }

    fn roles(&self) -> [String; 1] {
        [format!("arn:aws:iam::{}:role/{}*", self.account, self.role_name_prefix)]
    }

    /// IAM takes the name of a role for any path, and then asks for the right to read it there. Without
    /// it, a name that is taken would look like a permission that is missing.
    fn readable_roles(&self) -> Vec<String> {
        let elsewhere = format!("arn:aws:iam::{}:role/*/{}*", self.account, self.role_name_prefix);
        self.roles().into_iter().chain([elsewhere]).collect()
    }

    fn providers(&self) -> Vec<String> {
        let provider =
            |issuer: &IssuerUrl| format!("arn:aws:iam::{}:oidc-provider/{}", self.account, issuer.host_and_path());
        self.issuers.iter().map(provider).collect()
    }

    /// A policy ARN of a spec, for the account.
    fn expand(&self, arn: &str) -> String {
        arn.replacen(PolicyArn::ACCOUNT_PLACEHOLDER, &self.account, 1)
    }
}

fn on_provider(settings: &Settings) -> Vec<Allow> {
    let providers = settings.providers();
    vec![
        allow("ReadProvider", &[READ_PROVIDER], &providers),
        // IAM asks the same right to tag one that is made and one that is there. Of the first nothing is tagged yet.
        allow("CreateProvider", &[CREATE_PROVIDER], &providers)
            .if_made_ours()
            .if_tag_keys(&[tags::INTEGRATION, tags::CLUSTER, tags::ORIGIN])
            .if_not_held(),
        allow("AddClientId", &[ADD_CLIENT_ID], &providers).if_not_held(),
        // The operator deletes a provider by its tags alone, so that this condition always holds.
        allow("OnlyForDeleteIfUnused", &[DELETE_PROVIDER], &providers)
            .when("StringEquals", &format!("aws:ResourceTag/{}", tags::ORIGIN), tags::ORIGIN_CREATED)
            .if_not_held(),
        allow("OnlyForDeleteIfUnusedToSeeWhoTrustsIt", &[LIST_ROLES], &["*".to_owned()]),
    ]
}

fn on_role(settings: &Settings) -> Vec<Allow> {
    let roles = &settings.roles();
    let managed: Vec<String> = settings.managed_policy_arns.iter().map(|arn| settings.expand(arn)).collect();
    let own = [tags::INTEGRATION, tags::CLUSTER, tags::OWNER, tags::ORIGIN];
    let keys: Vec<&str> = own.into_iter().chain(settings.tag_keys.iter().map(String::as_str)).collect();
    let create = allow("CreateRole", &[CREATE_ROLE], roles).if_made_ours();
    let mut statements = vec![
        allow("ReadRole", &[READ_ROLE], &settings.readable_roles()),
        allow("TagRole", &[TAG_ROLE], roles).if_tag_keys(&keys).if_not_held(),
        allow("ReleaseRole", &[UNTAG_ROLE], roles).if_tag_keys(&tags::CLAIM).if_not_held(),
        allow("KeepRole", &[UPDATE_ROLE, DELETE_ROLE], roles).if_not_held(),
        allow("AttachWantedPolicies", &[ATTACH_POLICY], roles).when("ArnLike", "iam:PolicyARN", managed).if_not_held(),
        allow("DetachPolicies", &[DETACH_POLICY], roles)
            .when("ArnNotLike", "iam:PolicyARN", INCIDENT_POLICIES.to_vec())
            .if_not_held(),
    ];
    if let Some(boundary) = &settings.permissions_boundary_arn {
        let boundary = settings.expand(boundary);
        let set = allow("SetBoundary", &[SET_BOUNDARY], roles).if_not_held();
        let bounded =
            [create, set].map(|statement| statement.when("ArnLike", "iam:PermissionsBoundary", boundary.clone()));
        statements.extend(bounded);
    } else {
        statements.push(create);
        statements.push(allow("KeepBoundary", &[SET_BOUNDARY, DELETE_BOUNDARY], roles).if_not_held());
    }
    statements
}

fn hub(settings: &Settings) -> Vec<Allow> {
    let role = format!("arn:aws:iam::{}:role/{}", settings.account, settings.role_name);
    let mut statements = vec![allow("TheOperatorsRoleInEveryAccount", &[ASSUME_ROLE], &[role])];
    if let Some(role) = &settings.organizations_role_arn {
        statements.push(allow("TheRoleThatFindsAccounts", &[ASSUME_ROLE], std::slice::from_ref(role)));
    }
    statements
}

fn allow(sid: &'static str, actions: &[&[&'static str]], resource: &[String]) -> Allow {
    Allow { sid, effect: "Allow", action: actions.concat(), resource: resource.to_vec(), condition: Map::new() }
}

impl Allow {
    fn when(mut self, operator: &str, key: &str, value: impl Into<Value>) -> Self {
        let keys = self.condition.entry(operator).or_insert_with(|| json!({}));
        keys[key] = value.into();
        self
    }

    /// Only with the tags by which we know our own.
    fn if_made_ours(self) -> Self {
        self.when("StringEquals", &format!("aws:RequestTag/{}", tags::ORIGIN), tags::ORIGIN_CREATED).when(
            "Null",
            &format!("aws:RequestTag/{}", tags::CLUSTER),
            "false",
        )
    }

    /// Only with these keys of tags: role tags count as principal tags, and the stop switch is not for
    /// the operator to set or to take off.
    fn if_tag_keys(self, keys: &[&str]) -> Self {
        self.when("ForAllValues:StringEquals", "aws:TagKeys", keys.to_vec())
    }

    /// Not on what has the stop switch. The operator does not try; this makes sure of it.
    fn if_not_held(self) -> Self {
        self.when("Null", &format!("aws:ResourceTag/{}", tags::HOLD), "true")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
pub(crate) mod tests;
