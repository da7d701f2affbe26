//! Two operators under kills, pauses and restarts of the API server, all drawn from a seed. What they do in AWS
//! is held against the Lease: who had it when.

mod record;
mod work;

use std::time::{Duration, SystemTime};

use testkit::{
    Error, Result,
    aws::{Fault, Rights},
    fixture::{SOON, Scenario, World, operator_rights},
    operator::{LeaseName, Operator, OperatorOptions},
    process::Signal,
    wait::eventually,
};

use super::SHORT_LEASE;
use crate::OPERATOR;
use record::{Process, Record};
use work::Work;

/// What `SHORT_LEASE` stands for, and what follows from it.
const LEASE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(834);
/// How long one attempt at a write to AWS may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// What calls to the API server add to a takeover, on a busy machine.
const CALLS: Duration = Duration::from_secs(5);
/// Enough for the SDK to ask again for the answer that came too late, and for a write.
const ALONE: Duration = Duration::from_millis(1500);
/// Of a process, in milliseconds; shorter than its Lease.
const PAUSE: u64 = 3000;
const LONGEST: Duration = Duration::from_secs(150);

/// Set to a number, it has the test draw the same again.
const SEED: &str = "TESTKIT_SEED";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disruption {
    KillLeader,
    KillStandby,
    PauseLeader,
    PauseStandby,
    /// Amid a pass, until the other one has taken over.
    DeposeLeader,
    RestartApiServer,
}

/// Twenty, of which those that cost a takeover are few.
const ALL: [(Disruption, usize); 6] = [
    (Disruption::KillLeader, 2),
    (Disruption::DeposeLeader, 2),
    (Disruption::KillStandby, 3),
    (Disruption::PauseLeader, 6),
    (Disruption::PauseStandby, 4),
    (Disruption::RestartApiServer, 3),
];

/// Two operators, of which each that ends is replaced.
struct Pair<'a> {
    it: &'a Scenario,
    options: OperatorOptions,
    rights: Rights,
    running: Vec<Operator>,
    record: &'a Record,
}

impl<'a> Pair<'a> {
    async fn start(it: &'a Scenario, options: OperatorOptions, record: &'a Record) -> Result<Self> {
        let rights = operator_rights(OPERATOR).await?;
        let mut pair = Self { it, options, rights, running: Vec::new(), record };
        pair.settle().await?;
        Ok(pair)
    }

    /// One more process, with a key of its own, by which its calls are known.
    async fn spawn(&mut self) -> Result<()> {
        let credentials =
            self.it.world().backend().credentials_with(self.it.account(), "Operator", &self.rights).await?;
        let mut options = self.options.clone();
        let number = self.record.processes().len();
        options.log = options.log.with_extension(format!("{number}.log"));
        options.credentials = Some(credentials.clone());
        let operator = Operator::spawn(&options)?;
        self.record.started(Process { pid: operator.pid(), key: credentials.access_key_id, stopped: None });
        self.running.push(operator);
        Ok(())
    }

    /// Replaces what has ended, until one acts and the other one stands by.
    async fn settle(&mut self) -> Result<()> {
        loop {
            self.replace().await?;
            eventually("one operator to act and the other one to stand by", LEASE + SOON, async || {
                if self.running.iter().any(|operator| !operator.is_running()) {
                    return Ok(Some(()));
                }
                let (leader, standby) = self.leader_and_standby()?;
                let acts = self.running[leader].log()?.contains("watching PortAwsIntegration");
                let stands_by = self.running[standby].log()?.contains("standing by");
                Ok((acts && stands_by).then_some(()))
            })
            .await?;
            if self.running.iter().all(Operator::is_running) {
                return Ok(());
            }
        }
    }

    async fn replace(&mut self) -> Result<()> {
        let mut kept = Vec::new();
        for operator in self.running.drain(..) {
            if operator.log()?.contains("panicked at") {
                return Err(Error::Setup(format!("an operator has panicked: {}", operator.log_tail(40))));
            }
            if operator.is_running() {
                kept.push(operator);
            } else if !operator.log()?.contains("the lease is lost") {
                return Err(Error::Setup(format!("an operator has ended: {}", operator.log_tail(40))));
            }
        }
        self.running = kept;
        while self.running.len() < 2 {
            self.spawn().await?;
        }
        Ok(())
    }

    /// Which of them has the Lease.
    fn leader(&self) -> Option<usize> {
        let holder = self.record.holder()?;
        self.running.iter().position(|operator| record::is_of(&holder, operator.pid()))
    }

    fn leader_and_standby(&self) -> Result<(usize, usize)> {
        let leader = self.leader().ok_or_else(|| Error::not_yet("nobody holds the lease"))?;
        Ok((leader, 1 - leader))
    }

    async fn disrupt(&mut self, disruption: Disruption, rng: &mut fastrand::Rng) -> Result<()> {
        let (leader, standby) = self.leader_and_standby()?;
        match disruption {
            Disruption::KillLeader => {
                let killed = SystemTime::now();
                self.running.remove(leader).kill().await?;
                self.takeover(killed, 0).await
            }
            Disruption::KillStandby => self.running.remove(standby).kill().await,
            Disruption::PauseLeader => self.pause(leader, rng.u64(100..PAUSE)).await,
            Disruption::PauseStandby => self.pause(standby, rng.u64(100..PAUSE)).await,
            Disruption::DeposeLeader => self.depose(leader, rng).await,
            Disruption::RestartApiServer => self.it.world().plane().restart_api_server().await,
        }
    }

