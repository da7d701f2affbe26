//! The operator under the rights that a release gives, as the release's own service account.

use std::time::Duration;

use kube::{Api, api::PostParams, core::DynamicObject};
use serde_json::{Value, json};
use testkit::{
    Error, Result,
    control_plane::ControlPlane,
    fixture::{condition, integration_resource},
    operator::{Operator, OperatorOptions},
    wait::eventually,
};

use crate::{
    arguments::understand,
    cluster,
    helm::{CHART, Helm, values},
    kubectl,
    objects::{arguments, parse},
};

const OPERATOR: &str = env!("CARGO_BIN_EXE_port-aws-operator");
const NAMESPACE: &str = "port-aws-operator";
const NAME: &str = "connector-port-aws-operator";

/// An operator that is told what the Deployment tells it of namespaces and Lease. Its addresses are this machine's, and
/// no selector leaves the integration out.
async fn start(plane: &ControlPlane, told: &[String]) -> Result<Operator> {
    let run = understand(told);
    assert_eq!(run.election.lease_name, NAME);
    Operator::start(OperatorOptions {
        binary: OPERATOR.into(),
        kubeconfig: plane.kubeconfig_for_service_account(NAMESPACE, NAME).await?,
        // Nobody answers there, and nobody has to: it has no credentials.
        aws_endpoint: "http://127.0.0.1:1".to_owned(),
        cluster_id: "delivery".to_owned(),
        namespaces: run.watch_namespaces,
        lease: Some(run.election.lease_name),
        log: plane.data_dir().join("operator.log"),
        ..OperatorOptions::default()
    })
    .await
}

/// The operator does all that it does in a cluster: it takes the Lease, the finalizer, writes status and event.
async fn works(set: &str) -> Result<()> {
    let namespace = "team-a";
    let plane = cluster().await?;
    for namespace in ["team-a", "team-b"] {
        kubectl(&plane, &["create", "namespace", namespace]).await?;
    }
    let (helm, file) = (Helm::on(4, &plane).await?, values(set));
    let access = ["--set-string", "access.accounts={111122223333}", "--set", "access.name=default"];
    let given =
        "access.create=true,access.namespaces={team-a},access.organizationIds={org_BneDtWovPqXaA2VZ},replicas=0";
    let args = ["connector", CHART, "--namespace", NAMESPACE, "--values", &file, "--set", given];
    helm.succeed(&[&["install", "--create-namespace", "--wait"][..], &args, &access].concat()).await?;
    let told = arguments(&parse(&helm.succeed(&[&["template"][..], &args, &access].concat()).await?));
    let operator = start(&plane, &told).await?;

    let api = Api::<DynamicObject>::namespaced_with(plane.admin_client()?, namespace, &integration_resource());
    let integration = serde_json::from_value(json!({
        "apiVersion": "integrations.port.io/v1alpha1",
        "kind": "PortAwsIntegration",
        "metadata": {"name": "production"},
        "spec": {
            "organizationId": "org_BneDtWovPqXaA2VZ",
            "integrationIdentifier": "aws-prod",
            "accounts": ["111122223333"],
        },
    }))?;
    api.create(&PostParams::default(), &integration).await?;
    eventually("the account to fail for want of credentials", Duration::from_secs(30), async || {
        operator.check_healthy()?;
        let object = serde_json::to_value(api.get("production").await?)?;
        match condition(&object, "Ready") {
            ready if ready["reason"] == "CredentialsUnavailable" => Ok(Some(())),
            other => Err(Error::not_yet(other.to_string())),
        }
    })
    .await?;
    eventually("an event of the integration", Duration::from_secs(30), async || {
        let events = kubectl(&plane, &["get", "events.v1.events.k8s.io", "-n", namespace, "-o", "json"]).await?;
        let events: Value = serde_json::from_str(&events)?;
        let about = |event: &Value| event["regarding"]["name"] == "production";
        Ok(events["items"].as_array().is_some_and(|all| all.iter().any(about)).then_some(()))
    })
    .await?;
    let holder = ["get", "lease", NAME, "-n", NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}"];
    assert_ne!(kubectl(&plane, &holder).await?, "");
    // It ends in order, and gives the Lease back.
    assert_eq!(operator.terminate().await?, 0);
    assert_eq!(kubectl(&plane, &holder).await?, "");
    let log = operator.log()?;
    let refused: Vec<_> = log.lines().filter(|line| line.to_lowercase().contains("forbidden")).collect();
    assert!(refused.is_empty(), "{refused:?}");
    plane.kill().await
}

#[tokio::test]
async fn the_rights_of_a_release_are_enough() -> Result<()> {
    works("default").await
}

#[tokio::test]
async fn the_rights_of_a_release_for_some_namespaces_are_enough() -> Result<()> {
    works("namespaced").await
}
