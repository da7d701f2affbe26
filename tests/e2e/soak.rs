//! Many resources in many accounts, while AWS and the API server fail again and again, of their own accord and
//! in every way that is known here.

mod chaos;
mod ledger;
mod memory;
mod subject;

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use serde_json::{Value, json};
use testkit::{
    Error, Result,
    fixture::{Scenario, World, unused_account},
};

use crate::OPERATOR;
use ledger::Ledger;
use memory::Memory;
use subject::Subject;

/// Resources that share an account, and its OIDC provider.
const TOGETHER: usize = 2;
/// Resources that something is done to at once.
const AT_ONCE: usize = 100;
/// Of each account; nobody but its owner may write to them.
const FOREIGN: &str = "PortIntegrationRole-foreign";
const FOREIGN_PROVIDER: &str = "https://idp.example.com/foreign";

/// Set to a number, it has the test draw the same again.
const SEED: &str = "TESTKIT_SEED";

struct Size {
    resources: usize,
    faults: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_faults_leave_no_trace() -> Result<()> {
    soak(&Size { resources: 60, faults: 500 }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes: make soak"]
async fn any_number_of_faults_leaves_no_trace() -> Result<()> {
    let size =
        Size { resources: number("SOAK_RESOURCES")?.unwrap_or(200), faults: number("SOAK_FAULTS")?.unwrap_or(10_000) };
    soak(&size).await
}

fn number<T: std::str::FromStr>(variable: &str) -> Result<Option<T>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Error::Setup(format!("{variable}={text} is no number")))
}

async fn soak(size: &Size) -> Result<()> {
    let seed: u64 = number(SEED)?.unwrap_or_else(|| fastrand::u64(..));
    // Shown if it fails.
    say(&format!("{SEED}={seed}: {} resources, {} faults", size.resources, size.faults));
    let began = Instant::now();
    let it = scenario().await?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let accounts: Vec<String> = (0..size.resources.div_ceil(TOGETHER)).map(|_| unused_account()).collect();
    for account in &accounts {
        make_foreign(&it, account).await?;
    }
    let mut subjects = Vec::new();
    for n in 0..size.resources {
        subjects.push(Subject::new(&it, format!("aws-{n:04}"), &accounts[n / TOGETHER]).await?);
    }
    let ledger = Ledger::open(&it, subjects.iter().map(Subject::role_in), size.faults).await?;
    let memory = Memory::of(it.operator()?.pid());
    let work = async {
        let outcome = tokio::try_join!(
            everybody(&it, &mut subjects, &ledger, &mut rng),
            chaos::in_the_cluster(&it, &ledger, seed)
        );
        ledger.close();
        outcome
    };
    tokio::try_join!(work, ledger.follow(), memory.follow(&ledger))?;
    say(&format!("{} faults after {:.0?}: {}", ledger.faults(), began.elapsed(), ledger.summary()));
    say(&memory.summary());
    nothing_is_left_to_do(&it, &mut subjects).await?;
    for account in &accounts {
        only_what_is_wanted(&it, account, &subjects).await?;
    }
    ledger.check();
    memory.check();
    it.finish().await?;
    say(&format!("it took {:.0?}", began.elapsed()));
    Ok(())
}

async fn scenario() -> Result<Scenario> {
    // Of its own, as its API server fails, too.
    let world: &'static World = Box::leak(Box::new(World::start(false).await?));
    let access = |spec: &mut Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": subject::OPERATOR_ROLE});
    };
    let args = ["--max-assume-role-rate", "1000", "--max-deletions", "0"];
    let mut it =
        Scenario::builder("soak", OPERATOR).world(world).access(access).args(args).without_operator().start().await?;
    it.operator_options().env.push(("RUST_LOG".to_owned(), "info".to_owned()));
    it.start_operator().await?;
    it.watch()?.keep_last();
    it.watch()?.writes_may_take(chaos::OUTAGE + Duration::from_secs(2));
    Ok(it)
}

/// What is not ours, and looks as if it were.
async fn make_foreign(it: &Scenario, account: &str) -> Result<()> {
    let iam = it.world().backend().iam(account).await?;
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ]});
    let role = iam.create_role().role_name(FOREIGN).assume_role_policy_document(trust.to_string());
    crate::iam::ok(role.send().await)?;
    let provider = iam.create_open_id_connect_provider().url(FOREIGN_PROVIDER).client_id_list("sts.amazonaws.com");
    crate::iam::ok(provider.send().await)
}

/// Works on all of them, a share of them at once, until there were faults enough and each was made.
async fn everybody(
    it: &Scenario,
    subjects: &mut [Subject],
    ledger: &Ledger<'_>,
    rng: &mut fastrand::Rng,
) -> Result<()> {
    let share = subjects.len().div_ceil(AT_ONCE).max(1);
    let workers = subjects.chunks_mut(share).map(|subjects| {
        let mut rng = rng.fork();
        async move {
            for turn in 0.. {
                for subject in &mut *subjects {
                    if turn > 0 && ledger.is_enough() {
                        return Ok::<_, Error>(());
                    }
                    subject.round(it, &mut rng).await?;
                }
            }
            Ok(())
        }
    });
    try_join_all(workers).await.map(drop)
}

/// A check of everything finds nothing to write.
async fn nothing_is_left_to_do(it: &Scenario, subjects: &mut [Subject]) -> Result<()> {
    let seq = it.seq().await?;
    let checks: Vec<_> =
        subjects.iter().filter(|it| it.is_there()).map(|subject| it.request_check(subject.name())).collect();
    stream::iter(checks).buffer_unordered(16).try_collect::<Vec<_>>().await?;
    let late = testkit::aws::writes(testkit::aws::by_operator(it.world().backend().all_calls(seq).await?));
    assert_eq!(late, vec![]);
    Ok(())
}

async fn only_what_is_wanted(it: &Scenario, account: &str, subjects: &[Subject]) -> Result<()> {
    let state = it.world().backend().state(account).await?;
    let own = subjects.iter().filter(|it| it.is_there() && it.account() == account).map(Subject::role);
    let wanted: std::collections::BTreeSet<String> = own.chain([FOREIGN.to_owned()]).collect();
    let found: std::collections::BTreeSet<String> = state.roles.iter().map(|role| role.name.clone()).collect();
    assert_eq!(found, wanted, "in {account}");
    let foreign = state.role(FOREIGN).ok_or_else(|| Error::not_yet("the foreign role is gone"))?;
    assert!(foreign.tags.is_empty() && foreign.attached_policies.is_empty(), "{foreign:#?}");
    assert_eq!(state.oidc_providers.len(), 2, "{:#?}", state.oidc_providers);
    Ok(())
}

#[allow(clippy::print_stderr)]
fn say(text: &str) {
    eprintln!("{text}");
}
