//! The load, and what is looked up while and after it runs.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use futures::{StreamExt, TryStreamExt};
use kube::api::ListParams;
use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::Call,
    fixture::{Scenario, is_ready},
    usage::Usage,
    wait::eventually,
};

use super::figures::Figures;

/// Longest time that all accounts together may take.
const DEADLINE: Duration = Duration::from_secs(1800);
/// How long the operator's memory may take to come to rest.
const REST_DEADLINE: Duration = Duration::from_secs(60);
/// Memory is at rest if it has not changed for this long.
const REST: Duration = Duration::from_secs(3);
/// Objects created at once.
const CREATIONS: usize = 16;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One resource with all accounts.
    Accounts,
    /// A resource for each account.
    Resources,
}

/// One measurement.
#[derive(Debug)]
pub struct Run {
    /// What is measured.
    pub mode: Mode,
    /// With how many accounts.
    pub count: usize,
    /// The operator's binary.
    pub operator: PathBuf,
    /// Its further arguments.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
}

/// Measures.
pub async fn measure(run: &Run) -> Result<Figures> {
    let missing = |error| Error::Setup(format!("{}: {error}", run.operator.display()));
    let binary = std::fs::canonicalize(&run.operator).map_err(missing)?;
    let binary_bytes = std::fs::metadata(&binary).map_err(missing)?.len();
    let mut it = scenario(run, &binary).await?;
    let accounts: Vec<String> = (0..run.count).map(|n| format!("{:012}", 100_000_000_000 + n)).collect();
    let since = SystemTime::now();

    let began = Instant::now();
    create(&it, run.mode, &accounts).await?;
    let objects = all_ready(&it, run).await?;
    let seconds_to_ready = began.elapsed().as_secs_f64();

    let mut figures = Figures {
        accounts: accounts.len(),
        resources: objects.len(),
        seconds_to_ready,
        restart_seconds: 0.0,
        aws_calls: aws_calls(&it, &accounts).await?,
        kubernetes_writes: kubernetes_writes(&it, since)?,
        largest_object_bytes: 0,
        managed_fields_bytes: 0,
        peak_kib: 0,
        resident_kib: 0,
        anonymous_kib: 0,
        restarted_kib: 0,
        threads: 0,
        user_seconds: 0.0,
        system_seconds: 0.0,
        binary_bytes,
    };
    sizes(&objects, &mut figures)?;
    figures.used(at_rest(&it).await?);
    let began = Instant::now();
    it.restart_operator().await?;
    figures.restart_seconds = began.elapsed().as_secs_f64();
    figures.restarted_kib = at_rest(&it).await?.resident_kib;
    it.finish().await?;
    Ok(figures)
}

/// Everything but load. The operator logs as it does by default.
async fn scenario(run: &Run, binary: &std::path::Path) -> Result<Scenario> {
    let access = |spec: &mut Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": "PortAwsOperator"});
    };
    let arguments = run.arguments.iter().map(String::as_str);
    let builder = Scenario::builder("scale", &binary.to_string_lossy()).access(access).args(arguments);
    let mut it = builder.without_operator().start().await?;
    let environment = &mut it.operator_options().env;
    environment.push(("RUST_LOG".to_owned(), "info".to_owned()));
    environment.extend(run.environment.iter().cloned());
    it.start_operator().await?;
    Ok(it)
}

async fn create(it: &Scenario, mode: Mode, accounts: &[String]) -> Result<()> {
    if mode == Mode::Accounts {
        return it.integration("scale", |spec| spec["accounts"] = json!(accounts)).await;
    }
    let one = |(n, account): (usize, &String)| {
        let (name, accounts) = (format!("scale-{n:04}"), json!([account]));
        async move { it.integration(&name, |spec| spec["accounts"] = accounts).await }
    };
    // Collected first, as the borrow of a slice in a stream of futures is more than the compiler can follow.
    let creations: Vec<_> = accounts.iter().enumerate().map(one).collect();
    futures::stream::iter(creations).buffer_unordered(CREATIONS).try_collect().await
}

async fn all_ready(it: &Scenario, run: &Run) -> Result<Vec<Value>> {
    let names: Vec<String> = match run.mode {
        Mode::Accounts => vec!["scale".to_owned()],
        Mode::Resources => (0..run.count).map(|n| format!("scale-{n:04}")).collect(),
    };
    let watch = it.watch()?;
    let waited = eventually("everything to be ready", DEADLINE, async || {
        if !it.operator()?.is_running() {
            return Ok(false.into());
        }
        match names.iter().find(|name| !is_ready(&watch.current(name))) {
            Some(name) => Err(Error::not_yet(format!("{name} is not ready"))),
            None => Ok(Some(true)),
        }
    });
    if !waited.await? {
        it.operator()?.check_healthy()?;
    }
    let list = it.integrations().list(&ListParams::default()).await?;
    list.items.iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
}

async fn aws_calls(it: &Scenario, accounts: &[String]) -> Result<BTreeMap<String, usize>> {
    let own = it.account().to_owned();
    let mut calls = BTreeMap::new();
    for account in accounts.iter().chain([&own]) {
        let all = it.world().backend().calls(account, 0).await?;
        for call in all.into_iter().filter(Call::is_by_operator) {
            *calls.entry(call.action).or_default() += 1;
        }
    }
    Ok(calls)
}

fn kubernetes_writes(it: &Scenario, since: SystemTime) -> Result<BTreeMap<String, usize>> {
    let mut writes = BTreeMap::new();
    for write in it.k8s_writes_since(since)? {
        let subresource = write.subresource.map(|name| format!("/{name}")).unwrap_or_default();
        let refused = if write.code < 400 { "" } else { ", refused" };
        *writes.entry(format!("{}{subresource}{refused}", write.resource)).or_default() += 1;
    }
    Ok(writes)
}

fn sizes(objects: &[Value], figures: &mut Figures) -> Result<()> {
    for object in objects {
        let bytes = serde_json::to_vec(object)?.len();
        if bytes > figures.largest_object_bytes {
            figures.largest_object_bytes = bytes;
            figures.managed_fields_bytes = serde_json::to_vec(&object["metadata"]["managedFields"])?.len();
        }
    }
    Ok(())
}

/// What the operator has used, once its memory does not change any more.
async fn at_rest(it: &Scenario) -> Result<Usage> {
    let pid = it.operator()?.pid();
    let mut last = (Usage::of(pid)?, Instant::now());
    eventually("the operator's memory to come to rest", REST_DEADLINE, async || {
        let usage = Usage::of(pid)?;
        if usage.resident_kib != last.0.resident_kib {
            last = (usage, Instant::now());
        }
        Ok((last.1.elapsed() >= REST).then_some(usage))
    })
    .await
}
