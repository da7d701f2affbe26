//! Every AWS action that the operator takes, by what it is for: the one list from which the session
//! policies and the published policies are made, and against which the calls in `src/aws` are tested.
//!
//! `sts:GetCallerIdentity` is not in it: AWS asks for no permission to call it.

/// Reads the OIDC provider.
pub const READ_PROVIDER: &[&str] = &["iam:GetOpenIDConnectProvider"];
/// Makes it. IAM asks for the second as well where the first comes with tags.
pub const CREATE_PROVIDER: &[&str] = &["iam:CreateOpenIDConnectProvider", "iam:TagOpenIDConnectProvider"];
/// Adds a client ID to it.
pub const ADD_CLIENT_ID: &[&str] = &["iam:AddClientIDToOpenIDConnectProvider"];
/// Deletes it.
pub const DELETE_PROVIDER: &[&str] = &["iam:DeleteOpenIDConnectProvider"];

/// Reads the role, with what hangs on it.
pub const READ_ROLE: &[&str] = &["iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"];
/// Makes it. IAM asks for [`TAG_ROLE`] as well where this comes with tags.
pub const CREATE_ROLE: &[&str] = &["iam:CreateRole"];
/// Claims it, and keeps its tags.
pub const TAG_ROLE: &[&str] = &["iam:TagRole"];
/// Lets go of it.
pub const UNTAG_ROLE: &[&str] = &["iam:UntagRole"];
/// Keeps its trust policy, description and maximum session duration.
pub const UPDATE_ROLE: &[&str] = &["iam:UpdateAssumeRolePolicy", "iam:UpdateRole"];
/// Takes a managed policy off it.
pub const DETACH_POLICY: &[&str] = &["iam:DetachRolePolicy"];
/// Gives it a managed policy.
pub const ATTACH_POLICY: &[&str] = &["iam:AttachRolePolicy"];
/// Sets its permissions boundary.
pub const SET_BOUNDARY: &[&str] = &["iam:PutRolePermissionsBoundary"];
/// Takes the boundary off it.
pub const DELETE_BOUNDARY: &[&str] = &["iam:DeleteRolePermissionsBoundary"];
/// Deletes it.
pub const DELETE_ROLE: &[&str] = &["iam:DeleteRole"];
/// Finds out who trusts the provider.
pub const LIST_ROLES: &[&str] = &["iam:ListRoles"];

/// Takes on a role in another account.
pub const ASSUME_ROLE: &[&str] = &["sts:AssumeRole"];
/// Finds the accounts of organizational units.
pub const DISCOVER: &[&str] = &[
    "organizations:DescribeOrganization",
    "organizations:ListAccountsForParent",
    "organizations:ListOrganizationalUnitsForParent",
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use crate::policy::published::{Published, tests::defaults};

    /// What AWS lets everybody do.
    const FREE: &str = "getcalleridentity";
    /// What no call is named after: IAM asks for it when a provider is made with tags.
    const IMPLIED: &str = "tagopenidconnectprovider";

    /// The actions' names as the SDK's methods have them, without their underscores.
    fn published() -> BTreeSet<String> {
        let actions = Published::ALL.iter().flat_map(|which| which.actions(&defaults()));
        actions.map(|action| action.split(':').nth(1).unwrap_or_default().to_ascii_lowercase()).collect()
    }

    /// The SDK's methods that start a call, in the files of a folder: a method without arguments whose
    /// name starts with a verb of AWS, and has more than that.
    fn called(folder: &str) -> BTreeSet<String> {
        const VERBS: [&str; 12] =
            ["add", "attach", "create", "delete", "describe", "detach", "get", "list", "put", "tag", "untag", "update"];
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let methods = code.split('.').filter_map(|part| part.split_once("()")).map(|(name, _)| name);
            let calls = methods.filter(|name| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()));
            let verb = |name: &str| name.split_once('_').is_some_and(|(verb, _)| VERBS.contains(&verb));
            let calls = calls.filter(|name| verb(name) || *name == "assume_role");
            found.extend(calls.map(|name| name.replace('_', "")));
        }
        found
    }

    #[test]
    fn the_operator_calls_what_is_published_and_nothing_else() {
        let (mut published, mut called) = (published(), called("src/aws"));
        assert!(called.remove(FREE), "{called:?}");
        assert!(published.remove(IMPLIED), "{published:?}");
        assert_eq!(called.difference(&published).collect::<Vec<_>>(), Vec::<&String>::new(), "called, not published");
        let unused: Vec<_> = published.difference(&called).collect();
        assert_eq!(unused, Vec::<&String>::new(), "published, not called");
    }
}
