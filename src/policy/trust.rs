//! The one trust policy that the operator writes, and how another differs from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::document::{Effect, PolicyDocument, Statement};
use crate::domain::IssuerUrl;

/// The only action that the trust policy allows.
pub const ASSUME_ACTION: &str = "sts:AssumeRoleWithWebIdentity";
const VERSION: &str = "2012-10-17";
const OPERATOR: &str = "StringEquals";

/// Who may assume the role: one subject of one issuer, with one audience.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustPolicy {
    /// ARN of the IAM OIDC provider in the role's own account.
    pub provider_arn: String,
    /// The issuer, from which the condition keys are made.
    pub issuer: IssuerUrl,
    /// Value of `<issuer>:aud`.
    pub audience: String,
    /// Value of `<issuer>:sub`.
    pub subject: String,
}

/// One field in which a trust policy differs from the wanted one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldDrift {
    /// The field, as a path in the document: `Condition.StringEquals.sub`.
    pub field: String,
    /// What the account has.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
}

impl fmt::Display for FieldDrift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} instead of {}", self.field, self.found, self.wanted)
    }
}

impl TrustPolicy {
    /// The document as it is sent to IAM. Every value is a JSON string, so none can break out of
    /// its place.
    #[must_use]
    pub fn to_json(&self) -> String {
        let issuer = self.issuer.host_and_path();
        serde_json::json!({
            "Version": VERSION,
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Federated": self.provider_arn},
                "Action": ASSUME_ACTION,
                "Condition": {OPERATOR: {
                    format!("{issuer}:aud"): self.audience,
                    format!("{issuer}:sub"): self.subject,
                }},
            }],
        })
        .to_string()
    }

    /// The document's meaning.
    #[must_use]
    pub fn document(&self) -> PolicyDocument {
        let one = |value: &str| BTreeSet::from([value.to_owned()]);
        let issuer = self.issuer.host_and_path().to_ascii_lowercase();
        let keys = BTreeMap::from([
            (format!("{issuer}:aud"), one(&self.audience)),
            (format!("{issuer}:sub"), one(&self.subject)),
        ]);
        let statement = Statement {
            effect: Effect::Allow,
            principals: BTreeMap::from([("Federated".to_owned(), one(&self.provider_arn))]),
            actions: one(&ASSUME_ACTION.to_ascii_lowercase()),
            conditions: BTreeMap::from([(OPERATOR.to_owned(), keys)]),
            others: BTreeMap::new(),
        };
        PolicyDocument { version: VERSION.to_owned(), statements: BTreeSet::from([statement]) }
    }

    /// The fields in which `found` differs; empty exactly when both mean the same.
    #[must_use]
    pub fn drift(&self, found: &PolicyDocument) -> Vec<FieldDrift> {
        let wanted = self.document();
        let mut drift = Vec::new();
        let mut differs = |field: &str, found: String, wanted: String| {
            if found != wanted {
                drift.push(FieldDrift { field: field.to_owned(), found, wanted });
            }
        };
        differs("Version", found.version.clone(), wanted.version.clone());
        let (Some(want), 1, Some(have)) = (wanted.statements.first(), found.statements.len(), found.statements.first())
        else {
            let count = format!("{} statements", found.statements.len());
            differs("Statement", count, "1 statement".to_owned());
            return drift;
        };
        differs("Effect", format!("{:?}", have.effect), format!("{:?}", want.effect));
        differs("Principal", nested(&have.principals), nested(&want.principals));
        differs("Action", list(&have.actions), list(&want.actions));
        self.condition_drift(have, want, &mut differs);
        differs("Statement", nested(&have.others), nested(&want.others));
        drift
    }

    fn condition_drift(&self, have: &Statement, want: &Statement, differs: &mut impl FnMut(&str, String, String)) {
        let pairs = |statement: &Statement| -> BTreeMap<(String, String), String> {
            let blocks = statement.conditions.iter();
            blocks
                .flat_map(|(operator, keys)| {
                    keys.iter().map(move |(key, values)| ((operator.clone(), key.clone()), list(values)))
                })
                .collect()
        };
        let (have, want) = (pairs(have), pairs(want));
        let prefix = format!("{}:", self.issuer.host_and_path().to_ascii_lowercase());
        for (operator, key) in have.keys().chain(want.keys()).collect::<BTreeSet<_>>() {
            let short = key.strip_prefix(&prefix).unwrap_or(key);
            let value = |side: &BTreeMap<(String, String), String>| {
                side.get(&(operator.clone(), key.clone())).cloned().unwrap_or_else(|| "absent".to_owned())
            };
            differs(&format!("Condition.{operator}.{short}"), value(&have), value(&want));
        }
    }
}

