//! Refused and accepted values for every constraint of the two schemas. The numbers are written
//! down here, so that a bound that is moved by mistake is noticed.

use serde_json::{Map, Value, json};

/// A bound by a number: its last value within, and the next one outside.
pub struct Bound {
    pub path: &'static str,
    pub keyword: &'static str,
    pub at: usize,
    /// What texts and entries begin with.
    prefix: &'static str,
}

impl Bound {
    fn new(path: &'static str, keyword: &'static str, at: usize, prefix: &'static str) -> Self {
        Self { path, keyword, at, prefix }
    }

    pub fn inside(&self) -> Value {
        self.value(self.at)
    }

    pub fn outside(&self) -> Value {
        self.value(if self.keyword.starts_with("min") { self.at - 1 } else { self.at + 1 })
    }

    fn value(&self, size: usize) -> Value {
        let nth = |index: usize| format!("{}{index:04}", self.prefix);
        match self.keyword {
            "minimum" | "maximum" => json!(size),
            "minItems" | "maxItems" => (0..size).map(nth).collect(),
            "maxProperties" => (0..size).map(|index| (nth(index), json!("x"))).collect::<Map<_, _>>().into(),
            _ => {
                let rest = size.saturating_sub(self.prefix.len());
                json!(format!("{}{}", &self.prefix[..self.prefix.len().min(size)], "a".repeat(rest)))
            }
        }
    }
}

/// Values for a constraint that is not a number.
pub struct Example {
    pub path: &'static str,
    pub keyword: &'static str,
    pub refused: Vec<Value>,
    pub accepted: Vec<Value>,
}

impl Example {
    fn new<R: Into<Value>, A: Into<Value>>(
        path: &'static str,
        keyword: &'static str,
        refused: impl IntoIterator<Item = R>,
        accepted: impl IntoIterator<Item = A>,
    ) -> Self {
        let refused = refused.into_iter().map(Into::into).collect();
        Self { path, keyword, refused, accepted: accepted.into_iter().map(Into::into).collect() }
    }
}

const POLICY: &str = "arn:aws:iam::aws:policy/";
const BAD_POLICIES: [&str; 6] = [
    "ReadOnlyAccess",
    "arn:aws-cn:iam::aws:policy/ReadOnlyAccess",
    "arn:aws:iam::1234:policy/x",
    "arn:aws:iam::${account}:policy/x",
    "arn:aws:iam::aws:policy/",
    "arn:aws:iam::aws:role/x",
];
const GOOD_POLICIES: [&str; 4] = [
    "arn:aws:iam::aws:policy/ReadOnlyAccess",
    "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess",
    "arn:aws:iam::111122223333:policy/x",
    "arn:aws:iam::${accountId}:policy/x",
];
const BAD_ACCOUNTS: [&str; 4] = ["", "11112222333", "11112222333a", "1111-2222-33"];
const BAD_TOKENS: [&str; 5] = ["*", "system:serviceaccount:*", "${aws:username}", "a b", "a\"b"];
const BAD_ROLE_NAMES: [&str; 4] = ["a b", "a/b", "rôle-name", "PortIntegrationRole-*"];

pub fn integration_bounds() -> Vec<Bound> {
    vec![
        Bound::new("/organizationId", "minLength", 1, ""),
        Bound::new("/organizationId", "maxLength", 64, "org_"),
        Bound::new("/integrationIdentifier", "minLength", 2, ""),
        Bound::new("/integrationIdentifier", "maxLength", 44, ""),
        Bound::new("/accessRef/name", "minLength", 1, ""),
        Bound::new("/accessRef/name", "maxLength", 253, ""),
        Bound::new("/accounts", "minItems", 1, "11112222"),
        Bound::new("/accounts", "maxItems", 2000, "11112222"),
        Bound::new("/discovery/accountIds", "minItems", 1, "11112222"),
        Bound::new("/discovery/accountIds", "maxItems", 2000, "11112222"),
        Bound::new("/oidcProvider/url", "maxLength", 128, "https://"),
        Bound::new("/oidcProvider/clientId", "minLength", 1, ""),
        Bound::new("/oidcProvider/clientId", "maxLength", 255, ""),
        Bound::new("/oidcProvider/subject", "minLength", 1, ""),
        Bound::new("/oidcProvider/subject", "maxLength", 255, ""),
        Bound::new("/role/name", "minLength", 1, ""),
        Bound::new("/role/name", "maxLength", 64, ""),
        Bound::new("/role/description", "minLength", 1, ""),
        Bound::new("/role/description", "maxLength", 1000, ""),
        Bound::new("/role/managedPolicyArns", "minItems", 1, POLICY),
        Bound::new("/role/managedPolicyArns", "maxItems", 4, POLICY),
        Bound::new("/role/managedPolicyArns/[]", "maxLength", 160, POLICY),
        Bound::new("/role/permissionsBoundaryArn", "maxLength", 160, POLICY),
        Bound::new("/role/maxSessionDuration", "minimum", 3600, ""),
        Bound::new("/role/maxSessionDuration", "maximum", 43200, ""),
        Bound::new("/role/tags", "maxProperties", 40, "key"),
        Bound::new("/role/tags/{}", "maxLength", 256, ""),
    ]
}

