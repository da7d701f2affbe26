//! The hostile values themselves.

use proptest::sample::Index;
use serde_json::{Value, json};

use super::tenants::{ACCOUNTS, ADMIN, READ_ONLY, THEIRS, Tenant};

/// Names of objects that Kubernetes takes, and such that it does not.
pub const NAMES: [&str; 3] = ["production", "a.b", "n23456789-123456789-123456789-123456789-123456789-123456789-123"];
pub const HOSTILE_NAMES: [&str; 6] =
    ["n23456789-123456789-123456789-123456789-123456789-123456789-1234", "Upper", "a/b", "../a", "a_b", "a\"b"];

/// What is put into texts: wildcards, policy variables, ends of JSON strings and of ARN fields, what
/// is not seen, and what is plain.
pub const FRAGMENTS: [&str; 34] = [
    "*",
    "?",
    "${aws:username}",
    "${accountId}",
    "${",
    "$",
    "$${",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u{7f}",
    "\u{200b}",
    "\u{202e}",
    "\u{feff}",
    "/",
    "../",
    "//",
    ":",
    "::",
    " ",
    "'",
    "\"},{\"Effect\":\"Allow\"",
    "%2A",
    "%00",
    "\u{ff0a}",
    ",",
    "=",
    "@",
    "-",
    "a",
    "0",
];

/// The number of ways in [`mangle`].
pub const MANGLES: usize = 10;

/// A text with something wrong about it; often it is no longer what an access allows, and no more.
pub fn mangle(text: &str, way: usize, fragment: &str, place: Index) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (before, after) = chars.split_at(place.index(chars.len() + 1));
    let join =
        |middle: &str| format!("{}{middle}{}", before.iter().collect::<String>(), after.iter().collect::<String>());
    match way {
        0..=2 => join(fragment),
        3 => format!("{text}{fragment}"),
        4 => format!("{fragment}{text}"),
        5 => text.chars().map(swap_case).collect(),
        6 => text.replacen(['a', 'o', 'e'], "\u{430}", 1),
        7 => text.repeat(40),
        8 => after.iter().collect(),
        _ => before.iter().collect(),
    }
}

fn swap_case(c: char) -> char {
    if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
}

/// Values of the wrong type, for any field.
pub fn wrong_types() -> Vec<Value> {
    let object = json!({"x": "y"});
    let numbers = [json!(0), json!(-1), json!(3600.0), json!(3600.5), json!(1e30), json!(111_122_223_333_u64)];
    let others = [
        Value::Null,
        json!(true),
        json!([]),
        json!({}),
        json!(""),
        json!("3600"),
        json!(["x"]),
        json!([[]]),
        json!([null]),
    ];
    numbers.into_iter().chain(others).chain([object]).collect()
}

/// Fields that there are not.
pub fn unknown_fields() -> Vec<(String, Value)> {
    let inline = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let fields = [
        ("/role/path", json!("/admin/")),
        ("/role/Name", json!("Admin")),
        ("/role/arn", json!("arn:aws:iam::999999999999:role/Admin")),
        ("/role/assumeRolePolicyDocument", inline.clone()),
        ("/role/inlinePolicies", json!({"a": inline})),
        ("/role/managed_policy_arns", json!([ADMIN])),
        ("/role/permissions_boundary_arn", Value::Null),
        ("/oidcProvider/subjects", json!(["*"])),
        ("/oidcProvider/conditions", json!({"StringLike": {"x:sub": "*"}})),
        ("/organization_id", json!("org_Theirs")),
        ("/organizationID", json!("org_Theirs")),
        ("/limits", json!({"organizationIds": ["org_Theirs"], "managedPolicyArns": [ADMIN]})),
        ("/accessRef/namespace", json!("another-team")),
        ("/accessRef/limits", json!({"adoption": "Adopt"})),
        ("/assumeRole", json!({"roleName": "Admin"})),
        ("/cluster", json!("elsewhere")),
    ];
    fields.into_iter().map(|(path, value)| (path.to_owned(), value)).collect()
}

