//! What the API server refuses, by the schemas in `crds/` alone: no operator runs here.

mod examples;

use std::{collections::BTreeSet, path::Path};

use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};
use testkit::{
    Result,
    fixture::{Scenario, access_resource, integration_resource},
};

use crate::{OPERATOR, scenario};
use examples::{Bound, Example};

/// One of the two kinds.
struct Kind {
    file: &'static str,
    resource: ApiResource,
    api: Api<DynamicObject>,
    smallest: Value,
    bounds: Vec<Bound>,
    examples: Vec<Example>,
}

impl Kind {
    fn both(it: &Scenario) -> [Self; 2] {
        [
            Self {
                file: "crds/portawsintegrations.integrations.port.io.yaml",
                resource: integration_resource(),
                api: it.integrations().clone(),
                smallest: smallest_integration(),
                bounds: examples::integration_bounds(),
                examples: examples::integration_examples(),
            },
            Self {
                file: "crds/portawsaccesses.integrations.port.io.yaml",
                resource: access_resource(),
                api: it.accesses(),
                smallest: json!({
                    "accounts": ["111122223333"],
                    "assumeRole": {"roleName": "PortAwsOperator"},
                    "limits": {"organizationIds": ["org_1"]},
                }),
                bounds: examples::access_bounds(),
                examples: examples::access_examples(),
            },
        ]
    }

    /// The schema of the whole object, as the generated file has it.
    fn schema(&self) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.file);
        let text = std::fs::read_to_string(path).expect("the CRD");
        let crd: Value = serde_saphyr::from_str(&text).expect("YAML");
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// Asks the API server to create an object, without effect; the text of its refusal if it refuses.
    async fn ask(&self, name: &str, spec: &Value) -> Result<Option<String>> {
        let (version, kind) = (&self.resource.api_version, &self.resource.kind);
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
        let params = PostParams { dry_run: true, ..PostParams::default() };
        match self.api.create(&params, &serde_json::from_value(object)?).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(Some(status.message)),
            Err(other) => Err(other.into()),
        }
    }

    /// A spec with one value at a path, whose last part may be `[]`, an entry of a list, or `{}`, a
    /// value of a map. A value of null takes the field away.
    fn with(&self, path: &str, value: &Value) -> Value {
        let mut spec = self.smallest.clone();
        if path.starts_with("/discovery") {
            spec.as_object_mut().expect("fields").remove("accounts");
            spec["discovery"] = json!({"organizationalUnitIds": ["ou-ab12-cdef3456"]});
        }
        if path.starts_with("/discovery/accountIds") {
            spec["discovery"]["scope"] = "Intersection".into();
        }
        let mut at = &mut spec;
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            at = match *part {
                "[]" => {
                    *at = json!([null]);
                    &mut at[0]
                }
                "{}" => {
                    *at = json!({"team": null});
                    &mut at["team"]
                }
                field if last && value.is_null() => {
                    match at.as_object_mut() {
                        Some(fields) => drop(fields.remove(field)),
                        None => *at = json!({}),
                    }
                    return spec;
                }
                field => &mut at[field],
            };
        }
        *at = value.clone();
        spec
    }
}

fn smallest_integration() -> Value {
    json!({"organizationId": "org_1", "integrationIdentifier": "aws-prod", "accounts": ["111122223333"]})
}

/// The path of a field as the API server writes it.
fn field(path: &str) -> String {
    let dotted = path.trim_start_matches('/').replace('/', ".");
    format!("spec.{dotted}").replace(".[]", "[0]").replace(".{}", ".team")
}

/// What the API server says of a broken keyword.
fn phrase(keyword: &str) -> &'static str {
    match keyword {
        "pattern" => "should match '",
        "minLength" => "should be at least",
        "maxLength" => "Too long: may not be more than",
        "minItems" => "should have at least",
        "maxItems" | "maxProperties" => "Too many: ",
        "minimum" => "should be greater than or equal to",
        "maximum" => "should be less than or equal to",
        "enum" => "Unsupported value",
        "required" => "Required value",
        "set" => "Duplicate value",
        "type" => "must be of type",
        other => panic!("no such keyword: {other}"),
    }
}

/// Every constraint in a schema, as a path and a keyword.
fn constraints(schema: &Value, path: &str, found: &mut BTreeSet<(String, String)>) {
    const KEYWORDS: [&str; 9] =
        ["pattern", "minLength", "maxLength", "minItems", "maxItems", "maxProperties", "minimum", "maximum", "enum"];
    let mut note = |path: &str, keyword: &str| found.insert((path.to_owned(), keyword.to_owned()));
    for keyword in KEYWORDS.iter().filter(|keyword| !schema[**keyword].is_null()) {
        note(path, keyword);
    }
    if schema["x-kubernetes-list-type"] == "set" {
        note(path, "set");
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        note(&format!("{path}/{name}"), "required");
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        constraints(property, &format!("{path}/{name}"), found);
    }
    for (key, part) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            constraints(&schema[key], &format!("{path}/{part}"), found);
        }
    }
}