    async fn pause(&self, which: usize, milliseconds: u64) -> Result<()> {
        self.running[which].signal(Signal::STOP)?;
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        // It may have found that it was too long, and ended.
        if self.running[which].is_running() { self.running[which].signal(Signal::CONT) } else { Ok(()) }
    }

    /// The leader is stopped as it waits for the last answer before a write, and goes on when the other one acts.
    /// For a moment it cannot learn that from the API server then, so that only its own clock keeps it from writing.
    async fn depose(&mut self, leader: usize, rng: &mut fastrand::Rng) -> Result<()> {
        let backend = self.it.world().backend();
        let held = backend.fault(Fault::hold_before().account(self.it.account()).action("ListRolePolicies")).await?;
        let parked = backend.next_parked(&held, SOON).await?;
        let stopped = SystemTime::now();
        self.running[leader].signal(Signal::STOP)?;
        self.record.stopped(self.running[leader].pid(), stopped);
        backend.release(&parked.id, true, true).await?;
        backend.delete_fault(&held).await?;
        self.takeover(stopped, 1 - leader).await?;
        // Also when nothing that had started before could still be under way.
        tokio::time::sleep(Duration::from_millis(rng.u64(0..7000))).await;
        let plane = self.it.world().plane();
        plane.signal_api_server(Signal::STOP)?;
        self.running[leader].signal(Signal::CONT)?;
        tokio::time::sleep(ALONE).await;
        plane.signal_api_server(Signal::CONT)?;
        let code = self.running[leader].wait(SOON).await;
        if code == Some(1) { Ok(()) } else { Err(Error::Setup(format!("it ended with {code:?}, not with 1"))) }
    }

    /// Waits until that one has the Lease, in time.
    async fn takeover(&self, since: SystemTime, heir: usize) -> Result<()> {
        let deadline = LEASE + RETRY + CALLS;
        let pid = self.running[heir].pid();
        eventually("the other one to take over", deadline, async || {
            let holder = self.record.holder().unwrap_or_default();
            if record::is_of(&holder, pid) { Ok(Some(())) } else { Err(Error::not_yet(format!("held by {holder}"))) }
        })
        .await?;
        let took = self.record.held_since().saturating_sub(record::unix(since));
        if took <= deadline { Ok(()) } else { Err(Error::Setup(format!("the takeover took {took:?}"))) }
    }
}

async fn play(seed: u64) -> Result<()> {
    let began = tokio::time::Instant::now();
    let world: &'static World = Box::leak(Box::new(World::start(false).await?));
    // One pass at a time: one that is held up is then all that is under way.
    let args = SHORT_LEASE.into_iter().chain(["--max-passes", "1", "--max-deletions", "0"]);
    let mut it = Scenario::builder("disrupted", OPERATOR).world(world).args(args).without_operator().start().await?;
    it.operator_options().lease = LeaseName::Shared(it.namespace().to_owned());
    it.watch()?.writes_may_take(Duration::from_millis(PAUSE) + Duration::from_secs(2));
    let options = it.operator_options().clone();
    let record = Record::follow(world.plane().admin_client()?, it.namespace());
    let mut rng = fastrand::Rng::with_seed(seed);
    let work = Work::new(&it, rng.fork());
    let mut disruptions: Vec<_> = ALL.into_iter().flat_map(|(it, times)| std::iter::repeat_n(it, times)).collect();
    rng.shuffle(&mut disruptions);
    let disrupted = async {
        let mut pair = Pair::start(&it, options, &record).await?;
        for (turn, disruption) in disruptions.into_iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(rng.u64(0..1000))).await;
            say(&format!("{turn}: {disruption:?} after {:.1?}", began.elapsed()));
            let what = |error| Error::Setup(format!("{turn} {disruption:?}: {error}"));
            pair.disrupt(disruption, &mut rng).await.map_err(what)?;
            pair.settle().await.map_err(what)?;
        }
        work.end();
        Ok::<_, Error>(pair)
    };
    let (pair, outcome) = tokio::try_join!(disrupted, work.run())?;
    outcome.check(&it).await?;
    record.check(&it).await?;
    drop(pair);
    it.finish().await?;
    let took = began.elapsed();
    assert!(took < LONGEST, "it took {took:?}");
    say(&format!("it took {took:.0?}"));
    Ok(())
}

#[allow(clippy::print_stderr)]
fn say(text: &str) {
    eprintln!("{text}");
}

#[tokio::test]
async fn whatever_befalls_two_operators_one_acts_at_a_time_and_nothing_is_lost() -> Result<()> {
    let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    // Shown if it fails.
    say(&format!("{SEED}={seed}"));
    play(seed).await.map_err(|error| Error::Setup(format!("{SEED}={seed}: {error}")))
}
