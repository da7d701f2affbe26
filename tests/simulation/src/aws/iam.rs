//! IAM: roles and OIDC providers of one account.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Account, Aws, Refusal,
    xml::{element, encode, escape, list, members, moment},
};
use crate::world::Params;

/// The most policies that IAM attaches to a role by default.
const POLICIES: usize = 10;

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub id: String,
    pub created: i64,
    pub description: String,
    pub session: String,
    pub boundary: Option<String>,
    /// The trust policy.
    pub trust: Value,
    pub tags: BTreeMap<String, String>,
    pub attached: BTreeSet<String>,
}

/// An OIDC provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    pub clients: BTreeSet<String>,
    pub tags: BTreeMap<String, String>,
}

/// The trust policy that a role of an integration has to have, written anew from Port's documentation.
pub fn trust_policy(account: &str, issuer: &str, client: &str, subject: &str) -> Value {
    let issuer = issuer.trim_start_matches("https://");
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::{account}:oidc-provider/{issuer}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {format!("{issuer}:aud"): client, format!("{issuer}:sub"): subject}},
    }]})
}

fn text<'a>(params: &'a Params, key: &str) -> &'a str {
    params.get(key).map(String::as_str).unwrap_or_default()
}

fn tags_of(params: &Params) -> BTreeMap<String, String> {
    let (keys, values) = (list(params, "Tags", ".Key"), list(params, "Tags", ".Value"));
    keys.into_iter().zip(values).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn tags_xml(tags: &BTreeMap<String, String>) -> String {
    members("Tags", tags.iter().map(|(key, value)| element("Key", &escape(key)) + &element("Value", &escape(value))))
}

fn missing() -> Refusal {
    Refusal::new(404, "NoSuchEntity")
}

/// The same document in another form, as IAM may return it: a list of one for its only member, or the other way
/// round.
fn permuted(document: &Value, random: &mut fastrand::Rng) -> Value {
    match document {
        Value::Object(fields) => {
            let each = fields.iter().map(|(key, value)| {
                let value = permuted(value, random);
                let may_list = key == "Action" || key == "Federated" || key.ends_with(":aud") || key.ends_with(":sub");
                let wraps = may_list && !value.is_array() && random.bool();
                (key.clone(), if wraps { json!([value]) } else { value })
            });
            Value::Object(each.collect())
        }
        Value::Array(members) => match members.as_slice() {
            [only] if random.bool() => permuted(only, random),
            _ => members.iter().map(|member| permuted(member, random)).collect(),
        },
        other => other.clone(),
    }
}

fn role_xml(account: &str, name: &str, role: &Role, random: &mut fastrand::Rng) -> String {
    let boundary = role.boundary.as_ref().map(|arn| {
        let fields = element("PermissionsBoundaryType", "Policy") + &element("PermissionsBoundaryArn", arn);
        element("PermissionsBoundary", &fields)
    });
    [
        element("Path", "/"),
        element("RoleName", name),
        element("RoleId", &role.id),
        element("Arn", &format!("arn:aws:iam::{account}:role/{name}")),
        element("CreateDate", &moment(role.created)),
        element("Description", &escape(&role.description)),
        element("MaxSessionDuration", &role.session),
        element("AssumeRolePolicyDocument", &encode(&permuted(&role.trust, random).to_string())),
        boundary.unwrap_or_default(),
        tags_xml(&role.tags),
    ]
    .concat()
}

/// Whether a call only reads.
pub fn is_read(action: &str) -> bool {
    action.starts_with("Get") || action.starts_with("List")
}

/// Answers a reading of an account.
pub fn read(account: &str, seen: &Account, params: &Params, random: &mut fastrand::Rng) -> Result<String, Refusal> {
    let name = text(params, "RoleName");
    let role = || seen.roles.get(name).ok_or_else(missing);
    let whole = |content: String| element("IsTruncated", "false") + &content;
    match text(params, "Action") {
        "GetRole" => Ok(element("Role", &role_xml(account, name, role()?, random))),
        "ListAttachedRolePolicies" => {
            let policy = |arn: &String| {
                let name = arn.rsplit('/').next().unwrap_or_default();
                element("PolicyName", name) + &element("PolicyArn", arn)
            };
            Ok(whole(members("AttachedPolicies", role()?.attached.iter().map(policy))))
        }
        "ListRolePolicies" => role().map(|_| whole(members("PolicyNames", std::iter::empty()))),
        "ListRoles" => {
            let each = seen.roles.iter().map(|(name, role)| role_xml(account, name, role, random));
            Ok(whole(members("Roles", each)))
        }
        "GetOpenIDConnectProvider" => {
            let provider = seen.providers.get(text(params, "OpenIDConnectProviderArn")).ok_or_else(missing)?;
            Ok(members("ClientIDList", provider.clients.iter().cloned()) + &tags_xml(&provider.tags))
        }
        _ => Err(Refusal::new(400, "InvalidAction")),
    }
}

impl Aws {
    /// Makes a write in an account.
    pub fn write(&mut self, account: &str, params: &Params, now: Duration, created: i64) -> Result<String, Refusal> {
        let id = format!("AROA{:016}", self.next_id());
        let mut result = Err(Refusal::new(400, "InvalidAction"));
        self.change(account, now, |content| result = write(account, content, params, &id, created));
        result
    }
}

fn write(account: &str, content: &mut Account, params: &Params, id: &str, created: i64) -> Result<String, Refusal> {
    match text(params, "Action") {
        "CreateRole" => create_role(account, content, params, id, created),
        "CreateOpenIDConnectProvider" | "AddClientIDToOpenIDConnectProvider" | "DeleteOpenIDConnectProvider" => {
            write_provider(account, content, params)
        }
        "DeleteRole" => {
            let role = content.roles.get(text(params, "RoleName")).ok_or_else(missing)?;
            if !role.attached.is_empty() && !params.contains_key("Force") {
                return Err(Refusal::new(409, "DeleteConflict"));
            }
            content.roles.remove(text(params, "RoleName"));
            Ok(String::new())
        }
        _ => {
            let role = content.roles.get_mut(text(params, "RoleName")).ok_or_else(missing)?;
            change_role(role, params).map(|()| String::new())
        }
    }
}

fn create_role(
    account: &str,
    content: &mut Account,
    params: &Params,
    id: &str,
    created: i64,
) -> Result<String, Refusal> {
    let name = text(params, "RoleName");
    if content.roles.contains_key(name) {
        return Err(Refusal::new(409, "EntityAlreadyExists"));
    }
    let trust = serde_json::from_str(text(params, "AssumeRolePolicyDocument"));
    let role = Role {
        id: id.to_owned(),
        created,
        description: text(params, "Description").to_owned(),
        session: text(params, "MaxSessionDuration").to_owned(),
        boundary: params.get("PermissionsBoundary").cloned(),
        trust: trust.map_err(|_| Refusal::new(400, "MalformedPolicyDocument"))?,
        tags: tags_of(params),
        attached: BTreeSet::new(),
    };
    // An answer shows the document as it was sent.
    let xml = role_xml(account, name, &role, &mut fastrand::Rng::with_seed(0));
    content.roles.insert(name.to_owned(), role);
    Ok(element("Role", &xml))
}

fn write_provider(account: &str, content: &mut Account, params: &Params) -> Result<String, Refusal> {
    let arn = text(params, "OpenIDConnectProviderArn");
    match text(params, "Action") {
        "CreateOpenIDConnectProvider" => {
            let url = text(params, "Url").trim_start_matches("https://");
            let arn = format!("arn:aws:iam::{account}:oidc-provider/{url}");
            if content.providers.contains_key(&arn) {
                return Err(Refusal::new(409, "EntityAlreadyExists"));
            }
            let clients = list(params, "ClientIDList", "").into_iter().map(str::to_owned).collect();
            content.providers.insert(arn.clone(), Provider { clients, tags: tags_of(params) });
            Ok(element("OpenIDConnectProviderArn", &arn))
        }
        "AddClientIDToOpenIDConnectProvider" => {
            let provider = content.providers.get_mut(arn).ok_or_else(missing)?;
            provider.clients.insert(text(params, "ClientID").to_owned());
            Ok(String::new())
        }
        _ => content.providers.remove(arn).map(|_| String::new()).ok_or_else(missing),
    }
}

fn change_role(role: &mut Role, params: &Params) -> Result<(), Refusal> {
    let arn = text(params, "PolicyArn");
    match text(params, "Action") {
        "UpdateAssumeRolePolicy" => {
            let trust = serde_json::from_str(text(params, "PolicyDocument"));
            role.trust = trust.map_err(|_| Refusal::new(400, "MalformedPolicyDocument"))?;
        }
        "AttachRolePolicy" if role.attached.len() >= POLICIES && !role.attached.contains(arn) => {
            return Err(Refusal::new(409, "LimitExceeded"));
        }
        "AttachRolePolicy" => _ = role.attached.insert(arn.to_owned()),
        "DetachRolePolicy" if !role.attached.remove(arn) => return Err(missing()),
        "DetachRolePolicy" => {}
        "PutRolePermissionsBoundary" => role.boundary = Some(text(params, "PermissionsBoundary").to_owned()),
        "DeleteRolePermissionsBoundary" => role.boundary = None,
        "UpdateRole" => {
            text(params, "Description").clone_into(&mut role.description);
            text(params, "MaxSessionDuration").clone_into(&mut role.session);
        }
        "TagRole" => role.tags.extend(tags_of(params)),
        "UntagRole" => {
            let keys: BTreeSet<&str> = list(params, "TagKeys", "").into_iter().collect();
            role.tags.retain(|key, _| !keys.contains(key.as_str()));
        }
        _ => return Err(Refusal::new(400, "InvalidAction")),
    }
    Ok(())
}
