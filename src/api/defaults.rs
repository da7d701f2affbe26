//! What both kinds have alike: defaults that an integration asks for and an access object allows, and
//! the form of a policy ARN.

/// The form of a managed policy's ARN, of AWS or of an account.
pub(super) const POLICY_ARN: &str = r"^arn:aws:iam::(aws|[0-9]{12}|\$\{accountId\}):policy(/[A-Za-z0-9_+=,.@-]+)+$";

/// The issuer of Port's production cluster, as Port's documentation gives it.
pub(super) fn issuer_url() -> String {
    "https://oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4".to_owned()
}

/// The audience of tokens that are meant for AWS.
pub(super) fn client_id() -> String {
    "sts.amazonaws.com".to_owned()
}

/// What Port asks a role to have.
pub(super) fn managed_policy_arns() -> Vec<String> {
    vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned()]
}

/// IAM's own default, in seconds; Port asks for no more.
pub(super) fn max_session_duration() -> i32 {
    3600
}