pub fn integration_examples() -> Vec<Example> {
    let none: [&str; 0] = [];
    let choice = |path, accepted: [&'static str; 2]| Example::new(path, "enum", ["", "Sometimes"], accepted);
    vec![
        Example::new(
            "/organizationId",
            "pattern",
            ["a:b", "org:1", "-a", "a-", "a b", "*"],
            ["org_BneDtWovPqXaA2VZ", "a", "A-1"],
        ),
        Example::new("/integrationIdentifier", "pattern", ["Aws", "1a", "a-", "a_b", "aws prod"], ["a1", "aws-prod-2"]),
        Example::new("/accounts", "set", [json!(["111122223333", "111122223333"])], none),
        Example::new(
            "/accounts/[]",
            "pattern",
            BAD_ACCOUNTS.iter().copied().chain(["*", "1111222233334"]),
            ["000000000000"],
        ),
        Example::new("/accounts/[]", "type", [111_122_223_333_u64], none),
        Example::new(
            "/oidcProvider/url",
            "pattern",
            [
                "http://a.b/c",
                "a.b/c",
                "https://A.b",
                "https://a.b:443/c",
                "https://a.b/c?d",
                "https://a.b/",
                "https://",
            ],
            ["https://a.b", "https://oidc.eks.eu-west-1.amazonaws.com/id/56E5"],
        ),
        Example::new("/oidcProvider/clientId", "pattern", BAD_TOKENS, ["sts.amazonaws.com", "https://a.b/c"]),
        Example::new("/oidcProvider/subject", "pattern", BAD_TOKENS, ["system:serviceaccount:org-1-port:port-oidc-sa"]),
        Example::new("/role/name", "pattern", BAD_ROLE_NAMES, ["a", "a_+=,.@-b"]),
        Example::new("/role/description", "pattern", ["a\nb", "a\tb", "€"], ["reads, for Port", "für é"]),
        Example::new("/role/managedPolicyArns/[]", "pattern", BAD_POLICIES, GOOD_POLICIES),
        Example::new("/role/permissionsBoundaryArn", "pattern", BAD_POLICIES, GOOD_POLICIES),
        Example::new("/role/tags/{}", "pattern", ["a*", "a#b", "a\nb"], ["", "Größe 1", "a_b.c:d/e=f+g-h@i"]),
        Example::new(
            "/interval",
            "pattern",
            ["nonsense", "30", "-5m", "1d", "1.5h", "10 m", "30m1h"],
            ["1h30m", "300s"],
        ),
        Example::new("/interval", "minLength", ["", "5"], ["5m"]),
        Example::new("/interval", "maxLength", ["0000000000000030m"], ["000000000000030m"]),
        choice("/mode", ["Enforce", "Observe"]),
        choice("/deletionPolicy", ["Delete", "Retain"]),
        choice("/accountRemovalPolicy", ["Retain", "Delete"]),
        choice("/oidcProvider/management", ["CreateOrAdopt", "UseExisting"]),
        choice("/oidcProvider/deletionPolicy", ["Retain", "DeleteIfUnused"]),
        choice("/role/extraPolicies", ["Remove", "Report"]),
        choice("/role/adoption", ["Refuse", "Adopt"]),
        Example::new("/organizationId", "required", [Value::Null], none),
        Example::new("/integrationIdentifier", "required", [Value::Null], none),
        Example::new("/discovery/organizationalUnitIds", "required", [Value::Null], none),
        Example::new("/discovery/organizationalUnitIds", "set", [json!(["r-ab12", "r-ab12"])], none),
        Example::new("/discovery/organizationalUnitIds", "minItems", [json!([])], [json!(["r-ab12"])]),
        Example::new("/discovery/organizationalUnitIds", "maxItems", [units(51)], [units(50)]),
        Example::new(
            "/discovery/organizationalUnitIds/[]",
            "pattern",
            ["", "*", "root", "ou-ab12", "ou-ab12-CDEF3456", "r-", "r-ab12-cdef3456", "ou-ab12-cdef3456 "],
            ["r-ab12", "ou-ab12-cdef3456"],
        ),
        Example::new(
            "/discovery/organizationalUnitIds/[]",
            "maxLength",
            [format!("ou-{}-{}", "a".repeat(32), "b".repeat(33))],
            [format!("ou-{}-{}", "a".repeat(32), "b".repeat(32))],
        ),
        Example::new("/discovery/scope", "enum", ["", "ALL"], none),
        Example::new("/discovery/accountIds", "set", [json!(["111122223333", "111122223333"])], none),
        Example::new(
            "/discovery/accountIds/[]",
            "pattern",
            BAD_ACCOUNTS.iter().copied().chain(["*"]),
            ["000000000000"],
        ),
        Example::new("/suspend", "type", ["true"], [true, false]),
    ]
}

pub fn access_bounds() -> Vec<Bound> {
    vec![
        Bound::new("/accounts", "minItems", 1, "11112222"),
        Bound::new("/accounts", "maxItems", 2000, "11112222"),
        Bound::new("/assumeRole/roleName", "minLength", 1, ""),
        Bound::new("/assumeRole/roleName", "maxLength", 64, ""),
        Bound::new("/assumeRole/externalId", "minLength", 2, ""),
        Bound::new("/assumeRole/externalId", "maxLength", 1224, ""),
        Bound::new("/organizations/externalId", "minLength", 2, ""),
        Bound::new("/organizations/externalId", "maxLength", 1224, ""),
        Bound::new("/organizations/roleArn", "maxLength", 256, "arn:aws:iam::111122223333:role/"),
        Bound::new("/takeOver/[]/clusterId", "minLength", 1, ""),
        Bound::new("/takeOver/[]/clusterId", "maxLength", 128, ""),
        Bound::new("/allowedNamespaces/names", "maxItems", 500, "ns"),
        Bound::new("/allowedNamespaces/names/[]", "minLength", 1, ""),
        Bound::new("/allowedNamespaces/names/[]", "maxLength", 63, ""),
        Bound::new("/limits/organizationIds", "minItems", 1, "org_"),
        Bound::new("/limits/organizationIds", "maxItems", 20, "org_"),
        Bound::new("/limits/organizationIds/[]", "minLength", 1, ""),
        Bound::new("/limits/organizationIds/[]", "maxLength", 64, ""),
        Bound::new("/limits/subjects", "maxItems", 20, ""),
        Bound::new("/limits/subjects/[]", "minLength", 1, ""),
        Bound::new("/limits/subjects/[]", "maxLength", 255, ""),
        Bound::new("/limits/issuerUrls", "minItems", 1, "https://a"),
        Bound::new("/limits/issuerUrls", "maxItems", 20, "https://a"),
        Bound::new("/limits/issuerUrls/[]", "minLength", 1, ""),
        Bound::new("/limits/issuerUrls/[]", "maxLength", 128, "https://"),
        Bound::new("/limits/clientIds", "minItems", 1, ""),
        Bound::new("/limits/clientIds", "maxItems", 20, ""),
        Bound::new("/limits/clientIds/[]", "minLength", 1, ""),
        Bound::new("/limits/clientIds/[]", "maxLength", 255, ""),
        Bound::new("/limits/managedPolicyArns", "minItems", 1, POLICY),
        Bound::new("/limits/managedPolicyArns", "maxItems", 20, POLICY),
        Bound::new("/limits/managedPolicyArns/[]", "minLength", 1, ""),
        Bound::new("/limits/managedPolicyArns/[]", "maxLength", 160, POLICY),
        Bound::new("/limits/roleNamePrefix", "minLength", 8, ""),
        Bound::new("/limits/roleNamePrefix", "maxLength", 64, ""),
        Bound::new("/limits/permissionsBoundaryArn", "maxLength", 160, POLICY),
        Bound::new("/limits/maxSessionDuration", "minimum", 3600, ""),
        Bound::new("/limits/maxSessionDuration", "maximum", 43200, ""),
        Bound::new("/limits/tagKeys", "maxItems", 50, "key"),
        Bound::new("/limits/tagKeys/[]", "minLength", 1, ""),
        Bound::new("/limits/tagKeys/[]", "maxLength", 128, ""),
    ]
}

pub fn access_examples() -> Vec<Example> {
    let none: [&str; 0] = [];
    vec![
        Example::new("/accounts", "required", [Value::Null], none),
        Example::new("/accounts", "set", [json!(["111122223333", "111122223333"])], none),
        Example::new("/accounts/[]", "pattern", BAD_ACCOUNTS.iter().copied().chain(["1111*"]), ["000000000000", "*"]),
        Example::new("/accounts/[]", "maxLength", ["1111222233334"], none),
        Example::new("/assumeRole/roleName", "required", [Value::Null], none),
        Example::new("/assumeRole/roleName", "pattern", BAD_ROLE_NAMES, ["PortAwsOperator"]),
        Example::new("/assumeRole/externalId", "pattern", ["a b", "a\"b", "*-"], ["a:b/c=d", "0123"]),
        Example::new(
            "/organizations/roleArn",
            "pattern",
            [
                "",
                "PortAwsOrganizations",
                "arn:aws:iam::*:role/x",
                "arn:aws-cn:iam::111122223333:role/x",
                "arn:aws:iam::111122223333:role/*",
            ],
            ["arn:aws:iam::111122223333:role/x", "arn:aws:iam::111122223333:role/path/x"],
        ),
        Example::new("/organizations/externalId", "pattern", ["a b", "a\"b", "*-"], ["a:b/c=d", "0123"]),
        Example::new("/takeOver", "maxItems", [installations(21)], [installations(20)]),
        Example::new("/takeOver/[]/clusterId", "required", [Value::Null], none),
        Example::new("/takeOver/[]/clusterId", "pattern", ["a b", "*"], ["f3b6c1d0-0d4a-4f8e-9b43-7a2d7c3a1e55"]),
        Example::new("/limits", "required", [Value::Null], none),
        Example::new("/limits/organizationIds", "required", [Value::Null], none),
        Example::new("/limits/roleNamePrefix", "pattern", ["PortRole*", "Port Role", "Port/Role"], ["PortRole"]),
        Example::new("/limits/permissionsBoundaryArn", "pattern", BAD_POLICIES, GOOD_POLICIES),
        Example::new("/limits/adoption", "enum", ["", "Sometimes"], ["Refuse", "Adopt"]),
        Example::new("/allowedNamespaces/selector/matchExpressions/[]/key", "required", [Value::Null], none),
        Example::new(
            "/allowedNamespaces/selector/matchExpressions/[]",
            "type",
            ["a"],
            [json!({"key": "a", "operator": "Exists"})],
        ),
        Example::new("/allowedNamespaces/selector/matchExpressions/[]/operator", "required", [Value::Null], none),
    ]
}

fn installations(count: usize) -> Value {
    (0..count).map(|index| json!({"clusterId": format!("cluster-{index}")})).collect()
}

fn units(count: usize) -> Value {
    (0..count).map(|index| json!(format!("ou-ab12-cdef{index:04}"))).collect()
}

type Rule = (&'static str, Vec<Value>, Vec<Value>);

/// Paths with values that only a CEL rule refuses, and such that it must not.
pub fn rules(kind: &str) -> Vec<Rule> {
    let texts = |values: &[&str]| values.iter().map(|value| json!(value)).collect::<Vec<_>>();
    let tags = |keys: &[&str]| keys.iter().map(|key| json!({*key: "x"})).collect::<Vec<_>>();
    if kind == "PortAwsAccess" {
        return vec![(
            "/accounts",
            vec![json!(["*", "111122223333"]), json!(["111122223333", "*"])],
            vec![json!(["*"]), json!(["111122223333", "444455556666"])],
        )];
    }
    vec![
        ("/accounts", vec![Value::Null], vec![json!(["111122223333"])]),
        (
            "/discovery",
            vec![Value::Null],
            vec![
                json!({"organizationalUnitIds": ["r-ab12"]}),
                json!({"organizationalUnitIds": ["r-ab12"], "scope": "All"}),
                json!({"organizationalUnitIds": ["r-ab12"], "scope": "Difference", "accountIds": ["111122223333"]}),
            ],
        ),
        ("/discovery/scope", texts(&["Intersection", "Difference"]), texts(&["All"])),
        (
            "/discovery",
            vec![
                json!({"organizationalUnitIds": ["r-ab12"], "accountIds": ["111122223333"]}),
                json!({"organizationalUnitIds": ["r-ab12"], "scope": "All", "accountIds": ["111122223333"]}),
            ],
            vec![],
        ),
        ("/interval", texts(&["4m59s", "24h1s", "0s", "25h", "9999999h"]), texts(&["5m", "24h", "1439m60s", "30m"])),
        (
            "/role/tags",
            tags(&[
                "aws:x",
                "AWS:x",
                "Aws:CloudFormation:stack-name",
                "port:x",
                "Port:integration",
                "port-aws-operator/owner",
                "PORT-AWS-Operator/x",
            ]),
            tags(&["team", "aws", "laws:x", "port", "portal:x", "airport:x", "port-aws-operator"]),
        ),
        (
            "/role/tags",
            tags(&["", "a*", "a#b", "a\nb", &"a".repeat(129)]),
            tags(&["Größe", "cost center", "a_b.c:d/e=f+g-h@i", "部署", &"a".repeat(128)]),
        ),
    ]
}
