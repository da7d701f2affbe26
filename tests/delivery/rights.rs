//! The rights in the cluster that chart and manifests give.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::Result;

use crate::{
    helm::{Helm, VALUE_SETS},
    manifests::kustomize,
    objects::{named, names, of_kind, parse, strings},
    read,
};

type Rights = BTreeSet<String>;

/// Each right by itself: verb, group and resource, the names if it is bound to some.
fn rights(role: &Value) -> Rights {
    let mut all = Rights::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        assert!(rule["nonResourceURLs"].is_null(), "{rule}");
        let names = strings(&rule["resourceNames"]).join(",");
        for verb in strings(&rule["verbs"]) {
            for group in strings(&rule["apiGroups"]) {
                for resource in strings(&rule["resources"]) {
                    all.insert(format!("{verb} {group}/{resource} {names}"));
                }
            }
        }
    }
    all
}

fn roles(objects: &[Value]) -> Vec<&Value> {
    [of_kind(objects, "ClusterRole"), of_kind(objects, "Role")].concat()
}

fn aggregated(role: &Value) -> bool {
    role["metadata"]["labels"].to_string().contains("rbac.authorization.k8s.io/aggregate-to-")
}

const RESOURCES: [&str; 7] = [
    "integrations.port.io/portawsintegrations",
    "integrations.port.io/portawsintegrations/status",
    "integrations.port.io/portawsaccesses",
    "integrations.port.io/portawsaccesses/status",
    "events.k8s.io/events",
    "coordination.k8s.io/leases",
    "/namespaces",
];

#[tokio::test]
async fn no_right_is_a_wildcard_or_reaches_further_than_what_the_operator_does() -> Result<()> {
    let helm = Helm::new(4).await?;
    for set in VALUE_SETS {
        let objects = parse(&helm.template(set, &[]).await?);
        for right in roles(&objects).into_iter().flat_map(rights) {
            let resource = right.split(' ').nth(1).unwrap_or_default();
            assert!(RESOURCES.contains(&resource), "{set}: {right}");
            let verb = right.split(' ').next().unwrap_or_default();
            assert!(!["*", "bind", "escalate", "impersonate"].contains(&verb), "{set}: {right}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_operator_writes_nothing_but_what_it_reports_and_its_finalizers() -> Result<()> {
    let objects = parse(&Helm::new(4).await?.template("default", &[]).await?);
    let own = roles(&objects).into_iter().filter(|role| !aggregated(role)).flat_map(rights);
    let writes: Rights = own
        .filter(|right| !["get", "list", "watch"].contains(&right.split(' ').next().unwrap_or_default()))
        .map(|right| right.trim().to_owned())
        .collect();
    let wanted = [
        "create coordination.k8s.io/leases",
        "create events.k8s.io/events",
        "patch events.k8s.io/events",
        "patch integrations.port.io/portawsaccesses",
        "patch integrations.port.io/portawsaccesses/status",
        "patch integrations.port.io/portawsintegrations",
        "patch integrations.port.io/portawsintegrations/status",
        "update coordination.k8s.io/leases release-port-aws-operator",
    ];
    assert_eq!(writes, wanted.map(str::to_owned).into());
    Ok(())
}

/// The end-to-end tests run the operator with the rights in `deploy/rbac.yaml`, so the chart must give no other.
#[tokio::test]
async fn the_chart_gives_the_rights_that_the_operator_is_tested_with() -> Result<()> {
    let chart = parse(&Helm::new(4).await?.template("default", &["--set", "nameOverride=x"]).await?);
    let tested = parse(&read("deploy/rbac.yaml"));
    for suffix in ["", "-edit", "-view"] {
        let ours = named(&chart, "ClusterRole", &format!("release-x{suffix}"));
        let theirs = named(&tested, "ClusterRole", &format!("port-aws-operator{suffix}"));
        assert_eq!(rights(ours), rights(theirs), "{suffix}");
    }
    Ok(())
}

#[tokio::test]
async fn tenants_get_integrations_but_neither_their_status_nor_access() -> Result<()> {
    let objects = parse(&Helm::new(4).await?.template("default", &[]).await?);
    let tenants: Vec<_> = roles(&objects).into_iter().filter(|role| aggregated(role)).collect();
    assert_eq!(tenants.len(), 2, "{:?}", names(&objects));
    for role in tenants {
        for right in rights(role) {
            assert!(right.contains(" integrations.port.io/portawsintegrations "), "{right}");
        }
    }
    let view = named(&objects, "ClusterRole", "release-port-aws-operator-view");
    assert!(rights(view).iter().all(|right| ["get", "list", "watch"].contains(&right.split(' ').next().unwrap())));
    let edit = named(&objects, "ClusterRole", "release-port-aws-operator-edit");
    assert!(edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"].is_null());
    Ok(())
}

/// What the roles of each namespace give, and those of the cluster under the name "".
fn by_namespace(objects: &[Value]) -> Vec<(String, Rights)> {
    let mut all: Vec<(String, Rights)> = Vec::new();
    for role in roles(objects).into_iter().filter(|role| !aggregated(role)) {
        let cluster = role["kind"] == "ClusterRole";
        let namespace = role["metadata"]["namespace"].as_str().filter(|_| !cluster).unwrap_or_default();
        all.push((namespace.to_owned(), rights(role)));
    }
    all.sort();
    all
}

#[tokio::test]
async fn with_namespaces_the_rights_to_integrations_end_there() -> Result<()> {
    let helm = Helm::new(4).await?;
    let everywhere = by_namespace(&parse(&helm.template("default", &[]).await?));
    let bounded = by_namespace(&parse(&helm.template("namespaced", &[]).await?));
    let namespaces: Vec<_> = bounded.iter().map(|(namespace, _)| namespace.as_str()).collect();
    assert_eq!(namespaces, ["", "port-aws-operator", "team-a", "team-b"]);
    let team = &bounded[2].1;
    assert_eq!(team, &bounded[3].1);
    assert!(team.iter().all(|right| right.contains("/portawsintegrations") || right.contains("/events ")), "{team:?}");
    // Together they are what one ClusterRole gives elsewhere.
    let together: Rights = bounded[0].1.union(team).cloned().collect();
    assert_eq!(together, everywhere[0].1);
    assert!(bounded[0].1.is_disjoint(team));
    Ok(())
}

#[tokio::test]
async fn the_overlay_for_a_namespace_gives_what_the_chart_gives() -> Result<()> {
    let rendered = Helm::new(4)
        .await?
        .template("default", &["--set", "watchNamespaces={team},fullnameOverride=port-aws-operator"])
        .await?;
    let overlay = kustomize("deploy/overlays/namespaced").await?;
    assert_eq!(by_namespace(&parse(&overlay)), by_namespace(&parse(&rendered)));
    Ok(())
}

#[tokio::test]
async fn every_binding_is_of_a_role_that_is_there_to_the_account_that_the_pods_have() -> Result<()> {
    let helm = Helm::new(4).await?;
    for set in VALUE_SETS {
        let objects = parse(&helm.template(set, &[]).await?);
        let account = &crate::objects::the(&objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"];
        for binding in [of_kind(&objects, "ClusterRoleBinding"), of_kind(&objects, "RoleBinding")].concat() {
            let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
            named(&objects, kind.as_str().unwrap(), name.as_str().unwrap());
            assert_eq!(&binding["subjects"][0]["name"], account, "{set}");
            assert_eq!(binding["subjects"][0]["namespace"], "port-aws-operator", "{set}");
        }
    }
    Ok(())
}
