//! A role that Port's own stack made, told as the resource that takes it over. Nothing here does I/O.

use serde_json::{Value, json};

use crate::{
    api::PortAwsIntegration,
    domain::AccountId,
    manifest::Kind,
    plan::ObservedRole,
    policy::{ASSUME_ACTION, Effect, PolicyDocument, Statement},
};

/// What a role that the operator makes is called before its integration identifier.
const ROLE_PREFIX: &str = "PortIntegrationRole-";
/// How the subject of Port's tokens begins and ends; between both is the organization.
const SUBJECT: (&str, &str) = ("system:serviceaccount:org-", "-port-oidc-sa");
const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
/// The most characters of an integration identifier.
const IDENTIFIER: usize = 44;

/// A `PortAwsIntegration` that takes a role over, as YAML.
///
/// # Errors
/// Why the role is none that Port assumes, or cannot be described by a resource.
pub fn takeover(account: &AccountId, role: &ObservedRole, provider_found: bool) -> Result<String, String> {
    let trust = Trusted::of(account, role)?;
    if role.path != "/" {
        return Err(format!(
            "it is at the path {}, where Port does not find it: Port takes roles at / only",
            role.path
        ));
    }
    let mut remarks = Vec::new();
    if !provider_found {
        remarks.push(format!("The account has no OIDC provider of {}: the operator will make it.", trust.issuer));
    }
    if !role.inline.is_empty() {
        let names = role.inline.iter().cloned().collect::<Vec<_>>().join(", ");
        remarks.push(format!("Take its inline policies off first ({names}): a role that has any is not taken over."));
    }
    let identifier = identifier(role, &mut remarks);
    let object = json!({
        "apiVersion": "integrations.port.io/v1alpha1",
        "kind": "PortAwsIntegration",
        "metadata": {"name": identifier},
        "spec": spec(account, role, &trust, &identifier, &mut remarks),
    });
    let checked = Kind::integration().check(object.clone(), None);
    let checked = checked.and_then(|value| {
        let read = serde_json::from_value::<PortAwsIntegration>(value);
        read.map(drop).map_err(|_| Vec::new())
    });
    if let Err(found) = checked {
        let all = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Err(format!("no PortAwsIntegration can describe it: {all}"));
    }
    let text = serde_saphyr::to_string(&object).map_err(|error| error.to_string())?;
    let remarks = remarks.iter().map(|remark| format!("# {remark}"));
    Ok(remarks.chain([text]).collect::<Vec<_>>().join("\n"))
}

/// URL of the issuer that a role trusts.
///
/// # Errors
/// Why the role is none that Port assumes.
pub fn trusted_issuer(account: &AccountId, role: &ObservedRole) -> Result<String, String> {
    Trusted::of(account, role).map(|trusted| trusted.issuer)
}

/// Whom a role lets in.
struct Trusted {
    issuer: String,
    audience: String,
    subject: String,
}

impl Trusted {
    fn of(account: &AccountId, role: &ObservedRole) -> Result<Self, String> {
        let document = role.trust.as_ref().map_err(|error| format!("its trust policy cannot be read: {error}"))?;
        let statement = only_statement(document)?;
        let prefix = format!("arn:aws:iam::{account}:oidc-provider/");
        let federated = statement.principals.get("Federated").into_iter().flatten();
        let issuers: Vec<&str> = federated.filter_map(|arn| arn.strip_prefix(&prefix)).collect();
        let principals: usize = statement.principals.values().map(std::collections::BTreeSet::len).sum();
        let ([issuer], 1) = (issuers.as_slice(), principals) else {
            return Err("it does not trust one OIDC provider of its own account, and nobody else".to_owned());
        };
        let value = |claim: &str| -> Result<String, String> {
            let key = format!("{}:{claim}", issuer.to_ascii_lowercase());
            let equal = statement.conditions.get("StringEquals").and_then(|keys| keys.get(&key));
            match equal.into_iter().flatten().collect::<Vec<_>>()[..] {
                [one] => Ok(one.clone()),
                _ => Err(format!("its trust policy does not demand one {claim} by StringEquals")),
            }
        };
        let (audience, subject) = (value("aud")?, value("sub")?);
        if statement.conditions.values().map(std::collections::BTreeMap::len).sum::<usize>() != 2 {
            return Err(
                "its trust policy has conditions beside aud and sub, which the operator would take away".to_owned()
            );
        }
        if !subject.ends_with(SUBJECT.1) {
            return Err(format!(
                "it does not trust Port: its subject is {subject:?}, and Port's end with {}",
                SUBJECT.1
            ));
        }
        Ok(Self { issuer: format!("https://{issuer}"), audience, subject })
    }
}