/// The patterns that a careless platform team has written into the limits, as values: limits are
/// compared exactly, so only the schema is against them.
pub fn patterns(tenant: &Tenant) -> Vec<(&'static str, Vec<Value>)> {
    let fields = [
        ("/organizationId", "organizationIds"),
        ("/oidcProvider/url", "issuerUrls"),
        ("/oidcProvider/clientId", "clientIds"),
        ("/oidcProvider/subject", "subjects"),
        ("/role/managedPolicyArns", "managedPolicyArns"),
    ];
    let rows = fields.map(|(path, limit)| {
        let texts = tenant.limit(limit).into_iter().filter(|text| is_pattern(text));
        let value = |text| if limit == "managedPolicyArns" { json!([text]) } else { json!(text) };
        (path, texts.map(value).collect::<Vec<_>>())
    });
    rows.into_iter().filter(|(_, values)| !values.is_empty()).collect()
}

/// Whether a text in the limits can be no value.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?']) || text.contains("${aws:")
}

/// Values that the schema has nothing against, and that go beyond most accesses.
pub fn beyond(tenant: &Tenant) -> Vec<(&'static str, Vec<Value>)> {
    let texts = |values: &[&str]| values.iter().map(|value| json!(value)).collect::<Vec<_>>();
    let longest = tenant.spec["limits"]["maxSessionDuration"].as_i64().unwrap_or_default();
    let subject = "system:serviceaccount:org-org_Theirs-port-oidc-sa";
    let lists = |arns: [&str; 3]| arns.into_iter().flat_map(|arn| [json!([arn]), json!([READ_ONLY, arn])]).collect();
    vec![
        ("/organizationId", texts(&["org_Theirs", "org_Test2", "org_test1", "org_Test1-", "Test1", "a"])),
        ("/accessRef/name", texts(&[THEIRS, "default", "tight"])),
        ("/accounts", vec![json!(["999999999999"]), json!([ACCOUNTS[2]]), json!(["999999999999", ACCOUNTS[0]])]),
        (
            "/discovery",
            vec![json!({"organizationalUnitIds": ["r-ab12"]}), json!({"organizationalUnitIds": ["ou-ab12-cdef3456"]})],
        ),
        ("/oidcProvider/url", texts(&["https://issuer.example.org/evil", "https://issuer.example.org/x/../y"])),
        ("/oidcProvider/clientId", texts(&["STS.amazonaws.com", "evil.example.org", "sts.amazonaws.com,b"])),
        ("/oidcProvider/subject", texts(&[subject, "system:serviceaccount:port:port-oidc-sa", "repo:acme/port@evil"])),
        ("/role/name", texts(&["Admin", "PortIntegrationRole", "portintegrationrole-a", "PortIntegrationRole-b"])),
        (
            "/role/managedPolicyArns",
            lists([ADMIN, "arn:aws:iam::999999999999:policy/team/Port", "arn:aws:iam::${accountId}:policy/Admin"]),
        ),
        ("/role/permissionsBoundaryArn", texts(&[ADMIN, "arn:aws:iam::999999999999:policy/team/Boundary"])),
        ("/role/maxSessionDuration", vec![json!(longest + 1), json!(43200)]),
        ("/role/adoption", texts(&["Adopt"])),
        ("/role/tags", vec![json!({"team": "x"}), json!({"Team": "a", "admin": "x"}), json!({"Te?m": "x"})]),
    ]
}

