//! Who held the Lease when, and which process made which call.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use testkit::{
    Result,
    aws::{Call, writes},
    fixture::Scenario,
    operator::TEST_LEASES,
};
use tokio::task::JoinHandle;

use super::ATTEMPT;

/// Far less than anybody holds the Lease.
const PERIOD: Duration = Duration::from_millis(100);

/// What had left a process before it was stopped has arrived by then.
const ARRIVAL: Duration = Duration::from_secs(1);

/// One that was started, and the key of its calls.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: u32,
    pub key: String,
    /// Since when it is stopped for so long that it may never write again.
    pub stopped: Option<Duration>,
}

/// A holder, from the time on that it wrote itself before it took the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tenure {
    holder: String,
    since: Duration,
}

#[derive(Default)]
struct Known {
    tenures: Vec<Tenure>,
    processes: Vec<Process>,
}

/// All that is known of Lease and processes; it follows the Lease until it is dropped.
pub struct Record {
    known: Arc<Mutex<Known>>,
    task: JoinHandle<()>,
}

impl Record {
    pub fn follow(client: Client, lease: &str) -> Self {
        let known = Arc::new(Mutex::new(Known::default()));
        let (api, lease) = (Api::<Lease>::namespaced(client, TEST_LEASES), lease.to_owned());
        let told = Arc::clone(&known);
        let task = tokio::spawn(async move {
            loop {
                // An API server that is down for a moment is part of the test.
                if let Ok(Ok(Some(lease))) = tokio::time::timeout(Duration::from_secs(1), api.get_opt(&lease)).await {
                    lock(&told).take(&lease);
                }
                tokio::time::sleep(PERIOD).await;
            }
        });
        Self { known, task }
    }

    pub fn started(&self, process: Process) {
        lock(&self.known).processes.push(process);
    }

    /// Says that a process is stopped, until it has lost the Lease.
    pub fn stopped(&self, pid: u32, at: SystemTime) {
        let mut known = lock(&self.known);
        let process = known.processes.iter_mut().find(|process| process.pid == pid);
        if let Some(process) = process {
            process.stopped = Some(unix(at));
        }
    }

    pub fn processes(&self) -> Vec<Process> {
        lock(&self.known).processes.clone()
    }

    /// Whose the Lease is.
    pub fn holder(&self) -> Option<String> {
        lock(&self.known).tenures.last().map(|tenure| tenure.holder.clone())
    }

    /// Since when, as Unix time.
    pub fn held_since(&self) -> Duration {
        lock(&self.known).tenures.last().map(|tenure| tenure.since).unwrap_or_default()
    }

    /// Every write was made by whoever held the Lease, or had begun by then.
    pub async fn check(&self, it: &Scenario) -> Result<()> {
        let calls = writes(it.operator_calls_since(0).await?);
        let known = lock(&self.known);
        assert!(known.tenures.len() >= 5, "two are killed, two deposed: {:?}", known.tenures);
        let late: Vec<_> = calls.iter().filter(|call| !known.allows(call)).collect();
        assert!(late.is_empty(), "{late:#?} are of nobody who held the lease: {:#?}", known.tenures);
        Ok(())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Known {
    fn take(&mut self, lease: &Lease) {
        let Some(spec) = &lease.spec else { return };
        let Some(holder) = spec.holder_identity.clone().filter(|holder| !holder.is_empty()) else { return };
        let since = spec.acquire_time.as_ref().map(|time| time.0.as_microsecond()).unwrap_or_default();
        let tenure = Tenure { holder, since: Duration::from_micros(since.unsigned_abs()) };
        if self.tenures.last() != Some(&tenure) {
            self.tenures.push(tenure);
        }
    }

    fn allows(&self, call: &Call) -> bool {
        let at = Duration::from_secs_f64(call.time);
        let process = self.processes.iter().find(|process| Some(&process.key) == call.access_key_id.as_ref());
        let Some(process) = process else { return false };
        if process.stopped.is_some_and(|stopped| at > stopped + ARRIVAL) {
            return false;
        }
        let own = self.tenures.iter().enumerate().filter(|(_, tenure)| is_of(&tenure.holder, process.pid));
        let mut terms = own.map(|(index, tenure)| (tenure.since, self.tenures.get(index + 1).map(|next| next.since)));
        terms.any(|(from, to)| from <= at && to.is_none_or(|to| at <= to + ATTEMPT))
    }
}

/// Whether an identity is that of a process. The rest of it is random.
pub fn is_of(identity: &str, pid: u32) -> bool {
    identity.starts_with(&format!("port-aws-operator-{pid}_"))
}

pub fn unix(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(key: &str, time: u64) -> Call {
        serde_json::from_value(json!({
            "seq": 1, "time": time, "endTime": null, "account": "111122223333", "accessKeyId": key, "service": "iam",
            "action": "TagRole", "params": {}, "status": 200, "userAgent": "port-aws-operator", "errorCode": null,
            "applied": true, "fault": null,
        }))
        .expect("a call")
    }

    #[test]
    fn a_write_is_allowed_to_the_holder_and_for_one_attempt_to_the_one_before() {
        let tenure = |pid: u32, since| Tenure {
            holder: format!("port-aws-operator-{pid}_abc"),
            since: Duration::from_secs(since),
        };
        let process = |pid, key: &str| Process { pid, key: key.to_owned(), stopped: None };
        let known = Known {
            tenures: vec![tenure(1, 100), tenure(22, 200)],
            processes: vec![process(1, "one"), process(2, "two"), process(22, "other")],
        };
        let allowed = |key, time| known.allows(&call(key, time));
        assert!(allowed("one", 100) && allowed("one", 205) && allowed("other", 200) && allowed("other", 9000));
        assert!(!allowed("one", 99) && !allowed("one", 206) && !allowed("other", 199));
        assert!(!allowed("two", 250) && !allowed("unknown", 150));

        let stopped = Process { stopped: Some(Duration::from_secs(190)), ..process(1, "one") };
        let known = Known { processes: vec![stopped], ..known };
        assert!(known.allows(&call("one", 191)) && !known.allows(&call("one", 192)));
    }
}
