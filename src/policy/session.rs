//! Session policies: what one pass may do with the credentials of one account, whatever the role
//! that it assumes may do. The effective rights are the intersection of both
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session>), so a
//! defect of ours, or a resource that got past every other check, still reaches nothing but its own
//! role and provider.

use serde_json::{Value, json};

use super::actions::{
    ADD_CLIENT_ID, ATTACH_POLICY, CREATE_PROVIDER, CREATE_ROLE, DELETE_BOUNDARY, DELETE_PROVIDER, DELETE_ROLE,
    DETACH_POLICY, DISCOVER, LIST_ROLES, READ_PROVIDER, READ_ROLE, SET_BOUNDARY, TAG_ROLE, UNTAG_ROLE, UPDATE_ROLE,
};

/// The most characters that `AssumeRole` takes for a session policy
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).
pub const SESSION_POLICY_CHARACTERS: usize = 2048;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Keeping role and provider as wanted.
    Manage,
    /// Taking them away: nothing that makes, opens or gives rights.
    Remove,
    /// Looking at them: nothing that writes.
    Look,
    /// Asking AWS Organizations which accounts there are.
    Discover,
}

/// The objects that a session may touch.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// ARN of the role.
    pub role_arn: &'a str,
    /// ARN of the provider.
    pub provider_arn: &'a str,
}

/// The session policy for keeping a role: attaching is allowed for `policies` alone, and with a
/// `boundary` a role can only be made with it and never lose it.
#[must_use]
pub fn manage<'a>(scope: Scope<'_>, policies: impl IntoIterator<Item = &'a str>, boundary: Option<&str>) -> String {
    let policies: Vec<&str> = policies.into_iter().collect();
    let bounded = [CREATE_ROLE, SET_BOUNDARY];
    let mut on_role = vec![UPDATE_ROLE, TAG_ROLE, DETACH_POLICY];
    if boundary.is_none() {
        on_role.extend(bounded);
        on_role.push(DELETE_BOUNDARY);
    }
    let attach = json!({"ArnEquals": {"iam:PolicyARN": policies}});
    let mut statements = vec![
        allow(&[READ_ROLE, READ_PROVIDER, CREATE_PROVIDER, ADD_CLIENT_ID], readable(scope), None),
        allow(&on_role, scope.role_arn, None),
        allow(&[ATTACH_POLICY], scope.role_arn, Some(attach)),
    ];
    if let Some(boundary) = boundary {
        let condition = json!({"StringEquals": {"iam:PermissionsBoundary": boundary}});
        statements.push(allow(&bounded, scope.role_arn, Some(condition)));
    }
    document(&statements)
}

/// The session policy for taking a role and a provider away.
#[must_use]
pub fn remove(scope: Scope<'_>) -> String {
    document(&[
        allow(&[READ_ROLE, READ_PROVIDER, DELETE_PROVIDER], readable(scope), None),
        allow(&[DETACH_POLICY, DELETE_ROLE, UNTAG_ROLE], scope.role_arn, None),
        allow(&[LIST_ROLES], "*", None),
    ])
}

/// The session policy for looking at a role and a provider.
#[must_use]
pub fn look(scope: Scope<'_>) -> String {
    document(&[allow(&[READ_ROLE, READ_PROVIDER], readable(scope), None)])
}

/// The session policy for asking AWS Organizations.
#[must_use]
pub fn discover() -> String {
    document(&[allow(&[DISCOVER], "*", None)])
}

/// The provider, and the role at any path: IAM takes the name of a role for any path, and then asks for
/// the right to read it there. Without it, a name that is taken would look like a permission that is
/// missing. Both in one statement, because a policy with the longest names has no room for another.
fn readable(scope: Scope<'_>) -> Value {
    json!([scope.provider_arn, scope.role_arn.replacen(":role/", ":role/*", 1)])
}

fn allow(actions: &[&[&str]], resource: impl Into<Value>, condition: Option<Value>) -> Value {
    let mut statement = json!({"Effect": "Allow", "Action": actions.concat(), "Resource": resource.into()});
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
    statement
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest names that the API lets in.
    fn longest() -> (String, String, Vec<String>, String) {
        let role = format!("arn:aws:iam::111122223333:role/{}", "r".repeat(64));
        let provider = format!("arn:aws:iam::111122223333:oidc-provider/{}", "p".repeat(120));
        let arn = |n: usize| format!("arn:aws:iam::111122223333:policy/{n}{}", "x".repeat(160 - 34));
        (role, provider, (0..4).map(arn).collect(), arn(9))
    }

    #[test]
    fn the_longest_policies_fit() {
        let (role_arn, provider_arn, policies, boundary) = longest();
        let scope = Scope { role_arn: &role_arn, provider_arn: &provider_arn };
        let arns = || policies.iter().map(String::as_str);
        for text in [manage(scope, arns(), Some(&boundary)), manage(scope, arns(), None), remove(scope)] {
            assert!(text.len() <= SESSION_POLICY_CHARACTERS, "{}: {text}", text.len());
        }
    }

    #[test]
    fn a_session_that_removes_gives_no_rights() {
        let (role_arn, provider_arn, ..) = longest();
        let text = remove(Scope { role_arn: &role_arn, provider_arn: &provider_arn });
        for giving in ["Create", "Attach", "UpdateAssumeRolePolicy", "Put", "TagRole\"", "AddClientID"] {
            assert!(!text.contains(&format!("iam:{giving}")), "{giving}: {text}");
        }
    }

    #[test]
    fn with_a_boundary_no_role_is_made_without_it() {
        let (role_arn, provider_arn, policies, boundary) = longest();
        let scope = Scope { role_arn: &role_arn, provider_arn: &provider_arn };
        let text = manage(scope, policies.iter().map(String::as_str), Some(&boundary));
        assert!(!text.contains("DeleteRolePermissionsBoundary"));
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        let making = document["Statement"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|statement| statement["Action"].to_string().contains("CreateRole\""));
        let conditions: Vec<_> = making.map(|statement| statement["Condition"]["StringEquals"].to_string()).collect();
        assert_eq!(conditions, [json!({"iam:PermissionsBoundary": boundary}).to_string()]);
    }
}
