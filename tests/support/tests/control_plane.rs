//! The control plane itself, before anything is tested with it.

use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};
use testkit::control_plane::{ControlPlane, StartOptions};
use testkit::process::process_exists;
use testkit::wait::eventually;
use testkit::watcher::StatusWatch;
use testkit::{Error, kstatus};

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

const SOON: Duration = Duration::from_secs(30);

const RIGHTS: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: worker, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: worker, namespace: default}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [create, get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: worker, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: worker}
subjects: [{kind: ServiceAccount, name: worker, namespace: default}]
"#;

const THING: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn config_map(name: &str) -> ConfigMap {
    ConfigMap { metadata: named(name), ..ConfigMap::default() }
}

fn code(outcome: Result<impl Sized, kube::Error>) -> u16 {
    match outcome {
        Err(kube::Error::Api(status)) => status.code,
        _ => 0,
    }
}

#[tokio::test]
async fn namespaces_rights_and_the_audit_log_work() -> TestResult {
    let plane =
        ControlPlane::start(StartOptions { controller_manager: true, audit: true, ..StartOptions::default() }).await?;
    assert_eq!(plane.pids().len(), 3);
    namespaces_are_deleted_for_good(plane.admin_client()?).await?;
    a_service_account_may_do_what_it_is_granted(&plane).await?;
    plane.kill().await?;
    Ok(())
}

async fn namespaces_are_deleted_for_good(client: Client) -> TestResult {
    let namespaces = Api::<Namespace>::all(client.clone());
    let namespace = Namespace { metadata: named("brief"), ..Namespace::default() };
    namespaces.create(&PostParams::default(), &namespace).await?;
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "brief");
    eventually("the default service account", SOON, async || Ok(accounts.get_opt("default").await?)).await?;
    let maps = Api::<ConfigMap>::namespaced(client, "brief");
    maps.create(&PostParams::default(), &config_map("inside")).await?;
    namespaces.delete("brief", &DeleteParams::default()).await?;
    eventually("the end of the namespace", SOON, async || {
        Ok(namespaces.get_opt("brief").await?.is_none().then_some(()))
    })
    .await?;
    Ok(())
}

async fn a_service_account_may_do_what_it_is_granted(plane: &ControlPlane) -> TestResult {
    plane.kubectl_apply(RIGHTS).await?;
    let kubeconfig = plane.kubeconfig_for_service_account("default", "worker").await?;
    let start = SystemTime::now();
    let client = plane.client_for(&kubeconfig).await?;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "default");
    maps.create(&PostParams::default(), &config_map("mine")).await?;
    maps.get("mine").await?;
    let denied = maps.delete("mine", &DeleteParams::default()).await;
    assert_eq!(code(denied), 403);
    let elsewhere = Api::<ConfigMap>::namespaced(client, "kube-system");
    assert_eq!(code(elsewhere.list(&ListParams::default()).await), 403);

    let user = "system:serviceaccount:default:worker";
    let writes = eventually("the writes in the audit log", SOON, async || {
        let writes = plane.writes_by(user, start)?;
        Ok((writes.len() >= 2).then_some(writes))
    })
    .await?;
    let seen: Vec<_> =
        writes.iter().map(|it| (it.verb.as_str(), it.resource.as_str(), it.name.as_deref(), it.code)).collect();
    assert_eq!(seen, [("create", "configmaps", Some("mine"), 201), ("delete", "configmaps", Some("mine"), 403),]);
    assert!(plane.writes_by(user, SystemTime::now())?.is_empty());

    let args = ["get", "secrets"];
    let output = plane.kubectl_with(&kubeconfig, &args, None).await?;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Forbidden"));
    let output = plane.kubectl(&["version", "-o", "json"]).await?;
    let versions: Value = serde_json::from_slice(&output.stdout)?;
    assert!(versions["serverVersion"]["gitVersion"].is_string());
    Ok(())
}

