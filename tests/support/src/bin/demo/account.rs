//! An AWS account in a form that people can read.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::Result;
use testkit::aws::{AccountState, OidcProvider, Role};

/// All that is in an account.
pub(crate) fn describe(state: &AccountState) -> Result<String> {
    let mut lines = vec![format!("AWS account {}", state.account)];
    for provider in &state.oidc_providers {
        lines.extend(describe_provider(provider));
    }
    if state.oidc_providers.is_empty() {
        lines.push("  no OIDC provider".to_owned());
    }
    for role in &state.roles {
        lines.push(describe_role(role)?);
    }
    if state.roles.is_empty() {
        lines.push("  no role".to_owned());
    }
    Ok(lines.join("\n"))
}

fn describe_provider(provider: &OidcProvider) -> Vec<String> {
    let mut lines = vec![
        "  OIDC provider".to_owned(),
        field("issuer", &format!("https://{}", provider.url)),
        field("client IDs", &provider.client_ids.join(", ")),
    ];
    lines.extend(tags(&provider.tags));
    lines
}

/// One role.
pub(crate) fn describe_role(role: &Role) -> Result<String> {
    let mut lines = vec![format!("  role {}", role.name), field("ID", &role.id), field("ARN", &role.arn)];
    lines.extend(role.attached_policies.iter().map(|arn| field("policy", arn)));
    lines.extend(role.inline_policies.keys().map(|name| field("inline policy", name)));
    lines.extend(tags(&role.tags));
    lines.extend(column("trust policy", json_lines(&role.trust_policy)?));
    Ok(lines.join("\n"))
}

fn tags(tags: &BTreeMap<String, String>) -> Vec<String> {
    column("tags", tags.iter().map(|(key, value)| format!("{key} = {value}")))
}

fn json_lines(value: &Value) -> Result<Vec<String>> {
    Ok(serde_json::to_string_pretty(value)?.lines().map(str::to_owned).collect())
}

/// Values below each other, the name in front of the first; nothing if there is none.
fn column(name: &str, values: impl IntoIterator<Item = String>) -> Vec<String> {
    let named = values.into_iter().enumerate();
    named.map(|(number, value)| field(if number == 0 { name } else { "" }, &value)).collect()
}

fn field(name: &str, value: &str) -> String {
    format!("    {name:<15} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_an_account_is_shown() -> Result<()> {
        let state: AccountState = serde_json::from_value(serde_json::json!({
            "account": "1",
            "roles": [{
                "name": "R", "id": "AROA1", "arn": "arn:R", "path": "/", "description": "",
                "maxSessionDuration": 3600, "permissionsBoundary": null, "trustPolicy": {"a": 1},
                "attachedPolicies": ["p1", "p2"], "inlinePolicies": {}, "tags": {"k": "v"},
            }],
            "oidcProviders": [],
        }))?;
        let text = describe(&state)?;
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let expected = [
            "AWS account 1",
            "no OIDC provider",
            "role R",
            "ID              AROA1",
            "ARN             arn:R",
            "policy          p1",
            "policy          p2",
            "tags            k = v",
            "trust policy    {",
            "\"a\": 1",
            "}",
        ];
        assert_eq!(lines, expected);
        Ok(())
    }
}