fn only_statement(document: &PolicyDocument) -> Result<&Statement, String> {
    let fits = |statement: &&Statement| {
        let action = statement.actions.iter().map(String::as_str).eq([ASSUME_ACTION.to_ascii_lowercase().as_str()]);
        statement.effect == Effect::Allow && statement.others.is_empty() && action
    };
    let only = document.statements.first().filter(|_| document.statements.len() == 1).filter(fits);
    only.ok_or_else(|| format!("its trust policy is more or else than one statement that allows {ASSUME_ACTION}"))
}

/// The integration's identifier: part of the role's name, or of a tag.
fn identifier(role: &ObservedRole, remarks: &mut Vec<String>) -> String {
    if let Some(named) = role.name.strip_prefix(ROLE_PREFIX).filter(|rest| is_identifier(rest)) {
        return named.to_owned();
    }
    if let Some(tagged) = role.tags.get(crate::domain::tags::INTEGRATION).filter(|tag| is_identifier(tag)) {
        return tagged.clone();
    }
    remarks.push(
        "The role does not tell its integration: set integrationIdentifier to the one that Port shows.".to_owned(),
    );
    let plain = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' };
    let text: String = role.name.chars().map(plain).collect();
    let text = text.trim_start_matches(|char: char| !char.is_ascii_lowercase());
    let short: String = text.chars().take(IDENTIFIER).collect();
    let short = short.trim_end_matches('-');
    if is_identifier(short) { short.to_owned() } else { "aws-integration".to_owned() }
}

/// As the schema has it.
fn is_identifier(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (2..=IDENTIFIER).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|char: char| char.is_ascii_lowercase())
        && !text.ends_with('-')
}

fn spec(
    account: &AccountId,
    role: &ObservedRole,
    trust: &Trusted,
    identifier: &str,
    remarks: &mut Vec<String>,
) -> Value {
    let organization = trust.subject.strip_prefix(SUBJECT.0).and_then(|rest| rest.strip_suffix(SUBJECT.1));
    let mut provider = json!({"url": trust.issuer, "clientId": trust.audience});
    if organization.is_none() {
        provider["subject"] = json!(trust.subject);
        let advice = "The subject does not tell the organization: set organizationId to the one that Port shows.";
        remarks.push(advice.to_owned());
    }
    let policies = match role.attached.len() {
        0 => {
            remarks.push("The role has no managed policy: the operator will attach ReadOnlyAccess.".to_owned());
            json!([READ_ONLY])
        }
        _ => json!(role.attached),
    };
    let mut wanted = json!({
        "adoption": "Adopt",
        "managedPolicyArns": policies,
        "maxSessionDuration": role.max_session_duration,
    });
    if role.name != format!("{ROLE_PREFIX}{identifier}") {
        wanted["name"] = json!(role.name);
    }
    if let Some(description) = &role.description {
        wanted["description"] = json!(description);
    }
    if let Some(boundary) = &role.boundary {
        wanted["permissionsBoundaryArn"] = json!(boundary);
    }
    json!({
        "organizationId": organization.unwrap_or("set-me"),
        "integrationIdentifier": identifier,
        "accounts": [account.as_str()],
        "oidcProvider": provider,
        "role": wanted,
    })
}
