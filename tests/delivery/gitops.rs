//! What is shipped for Argo CD and Flux.

use std::{collections::BTreeSet, fs, time::Duration};

use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib};
use serde_json::{Value, json};
use testkit::{Error, Result, fixture::Scenario, wait::eventually};

use crate::{
    arguments::understand,
    helm::Helm,
    manifests::kustomize,
    objects::{arguments, named, names, parse, strings, the},
    path, read,
};

const CUSTOMIZATIONS: &str = "deploy/argocd/resource_customizations/integrations.port.io";
const KINDS: [&str; 2] = ["PortAwsAccess", "PortAwsIntegration"];
const OPERATOR: &str = env!("CARGO_BIN_EXE_port-aws-operator");

/// Runs a health script as Argo CD does: with the libraries that it opens, and the object as `obj`.
fn health(script: &str, object: &Value) -> Result<Value> {
    let run = || -> mlua::Result<Value> {
        let lua = Lua::new_with(StdLib::TABLE | StdLib::PACKAGE, LuaOptions::default())?;
        // What is null in Kubernetes is not there.
        let options = mlua::serde::ser::Options::new().serialize_none_to_null(false).serialize_unit_to_null(false);
        lua.globals().set("obj", lua.to_value_with(object, options)?)?;
        lua.from_value(lua.load(script).eval()?)
    };
    run().map_err(|error| Error::Setup(error.to_string()))
}

#[test]
fn the_health_scripts_pass_their_tests() -> Result<()> {
    for kind in KINDS {
        let folder = format!("{CUSTOMIZATIONS}/{kind}");
        let script = read(&format!("{folder}/health.lua"));
        let tests: Value = serde_saphyr::from_str(&read(&format!("{folder}/health_test.yaml"))).expect("YAML");
        let mut tested = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for test in tests["tests"].as_array().expect("tests") {
            let input = test["inputPath"].as_str().expect("inputPath");
            let object: Value = serde_saphyr::from_str(&read(&format!("{folder}/{input}"))).expect("YAML");
            assert_eq!(object["kind"], kind, "{input}");
            assert_eq!(health(&script, &object)?, test["healthStatus"], "{kind} {input}");
            tested.insert(input.to_owned());
            seen.insert(test["healthStatus"]["status"].as_str().unwrap_or_default().to_owned());
        }
        let files = fs::read_dir(path(&format!("{folder}/testdata"))).expect("testdata").flatten();
        let files: BTreeSet<_> = files.map(|it| format!("testdata/{}", it.file_name().to_string_lossy())).collect();
        assert_eq!(files, tested, "{kind}");
        let all = ["Degraded", "Healthy", "Progressing"].map(str::to_owned);
        assert!(seen.is_superset(&all.into()), "{kind}: {seen:?}");
    }
    Ok(())
}

#[test]
fn argo_cds_config_map_has_the_scripts() {
    let config: Value = serde_saphyr::from_str(&read("deploy/argocd/argocd-cm.yaml")).expect("YAML");
    for kind in KINDS {
        let key = format!("resource.customizations.health.integrations.port.io_{kind}");
        assert_eq!(config["data"][&key], read(&format!("{CUSTOMIZATIONS}/{kind}/health.lua")));
    }
}

#[tokio::test]
async fn the_scripts_follow_what_a_real_operator_writes() -> Result<()> {
    let mut it = Scenario::builder("argo-health", OPERATOR).without_operator().start().await?;
    let script = read(&format!("{CUSTOMIZATIONS}/PortAwsIntegration/health.lua"));
    let judge = |object: &Value| health(&script, object).expect("health")["status"].as_str().unwrap().to_owned();
    it.integration("one", |_| {}).await?;
    let object = serde_json::to_value(it.integrations().get("one").await?)?;
    assert_eq!(judge(&object), "Progressing");
    it.start_operator().await?;
    it.until("one", "Healthy for Argo CD", |object| judge(object) == "Healthy").await?;
    let access = read(&format!("{CUSTOMIZATIONS}/PortAwsAccess/health.lua"));
    eventually("the access to be healthy for Argo CD", Duration::from_secs(30), async || {
        let object = serde_json::to_value(it.accesses().get(it.namespace()).await?)?;
        let found = health(&access, &object)?;
        if found["status"] == "Healthy" { Ok(Some(())) } else { Err(Error::not_yet(found.to_string())) }
    })
    .await?;
    it.patch_spec("one", json!({"suspend": true})).await?;
    it.until("one", "Suspended for Argo CD", |object| judge(object) == "Suspended").await?;
    it.patch_spec("one", json!({"suspend": false, "organizationId": "org_another"})).await?;
    it.until("one", "Degraded for Argo CD", |object| judge(object) == "Degraded").await?;
    it.finish().await
}

/// Renders the chart with values that a manifest carries.
async fn rendered_with(values: &Value) -> Result<Vec<Value>> {
    let values = values.as_object().expect("values").iter().map(|(key, value)| format!("{key}={value}"));
    let options: Vec<_> = values.flat_map(|value| ["--set-json".to_owned(), value]).collect();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    Ok(parse(&Helm::new(4).await?.template("default", &options).await?))
}

