//! Who may do what in the cluster, under the rights that `deploy/` ships.

use std::{collections::BTreeSet, path::Path};

use k8s_openapi::api::{
    authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec},
    rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding},
};
use kube::{Api, api::ListParams, api::PostParams};
use serde_json::{Value, json};
use testkit::{Result, fixture::Scenario};

use crate::OPERATOR;

/// Binds a `ClusterRole` to a user in the scenario's namespace.
async fn bind(it: &Scenario, role: &str, user: &str) -> Result<()> {
    let bindings = Api::<RoleBinding>::namespaced(it.world().plane().admin_client()?, it.namespace());
    let binding = serde_json::from_value(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": format!("{user}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }))?;
    bindings.create(&PostParams::default(), &binding).await?;
    Ok(())
}

/// Asks as kubectl does whether a user may do something in the scenario's namespace.
async fn can(it: &Scenario, user: &str, verb: &str, resource: &str) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let namespace = format!("--namespace={}", it.namespace());
    let (user, subresource) = (format!("--as={user}"), format!("--subresource={subresource}"));
    let args = ["auth", "can-i", verb, resource, &user, &namespace, &subresource];
    let output = it.world().plane().kubectl(&args).await?;
    let (answer, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match answer.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => panic!("kubectl {args:?}: {other} {errors}"),
    }
}

const INTEGRATIONS: &str = "portawsintegrations.integrations.port.io";
/// The operator's own namespace.
const OWN: &str = "port-aws-operator";
const LEASES: &str = "leases.coordination.k8s.io";
const LEASE: &str = "leases.coordination.k8s.io/port-aws-operator";
const ANOTHER: &str = "leases.coordination.k8s.io/another";
const STATUS: &str = "portawsintegrations.integrations.port.io/status";
const ACCESSES: &str = "portawsaccesses.integrations.port.io";
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
const READS: [&str; 3] = ["get", "list", "watch"];

#[tokio::test]
async fn editors_of_a_namespace_may_write_integrations_but_neither_status_nor_access() -> Result<()> {
    let it = Scenario::builder("tenants", OPERATOR).without_operator().start().await?;
    for (user, roles) in
        [("editor", &["port-aws-operator-edit", "port-aws-operator-view"][..]), ("viewer", &["port-aws-operator-view"])]
    {
        for role in roles {
            bind(&it, role, user).await?;
        }
    }
    for (user, resource, verbs, allowed) in [
        ("editor", INTEGRATIONS, &WRITES[..], true),
        ("editor", INTEGRATIONS, &READS, true),
        ("editor", STATUS, &["update", "patch"], false),
        ("editor", ACCESSES, &WRITES, false),
        ("viewer", INTEGRATIONS, &READS, true),
        ("viewer", INTEGRATIONS, &WRITES, false),
        ("viewer", STATUS, &["update", "patch"], false),
        ("stranger", INTEGRATIONS, &READS, false),
    ] {
        for verb in verbs {
            assert_eq!(can(&it, user, verb, resource).await?, allowed, "{user} {verb} {resource}");
        }
    }
    it.finish().await
}

#[tokio::test]
async fn a_tenant_can_do_it_and_cannot_forge_a_status() -> Result<()> {
    let it = Scenario::builder("tenant", OPERATOR).without_operator().start().await?;
    bind(&it, "port-aws-operator-edit", "tenant").await?;
    let plane = it.world().plane();
    let admin = plane.admin_kubeconfig();
    let as_tenant = async |args: &[&str], input: Option<&str>| -> Result<(bool, String)> {
        let namespace = format!("--namespace={}", it.namespace());
        let output = plane.kubectl_with(&admin, &[args, &["--as=tenant", &namespace]].concat(), input).await?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let spec = json!({"organizationId": "org_1", "integrationIdentifier": "own", "accounts": [it.account()]});
    let object = |kind: &str, spec: &Value| {
        let (version, name) = ("integrations.port.io/v1alpha1", it.namespace());
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}).to_string()
    };
    let created = as_tenant(&["create", "-f", "-"], Some(&object("PortAwsIntegration", &spec))).await?;
    assert!(created.0, "{}", created.1);
    let access = json!({"accounts": ["*"], "limits": {"organizationIds": ["org_1"]}, "allowedNamespaces": {}});
    let forged = r#"--patch={"status":{"observedGeneration":1}}"#;
    let name = it.namespace();
    for (args, input) in [
        (&["create", "-f", "-"][..], Some(object("PortAwsAccess", &access))),
        (&["patch", "pai", name, "--subresource=status", "--type=merge", forged], None),
        (&["patch", "paa", name, "--type=merge", r#"--patch={"spec":{"accounts":["*"]}}"#], None),
    ] {
        let (success, errors) = as_tenant(args, input.as_deref()).await?;
        assert!(!success && errors.contains("(Forbidden)"), "{args:?}: {errors}");
    }
    it.finish().await
}

#[tokio::test]
async fn the_built_in_roles_take_up_integrations_and_never_access() -> Result<()> {
    let it = Scenario::builder("aggregated", OPERATOR).without_operator().start().await?;
    let all_roles = Api::<ClusterRole>::all(it.world().plane().admin_client()?);
    let aggregated = async |to: &str| -> Result<BTreeSet<String>> {
        let labels = format!("rbac.authorization.k8s.io/aggregate-to-{to}=true");
        let found = all_roles.list(&ListParams::default().labels(&labels)).await?;
        let rules = found.items.into_iter().flat_map(|role| role.rules.unwrap_or_default());
        let ours = rules.filter(|rule| {
            rule.api_groups.iter().flatten().any(|group| group == "integrations.port.io" || group == "*")
        });
        let rights = ours.flat_map(|rule| {
            let resources = rule.resources.unwrap_or_default();
            rule.verbs
                .into_iter()
                .flat_map(move |verb| resources.clone().into_iter().map(move |resource| format!("{verb} {resource}")))
        });
        Ok(rights.collect())
    };
    let set = |verbs: &[&str]| -> BTreeSet<String> {
        verbs.iter().map(|verb| format!("{verb} portawsintegrations")).collect()
    };
    assert_eq!(aggregated("view").await?, set(&READS));
    for role in ["edit", "admin"] {
        assert_eq!(aggregated(role).await?, set(&[&READS[..], &WRITES[..]].concat()), "{role}");
    }
    it.finish().await
}

/// A right as one text.
fn right(verb: &str, group: &str, resource: &str, name: &str) -> String {
    format!("{verb} {group}/{resource} {name}")
}

/// One rule as single rights. Rules of an access review and of a role have the same fields.
fn rights(rule: &Value) -> Vec<String> {
    let list = |key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).unwrap_or_default() };
    let names = Some(list("resourceNames")).filter(|names| !names.is_empty()).unwrap_or_else(|| vec![String::new()]);
    let mut all = Vec::new();
    for verb in list("verbs") {
        for group in list("apiGroups") {
            for resource in list("resources") {
                all.extend(names.iter().map(|name| right(&verb, &group, &resource, name)));
            }
        }
    }
    all
}

