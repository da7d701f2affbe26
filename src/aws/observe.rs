use std::collections::BTreeSet;

use aws_sdk_iam::{
    error::{ProvideErrorMetadata, SdkError},
    types::{Role, Tag},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use k8s_openapi::jiff::Timestamp;

use super::{AccountApi, classify::AwsError};
use crate::{
    domain::tags::Tags,
    plan::{Observed, ObservedProvider, ObservedRole, Target},
    policy::PolicyDocument,
};

impl AccountApi {
    /// Reads what one account has: at most 4 calls, 2 where there is no role.
    ///
    /// # Errors
    /// If a call fails other than with `NoSuchEntity`.
    pub async fn observe(&self, target: &Target) -> Result<Observed, AwsError> {
        let provider = self.observe_provider(target).await?;
        let role = self.observe_role(target).await?;
        Ok(Observed { provider, role })
    }

    /// `GetOpenIDConnectProvider`.
    ///
    /// # Errors
    /// If the call fails other than with `NoSuchEntity`.
    pub async fn observe_provider(&self, target: &Target) -> Result<Option<ObservedProvider>, AwsError> {
        self.pace.turn().await;
        let call = self.iam.get_open_id_connect_provider().open_id_connect_provider_arn(&target.provider_arn);
        let provider = found("GetOpenIDConnectProvider", call.send().await)?;
        Ok(provider.map(|provider| ObservedProvider {
            client_ids: provider.client_id_list().iter().cloned().collect(),
            tags: tags(provider.tags()),
        }))
    }

    /// `GetRole`, and what hangs on the role if there is one.
    ///
    /// # Errors
    /// If a call fails other than with `NoSuchEntity`.
    pub async fn observe_role(&self, target: &Target) -> Result<Option<ObservedRole>, AwsError> {
        self.pace.turn().await;
        let answer = found("GetRole", self.iam.get_role().role_name(target.role_name.as_str()).send().await)?;
        let Some(role) = answer.and_then(|answer| answer.role) else { return Ok(None) };
        // A role that goes between two reads counts as gone; the next pass sees it whole.
        let Some(attached) = self.attached(target).await? else { return Ok(None) };
        let Some(inline) = self.inline(target).await? else { return Ok(None) };
        Ok(Some(observed_role(&role, attached, inline)))
    }

    async fn attached(&self, target: &Target) -> Result<Option<BTreeSet<String>>, AwsError> {
        let mut arns = BTreeSet::new();
        let call = self.iam.list_attached_role_policies().role_name(target.role_name.as_str());
        let mut pages = call.into_paginator().send();
        self.pace.turn().await;
        while let Some(page) = pages.next().await {
            let Some(page) = found("ListAttachedRolePolicies", page)? else { return Ok(None) };
            arns.extend(page.attached_policies().iter().filter_map(|policy| policy.policy_arn.clone()));
            self.turn_for_more(page.is_truncated()).await;
        }
        Ok(Some(arns))
    }

    async fn inline(&self, target: &Target) -> Result<Option<BTreeSet<String>>, AwsError> {
        let mut names = BTreeSet::new();
        let mut pages = self.iam.list_role_policies().role_name(target.role_name.as_str()).into_paginator().send();
        self.pace.turn().await;
        while let Some(page) = pages.next().await {
            let Some(page) = found("ListRolePolicies", page)? else { return Ok(None) };
            names.extend(page.policy_names().iter().cloned());
            self.turn_for_more(page.is_truncated()).await;
        }
        Ok(Some(names))
    }

    /// Waits for the account's pace where another page is to be asked for.
    async fn turn_for_more(&self, truncated: bool) {
        if truncated {
            self.pace.turn().await;
        }
    }

    /// The name of a role that trusts the provider, if any does. The target's own role counts only
    /// if it stays: lists may still show it after it was deleted.
    ///
    /// # Errors
    /// If `ListRoles` fails. A trust policy that cannot be read counts as trusting, if its text
    /// names the provider.
    pub async fn role_that_trusts(&self, target: &Target, own_stays: bool) -> Result<Option<String>, AwsError> {
        let mut pages = self.iam.list_roles().into_paginator().send();
        self.pace.turn().await;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| AwsError::new("ListRoles", &error))?;
            let counts = |role: &&Role| own_stays || role.role_name != target.role_name.as_str();
            let mut roles = page.roles().iter().filter(counts);
            if let Some(role) = roles.find(|role| trusts(role, &target.provider_arn)) {
                return Ok(Some(role.role_name.clone()));
            }
            self.turn_for_more(page.is_truncated()).await;
        }
        Ok(None)
    }
}

/// What a read finds; nothing, if AWS does not have it.
fn found<T, E>(operation: &'static str, answer: Result<T, SdkError<E, HttpResponse>>) -> Result<Option<T>, AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer.map_err(|error| AwsError::new(operation, &error)) {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn trusts(role: &Role, provider_arn: &str) -> bool {
    let Some(text) = role.assume_role_policy_document() else { return false };
    match PolicyDocument::parse(text) {
        Ok(document) => document
            .statements
            .iter()
            .any(|statement| statement.principals.values().any(|principals| principals.contains(provider_arn))),
        Err(_) => text.contains(provider_arn) || text.contains("oidc-provider"),
    }
}

fn observed_role(role: &Role, attached: BTreeSet<String>, inline: BTreeSet<String>) -> ObservedRole {
    let timestamp = |time: &aws_smithy_types::DateTime| Timestamp::from_second(time.secs()).ok();
    let last_used = role.role_last_used().and_then(|used| used.last_used_date());
    ObservedRole {
        name: role.role_name.clone(),
        path: role.path.clone(),
        role_id: role.role_id.clone(),
        created: timestamp(&role.create_date).unwrap_or_default(),
        description: role.description.clone().filter(|text| !text.is_empty()),
        max_session_duration: role.max_session_duration.unwrap_or(3600),
        boundary: role.permissions_boundary().and_then(|boundary| boundary.permissions_boundary_arn.clone()),
        trust: PolicyDocument::parse(role.assume_role_policy_document().unwrap_or_default()),
        tags: tags(role.tags()),
        last_used: last_used.and_then(timestamp),
        attached,
        inline,
    }
}

fn tags(tags: &[Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}
