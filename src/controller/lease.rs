//! The Lease by which one of several processes acts and the others stand by. The election itself is decided
//! in `schedule`; here are its calls, and what the rest of the controller knows of it.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::cluster_call::{CallError, MANAGER, bounded};
use crate::{
    clock::Clock,
    schedule::{Election, LeaseRecord, LeaseStep, LeaseTimes},
    telemetry::health::{Health, Readiness},
};

/// How long after a call that failed the next one follows, at most.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// What goes by a Lease goes by one of this duration where there is none.
const USUAL: Duration = Duration::from_secs(60);

/// What the probe calls the loop of the election.
const PART: &str = "lease";

/// The Lease to hold.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it says of its holder; no other process's.
    pub identity: String,
    /// How long things take.
    pub times: LeaseTimes,
}

/// What is known of the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Somebody else has it, or nobody has looked yet.
    Waiting,
    /// It is ours until then.
    Holding(Duration),
    /// It was ours, and is another's.
    Lost(String),
    /// There is none to hold: this process acts alone.
    Alone,
}

/// Whether this process may act.
#[derive(Debug, Clone)]
pub(super) struct Leadership {
    standing: watch::Receiver<Standing>,
    times: LeaseTimes,
    clock: Clock,
}

impl Leadership {
    /// Whether a write to AWS may start: it will have ended, come what may, before another process acts.
    pub(super) fn may_write(&self) -> bool {
        self.lasts_for(self.times.aws_write())
    }

    /// The same of a write to the cluster.
    pub(super) fn may_tell(&self) -> bool {
        self.lasts_for(self.times.cluster_call() + self.times.spare())
    }

    /// Makes a write to the cluster, if it may start.
    pub(super) async fn tell<T>(&self, write: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        if self.may_tell() { bounded(self.times.cluster_call(), write).await } else { Err(CallError::NotLeading) }
    }

    fn lasts_for(&self, time: Duration) -> bool {
        match *self.standing.borrow() {
            Standing::Alone => true,
            Standing::Holding(until) => until > self.clock.now() + time,
            Standing::Waiting | Standing::Lost(_) => false,
        }
    }

