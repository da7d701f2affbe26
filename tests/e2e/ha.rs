//! Two replicas: one acts, the other stands by, and takes over.

mod disruptions;
mod outage;

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::{Call, Credentials, Fault},
    fixture::{SOON, Scenario, operator_rights},
    operator::{LeaseName, Operator, TEST_LEASES},
    process::Signal,
    wait::eventually,
};

use crate::{OPERATOR, shared::ROLE};

/// The default duration of the Lease, and what a takeover may take besides.
const TAKEOVER: Duration = Duration::from_secs(60 + 20);

/// Arguments for the shortest Lease, of 10 s.
const SHORT_LEASE: [&str; 2] = ["--lease-duration", "10"];

/// Two processes of one release.
struct Replicas {
    it: Scenario,
    second: Operator,
    keys: [String; 2],
}

impl Replicas {
    async fn start(name: &str) -> Result<Self> {
        let mut it = Scenario::builder(name, OPERATOR).without_operator().start().await?;
        it.operator_options().lease = LeaseName::Shared(it.namespace().to_owned());
        it.start_operator().await?;
        let first: Credentials = it.operator_options().credentials.clone().expect("credentials");
        let mut options = it.operator_options().clone();
        let rights = operator_rights(OPERATOR).await?;
        let credentials = it.world().backend().credentials_with(it.account(), "Operator", &rights).await?;
        let keys = [first.access_key_id, credentials.access_key_id.clone()];
        options.credentials = Some(credentials);
        options.log = options.log.with_extension("second.log");
        let second = Operator::spawn(&options)?;
        says(&second, "standing by").await?;
        Ok(Self { it, second, keys })
    }

    /// The calls to AWS that one of them made.
    async fn calls_of(&self, which: usize, seq: u64) -> Result<Vec<Call>> {
        let calls = self.it.operator_calls_since(seq).await?;
        let own = |call: &Call| call.access_key_id.as_deref() == Some(self.keys[which].as_str());
        Ok(calls.into_iter().filter(own).filter(|call| call.action != "GetCallerIdentity").collect())
    }

    async fn finish(self) -> Result<()> {
        drop(self.second);
        self.it.finish().await
    }
}

async fn says(operator: &Operator, words: &str) -> Result<()> {
    eventually(&format!("the log to say {words:?}"), TAKEOVER, async || {
        Ok(operator.log()?.contains(words).then_some(()))
    })
    .await
}

/// The Lease as the API server has it.
async fn lease(it: &Scenario) -> Result<Value> {
    let args = ["get", "lease", it.namespace(), "-n", TEST_LEASES, "-o", "json"];
    let output = it.world().plane().kubectl(&args).await?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test]
async fn the_shipped_rights_are_enough_for_the_lease_of_the_default_name() -> Result<()> {
    let mut it = Scenario::builder("shipped", OPERATOR).without_operator().start().await?;
    it.operator_options().lease = LeaseName::Shipped;
    // The second one takes over what the first has made, so that each right is used.
    for name in ["aws-one", "aws-two"] {
        it.start_operator().await?;
        it.integration(name, |_| ()).await?;
        it.ready(name).await?;
        it.stop_operator().await?;
        let log = it.log_tail(1000);
        assert!(log.contains("the lease is released") && !log.contains("cannot be read or written"), "{log}");
    }
    let args = ["get", "lease", "port-aws-operator", "-n", "port-aws-operator", "-o", "json"];
    let lease: Value = serde_json::from_slice(&it.world().plane().kubectl(&args).await?.stdout)?;
    assert_eq!(lease["spec"]["leaseTransitions"], json!(1), "{lease}");
    it.finish().await
}

