//! Who waits for whom: not for accounts that do not answer, not for a large resource, and not for what a
//! restart would look at without need.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{Fault, FaultId},
    fixture::{SOON, Scenario, unused_account},
    wait::eventually,
};

use crate::OPERATOR;

/// The first call to IAM in a pass.
const FIRST_READ: &str = "GetOpenIDConnectProvider";

/// A scenario whose operator assumes a role in each account, and does not wait long for it.
async fn scenario(name: &str, args: &[&str]) -> Result<Scenario> {
    let edit = |spec: &mut Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": "PortAwsOperator"});
    };
    let args = args.iter().copied().chain(["--max-assume-role-rate", "1000"]);
    Scenario::builder(name, OPERATOR).access(edit).args(args).start().await
}

fn accounts(count: usize) -> Vec<String> {
    (0..count).map(|_| unused_account()).collect()
}

/// Holds the first read of each of these accounts.
async fn hold(it: &Scenario, accounts: &[String]) -> Result<Vec<FaultId>> {
    let mut rules = Vec::new();
    for account in accounts {
        let rule = Fault::hold_before().account(account).action(FIRST_READ);
        rules.push(it.world().backend().fault(rule).await?);
    }
    Ok(rules)
}

/// How many of these rules hold a call now.
async fn holding(it: &Scenario, rules: &[FaultId]) -> Result<usize> {
    let mut count = 0;
    for rule in rules {
        count += usize::from(!it.world().backend().parked(rule, std::time::Duration::ZERO).await?.is_empty());
    }
    Ok(count)
}

async fn until_holding(it: &Scenario, rules: &[FaultId], wanted: usize) -> Result<()> {
    eventually(&format!("{wanted} calls to be held"), SOON, async || {
        Ok((holding(it, rules).await? == wanted).then_some(()))
    })
    .await
}

/// When the operator first called IAM in each account after `seq`, by the order of calls.
async fn first_calls(it: &Scenario, accounts: &[String], seq: u64) -> Result<BTreeMap<u64, String>> {
    let mut first = BTreeMap::new();
    for account in accounts {
        let calls = it.world().backend().calls(account, seq).await?;
        if let Some(call) = calls.iter().find(|call| call.is_by_operator()) {
            first.insert(call.seq, account.clone());
        }
    }
    Ok(first)
}

#[tokio::test]
async fn accounts_that_do_not_answer_delay_no_other() -> Result<()> {
    let it = scenario("black-holes", &[]).await?;
    let black_holes = accounts(12);
    let rules = hold(&it, &black_holes).await?;
    it.integration("black-holes", |spec| spec["accounts"] = json!(black_holes)).await?;
    until_holding(&it, &rules, black_holes.len()).await?;

    for name in ["first", "second", "third"] {
        it.integration(name, |spec| spec["accounts"] = json!(accounts(2))).await?;
    }
    for name in ["first", "second", "third"] {
        it.ready(name).await?;
    }
    assert_eq!(holding(&it, &rules).await?, black_holes.len(), "they are ready while every black hole still is one");
    let state = it.watch()?.current("black-holes");
    assert_eq!(state["status"]["accountCounts"]["ready"], 0, "{}", state["status"]);

    for account in &black_holes {
        it.world().backend().clear_faults(account).await?;
    }
    it.ready("black-holes").await?;
    it.finish().await
}

#[tokio::test]
async fn a_new_resource_does_not_wait_for_all_of_a_large_one() -> Result<()> {
    let it = scenario("large", &["--max-passes", "4"]).await?;
    let seq = it.seq().await?;
    let large = accounts(30);
    let rules = hold(&it, &large).await?;
    it.integration("large", |spec| spec["accounts"] = json!(large)).await?;
    until_holding(&it, &rules, 4).await?;

    let new = unused_account();
    it.integration("new", |spec| spec["accounts"] = json!([new])).await?;
    // Its status is written after its account was asked for.
    it.until("new", "it is being provisioned", |it| it["status"]["observedGeneration"] == 1).await?;
    assert_eq!(first_calls(&it, std::slice::from_ref(&new), seq).await?, BTreeMap::new(), "every slot is taken");
    for account in &large {
        it.world().backend().clear_faults(account).await?;
    }
    it.ready("new").await?;
    it.ready("large").await?;

    let order = first_calls(&it, &[&large[..], std::slice::from_ref(&new)].concat(), seq).await?;
    assert_eq!(order.len(), 31);
    let before = order.values().take_while(|account| **account != new).count();
    assert!((4..10).contains(&before), "{before} accounts of the large resource came before the new one");
    it.finish().await
}

#[tokio::test]
async fn a_restart_looks_at_what_fails_and_not_at_all_that_is_ready() -> Result<()> {
    let mut it = scenario("restart", &[]).await?;
    let (ready, failing) = (accounts(20), unused_account());
    let denied = Fault::access_denied().account(&failing).action("CreateRole");
    it.world().backend().fault(denied).await?;
    let all: Vec<&String> = ready.iter().chain([&failing]).collect();
    it.integration("aws-prod", |spec| {
        spec["accounts"] = json!(all);
        // Checks of what is ready are spread over it.
        spec["interval"] = "24h".into();
    })
    .await?;
    it.until("aws-prod", "all but one are ready", |it| {
        it["status"]["accountCounts"]["ready"] == 20 && it["status"]["accountCounts"]["failed"] == 1
    })
    .await?;

    it.stop_operator().await?;
    let seq = it.seq().await?;
    it.start_operator().await?;
    let visited = eventually("the failing account to be visited", SOON, async || {
        let first = first_calls(&it, std::slice::from_ref(&failing), seq).await?;
        Ok(first.into_keys().next())
    })
    .await?;
    let earlier = first_calls(&it, &ready, seq).await?.into_iter().filter(|(at, _)| *at < visited);
    let earlier: BTreeSet<String> = earlier.map(|(_, account)| account).collect();
    assert!(earlier.len() < 5, "{earlier:?} were looked at before the one that fails");
    // What had to be looked at first is told as before, and the rest is still not looked at.
    it.until("aws-prod", "it says the same", |it| it["status"]["accountCounts"]["failed"] == 1).await?;
    let looked_at = first_calls(&it, &ready, seq).await?;
    assert!(looked_at.len() < 5, "{looked_at:?}");
    it.finish().await
}