/// What the shipped file gives the operator.
fn shipped_rights() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rbac.yaml");
    let text = std::fs::read_to_string(path).expect("deploy/rbac.yaml");
    let documents = text.split("\n---\n").map(|text| serde_saphyr::from_str::<Value>(text).expect("YAML"));
    let mut roles = documents
        .filter(|document| document["kind"] == "ClusterRole" && document["metadata"]["name"] == "port-aws-operator");
    let role = roles.next().expect("the operator's ClusterRole");
    role["rules"].as_array().into_iter().flatten().flat_map(rights).collect()
}

#[tokio::test]
async fn the_operator_has_the_rights_that_are_shipped_and_no_others() -> Result<()> {
    let it = Scenario::builder("own-rights", OPERATOR).without_operator().start().await?;
    let world = it.world();
    let reviews = Api::<SelfSubjectRulesReview>::all(world.plane().client_for(world.operator_kubeconfig()).await?);
    let ask = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(it.namespace().to_owned()) },
        ..SelfSubjectRulesReview::default()
    };
    let answer = serde_json::to_value(reviews.create(&PostParams::default(), &ask).await?)?;
    assert_eq!(answer["status"]["incomplete"], false, "{answer}");
    let rules = answer["status"]["resourceRules"].as_array().expect("rules");
    // What every client may ask about itself.
    let about_itself = |right: &String| {
        right.contains(" authorization.k8s.io/selfsubject") || right.contains(" authentication.k8s.io/selfsubject")
    };
    let held: BTreeSet<String> = rules.iter().flat_map(rights).filter(|right| !about_itself(right)).collect();
    assert_eq!(held, shipped_rights());
    assert!(held.iter().all(|right| !right.contains('*')), "{held:?}");

    let user = world.operator_user();
    for (verb, resource, allowed) in [
        ("patch", INTEGRATIONS, true),
        ("patch", STATUS, true),
        ("create", INTEGRATIONS, false),
        ("update", INTEGRATIONS, false),
        ("delete", INTEGRATIONS, false),
        ("create", ACCESSES, false),
        ("patch", ACCESSES, true),
        ("update", ACCESSES, false),
        ("delete", ACCESSES, false),
        ("get", "secrets", false),
        ("list", "configmaps", false),
        ("create", "pods", false),
        ("create", "serviceaccounts/token", false),
        ("patch", "namespaces", false),
        ("patch", "customresourcedefinitions.apiextensions.k8s.io", false),
        ("impersonate", "users", false),
    ] {
        assert_eq!(can(&it, &user, verb, resource).await?, allowed, "{verb} {resource}");
    }
    // The Lease of the default name in its own namespace, and nothing else there.
    let own = format!("--as={user}");
    for (verb, lease, namespace, allowed) in [
        ("create", LEASES, OWN, true),
        ("get", LEASE, OWN, true),
        ("update", LEASE, OWN, true),
        ("delete", LEASE, OWN, false),
        ("list", LEASES, OWN, false),
        ("get", ANOTHER, OWN, false),
        ("update", ANOTHER, OWN, false),
        ("update", LEASE, it.namespace(), false),
        ("create", LEASES, it.namespace(), false),
    ] {
        let args = ["auth", "can-i", verb, lease, "-n", namespace, &own];
        let answer = world.plane().kubectl(&args).await?;
        let said = String::from_utf8_lossy(&answer.stdout).trim() == "yes";
        assert_eq!(said, allowed, "{verb} {lease} in {namespace}");
    }
    let bindings = Api::<ClusterRoleBinding>::all(world.plane().admin_client()?).list(&ListParams::default()).await?;
    let bound = bindings
        .items
        .iter()
        .filter(|binding| binding.subjects.iter().flatten().any(|subject| subject.name.contains("port-aws-operator")));
    assert_eq!(bound.count(), 1);
    it.finish().await
}