#[tokio::test]
async fn a_restart_keeps_objects_and_watches() -> TestResult {
    let plane = ControlPlane::start(StartOptions::default()).await?;
    assert!(plane.audit_events().is_err(), "no audit log was asked for");
    let client = plane.admin_client()?;
    let resource = make_thing_kind(&plane, &client).await?;
    let things = Api::<DynamicObject>::namespaced_with(client.clone(), "default", &resource);
    let thing: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "one"}, "spec": {},
    }))?;
    things.create(&PostParams::default(), &thing).await?;

    let watch = StatusWatch::start(client.clone(), &resource, Some("default")).await?;
    assert_eq!(watch.history("one").len(), 1);
    set_status(&things, "False", "Reconciling", "2024-05-01T10:00:00Z").await?;
    // What is written just before the server is killed could go unseen.
    let is_busy = |object: &Value| !object["status"].is_null();
    watch.until("one", "Reconciling is seen", SOON, is_busy).await?;

    plane.stop_api_server().await?;
    assert!(things.get("one").await.is_err());
    plane.start_api_server().await?;
    things.get("one").await?;
    let start = Instant::now();
    plane.restart_api_server().await?;
    assert!(start.elapsed() < SOON);

    set_status(&things, "False", "Stalled", "2024-05-01T10:00:00Z").await?;
    let is_failed = |object: &Value| kstatus::compute(object) == kstatus::Kstatus::Failed;
    watch.until("one", "Stalled is seen", SOON, is_failed).await?;
    // A fresh API server may not know old versions, which costs a list, but loses nothing here.
    assert_eq!(watch.history("one").len(), 3);
    assert_eq!(watch.violations(), Vec::<String>::new());

    // A rule is broken: the status turns, its time does not.
    set_status(&things, "True", "", "2024-05-01T10:00:00Z").await?;
    let outcome = watch.finish().await;
    assert!(matches!(&outcome, Err(Error::Violations(list)) if list.len() == 1), "{outcome:?}");
    Ok(())
}

async fn make_thing_kind(plane: &ControlPlane, client: &Client) -> TestResult<ApiResource> {
    plane.kubectl_apply(THING).await?;
    let kind = GroupVersionKind::gvk("example.org", "v1", "Thing");
    let resource = ApiResource::from_gvk(&kind);
    let all = Api::<DynamicObject>::all_with(client.clone(), &resource);
    eventually("the new kind to be served", SOON, async || Ok(Some(all.list(&ListParams::default()).await?))).await?;
    Ok(resource)
}

async fn set_status(things: &Api<DynamicObject>, ready: &str, abnormal: &str, time: &str) -> TestResult {
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Because", "message": "text",
               "lastTransitionTime": time, "observedGeneration": 1})
    };
    let mut conditions = vec![condition("Ready", ready)];
    if !abnormal.is_empty() {
        conditions.push(condition(abnormal, "True"));
    }
    let status = json!({"status": {"observedGeneration": 1, "conditions": conditions}});
    things.patch_status("one", &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_after_a_drop() -> TestResult {
    let plane = ControlPlane::start(StartOptions::default()).await?;
    let pids = plane.pids();
    let folder = plane.data_dir().to_owned();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| process_exists(*pid)));
    drop(plane);
    assert!(!pids.iter().any(|pid| process_exists(*pid)));
    assert!(!folder.exists());
    Ok(())
}

#[tokio::test]
async fn a_folder_of_ones_own_is_kept_and_starts_again() -> TestResult {
    let folder = tempfile::tempdir()?;
    let options = StartOptions { data_dir: Some(folder.path().join("plane")), ..StartOptions::default() };
    let plane = ControlPlane::start(options.clone()).await?;
    let maps = Api::<ConfigMap>::namespaced(plane.admin_client()?, "default");
    maps.create(&PostParams::default(), &config_map("kept")).await?;
    assert!(ControlPlane::start(options.clone()).await.is_err(), "the folder is in use");
    plane.kill().await?;
    let plane = ControlPlane::start(options).await?;
    let maps = Api::<ConfigMap>::namespaced(plane.admin_client()?, "default");
    maps.get("kept").await?;
    Ok(())
}

#[tokio::test]
async fn a_missing_tool_is_named() {
    let options = StartOptions { tools: Some("/nowhere".into()), ..StartOptions::default() };
    let text = match ControlPlane::start(options).await {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("/nowhere/etcd is missing"), "{text}");
}