/// Every message of a CEL rule in a schema.
fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.insert(rule["message"].as_str().expect("a message").to_owned());
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|value| messages(value, found)),
        Value::Array(values) => values.iter().for_each(|value| messages(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_bound_of_both_kinds_holds_and_what_is_just_within_it_is_accepted() -> Result<()> {
    let it = Scenario::builder("bounds", OPERATOR).without_operator().start().await?;
    for kind in Kind::both(&it) {
        let mut tried = BTreeSet::new();
        for bound in &kind.bounds {
            tried.insert((bound.path.to_owned(), bound.keyword.to_owned()));
            let refusal = kind.ask("x", &kind.with(bound.path, &bound.outside())).await?;
            expect(bound.path, bound.keyword, &bound.outside(), refusal.as_deref());
            let refusal = kind.ask("x", &kind.with(bound.path, &bound.inside())).await?;
            assert_eq!(refusal, None, "{} within {} {}", bound.path, bound.keyword, bound.at);
        }
        for example in &kind.examples {
            tried.insert((example.path.to_owned(), example.keyword.to_owned()));
            for value in &example.refused {
                let refusal = kind.ask("x", &kind.with(example.path, value)).await?;
                expect(example.path, example.keyword, value, refusal.as_deref());
            }
            for value in &example.accepted {
                let refusal = kind.ask("x", &kind.with(example.path, value)).await?;
                assert_eq!(refusal, None, "{} = {value}", example.path);
            }
        }
        let mut wanted = BTreeSet::new();
        constraints(&kind.schema()["properties"]["spec"], "", &mut wanted);
        let untried: Vec<_> = wanted.difference(&tried).collect();
        assert!(untried.is_empty(), "{}: without an example: {untried:?}", kind.file);
    }
    it.finish().await
}

fn expect(path: &str, keyword: &str, value: &Value, refusal: Option<&str>) {
    let refusal = refusal.unwrap_or_else(|| panic!("{path} = {value} breaks {keyword} and is accepted"));
    let says = refusal.contains(&field(path)) && refusal.contains(phrase(keyword));
    assert!(says, "{path} = {value} breaks {keyword}: {refusal}");
}

#[tokio::test]
async fn every_rule_refuses_in_its_own_words_and_accepts_what_it_should() -> Result<()> {
    let it = Scenario::builder("rules", OPERATOR).without_operator().start().await?;
    let mut said = BTreeSet::new();
    for kind in Kind::both(&it) {
        for (path, refused, accepted) in examples::rules(&kind.resource.kind) {
            for value in refused {
                let refusal = kind.ask("x", &kind.with(path, &value)).await?;
                said.insert(refusal.unwrap_or_else(|| panic!("{path} = {value} is accepted")));
            }
            for value in accepted {
                assert_eq!(kind.ask("x", &kind.with(path, &value)).await?, None, "{path} = {value}");
            }
        }
    }
    let [integration, access] = Kind::both(&it);
    said.extend(integration.ask(&"n".repeat(64), &integration.smallest).await?);
    assert_eq!(integration.ask(&"n".repeat(63), &integration.smallest).await?, None);
    said.extend(refused_changes(&it).await?);

    let mut rules = BTreeSet::new();
    messages(&integration.schema(), &mut rules);
    messages(&access.schema(), &mut rules);
    assert_eq!(rules.len(), 10, "{rules:?}");
    for rule in &rules {
        assert!(said.iter().any(|text| text.contains(rule)), "no refusal says: {rule}\n{said:#?}");
    }
    for text in &said {
        assert!(rules.iter().any(|rule| text.contains(rule)), "refused for another reason: {text}");
    }
    it.finish().await
}

/// Tries what may not change later, and what may; gives the refusals.
async fn refused_changes(it: &Scenario) -> Result<Vec<String>> {
    it.integration("unnamed", |_| ()).await?;
    it.integration("named", |spec| spec["role"] = json!({"name": "PortIntegrationRole-x"})).await?;
    let mut said = Vec::new();
    for (name, patch, word) in [
        ("unnamed", json!({"integrationIdentifier": "aws-test"}), "integrationIdentifier cannot"),
        ("unnamed", json!({"role": {"name": "PortIntegrationRole-x"}}), "role.name cannot"),
        ("named", json!({"role": {"name": "PortIntegrationRole-y"}}), "role.name cannot"),
        ("named", json!({"role": {"name": null}}), "role.name cannot"),
        ("named", json!({"role": null}), "role.name cannot"),
        ("unnamed", json!({"oidcProvider": {"url": "https://example.org/x"}}), "oidcProvider.url cannot"),
    ] {
        match it.try_patch_spec(name, patch.clone()).await? {
            Ok(_) => panic!("{name}: {patch} is accepted"),
            Err(text) => {
                assert!(text.contains(word), "{name}: {patch}: {text}");
                said.push(text);
            }
        }
    }
    for (name, patch) in [
        ("unnamed", json!({"role": {"description": "a"}, "oidcProvider": {"clientId": "b"}})),
        ("unnamed", json!({"role": null, "oidcProvider": null})),
        ("named", json!({"role": {"name": "PortIntegrationRole-x", "maxSessionDuration": 7200}})),
        ("named", json!({"organizationId": "org_2", "accounts": ["444455556666"]})),
        ("named", json!({"accounts": null, "discovery": {"organizationalUnitIds": ["r-ab12"]}})),
        ("named", json!({"accounts": ["444455556666"], "discovery": null})),
    ] {
        let outcome = it.try_patch_spec(name, patch.clone()).await?;
        assert!(outcome.is_ok(), "{name}: {patch}: {outcome:?}");
    }
    Ok(said)
}

const ISSUER: &str = "https://oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4";

#[tokio::test]
async fn the_smallest_specs_get_their_defaults() -> Result<()> {
    let it = Scenario::builder("defaults", OPERATOR).without_operator().start().await?;
    let made = it.try_integration("aws-prod", |spec| *spec = smallest_integration()).await?.expect("accepted");
    assert_eq!(
        made["spec"],
        json!({
            "organizationId": "org_1",
            "integrationIdentifier": "aws-prod",
            "accounts": ["111122223333"],
            "accessRef": {"name": "default"},
            "accountRemovalPolicy": "Retain",
            "oidcProvider": {
                "url": ISSUER,
                "clientId": "sts.amazonaws.com",
                "management": "CreateOrAdopt",
                "deletionPolicy": "Retain",
            },
            "role": {
                "managedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
                "maxSessionDuration": 3600,
                "extraPolicies": "Remove",
                "adoption": "Refuse",
            },
            "mode": "Enforce",
            "suspend": false,
            "interval": "30m",
            "deletionPolicy": "Delete",
        })
    );
    let access = it.accesses().get(it.namespace()).await?;
    assert_eq!(
        access.data["spec"],
        json!({
            "allowedNamespaces": {"names": [it.namespace()]},
            "accounts": [it.account()],
            "limits": {
                "organizationIds": ["org_Test1"],
                "issuerUrls": [ISSUER],
                "clientIds": ["sts.amazonaws.com"],
                "managedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
                "roleNamePrefix": "PortIntegrationRole-",
                "maxSessionDuration": 3600,
                "adoption": "Refuse",
            },
        })
    );
    it.finish().await
}

#[tokio::test]
async fn kubectl_explains_the_fields_and_prints_the_columns() -> Result<()> {
    let it = scenario("columns").await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let kubectl = async |args: &[&str]| -> Result<String> {
        let output = it.world().plane().kubectl(args).await?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // The API server makes its documentation of a new kind in the background.
    let explained = testkit::wait::eventually("kubectl explain", testkit::fixture::SOON, async || {
        let output = it.world().plane().kubectl(&["explain", "portawsintegration.spec.role"]).await?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    })
    .await?;
    for words in ["managedPolicyArns", "maxSessionDuration", "Longest session that the role allows"] {
        assert!(explained.contains(words), "{explained}");
    }
    let rows = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let namespace = format!("--namespace={}", it.namespace());
    let narrow = rows(&kubectl(&["get", "pai", &namespace]).await?);
    assert_eq!(narrow[0], ["NAME", "READY", "REASON", "ACCOUNTS", "READY-ACCOUNTS", "AGE"]);
    assert_eq!(narrow[1][..5], ["aws-prod", "True", "Ready", "1", "1"]);
    let wide = rows(&kubectl(&["get", "pai", &namespace, "--output=wide"]).await?);
    assert_eq!(wide[0], ["NAME", "READY", "REASON", "ACCOUNTS", "READY-ACCOUNTS", "USED", "MESSAGE", "AGE"]);
    assert_eq!(wide[1][5..11], ["Unknown", "1", "of", "1", "account", "ready"]);
    let access = testkit::wait::eventually("the status of the access", testkit::fixture::SOON, async || {
        let rows = rows(&kubectl(&["get", "paa", it.namespace()]).await?);
        Ok((rows[1].len() == 7 && rows[1][3] == "1" && rows[1][5] == "1").then_some(rows))
    })
    .await?;
    assert_eq!(access[0], ["NAME", "READY", "REASON", "INTEGRATIONS", "ACCOUNTS", "REACHED", "AGE"]);
    assert_eq!(access[1][..6], [it.namespace(), "True", "Ready", "1", "1", "1"]);
    let both = kubectl(&["get", "port", &namespace, "--output=name"]).await?;
    assert!(both.contains("portawsintegration.integrations.port.io/aws-prod"), "{both}");
    it.finish().await
}
