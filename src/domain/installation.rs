use std::{fmt, str::FromStr};

use super::InvalidValue;

/// Names this installation of the operator in the tags of what it makes. It is carried to a
/// successor cluster, so it is a name and not a property of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(String);

impl ClusterId {
    /// The identifier's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterId {
    type Err = InvalidValue;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let ok = (1..=128).contains(&value.len())
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:/=+-@".contains(&b));
        if ok {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidValue::new("cluster id", value, "1 to 128 characters of A-Z a-z 0-9 _ . : / = + - @"))
        }
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The resource that a role belongs to, by name and not by UID: a resource that `GitOps` deletes and
/// creates again finds its own role. A namespace holds no dot, so `<namespace>.<name>` is unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Namespace of the `PortAwsIntegration`.
    pub namespace: String,
    /// Name of the `PortAwsIntegration`.
    pub name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}