/// Hostile values by field; the schema has something against most of them.
pub fn listed(tenant: &Tenant) -> Vec<(&'static str, Vec<Value>)> {
    let texts = |values: &[&str]| values.iter().map(|value| json!(value)).collect::<Vec<_>>();
    let longest = tenant.spec["limits"]["maxSessionDuration"].as_i64().unwrap_or_default();
    vec![
        (
            "/organizationId",
            texts(&[
                "org_Theirs",
                "org_test1",
                "org_Test1-port-oidc-sa",
                "Test1",
                "*",
                "org_*",
                "org_Test?",
                "${aws:username}",
                "org_Test1,org_Theirs",
            ]),
        ),
        ("/accessRef/name", texts(&[THEIRS, "default", "../theirs", "*", ""])),
        ("/integrationIdentifier", texts(&["admin", "*", "a/../b", "a\"b", "team-", "TEAM-A", "a", "${accountid}"])),
        ("/accounts", account_lists()),
        (
            "/discovery",
            ["*", "root", "r-ab12/../r-cd34", "ou-ab12-*", "r-ab12\n"]
                .map(|unit| json!({"organizationalUnitIds": [unit]}))
                .to_vec(),
        ),
        (
            "/discovery",
            vec![
                json!({"organizationalUnitIds": ["r-ab12"], "accountIds": ["999999999999"]}),
                json!({"organizationalUnitIds": ["r-ab12"], "scope": "Difference", "accountIds": ["*"]}),
            ],
        ),
        (
            "/oidcProvider/url",
            texts(&[
                "https://issuer.example.org/evil",
                "https://*",
                "http://issuer.example.org/x",
                "https://issuer.example.org/x/../y",
                "https://issuer.example.org:443/x",
                "https://evil@issuer.example.org/x",
                "https://issuer.example.org/x#",
                "https://issuer.example.org/x/",
            ]),
        ),
        (
            "/oidcProvider/clientId",
            texts(&[
                "*",
                "sts.amazonaws.co?",
                "STS.amazonaws.com",
                "evil.example.org",
                "sts.amazonaws.com,*",
                "${aws:username}",
            ]),
        ),
        ("/oidcProvider/subject", subject_values()),
        ("/role/name", role_names(tenant)),
        ("/role/description", texts(&["a\nb", "\u{202e}", "\0", "${aws:username} * \"}", "\\\",\\\""])),
        ("/role/managedPolicyArns", policy_lists()),
        ("/role/permissionsBoundaryArn", policies()),
        (
            "/role/maxSessionDuration",
            vec![
                json!(longest + 1),
                json!(43200),
                json!(43201),
                json!(3599),
                json!(0),
                json!(-1),
                json!(i64::from(i32::MAX) + 3601),
                json!("3600"),
                json!(3600.0),
            ],
        ),
        ("/role/adoption", vec![json!("Adopt"), json!("adopt"), json!("*")]),
        ("/role/tags", tag_maps()),
        ("/mode", texts(&["Observe", "observe", "*"])),
        ("/oidcProvider/management", texts(&["UseExisting", "Force"])),
    ]
}

/// Names of roles: other ones, and such that would end their place in an ARN or a document.
fn role_names(tenant: &Tenant) -> Vec<Value> {
    let name = |rest: &str| format!("{}{rest}", tenant.prefix());
    let mut names: Vec<Value> = [
        "Admin",
        "PortIntegrationRole",
        "portintegrationrole-team-a",
        "xPortIntegrationRole-team-a",
        "PortIntegrationRole_team-a",
        "/PortIntegrationRole-team-a",
        "PortIntegrationRole-",
        "PortIntegrationRole-team",
        "arn:aws:iam::111122223333:role/PortIntegrationRole-team-a",
    ]
    .map(Value::from)
    .into();
    for rest in
        ["*", "/../Admin", "../Admin", "a/b", ":role/Admin", "${accountId}", "a\",\"Resource\":\"*", "a\0", "a,b=@+."]
    {
        names.push(name(rest).into());
    }
    names.push(name(&"x".repeat(64)).into());
    names
}

fn account_lists() -> Vec<Value> {
    let (mine, other) = ("111122223333", "999999999999");
    vec![
        json!([other]),
        json!([mine, other]),
        json!([mine, mine]),
        json!(["*"]),
        json!([mine, "*"]),
        json!(["11112222333?"]),
        json!(["11112222333"]),
        json!(["1111222233334"]),
        json!(["１１１１２２２２３３３３"]),
        json!(["111122223333\n"]),
        json!([" 111122223333"]),
        json!(["111122223333:role/Admin"]),
        json!(["${accountId}1"]),
        json!([111_122_223_333_u64]),
        json!(mine),
        json!(["+11112222333"]),
        json!(["aws"]),
        json!(["444455556666", mine]),
    ]
}

