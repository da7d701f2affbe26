use std::{fmt, str::FromStr};

use super::{AccountId, InvalidValue, IssuerUrl, RoleName};

/// An AWS partition. Port's hosted integration reads accounts of the commercial partition only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// The commercial partition.
    Aws,
}

impl Partition {
    /// The partition of an ARN.
    ///
    /// # Errors
    /// If the text is no ARN, or its partition is not one that Port hosts integrations for.
    pub fn of_arn(arn: &str) -> Result<Self, InvalidValue> {
        let mut parts = arn.split(':');
        match (parts.next(), parts.next()) {
            (Some("arn"), Some("aws")) => Ok(Self::Aws),
            _ => Err(InvalidValue::new(
                "partition of",
                arn,
                "Port hosts AWS integrations for the commercial partition (arn:aws:…) only",
            )),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "aws",
        })
    }
}

/// `arn:<partition>:iam::<account>:role/<name>`; the path is always `/`, because Port rebuilds a
/// role's ARN from the assumed role and loses any other path.
#[must_use]
pub fn role_arn(partition: Partition, account: &AccountId, name: &RoleName) -> String {
    format!("arn:{partition}:iam::{account}:role/{name}")
}

/// `arn:<partition>:iam::<account>:oidc-provider/<URL without its scheme>`.
#[must_use]
pub fn oidc_provider_arn(partition: Partition, account: &AccountId, issuer: &IssuerUrl) -> String {
    format!("arn:{partition}:iam::{account}:oidc-provider/{}", issuer.host_and_path())
}

/// The ARN of a managed policy, of AWS or of an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyArn(String);

impl PolicyArn {
    /// Placeholder in a spec for the ID of the target account.
    pub const ACCOUNT_PLACEHOLDER: &'static str = "${accountId}";

    /// Parses a policy ARN of a spec, with `${accountId}` in the account field replaced.
    ///
    /// # Errors
    /// If what results is no ARN of a managed policy.
    pub fn expand(template: &str, account: &AccountId) -> Result<Self, InvalidValue> {
        let marked = format!("::{}:policy/", Self::ACCOUNT_PLACEHOLDER);
        template.replacen(&marked, &format!("::{account}:policy/"), 1).parse()
    }

    /// The ARN's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of the ARN: the policy's name without its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for PolicyArn {
    type Err = InvalidValue;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        const RULE: &str =
            "arn:aws:iam::aws:policy/NAME, or arn:aws:iam::${accountId}:policy/NAME for one of the account's own";
        let fail = || InvalidValue::new("policy ARN", value, RULE);
        let rest = value.strip_prefix("arn:aws:iam::").ok_or_else(fail)?;
        let (owner, path) = rest.split_once(":policy/").ok_or_else(fail)?;
        let owner_known = owner == "aws" || owner.parse::<AccountId>().is_ok();
        let named = !path.is_empty()
            && path.len() <= 512
            && path.split('/').all(|part| !part.is_empty())
            && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b));
        if owner_known && named { Ok(Self(value.to_owned())) } else { Err(fail()) }
    }
}

impl fmt::Display for PolicyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn partition_is_read_off_an_arn_and_others_are_refused_with_the_reason() {
        assert_eq!(Partition::of_arn("arn:aws:sts::111122223333:assumed-role/x/y"), Ok(Partition::Aws));
        for foreign in ["arn:aws-cn:iam::1:root", "arn:aws-us-gov:iam::1:root", "aws", ""] {
            let error = Partition::of_arn(foreign).unwrap_err();
            assert!(error.to_string().contains("commercial partition"), "{error}");
        }
    }

    #[test]
    fn policy_arns_take_the_placeholder_in_the_account_field_only() {
        let account = "111122223333".parse().unwrap();
        let expanded = PolicyArn::expand("arn:aws:iam::${accountId}:policy/team/Boundary", &account).unwrap();
        assert_eq!(expanded.as_str(), "arn:aws:iam::111122223333:policy/team/Boundary");
        assert_eq!(expanded.name(), "Boundary");
        for bad in [
            "arn:aws:iam::aws:policy/${accountId}",
            "arn:aws:iam::aws:policy/",
            "arn:aws:iam::aws:policy/a//b",
            "arn:aws:iam::aws:policy/a*",
            "arn:aws:iam::1111:policy/a",
            "arn:aws:iam::aws:role/a",
            "arn:aws-cn:iam::aws:policy/ReadOnlyAccess",
        ] {
            assert!(PolicyArn::expand(bad, &account).is_err(), "{bad}");
        }
    }
}
