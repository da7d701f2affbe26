//! The operator under the rights that a release gives, as the release's own service account.

use std::time::Duration;

use kube::{
    Api,
    api::{DeleteParams, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::Backend,
    control_plane::ControlPlane,
    fixture::{integration_resource, is_ready},
    operator::{LeaseName, Operator, OperatorOptions},
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
const ACCOUNT: &str = "111122223333";
const DEADLINE: Duration = Duration::from_secs(30);

/// An operator that is told what the Deployment tells it of namespaces and Lease. Its addresses are this machine's, and
/// no selector leaves the integration out.
async fn start(plane: &ControlPlane, backend: &Backend, told: &[String]) -> Result<Operator> {
    let run = understand(told);
    assert_eq!(run.election.lease_name, NAME);
    Operator::start(OperatorOptions {
        binary: OPERATOR.into(),
        kubeconfig: plane.kubeconfig_for_service_account(NAMESPACE, NAME).await?,
        aws_endpoint: backend.url().to_owned(),
        credentials: Some(backend.credentials(ACCOUNT).await?),
        cluster_id: Some("delivery".to_owned()),
        namespaces: run.watch_namespaces,
        lease: LeaseName::Released(run.election.lease_name),
        log: plane.data_dir().join("operator.log"),
        ..OperatorOptions::default()
    })
    .await
}

/// The operator does all that it does in a cluster: Lease, finalizer, status, events.
async fn works(set: &str) -> Result<()> {
    let namespace = "team-a";
    let (plane, backend) = tokio::try_join!(cluster(), Backend::start())?;
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
    let operator = start(&plane, &backend, &told).await?;

    let api = Api::<DynamicObject>::namespaced_with(plane.admin_client()?, namespace, &integration_resource());
    let integration = serde_json::from_value(json!({
        "apiVersion": "integrations.port.io/v1alpha1",
        "kind": "PortAwsIntegration",
        "metadata": {"name": "production"},
        "spec": {
            "organizationId": "org_BneDtWovPqXaA2VZ",
            "integrationIdentifier": "aws-prod",
            "accounts": [ACCOUNT],
        },
    }))?;
    api.create(&PostParams::default(), &integration).await?;
    eventually("the integration to be ready", DEADLINE, async || {
        operator.check_healthy()?;
        let object = serde_json::to_value(api.get("production").await?)?;
        if is_ready(&object) { Ok(Some(())) } else { Err(Error::not_yet(object["status"].to_string())) }
    })
    .await?;
    eventually("an event of the integration", DEADLINE, async || {
        let events = kubectl(&plane, &["get", "events.v1.events.k8s.io", "-n", namespace, "-o", "json"]).await?;
        let events: Value = serde_json::from_str(&events)?;
        let about = |event: &Value| event["regarding"]["name"] == "production";
        Ok(events["items"].as_array().is_some_and(|all| all.iter().any(about)).then_some(()))
    })
    .await?;
    let holder = ["get", "lease", NAME, "-n", NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}"];
    assert_ne!(kubectl(&plane, &holder).await?, "");
    api.delete("production", &DeleteParams::default()).await?;
    eventually("the integration to be gone", DEADLINE, async || {
        Ok(api.get_opt("production").await?.is_none().then_some(()))
    })
    .await?;
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
