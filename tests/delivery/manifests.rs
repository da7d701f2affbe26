//! The manifests in `deploy/`, built by kustomize and applied to a real API server.

use testkit::{Error, Result, control_plane::tools_folder};
use tokio::process::Command;

use crate::{
    arguments::understand,
    cluster, kubectl,
    objects::{arguments, names, parse, the},
    path, read,
    security::pods_are_admitted,
};

const OVERLAYS: [&str; 5] = ["argocd", "ha", "irsa", "monitored", "namespaced"];

/// What `kubectl kustomize` makes of a folder.
pub(crate) async fn kustomize(folder: &str) -> Result<String> {
    let program = tools_folder().await?.join("kubectl");
    let output = Command::new(program).arg("kustomize").arg(path(folder)).output().await;
    let output = output.map_err(|error| Error::Setup(format!("kubectl: {error}")))?;
    assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Without the kinds that the Prometheus operator brings.
fn built_in(stream: &str) -> String {
    let documents = stream.split("\n---\n").filter(|text| !text.contains("apiVersion: monitoring.coreos.com/"));
    documents.collect::<Vec<_>>().join("\n---\n")
}

#[test]
fn every_overlay_is_tested() {
    let folder = std::fs::read_dir(path("deploy/overlays")).expect("overlays");
    let mut found: Vec<_> = folder.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    assert_eq!(found, OVERLAYS);
}

#[tokio::test]
async fn the_single_file_is_the_base() -> Result<()> {
    assert_eq!(parse(&read("deploy/install.yaml")), parse(&kustomize("deploy/base").await?));
    Ok(())
}

#[tokio::test]
async fn the_single_file_installs_in_one_go_and_each_overlay_over_it() -> Result<()> {
    let plane = cluster().await?;
    let file = path("deploy/install.yaml").display().to_string();
    kubectl(&plane, &["apply", "--server-side", "--validate=strict", "-f", &file]).await?;
    let established = ["wait", "--for=condition=Established", "--timeout=30s", "crd"];
    let kinds = ["portawsaccesses.integrations.port.io", "portawsintegrations.integrations.port.io"];
    kubectl(&plane, &[&established[..], &kinds].concat()).await?;
    for overlay in OVERLAYS {
        let built = built_in(&kustomize(&format!("deploy/overlays/{overlay}")).await?);
        let args = ["apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-"];
        let output = plane.kubectl_with(&plane.admin_kubeconfig(), &args, Some(&built)).await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{overlay}: {errors}");
        let objects = parse(&built);
        understand(&arguments(&objects));
        pods_are_admitted(&plane, "port-aws-operator", &objects).await?;
    }
    plane.kill().await
}

#[tokio::test]
async fn the_overlays_differ_as_they_say() -> Result<()> {
    let overlay = async |name: &str| Ok::<_, Error>(parse(&kustomize(&format!("deploy/overlays/{name}")).await?));
    let ha = overlay("ha").await?;
    assert_eq!(the(&ha, "Deployment")["spec"]["replicas"], 3);
    let irsa = overlay("irsa").await?;
    let role = &the(&irsa, "ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"];
    assert_eq!(role, "arn:aws:iam::111122223333:role/port-aws-operator");
    assert_eq!(understand(&arguments(&irsa)).cluster_id.map(|id| id.to_string()).as_deref(), Some("production-eu"));
    let namespaced = overlay("namespaced").await?;
    assert_eq!(understand(&arguments(&namespaced)).watch_namespaces, ["team"]);
    let monitored = names(&overlay("monitored").await?);
    for kind in ["ServiceMonitor", "PrometheusRule", "ConfigMap", "NetworkPolicy"] {
        assert!(monitored.iter().any(|name| name.starts_with(kind)), "{kind}: {monitored:?}");
    }
    for objects in [ha, irsa, namespaced] {
        let image = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(image, concat!("registry.example.com/port-aws-operator:", env!("CARGO_PKG_VERSION")));
    }
    Ok(())
}
