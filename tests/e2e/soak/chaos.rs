//! What goes wrong, drawn at random.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use testkit::{Result, aws::Fault, fixture::Scenario, process::Signal, wait::eventually};

use super::{
    ledger::Ledger,
    subject::{Change, PATIENCE},
};

/// Faults of AWS for each one of the API server.
const PER_OUTAGE: usize = 125;
/// More than an attempt of the operator at a call.
const NEVER: Duration = Duration::from_secs(12);
/// How long the API server is silent, or refuses everything, at most.
pub const OUTAGE: Duration = Duration::from_millis(2500);
const PERIOD: Duration = Duration::from_millis(100);

const READS: [&str; 4] = ["GetOpenIDConnectProvider", "GetRole", "ListAttachedRolePolicies", "ListRolePolicies"];

/// A rule about some call that the change of a role leads to, and whether the operator waits for somebody then.
pub fn draw(rng: &mut fastrand::Rng, change: &Change, role: &str) -> (Fault, bool) {
    let writes = change.writes();
    let action = if rng.bool() && !writes.is_empty() {
        writes[rng.usize(0..writes.len())]
    } else {
        READS[rng.usize(0..READS.len())]
    };
    // Misled by that, a deletion takes the role for gone.
    let misleads = !matches!(change, Change::Delete) && READS.contains(&action);
    let some = |rng: &mut fastrand::Rng| Duration::from_millis(rng.u64(50..1500));
    let (fault, waits) = match rng.u32(0..26) {
        0..=3 => (Fault::throttle(), false),
        4..=5 => (Fault::error500(), false),
        6..=7 => (Fault::error503(), false),
        8..=10 => (Fault::cut_before(), false),
        11..=13 => (Fault::cut_after(), false),
        14..=15 => (Fault::latency(some(rng)), false),
        16 => (Fault::hold_before().lasting(some(rng)), false),
        17 => (Fault::hold_after().lasting(some(rng)), false),
        18..=19 => (Fault::access_denied(), true),
        20 => (Fault::expired_token(), false),
        21 => (Fault::hang().lasting(NEVER), false),
        22..=23 if misleads => (Fault::no_such_entity(), false),
        _ => (Fault::error(409, "ConcurrentModification", "Try again"), false),
    };
    // A call that hangs takes long enough once.
    let count = if format!("{fault:?}").contains("\"hang\"") { 1 } else { rng.u32(1..4) };
    let fault = fault.action(action).count(count);
    if action.contains("Role") { (fault.param("RoleName", role), waits) } else { (fault, waits) }
}

#[derive(Debug, Clone, Copy)]
enum Outage {
    Restart,
    /// It takes connections and does not answer.
    Silence,
    /// It refuses what the operator asks for.
    Refusal,
}

/// Has the API server fail now and then, until there were faults enough.
pub async fn in_the_cluster(it: &Scenario, ledger: &Ledger<'_>, seed: u64) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    for turn in 1.. {
        while ledger.faults() < (turn * PER_OUTAGE).min(ledger.wanted()) {
            tokio::time::sleep(PERIOD).await;
        }
        if ledger.is_enough() {
            break;
        }
        let outage = [Outage::Restart, Outage::Silence, Outage::Refusal][turn % 3];
        happen(it, outage, OUTAGE.mul_f64(0.2 + 0.8 * rng.f64())).await?;
        ledger.add(&format!("{outage:?}").to_lowercase());
    }
    Ok(())
}

async fn happen(it: &Scenario, outage: Outage, time: Duration) -> Result<()> {
    let plane = it.world().plane();
    match outage {
        Outage::Restart => plane.restart_api_server().await,
        Outage::Silence => {
            plane.signal_api_server(Signal::STOP)?;
            tokio::time::sleep(time).await;
            plane.signal_api_server(Signal::CONT)
        }
        Outage::Refusal => {
            let bindings = Api::<ClusterRoleBinding>::all(plane.admin_client()?);
            let subjects = bindings.get("port-aws-operator").await?.subjects;
            set_subjects(&bindings, &json!(null)).await?;
            tokio::time::sleep(time).await;
            set_subjects(&bindings, &json!(subjects)).await
        }
    }
}

async fn set_subjects(bindings: &Api<ClusterRoleBinding>, subjects: &serde_json::Value) -> Result<()> {
    eventually("the operator's rights to be changed", PATIENCE, async || {
        let (params, patch) = (PatchParams::default(), Patch::Merge(json!({"subjects": subjects})));
        bindings.patch("port-aws-operator", &params, &patch).await?;
        Ok(Some(()))
    })
    .await
}