#[tokio::test]
async fn argo_cd_and_flux_give_the_chart_values_that_it_knows() -> Result<()> {
    let argo = parse(&kustomize("deploy/argocd").await?);
    let application = named(&argo, "Application", "port-aws-operator");
    let source = &application["spec"]["source"];
    assert!(path(source["path"].as_str().unwrap()).join("Chart.yaml").is_file(), "{source}");
    let flux = parse(&kustomize("deploy/flux/release").await?);
    let release = the(&flux, "HelmRelease");
    let chart = release["spec"]["chart"]["spec"]["chart"].as_str().unwrap();
    assert!(path(chart).join("Chart.yaml").is_file(), "{chart}");
    for values in [&source["helm"]["valuesObject"], &release["spec"]["values"]] {
        let objects = rendered_with(values).await?;
        understand(&arguments(&objects));
        let role = &the(&objects, "ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"];
        assert_eq!(role, "arn:aws:iam::111122223333:role/port-aws-operator");
    }
    Ok(())
}

/// Kinds, then the operator, then who may use it; and nothing that Argo CD would take for a hook.
#[tokio::test]
async fn argo_cd_syncs_in_waves() -> Result<()> {
    let argo = parse(&kustomize("deploy/argocd").await?);
    let values = &named(&argo, "Application", "port-aws-operator")["spec"]["source"]["helm"]["valuesObject"];
    let other: Value = serde_saphyr::from_str(&read("deploy/argocd/operator-kustomize.yaml")).expect("YAML");
    let overlay = parse(&kustomize(other["spec"]["source"]["path"].as_str().unwrap()).await?);
    let chart = rendered_with(values).await?;
    // One can follow the other: but for the namespace, which Argo CD makes for the chart, they bring the same.
    let kept: BTreeSet<_> = names(&overlay).into_iter().filter(|name| !name.starts_with("Namespace/")).collect();
    let names = names(&chart).into_iter().map(|name| name.replace("/release-port-aws-operator", "/port-aws-operator"));
    assert_eq!(kept, names.collect());
    for object in chart.into_iter().chain(overlay) {
        let annotations = &object["metadata"]["annotations"];
        let wave = annotations["argocd.argoproj.io/sync-wave"].as_str().unwrap_or("0");
        let wanted = match object["kind"].as_str() {
            Some("CustomResourceDefinition") => "-1",
            Some("PortAwsAccess") => "1",
            _ => "0",
        };
        assert_eq!(wave, wanted, "{}", object["metadata"]);
        assert!(annotations["helm.sh/hook"].is_null(), "{annotations}");
        let options = annotations["argocd.argoproj.io/sync-options"].as_str().unwrap_or_default();
        assert_eq!(options.contains("Prune=false"), wanted != "0", "{}", object["metadata"]);
    }
    // Argo CD would not see what somebody adds by hand to a list that is a set.
    for application in argo.iter().chain([&other]) {
        let options = &application["spec"]["syncPolicy"]["syncOptions"];
        assert!(!strings(options).contains(&"ServerSideApply=true".to_owned()), "{options}");
    }
    let wave = |name: &str| named(&argo, "Application", name)["metadata"]["annotations"].clone();
    assert_eq!(wave("port-aws-operator")["argocd.argoproj.io/sync-wave"], "0");
    assert_eq!(wave("port-aws-integrations")["argocd.argoproj.io/sync-wave"], "1");
    Ok(())
}

#[tokio::test]
async fn flux_goes_from_the_operator_to_access_to_integrations() -> Result<()> {
    let objects = parse(&kustomize("deploy/flux").await?);
    let step = |name: &str| named(&objects, "Kustomization", name)["spec"].clone();
    let steps = ["port-aws-operator", "port-aws-access", "port-aws-integrations"].map(step);
    assert!(steps[0]["dependsOn"].is_null());
    assert_eq!(steps[1]["dependsOn"], json!([{"name": "port-aws-operator"}]));
    assert_eq!(steps[2]["dependsOn"], json!([{"name": "port-aws-access"}]));
    for step in &steps {
        let source = &step["sourceRef"];
        named(&objects, source["kind"].as_str().unwrap(), source["name"].as_str().unwrap());
    }
    let folder = |step: &Value| step["path"].as_str().unwrap().to_owned();
    let release = names(&parse(&kustomize(&folder(&steps[0])).await?));
    for check in steps[0]["healthChecks"].as_array().expect("healthChecks") {
        let name = format!("{}/{}", check["kind"].as_str().unwrap(), check["name"].as_str().unwrap());
        assert!(release.contains(&name), "{name}: {release:?}");
    }
    assert_eq!(names(&parse(&kustomize(&folder(&steps[1])).await?)), ["PortAwsAccess/default"]);
    // An account that is not reached makes an access unhealthy, and would keep its integration from being mended.
    assert!(steps[1]["healthChecks"].is_null() && steps[1]["wait"].is_null());
    assert_eq!(steps[2]["healthChecks"][0]["kind"], "PortAwsIntegration");
    Ok(())
}
