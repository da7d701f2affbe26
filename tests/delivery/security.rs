//! Pod Security, and validation by a real API server.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use testkit::{Result, control_plane::ControlPlane};

use crate::{
    cluster,
    helm::{Helm, VALUE_SETS},
    kubectl,
    objects::{named, of_kind, parse, the},
    path,
};

const NAMESPACE: &str = "port-aws-operator";

/// Asks the API server to make the Pods that a Deployment would, and the Pod of `helm test`.
pub(crate) async fn pods_are_admitted(plane: &ControlPlane, namespace: &str, objects: &[Value]) -> Result<()> {
    let template = &the(objects, "Deployment")["spec"]["template"];
    let mut pods = vec![json!({
        "metadata": {"name": "operator", "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    })];
    pods.extend(of_kind(objects, "Pod").into_iter().map(|pod| {
        json!({"metadata": {"name": pod["metadata"]["name"], "labels": pod["metadata"]["labels"]}, "spec": pod["spec"]})
    }));
    let api = Api::<Pod>::namespaced(plane.admin_client()?, namespace);
    for mut pod in pods {
        // These would have to be there, and say nothing of security.
        pod["spec"].as_object_mut().unwrap().remove("priorityClassName");
        let pod = serde_json::from_value(pod)?;
        api.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await?;
    }
    Ok(())
}

/// A cluster with the kinds and a namespace that admits nothing but what Pod Security calls restricted.
async fn restricted() -> Result<ControlPlane> {
    let plane = cluster().await?;
    let crds = path("crds").display().to_string();
    kubectl(&plane, &["apply", "--server-side", "-f", &crds]).await?;
    kubectl(&plane, &["wait", "--for=condition=Established", "--timeout=30s", "-f", &crds]).await?;
    testkit::fixture::wait_until_served(&plane).await?;
    for namespace in [NAMESPACE, "team-a", "team-b"] {
        kubectl(&plane, &["create", "namespace", namespace]).await?;
        let modes = ["enforce", "warn"].map(|mode| format!("pod-security.kubernetes.io/{mode}=restricted"));
        kubectl(&plane, &["label", "namespace", namespace, &modes[0], &modes[1]]).await?;
    }
    Ok(plane)
}

#[tokio::test]
async fn a_server_takes_what_is_rendered_word_for_word_and_without_a_warning() -> Result<()> {
    let plane = restricted().await?;
    let helm = Helm::new(4).await?;
    for set in VALUE_SETS {
        let rendered = helm.template(set, &[]).await?;
        let documents = rendered.split("\n---\n").filter(|text| !text.contains("apiVersion: monitoring.coreos.com/"));
        let built_in = documents.collect::<Vec<_>>().join("\n---\n");
        let args = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "-f", "-"];
        let output = plane.kubectl_with(&plane.admin_kubeconfig(), &args, Some(&built_in)).await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{set}: {errors}");
        pods_are_admitted(&plane, NAMESPACE, &parse(&rendered)).await?;
    }
    plane.kill().await
}

#[tokio::test]
async fn every_part_of_the_security_context_is_needed() -> Result<()> {
    let plane = restricted().await?;
    let helm = Helm::new(4).await?;
    for option in [
        "securityContext.capabilities=null",
        "securityContext.allowPrivilegeEscalation=null",
        "podSecurityContext.runAsNonRoot=null",
        "podSecurityContext.seccompProfile=null",
        "podSecurityContext.runAsUser=0",
    ] {
        let objects = parse(&helm.template("default", &["--set", option]).await?);
        let refused = pods_are_admitted(&plane, NAMESPACE, &objects).await.expect_err(option).to_string();
        assert!(refused.contains("violates PodSecurity"), "{option}: {refused}");
    }
    plane.kill().await
}

#[tokio::test]
async fn the_root_is_read_only_and_the_user_a_number_that_is_not_roots() -> Result<()> {
    let objects = parse(&Helm::new(4).await?.template("default", &[]).await?);
    let pod = &named(&objects, "Deployment", "release-port-aws-operator")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    for id in ["runAsUser", "runAsGroup"] {
        assert!(pod["securityContext"][id].as_u64().is_some_and(|id| id > 0), "{pod}");
    }
    for (kind, resource) in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")] {
        assert!(container["resources"][kind][resource].is_string(), "{container}");
    }
    // The drain of 35 s, the release of the Lease of 10 s.
    assert!(pod["terminationGracePeriodSeconds"].as_u64().is_some_and(|seconds| seconds >= 45));
    Ok(())
}
