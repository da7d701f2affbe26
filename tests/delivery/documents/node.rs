//! A stand-in for nodes: it runs the operator as a process for each of its Pods, with what the Pod says of arguments
//! and service account, and reports the Pod ready once the process says so.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::{Backend, Rights},
    control_plane::ControlPlane,
    operator::{LeaseName, Operator, OperatorOptions},
    wait::eventually,
};
use tokio::process::Command;

use super::{ACCOUNT, OPERATOR};
use crate::arguments::understand;

const LABEL: &str = "app.kubernetes.io/name=port-aws-operator";
const DEADLINE: Duration = Duration::from_secs(30);

/// What a node needs to know.
#[derive(Debug)]
pub(super) struct Node {
    plane: Arc<ControlPlane>,
    backend: Arc<Backend>,
    logs: PathBuf,
}

impl Node {
    /// Logs of Pods go to the folder.
    pub(super) fn new(plane: &Arc<ControlPlane>, backend: &Arc<Backend>, logs: PathBuf) -> Self {
        Self { plane: Arc::clone(plane), backend: Arc::clone(backend), logs }
    }

    /// Runs Pods until something fails.
    pub(super) async fn run(self) -> Result<()> {
        let pods = Api::<Pod>::all(self.plane.admin_client()?);
        let mut events = watcher(pods, watcher::Config::default().labels(LABEL)).default_backoff().boxed();
        let mut running = HashMap::new();
        while let Some(event) = events.next().await {
            // A watch that breaks begins anew.
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) if !running.contains_key(&pod.uid()) => {
                    running.insert(pod.uid(), self.start(&pod).await?);
                }
                Ok(Event::Delete(pod)) => {
                    if let Some(operator) = running.remove(&pod.uid()) {
                        operator.terminate().await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn start(&self, pod: &Pod) -> Result<Operator> {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let spec = serde_json::to_value(&pod.spec)?;
        let account = spec["serviceAccountName"].as_str().unwrap_or("default");
        let told = understand(&crate::objects::strings(&spec["containers"][0]["args"]));
        // Not parsed by the test support: what is said of the Lease's namespace there is the Pod's, too.
        assert_eq!(namespace, "port-aws-operator");
        let operator = Operator::spawn(&OperatorOptions {
            binary: OPERATOR.into(),
            kubeconfig: self.plane.kubeconfig_for_service_account(&namespace, account).await?,
            aws_endpoint: self.backend.url().to_owned(),
            credentials: Some(self.backend.credentials_with(ACCOUNT, "port-aws-operator", &rights().await?).await?),
            cluster_id: told.cluster_id.map(|id| id.to_string()),
            namespaces: told.watch_namespaces,
            lease: LeaseName::Released(told.election.lease_name),
            log: self.logs.join(format!("{name}.log")),
            ..OperatorOptions::default()
        })?;
        eventually("the operator of a Pod to be ready", DEADLINE, async || {
            operator.check_healthy()?;
            let (status, text) = operator.probe("/readyz").await?;
            if status == 200 { Ok(Some(())) } else { Err(Error::not_yet(text)) }
        })
        .await?;
        let ready = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": Timestamp::now()});
        let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(ready);
        let status = json!({"status": {"phase": "Running", "conditions": conditions}});
        let pods = Api::<Pod>::namespaced(self.plane.admin_client()?, &namespace);
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(operator)
    }
}

/// What the operator's own role is given for the default limits: its account, and the way to roles elsewhere.
async fn rights() -> Result<Rights> {
    let (target, hub) = tokio::try_join!(published("target"), published("hub"))?;
    Ok(Rights { policies: vec![target, hub], ..Rights::default() })
}

/// A policy as the operator prints it.
pub(super) async fn published(which: &str) -> Result<Value> {
    let output = Command::new(OPERATOR).args(["policies", which]).output().await;
    let output = output.map_err(|error| Error::Setup(format!("policies {which}: {error}")))?;
    assert!(output.status.success(), "policies {which}: {output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}
