use super::*;

const PAIR: &str = "
apiVersion: integrations.port.io/v1alpha1
kind: PortAwsAccess
metadata: {name: default}
spec:
  allowedNamespaces: {names: [demo]}
  accounts: ['111122223333']
  limits: {organizationIds: [org_1]}
---
# Nothing but a comment.
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: v1
kind: Namespace
metadata: {name: demo, labels: {team: a}}
---
apiVersion: integrations.port.io/v1alpha1
kind: PortAwsIntegration
metadata: {name: production}
spec:
  organizationId: org_1
  integrationIdentifier: aws-prod
  accounts: ['111122223333']
  discovery: null
  mode: null
status: {no: matter}
";

fn read(text: &str) -> Documents {
    let mut documents = Documents::default();
    documents.read("a.yaml", text, "demo");
    documents
}

fn integration(edit: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "apiVersion": "integrations.port.io/v1alpha1",
        "kind": "PortAwsIntegration",
        "metadata": {"name": "production", "namespace": "demo"},
        "spec": {"organizationId": "org_1", "integrationIdentifier": "aws-prod", "accounts": ["111122223333"]},
    });
    edit(&mut object);
    object
}

fn wrong(object: Value, old: Option<&Value>) -> Vec<String> {
    let outcome = Kind::integration().check(object, old);
    outcome.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn documents_are_sorted_by_kind_and_get_namespace_and_defaults() {
    let documents = read(PAIR);
    assert_eq!(documents.errors, Vec::<String>::new());
    assert_eq!(documents.skipped, ["a.yaml, document 2 (ConfigMap other)"]);
    assert_eq!(documents.namespaces["demo"]["team"], "a");
    assert!(documents.accesses.contains_key("default"));
    let found = &documents.integrations[0];
    assert_eq!(found.resource.to_string(), "demo.production");
    assert_eq!(found.value["spec"]["interval"], "30m");
    assert_eq!(found.value["spec"]["role"]["managedPolicyArns"], json!(["arn:aws:iam::aws:policy/ReadOnlyAccess"]));
    assert_eq!(found.value["spec"]["mode"], "Enforce");
    assert!(found.value.get("status").is_none());
}

#[test]
fn an_error_names_file_document_object_and_field() {
    let documents = read(&PAIR.replace("organizationId: org_1", "organisationId: org_1"));
    let place = "a.yaml, document 4 (PortAwsIntegration demo/production)";
    assert_eq!(
        documents.errors,
        [
            format!("{place}: spec.organisationId: unknown field"),
            format!("{place}: spec.organizationId: Required value"),
        ]
    );
    assert!(documents.integrations.is_empty());
}

#[test]
fn what_is_no_yaml_no_object_or_there_twice_is_an_error() {
    assert!(read("a: [").errors[0].starts_with("a.yaml: no YAML: "));
    assert_eq!(read("a: b").errors, ["a.yaml, document 1: kind: Required value"]);
    let twice = read(&format!("{PAIR}---{PAIR}"));
    assert_eq!(twice.errors.len(), 2, "{:?}", twice.errors);
    assert!(twice.errors.iter().all(|error| error.ends_with("the files have it twice")));
    let old = read(&PAIR.replace("v1alpha1", "v1"));
    assert!(old.errors[0].contains("only integrations.port.io/v1alpha1"), "{:?}", old.errors);
}

#[test]
fn bounds_are_told_in_the_words_of_the_api_server() {
    for (path, value, message) in [
        (
            "/spec/mode",
            json!("Sometimes"),
            "spec.mode: Unsupported value: \"Sometimes\": supported values: \"Enforce\", \"Observe\"",
        ),
        (
            "/spec/accounts/0",
            json!(111_122_223_333_u64),
            "spec.accounts[0]: Invalid value: 111122223333: must be of type string: \"integer\"",
        ),
        ("/spec/accounts/0", json!("1"), "spec.accounts[0]: Invalid value: \"1\": should match '^[0-9]{12}$'"),
        (
            "/spec/accounts",
            json!(["111122223333", "111122223333"]),
            "spec.accounts[1]: Duplicate value: \"111122223333\"",
        ),
        ("/spec/accounts", json!([]), "spec.accounts: Invalid value: 0: should have at least 1 items"),
        ("/metadata/name", json!("Production"), "metadata.name: Invalid value: \"Production\": must be lower-case"),
    ] {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let set = |object: &mut Value| match object.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
            fields => fields[name] = value,
        };
        let found = wrong(integration(set), None);
        assert!(found.len() == 1 && found[0].starts_with(message), "{found:?}");
    }
    let found = wrong(integration(|object| object["spec"]["role"] = json!({"maxSessionDuration": 1})), None);
    assert_eq!(found, ["spec.role.maxSessionDuration: Invalid value: 1: should be greater than or equal to 3600"]);
}