#[tokio::test]
async fn one_acts_and_the_other_takes_over_at_once_when_it_is_asked_to_end() -> Result<()> {
    let mut replicas = Replicas::start("handover").await?;
    let seq = replicas.it.seq().await?;
    replicas.it.integration("aws-prod", |_| ()).await?;
    replicas.it.ready("aws-prod").await?;
    assert_eq!(replicas.calls_of(1, seq).await?, vec![]);
    let answers = [
        replicas.it.operator()?.probe("/readyz").await?,
        replicas.second.probe("/readyz").await?,
        replicas.it.operator()?.probe("/livez").await?,
        replicas.second.probe("/livez").await?,
    ];
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    assert!(answers[0].1.contains("acting") && answers[1].1.contains("standing by"), "{answers:?}");
    assert!(answers[2].1.contains("lease: ok") && answers[2].1.contains("passes: ok"), "{answers:?}");
    assert!(answers[3].1.contains("lease: ok") && !answers[3].1.contains("passes"), "{answers:?}");

    let held = lease(&replicas.it).await?;
    assert_eq!(held["spec"]["leaseDurationSeconds"], json!(60));
    let holder = held["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    assert!(!holder.is_empty());

    replicas.it.stop_operator().await?;
    // Far less than the Lease lasts: it was released.
    let taken = eventually("the other to hold the lease", SOON, async || {
        let lease = lease(&replicas.it).await?;
        let other = lease["spec"]["holderIdentity"].as_str().is_some_and(|other| other != holder && !other.is_empty());
        if other { Ok(Some(lease)) } else { Err(Error::not_yet(lease["spec"].to_string())) }
    })
    .await?;
    assert_eq!(taken["spec"]["leaseTransitions"], json!(held["spec"]["leaseTransitions"].as_i64().unwrap_or(0) + 1));
    let seq = replicas.it.seq().await?;
    replicas.it.request_check("aws-prod").await?;
    assert!(!replicas.calls_of(1, seq).await?.is_empty());
    assert_eq!(replicas.it.operator_writes_since(seq).await?, vec![]);
    replicas.finish().await
}

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced_within_the_time_of_its_lease() -> Result<()> {
    let mut replicas = Replicas::start("killed").await?;
    replicas.it.integration("aws-prod", |_| ()).await?;
    replicas.it.ready("aws-prod").await?;
    let before = replicas.it.state().await?;
    replicas.it.kill_operator().await?;
    says(&replicas.second, "watching").await?;
    replicas.it.patch_spec("aws-prod", json!({"role": {"description": "by the second"}})).await?;
    replicas.it.ready("aws-prod").await?;
    let after = replicas.it.state().await?;
    let (old, new) = (before.role(ROLE).expect("the role"), after.role(ROLE).expect("the role"));
    assert_eq!((&new.id, new.description.as_str()), (&old.id, "by the second"));
    replicas.finish().await
}

#[tokio::test]
async fn a_leader_that_was_paused_for_too_long_starts_no_write_and_ends() -> Result<()> {
    let mut replicas = Replicas::start("paused").await?;
    // It is amid a pass when it stops: what it has read asks for a write.
    let held = replicas
        .it
        .world()
        .backend()
        .fault(Fault::hold_before().account(replicas.it.account()).action("GetRole"))
        .await?;
    replicas.it.integration("aws-prod", |_| ()).await?;
    let parked = replicas.it.world().backend().next_parked(&held, SOON).await?;
    replicas.it.operator()?.signal(Signal::STOP)?;
    replicas.it.world().backend().release(&parked.id, true, true).await?;
    replicas.it.world().backend().delete_fault(&held).await?;
    says(&replicas.second, "watching").await?;
    replicas.it.ready("aws-prod").await?;

    let seq = replicas.it.seq().await?;
    replicas.it.operator()?.signal(Signal::CONT)?;
    let code = replicas.it.operator()?.wait(SOON).await;
    assert_eq!(code, Some(1), "it says by its end that it has lost the lease");
    assert!(replicas.it.operator()?.log()?.contains("the lease is lost"));
    let late = testkit::aws::writes(replicas.calls_of(0, seq).await?);
    assert_eq!(late, vec![]);
    assert_eq!(replicas.it.state().await?.roles.len(), 1);
    replicas.it.kill_operator().await?;
    replicas.finish().await
}