/// Whether everything that `inner` allows is surely allowed by `outer`, so that replacing `outer` by
/// `inner` can only narrow. Where that cannot be shown the answer is no.
#[must_use]
pub fn covers(outer: &PolicyDocument, inner: &PolicyDocument) -> bool {
    outer.statements.iter().all(|statement| statement.effect == Effect::Allow)
        && inner
            .statements
            .iter()
            .all(|needed| outer.statements.iter().any(|statement| statement_covers(statement, needed)))
}

fn statement_covers(outer: &Statement, inner: &Statement) -> bool {
    let principals = outer.principals.contains_key("*")
        || inner.principals.iter().all(|(kind, ids)| outer.principals.get(kind).is_some_and(|o| ids.is_subset(o)));
    let actions = inner.actions.iter().all(|action| outer.actions.iter().any(|pattern| matches(pattern, action)));
    let conditions = outer.conditions.iter().all(|(operator, keys)| {
        keys.iter().all(|(key, allowed)| {
            let Some(asked) = inner.conditions.get(OPERATOR).and_then(|keys| keys.get(key)) else { return false };
            match operator.as_str() {
                "StringEquals" => asked.is_subset(allowed),
                "StringLike" => asked.iter().all(|value| allowed.iter().any(|pattern| matches(pattern, value))),
                _ => false,
            }
        })
    });
    outer.others.is_empty() && principals && actions && conditions
}

/// IAM's wildcards: `*` for any text, `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((after_star, start)) => {
                    retry = Some((after_star, start + 1));
                    (p, t) = (after_star, start + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

fn list(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn nested(values: &BTreeMap<String, BTreeSet<String>>) -> String {
    values.iter().map(|(kind, ids)| format!("{kind} {}", list(ids))).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wanted() -> TrustPolicy {
        TrustPolicy {
            provider_arn: "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/AB".into(),
            issuer: "https://oidc.example/id/AB".parse().unwrap(),
            audience: "sts.amazonaws.com".into(),
            subject: "system:serviceaccount:org-org_1-port-oidc-sa".into(),
        }
    }

    fn changed(from: &str, to: &str) -> PolicyDocument {
        let text = wanted().to_json();
        assert!(text.contains(from), "{from}");
        PolicyDocument::parse(&text.replace(from, to)).unwrap()
    }

    #[test]
    fn the_document_that_is_sent_means_what_is_wanted() {
        let parsed = PolicyDocument::parse(&wanted().to_json()).unwrap();
        assert_eq!(parsed, wanted().document());
        assert_eq!(wanted().drift(&parsed), vec![]);
    }

    #[test]
    fn a_drifted_field_is_named() {
        for (from, to, field) in [
            ("2012-10-17", "2008-10-17", "Version"),
            ("Allow", "Deny", "Effect"),
            ("111122223333", "444455556666", "Principal"),
            ("AssumeRoleWithWebIdentity", "AssumeRole", "Action"),
            ("\"sts.amazonaws.com\"", "\"other\"", "Condition.StringEquals.aud"),
            ("org-org_1-", "org-org_2-", "Condition.StringEquals.sub"),
        ] {
            let drift = wanted().drift(&changed(from, to));
            assert_eq!(drift.iter().map(|d| d.field.as_str()).collect::<Vec<_>>(), [field]);
        }
        let like = wanted().drift(&changed("StringEquals", "StringLike"));
        assert_eq!(like.len(), 4, "{like:?}");
    }

    #[test]
    fn a_wider_trust_covers_the_wanted_one_and_a_different_one_does_not() {
        let inner = wanted().document();
        let covering = [
            changed("\"sts.amazonaws.com\"", "[\"sts.amazonaws.com\",\"x\"]"),
            changed("sts:AssumeRoleWithWebIdentity", "sts:*"),
            changed("{\"Federated\":\"arn:aws:iam::111122223333:oidc-provider/oidc.example/id/AB\"}", "\"*\""),
            inner.clone(),
        ];
        for outer in covering {
            assert!(covers(&outer, &inner), "{outer:?}");
        }
        let others = [
            changed("org-org_1-", "org-org_2-"),
            changed("Allow", "Deny"),
            changed("\"Effect\"", "\"NotAction\":\"a\",\"Effect\""),
            changed("StringEquals", "StringNotEquals"),
            changed("oidc.example/id/AB:aud", "aws:SourceIp"),
        ];
        for outer in others {
            assert!(!covers(&outer, &inner), "{outer:?}");
        }
    }

    #[test]
    fn wildcards_match_as_in_iam() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("sts:*", "sts:assumerole", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b", "axxbc", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("abc", "abcd", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