#[test]
fn every_rule_is_asked() {
    let discovery = json!({"organizationalUnitIds": ["r-ab12"], "scope": "Intersection"});
    for (path, value, message) in [
        (
            "/spec/discovery",
            json!({"organizationalUnitIds": ["r-ab12"]}),
            "spec: Invalid value: set either accounts or discovery",
        ),
        ("/spec/discovery", discovery, "spec.discovery: Invalid value: accountIds goes with scope"),
        ("/spec/interval", json!("4m59s"), "spec: Invalid value: interval must be from 5m to 24h"),
        ("/spec/interval", json!("25h"), "spec: Invalid value: interval must be from 5m to 24h"),
        ("/spec/role", json!({"tags": {"Port:x": "y"}}), "spec: Invalid value: role.tags may not use keys"),
        ("/metadata/name", json!("a".repeat(64)), "metadata.name may have at most 63 characters"),
    ] {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let found = wrong(integration(|object| object.pointer_mut(parent).unwrap()[name] = value), None);
        assert!(found.iter().any(|error| error.contains(message)), "{path}: {found:?}");
    }
    assert_eq!(wrong(integration(|object| object["spec"]["role"] = json!({"tags": {"team": "y"}})), None), [""; 0]);
    let mut access =
        json!({"metadata": {"name": "a"}, "spec": {"accounts": ["*"], "limits": {"organizationIds": ["o"]}}});
    assert!(Kind::access().check(access.clone(), None).is_ok());
    access["spec"]["accounts"] = json!(["*", "111122223333"]);
    let found = Kind::access().check(access, None).unwrap_err();
    assert!(found[0].to_string().starts_with("spec: Invalid value: accounts is either a list"), "{found:?}");
}

#[test]
fn a_rule_about_a_change_is_asked_of_a_change_alone() {
    let old = Kind::integration().check(integration(|_| ()), None).unwrap();
    let renamed = integration(|object| object["spec"]["integrationIdentifier"] = json!("aws-two"));
    assert_eq!(wrong(renamed.clone(), None), [""; 0]);
    let found = wrong(renamed, Some(&old));
    assert!(found[0].starts_with("spec: Invalid value: integrationIdentifier cannot be changed"), "{found:?}");
    let named = integration(|object| object["spec"]["role"] = json!({"name": "PortIntegrationRole-x"}));
    let found = wrong(named, Some(&old));
    assert!(found[0].starts_with("spec: Invalid value: role.name cannot be set"), "{found:?}");
    assert_eq!(wrong(integration(|object| object["spec"]["suspend"] = json!(true)), Some(&old)), [""; 0]);
}

/// What the schema says and is not looked at here would be allowed by mistake.
#[test]
fn the_schemas_use_no_keyword_that_is_not_known() {
    const KNOWN: [&str; 22] = [
        "type",
        "properties",
        "additionalProperties",
        "items",
        "required",
        "enum",
        "default",
        "nullable",
        "pattern",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "maxProperties",
        "minimum",
        "maximum",
        "format",
        "description",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "x-kubernetes-map-type",
    ];
    fn walk(schema: &Value) {
        for (keyword, value) in schema.as_object().unwrap() {
            assert!(KNOWN.contains(&keyword.as_str()), "{keyword}");
            match keyword.as_str() {
                "properties" => value.as_object().unwrap().values().for_each(walk),
                "items" | "additionalProperties" if value.is_object() => walk(value),
                _ => {}
            }
        }
    }
    // Of status, manifests say nothing.
    for kind in [Kind::integration(), Kind::access()] {
        walk(&kind.schema["properties"]["spec"]);
    }
}
