//! Measures one resource with many accounts: time to Ready, AWS calls, bytes stored, memory.
//!
//! `scale OPERATOR [ACCOUNTS]`: the operator's binary, and the number of accounts (2,000).

// It is there to print what it measured.
#![allow(clippy::print_stdout)]

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{Error, Result, fixture::Scenario, wait::eventually};

/// Longest time that the measurement may take.
const DEADLINE: Duration = Duration::from_secs(900);

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = || Error::Setup("usage: scale OPERATOR [ACCOUNTS]".to_owned());
    let operator = args.next().ok_or_else(usage)?;
    let count: u64 = args.next().map_or(Ok(2000), |text| text.parse()).map_err(|_| usage())?;
    let edit = |spec: &mut serde_json::Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": "PortAwsOperator"});
    };
    let it = Scenario::builder("scale", &operator).access(edit).start().await?;
    let accounts: Vec<String> = (0..count).map(|n| format!("{:012}", 100_000_000_000 + n)).collect();
    println!("{count} accounts, of which none has anything yet");

    let began = Instant::now();
    it.integration("scale", |spec| spec["accounts"] = json!(accounts)).await?;
    let object = eventually("all accounts to be ready", DEADLINE, async || {
        let object = it.integrations().get("scale").await?;
        let ready = object.data["status"]["conditions"][0]["status"] == "True";
        let counts = object.data["status"]["accountCounts"].to_string();
        if ready { Ok(Some(object)) } else { Err(Error::not_yet(counts)) }
    })
    .await?;
    println!("time to Ready           {:>9.1} s", began.elapsed().as_secs_f64());

    let stored = serde_json::to_vec(&object)?.len();
    println!("object as stored        {:>9.1} KiB, managedFields included", kib(stored));
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for account in accounts.iter().chain([&it.account().to_owned()]) {
        for call in it.world().backend().calls(account, 0).await?.into_iter().filter(testkit::aws::Call::is_by_operator)
        {
            *calls.entry(call.action).or_default() += 1;
        }
    }
    for (action, number) in &calls {
        println!("{action:<36}{number:>7} calls");
    }
    let memory = fs::read_to_string(format!("/proc/{}/status", it.operator()?.pid())).unwrap_or_default();
    for line in memory.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
        println!("operator {line}");
    }
    println!("versions of the object  {:>9}", it.watch()?.history("scale").len());
    it.finish().await
}

#[allow(clippy::cast_precision_loss)]
fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}
