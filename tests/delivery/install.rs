//! The life of a release on a real API server: install, upgrade, uninstall, and again.

use kube::{Api, api::PostParams, core::DynamicObject};
use serde_json::{Value, json};
use testkit::{
    Result,
    control_plane::ControlPlane,
    fixture::{access_resource, integration_resource},
};

use crate::{
    cluster,
    helm::{CHART, Helm, values},
    kubectl,
};

const NAMESPACE: &str = "port-aws-operator";
const ACCESS: &str = "portawsaccess/default";
const INTEGRATION: &str = "portawsintegration/production";
const KINDS: [&str; 2] = ["crd/portawsaccesses.integrations.port.io", "crd/portawsintegrations.integrations.port.io"];

/// No node runs a Pod here, so the release is whole without one.
fn line(what: &str, set: &str, more: &[&str]) -> Vec<String> {
    let file = values(set);
    let args = [what, "connector", CHART, "--namespace", NAMESPACE, "--values", &file, "--set", "replicas=0"];
    [&args[..], &["--wait", "--timeout", "60s"], more].concat().into_iter().map(str::to_owned).collect()
}

async fn helm(it: &Helm, what: &str, set: &str, more: &[&str]) -> Result<String> {
    let line = line(what, set, more);
    it.succeed(&line.iter().map(String::as_str).collect::<Vec<_>>()).await
}

async fn refuse(it: &Helm, what: &str, set: &str, more: &[&str]) -> Result<String> {
    let line = line(what, set, more);
    it.fail(&line.iter().map(String::as_str).collect::<Vec<_>>()).await
}

async fn get(plane: &ControlPlane, what: &str, field: &str) -> Result<String> {
    kubectl(plane, &["get", what, "--namespace", NAMESPACE, "--output", &format!("jsonpath={{{field}}}")]).await
}

async fn uids(plane: &ControlPlane) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for what in [ACCESS, INTEGRATION].iter().chain(&KINDS) {
        all.push(get(plane, what, ".metadata.uid").await?);
    }
    Ok(all)
}

/// An integration of the release's own namespace.
async fn integrate(plane: &ControlPlane) -> Result<()> {
    let integration: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "integrations.port.io/v1alpha1",
        "kind": "PortAwsIntegration",
        "metadata": {"name": "production"},
        "spec": {
            "organizationId": "org_BneDtWovPqXaA2VZ",
            "integrationIdentifier": "aws-prod",
            "accounts": ["111122223333"],
        },
    }))?;
    let api = Api::<DynamicObject>::namespaced_with(plane.admin_client()?, NAMESPACE, &integration_resource());
    api.create(&PostParams::default(), &integration).await?;
    Ok(())
}

/// Install with one, go on with the other; and nothing that people made or that holds rights goes away.
async fn a_release_lives(installs: u8, upgrades: u8) -> Result<()> {
    let plane = cluster().await?;
    let (first, second) = (Helm::on(installs, &plane).await?, Helm::on(upgrades, &plane).await?);

    let said = helm(&first, "install", "one-account", &["--create-namespace"]).await?;
    assert!(said.contains("Installation (cluster id): production-eu"), "{said}");
    assert!(said.contains("kind: PortAwsIntegration"), "the next step: {said}");
    assert_eq!(get(&plane, ACCESS, ".spec.accounts").await?, r#"["111122223333"]"#);
    integrate(&plane).await?;
    let before = uids(&plane).await?;

    let change = ["--set", "rates.maxPasses=8", "--set", "access.namespaces={a,b}"];
    if installs == 3 {
        // It would be recorded and never done.
        let said = refuse(&second, "upgrade", "one-account", &change).await?;
        assert!(said.contains("upgrade once with the values that it was made with"), "{said}");
        helm(&second, "upgrade", "one-account", &[]).await?;
    }
    helm(&second, "upgrade", "one-account", &change).await?;
    assert_eq!(uids(&plane).await?, before, "an upgrade keeps every object");
    let args = get(&plane, "deployment/connector-port-aws-operator", ".spec.template.spec.containers[0].args").await?;
    assert!(args.contains("--max-passes=8"), "{args}");
    assert_eq!(get(&plane, ACCESS, ".spec.allowedNamespaces.names").await?, r#"["a","b"]"#);

    second.succeed(&["uninstall", "connector", "--namespace", NAMESPACE, "--wait", "--timeout", "60s"]).await?;
    assert_eq!(uids(&plane).await?, before, "uninstalling keeps kinds, access and integrations");
    let gone = ["get", "clusterrole,clusterrolebinding,deployment,service,sa,pdb,role,rolebinding", "-A", "-o", "name"];
    let left = kubectl(&plane, &[&gone[..], &["-l", "app.kubernetes.io/name=port-aws-operator"]].concat()).await?;
    assert_eq!(left, "");

    helm(&first, "install", "one-account", &[]).await?;
    assert_eq!(uids(&plane).await?, before, "a release of the same name takes them up again");
    plane.kill().await
}

#[tokio::test]
async fn a_release_lives_with_helm_4() -> Result<()> {
    a_release_lives(4, 4).await
}

#[tokio::test]
async fn a_release_lives_with_helm_3() -> Result<()> {
    a_release_lives(3, 3).await
}

#[tokio::test]
async fn a_release_of_helm_3_goes_on_with_helm_4() -> Result<()> {
    a_release_lives(3, 4).await
}

#[tokio::test]
async fn kinds_go_with_the_release_only_if_told() -> Result<()> {
    let plane = cluster().await?;
    let it = Helm::on(4, &plane).await?;
    helm(&it, "install", "default", &["--create-namespace", "--set", "crds.keep=false"]).await?;
    kubectl(&plane, &["get", KINDS[0], KINDS[1]]).await?;
    it.succeed(&["uninstall", "connector", "--namespace", NAMESPACE, "--wait", "--timeout", "60s"]).await?;
    let left = kubectl(&plane, &["get", "crd", "-o", "name"]).await?;
    assert!(!left.contains("port.io"), "{left}");
    plane.kill().await
}

#[tokio::test]
async fn access_may_come_with_a_later_upgrade() -> Result<()> {
    let plane = cluster().await?;
    let it = Helm::on(4, &plane).await?;
    let said = helm(&it, "install", "default", &["--create-namespace"]).await?;
    assert!(said.contains("kind: PortAwsAccess"), "the next step: {said}");
    let all = Api::<DynamicObject>::all_with(plane.admin_client()?, &access_resource());
    assert!(all.get_opt("default").await?.is_none());
    helm(&it, "upgrade", "one-account", &[]).await?;
    let keep = "helm.sh/resource-policy";
    let access = serde_json::to_value(all.get("default").await?)?;
    assert_eq!(access["metadata"]["annotations"][keep], Value::from("keep"));
    plane.kill().await
}

#[tokio::test]
async fn a_dry_run_on_the_server_passes() -> Result<()> {
    let plane = cluster().await?;
    for major in [3, 4] {
        let it = Helm::on(major, &plane).await?;
        kubectl(&plane, &["create", "namespace", &format!("helm{major}")]).await?;
        let args = ["install", "connector", CHART, "--namespace", &format!("helm{}", it.major()), "--dry-run=server"];
        it.succeed(&args).await?;
    }
    plane.kill().await
}