fn subject_values() -> Vec<Value> {
    let computed = |organization: &str| json!(format!("system:serviceaccount:org-{organization}-port-oidc-sa"));
    let mut values: Vec<_> =
        ["org_Test1", "org_Test2", "org_Theirs", "*", "org_Test?", "org_test1", "${aws:username}"].map(computed).into();
    values.extend(
        [
            "*",
            "system:serviceaccount:*",
            "system:serviceaccount:port:port-oidc-sa",
            "SYSTEM:serviceaccount:port:port-oidc-sa",
            "repo:acme/port@main",
            "repo:acme/port@main,system:serviceaccount:default:default",
            "${aws:username}",
            "system:serviceaccount:org-org_Test1-port-oidc-sa\"],\"x\":[\"y",
        ]
        .map(Value::from),
    );
    values
}

/// ARNs that are no managed policy, or one that most accesses do not allow.
fn policies() -> Vec<Value> {
    [
        ADMIN,
        "arn:aws:iam::aws:policy/*",
        "arn:aws:iam::aws:policy/ReadOnlyAccess*",
        "arn:aws:iam::aws:policy/readonlyaccess",
        "arn:aws:iam::aws:policy//ReadOnlyAccess",
        "arn:aws:iam::aws:policy/x/../ReadOnlyAccess",
        "arn:aws:iam::aws:policy/ReadOnlyAccess/",
        "arn:aws:iam::999999999999:policy/ReadOnlyAccess",
        "arn:aws:iam::999999999999:policy/team/Boundary",
        "arn:aws:iam::111122223333:policy/team/Boundary",
        "arn:aws:iam::${accountId}:policy/AdministratorAccess",
        "arn:aws:iam::${accountId}:policy/team/Port",
        "arn:aws:iam::444455556666:policy/team/Port",
        "arn:aws:iam::${accountId}:policy/${accountId}",
        "arn:aws:iam::${aws:PrincipalAccount}:policy/team/Port",
        "arn:aws:iam::*:policy/team/Port",
        "arn:aws-cn:iam::aws:policy/ReadOnlyAccess",
        "arn:aws:iam::aws:role/ReadOnlyAccess",
        "Arn:aws:iam::aws:policy/ReadOnlyAccess",
        "arn:aws:sts::aws:policy/ReadOnlyAccess",
        "arn:aws:iam:eu-west-1:aws:policy/ReadOnlyAccess",
        "*",
        "",
        "arn:aws:iam::aws:policy/ReadOnlyAccess\",\"arn:aws:iam::aws:policy/AdministratorAccess",
    ]
    .map(Value::from)
    .into()
}

fn policy_lists() -> Vec<Value> {
    let single = policies().into_iter().map(|arn| json!([arn]));
    let second = policies().into_iter().map(|arn| json!([READ_ONLY, arn]));
    let counts =
        [json!([]), json!([READ_ONLY, READ_ONLY]), json!([READ_ONLY, READ_ONLY, READ_ONLY, READ_ONLY, READ_ONLY])];
    single.chain(second).chain(counts).collect()
}

fn tag_maps() -> Vec<Value> {
    let mut maps: Vec<Value> = [
        "AWS:x",
        "aws:PrincipalTag/x",
        "Port:integration",
        "port:integration",
        "port-aws-operator/owner",
        "PORT-aws-operator/Cluster",
        "port-aws-operator/hold",
        "\u{200b}port:integration",
        "team",
        "Team ",
        "TEAM",
        "\u{422}eam",
        "*",
        "Te?m",
        "${aws:username}",
        "Team\0",
        "",
        "admin",
    ]
    .iter()
    .map(|key| json!({"Team": "a", *key: "x"}))
    .collect();
    let values = ["*", "${aws:username}", "\"}]", "a\0b", "\u{202e}"];
    maps.extend(values.map(|value| json!({"Team": value})));
    maps.extend([
        json!({"Team": "x".repeat(257)}),
        json!({"Team": 1}),
        json!({"Team": null}),
        json!([{"Key": "Team", "Value": "a"}]),
    ]);
    maps
}