    /// Waits until this process may act.
    pub(super) async fn acquired(&mut self) {
        let acts = |standing: &Standing| matches!(standing, Standing::Holding(_) | Standing::Alone);
        // It fails only if the campaign has ended, and then somebody waits for its end as well.
        if self.standing.wait_for(acts).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the Lease is another's.
    pub(super) async fn lost(&mut self) {
        let lost = |standing: &Standing| matches!(standing, Standing::Lost(_));
        if self.standing.wait_for(lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whose the Lease is by now, if it is no longer ours.
    pub(super) fn lost_to(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Lost(holder) => Some(holder.clone()),
            _ => None,
        }
    }

    /// Waits for news of the Lease.
    pub(super) async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The part of a process in the election, from its first look at the Lease to its release.
pub(super) struct Campaign {
    end: oneshot::Sender<Option<Duration>>,
    task: JoinHandle<()>,
}

impl Campaign {
    /// Begins; without options there is nothing to hold.
    pub(super) fn begin(
        client: &Client,
        options: Option<LeaseOptions>,
        clock: Clock,
        health: &Health,
    ) -> (Option<Self>, Leadership) {
        let times = options.as_ref().map_or_else(|| LeaseTimes::of(USUAL), |options| options.times);
        let Some(options) = options else {
            let (_, standing) = watch::channel(Standing::Alone);
            return (None, Leadership { standing, times, clock });
        };
        let (told, standing) = watch::channel(Standing::Waiting);
        let (end, ended) = oneshot::channel();
        let candidate = Candidate {
            api: Api::namespaced(client.clone(), &options.namespace),
            election: Election::new(options.identity.clone(), options.times),
            lease: None,
            stands_by_for: None,
            options,
            clock,
            health: health.clone(),
            told,
        };
        let task = tokio::spawn(candidate.run(ended));
        (Some(Self { end, task }), Leadership { standing, times, clock })
    }

    /// Waits for an abnormal end of the campaign: nothing may be done by a Lease that nobody renews.
    pub(super) async fn broken(this: &mut Option<Self>) -> String {
        match this {
            Some(campaign) => match (&mut campaign.task).await {
                Ok(()) => "the election ended before its time".to_owned(),
                Err(error) => format!("the election ended abnormally: {error}"),
            },
            None => std::future::pending().await,
        }
    }

    /// Lets the Lease go, so that another takes it at once. If a write to AWS has no answer that began at
    /// `unanswered`, and may take effect still, the Lease is left to run out instead: it lasts for that.
    ///
    /// # Errors
    /// If the campaign has ended abnormally before.
    pub(super) async fn end(self, unanswered: Option<Duration>) -> Result<(), String> {
        let _ = self.end.send(unanswered);
        self.task.await.map_err(|error| format!("the election ended abnormally: {error}"))
    }
}

struct Candidate {
    api: Api<Lease>,
    election: Election,
    /// The object as it was last seen.
    lease: Option<Lease>,
    /// The holder of whom the log has told.
    stands_by_for: Option<String>,
    options: LeaseOptions,
    clock: Clock,
    health: Health,
    told: watch::Sender<Standing>,
}

impl Candidate {
    async fn run(mut self, mut ended: oneshot::Receiver<Option<Duration>>) {
        let mut wait = Duration::ZERO;
        let unanswered = loop {
            self.health.beat(PART, patience(wait, self.options.times.cluster_call()));
            tokio::select! {
                biased;
                unanswered = &mut ended => break unanswered.ok().flatten(),
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.round().await {
                Ok(wait) => wait,
                Err(error) if error.is_conflict() => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(lease = %self.options.name, %error, "the lease cannot be read or written");
                    AFTER_FAILURE.min(self.options.times.retry)
                }
            };
            if matches!(*self.told.borrow(), Standing::Lost(_)) {
                // It is not taken again: the process ends, and may have passes that drain until then.
                self.health.end(PART);
                let _ = ended.await;
                return;
            }
        };
        self.health.end(PART);
        self.release(unanswered).await;
    }

    /// Bounds a call in time. Not by the Lease, which is what the call is about.
    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        bounded(self.options.times.cluster_call(), call).await
    }

    /// Looks at the Lease, and takes or renews it if it is time to. Gives the wait until the next round.
    async fn round(&mut self) -> Result<Duration, CallError> {
        let holding = matches!(*self.told.borrow(), Standing::Holding(_));
        if !(holding && self.election.step(self.clock.now()) == LeaseStep::Take) {
            self.look().await?;
        }
        match self.election.step(self.clock.now()) {
            LeaseStep::Wait(wait) => Ok(wait),
            LeaseStep::Take => {
                if let Err(error) = self.take().await {
                    // Why it is refused shows in the Lease itself.
                    self.look().await?;
                    return Err(error);
                }
                Ok(self.options.times.renew)
            }
        }
    }

    async fn look(&mut self) -> Result<(), CallError> {
        self.lease = self.call(self.api.get_opt(&self.options.name)).await?;
        let lost = self.election.observe(self.lease.as_ref().map(record), self.clock.now());
        if let Some(holder) = lost {
            tracing::error!(lease = %self.options.name, %holder, "the lease is lost");
            self.told.send_replace(Standing::Lost(holder));
        }
        let holder = self.lease.as_ref().and_then(|lease| record(lease).holder);
        if *self.told.borrow() == Standing::Waiting && holder.is_some() && holder != self.stands_by_for {
            tracing::info!(lease = %self.options.name, holder, "standing by, as another process holds the lease");
            self.health.set(Readiness::StandingBy);
            self.stands_by_for = holder;
        }
        Ok(())
    }

    async fn take(&mut self) -> Result<(), CallError> {
        let began = self.clock.now();
        let wanted = self.wanted(Some(&self.options.identity));
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let stored = if self.election.version().is_none() {
            self.call(self.api.create(&params, &wanted)).await?
        } else {
            self.call(self.api.replace(&self.options.name, &params, &wanted)).await?
        };
        self.election.written(record(&stored), began);
        self.lease = Some(stored);
        if let Some(until) = self.election.valid_until() {
            let former = self.told.send_replace(Standing::Holding(until));
            if former == Standing::Waiting {
                tracing::info!(lease = %self.options.name, identity = %self.options.identity, "this process holds the lease");
            }
        }
        Ok(())
    }

    async fn release(mut self, unanswered: Option<Duration>) {
        if !matches!(*self.told.borrow(), Standing::Holding(_)) {
            return;
        }
        if unanswered.is_some_and(|began| self.clock.now() < began + self.options.times.aws_write()) {
            tracing::warn!(
                lease = %self.options.name,
                "the lease is not released, and runs out, as a write to AWS had no answer and may take effect still"
            );
            return;
        }
        // From here on it may be another's.
        self.told.send_replace(Standing::Waiting);
        let wanted = self.wanted(None);
        match self.call(self.api.replace(&self.options.name, &PostParams::default(), &wanted)).await {
            Ok(_) => tracing::info!(lease = %self.options.name, "the lease is released"),
            Err(error) => tracing::warn!(lease = %self.options.name, %error, "the lease is not released, and runs out"),
        }
        self.lease = None;
    }

    /// The Lease with that holder, against the version that was seen.
    fn wanted(&self, holder: Option<&str>) -> Lease {
        let former = self.lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let now = MicroTime(self.clock.wall());
        Lease {
            metadata: ObjectMeta {
                name: Some(self.options.name.clone()),
                namespace: Some(self.options.namespace.clone()),
                resource_version: self.election.version().map(str::to_owned),
                ..ObjectMeta::default()
            },
            spec: Some(next_spec(former, holder, self.options.times.duration, now)),
        }
    }
}

/// How long the loop may stay away: a round takes three calls at most, each of which may take as long as it is
/// let, and that is slow but not stuck.
fn patience(wait: Duration, call: Duration) -> Duration {
    wait + call * 4
}

/// What a Lease is to say once `holder` has it, or has let it go.
fn next_spec(former: Option<&LeaseSpec>, holder: Option<&str>, duration: Duration, now: MicroTime) -> LeaseSpec {
    let same = former.is_some_and(|former| former.holder_identity.as_deref() == holder);
    let transitions = former.map(|former| former.lease_transitions.unwrap_or_default());
    let changes = i32::from(!same && holder.is_some());
    let seconds = if holder.is_some() { duration.as_secs() } else { 1 };
    LeaseSpec {
        holder_identity: holder.map(str::to_owned),
        lease_duration_seconds: i32::try_from(seconds).ok(),
        acquire_time: former.filter(|_| same).map_or(Some(now.clone()), |former| former.acquire_time.clone()),
        renew_time: Some(now),
        // A new Lease has not passed from anyone, as with client-go.
        lease_transitions: Some(transitions.map_or(0, |transitions| transitions.saturating_add(changes))),
        ..LeaseSpec::default()
    }
}

fn record(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    LeaseRecord {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
