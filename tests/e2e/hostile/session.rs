//! What has to hold of a session policy.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, test_runner::TestCaseError};
use serde_json::{Value, json};

use super::invariants::Verdict;

/// What may be done with the provider, and with the role, while both are kept.
const KEEP_PROVIDER: [&str; 4] = [
    "iam:GetOpenIDConnectProvider",
    "iam:CreateOpenIDConnectProvider",
    "iam:AddClientIDToOpenIDConnectProvider",
    "iam:TagOpenIDConnectProvider",
];
const KEEP_ROLE: [&str; 8] = [
    "iam:CreateRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
    "iam:TagRole",
    "iam:AttachRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:DeleteRolePermissionsBoundary",
];
/// The same while they are taken away.
const TAKE_PROVIDER: [&str; 2] = ["iam:GetOpenIDConnectProvider", "iam:DeleteOpenIDConnectProvider"];
const TAKE_ROLE: [&str; 3] = ["iam:DetachRolePolicy", "iam:DeleteRole", "iam:UntagRole"];
/// What is only read of the role, at any path: a name that is taken elsewhere has to be told.
const READ_ROLE: [&str; 3] = ["iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"];

/// A session policy by action: the resources, and the condition.
type Grants = BTreeMap<String, (Value, Value)>;

/// Reads a session policy; an action that is allowed twice is an error.
fn grants(policy: &str) -> Result<Grants, TestCaseError> {
    let document: Value = serde_json::from_str(policy).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let mut grants = Grants::new();
    prop_assert_eq!(&document["Version"], "2012-10-17");
    prop_assert_eq!(document.as_object().map(serde_json::Map::len), Some(2), "{}", policy);
    for statement in document["Statement"].as_array().into_iter().flatten() {
        let elements = ["Effect", "Action", "Resource", "Condition"];
        let known = statement.as_object().is_some_and(|all| all.keys().all(|key| elements.contains(&key.as_str())));
        prop_assert!(known && statement["Effect"] == "Allow", "{}", statement);
        for action in statement["Action"].as_array().into_iter().flatten() {
            let action = action.as_str().unwrap_or_default().to_owned();
            let grant = (statement["Resource"].clone(), statement["Condition"].clone());
            prop_assert!(grants.insert(action.clone(), grant).is_none(), "{} twice: {}", action, policy);
        }
    }
    Ok(grants)
}

fn expected(actions: &[&str], resource: &Value) -> Grants {
    actions.iter().map(|action| ((*action).to_owned(), (resource.clone(), Value::Null))).collect()
}

/// The provider, and the role at any path.
fn readable(role: &str, provider: &str) -> Value {
    let (account, name) = role.split_once(":role/").unwrap_or_default();
    json!([provider, format!("{account}:role/*{name}")])
}

/// Keeping a role allows what is on the lists, on this role and provider, and to attach what is wanted.
pub fn managing(
    policy: &str,
    role: &str,
    provider: &str,
    policies: &BTreeSet<String>,
    boundary: Option<&str>,
) -> Verdict {
    let mut wanted = expected(&[&KEEP_PROVIDER[..], &READ_ROLE].concat(), &readable(role, provider));
    wanted.extend(expected(&KEEP_ROLE, &role.into()));
    let mut condition = |action: &str, condition: Value| wanted.insert(action.to_owned(), (role.into(), condition));
    condition("iam:AttachRolePolicy", json!({"ArnEquals": {"iam:PolicyARN": policies}}));
    if let Some(boundary) = boundary {
        let bounded = json!({"StringEquals": {"iam:PermissionsBoundary": boundary}});
        condition("iam:CreateRole", bounded.clone());
        condition("iam:PutRolePermissionsBoundary", bounded);
        wanted.remove("iam:DeleteRolePermissionsBoundary");
    }
    prop_assert_eq!(grants(policy)?, wanted);
    // ArnEquals and Resource take wildcards, and both take variables. The one there is is the path.
    prop_assert_eq!(policy.matches(['*', '?', '$']).count(), 1, "{}", policy);
    Ok(())
}

/// Taking a role away allows what is on the lists, and to see which roles there are.
pub fn removing(policy: &str, role: &str, provider: &str) -> Verdict {
    let mut wanted = expected(&[&TAKE_PROVIDER[..], &READ_ROLE].concat(), &readable(role, provider));
    wanted.extend(expected(&TAKE_ROLE, &role.into()));
    wanted.extend(expected(&["iam:ListRoles"], &"*".into()));
    prop_assert_eq!(grants(policy)?, wanted);
    prop_assert_eq!(policy.matches(['*', '?', '$']).count(), 2, "{}", policy);
    Ok(())
}
