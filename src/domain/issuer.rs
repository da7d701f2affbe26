use std::{fmt, str::FromStr};

use super::InvalidValue;

/// The URL of an `OpenID` Connect issuer, as IAM compares it: exactly, and without its scheme.
///
/// IAM's own bound is 255 characters ([`CreateOpenIDConnectProvider`]); ours is 128, so that a
/// trust policy and a session policy with it stay within their 2,048 characters.
///
/// [`CreateOpenIDConnectProvider`]: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerUrl(String);

impl IssuerUrl {
    /// The whole URL, with `https://`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL without its scheme: what IAM stores, and what condition keys start with.
    #[must_use]
    pub fn host_and_path(&self) -> &str {
        self.0.strip_prefix("https://").unwrap_or(&self.0)
    }
}

impl FromStr for IssuerUrl {
    type Err = InvalidValue;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "https://HOST/PATH of at most 128 characters, without port, query or a slash at the end";
        let fail = || InvalidValue::new("issuer URL", value, RULE);
        let rest = value.strip_prefix("https://").ok_or_else(fail)?;
        let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
        let host_ok = !host.is_empty()
            && host.split('.').all(|label| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            });
        let path_ok = path.is_none_or(|path| {
            path.split('/')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)))
        });
        if value.len() <= 128 && host_ok && path_ok { Ok(Self(value.to_owned())) } else { Err(fail()) }
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_a_plain_https_url() {
        let port: IssuerUrl =
            "https://oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4".parse().unwrap();
        assert_eq!(port.host_and_path(), "oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4");
        assert!("https://token.example".parse::<IssuerUrl>().is_ok());
        for bad in [
            "http://a.example/x",
            "https://a.example/",
            "https://a.example/x/",
            "https://a.example//x",
            "https://a.example:8443/x",
            "https://a.example/x?y",
            "https://A.example/x",
            "https://a..example",
            "https://a.example/${aws:username}",
            "https://",
        ] {
            assert!(bad.parse::<IssuerUrl>().is_err(), "{bad}");
        }
        assert!(format!("https://a.example/{}", "x".repeat(128)).parse::<IssuerUrl>().is_err());
    }
}
