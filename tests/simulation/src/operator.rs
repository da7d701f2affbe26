//! The operator itself: the production code, started, killed and started again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{rt::sleep::TokioSleep, time::TimeSource};
use port_aws_operator::{
    aws::{Ambient, Aws},
    clock::Clock,
    controller::{self, LeaseOptions, Options},
    schedule::{LeaseTimes, Slots},
    telemetry::{health::Health, metrics::Metrics},
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::{
    aws::connector::Connector,
    cluster::server,
    rules::CLUSTER,
    world::{Instance, World},
};

/// The operator's own account.
pub const HUB: &str = "000000000001";
/// How long a Pod has to end by itself.
const GRACE: Duration = Duration::from_mins(1);

/// What is done to a replica.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// It ends at once.
    Kill,
    /// It is asked to end.
    Stop,
    /// It does not get to the API server for a time.
    CutOff(Duration),
}

struct SimulatedTime(Arc<World>);

impl std::fmt::Debug for SimulatedTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimulatedTime")
    }
}

impl TimeSource for SimulatedTime {
    fn now(&self) -> SystemTime {
        self.0.wall().into()
    }
}

/// A replica: a process is started again whenever one has ended.
pub fn replica(world: &Arc<World>, number: usize) -> mpsc::UnboundedSender<Order> {
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let world = Arc::clone(world);
    tokio::spawn(async move {
        for run in 0_u32.. {
            let instance = Instance::new(format!("replica-{number}-{run}"));
            live(&world, &instance, &mut ordered).await;
            world.log(format_args!("{} has ended", instance.name));
            let wait = world.state().between(500, 8_000);
            sleep(wait).await;
        }
    });
    orders
}

/// One process, to its end.
async fn live(world: &Arc<World>, instance: &Arc<Instance>, ordered: &mut mpsc::UnboundedReceiver<Order>) {
    let (stop, stopped) = watch::channel(false);
    let mut run = tokio::spawn(start(Arc::clone(world), Arc::clone(instance), stopped));
    loop {
        let order = tokio::select! {
            biased;
            order = ordered.recv() => order,
            _ = &mut run => return,
        };
        match order {
            Some(Order::CutOff(time)) => {
                world.log(format_args!("{} is cut off for {time:?}", instance.name));
                instance.cut_off(true);
                world.changed.notify_waiters();
                let (instance, world) = (Arc::clone(instance), Arc::clone(world));
                tokio::spawn(async move {
                    sleep(time).await;
                    instance.cut_off(false);
                    world.changed.notify_waiters();
                });
            }
            Some(Order::Stop) => {
                world.log(format_args!("{} is asked to end", instance.name));
                stop.send_replace(true);
                if timeout(GRACE, &mut run).await.is_ok() {
                    return;
                }
                break;
            }
            Some(Order::Kill) | None => break,
        }
    }
    world.log(format_args!("{} is killed", instance.name));
    instance.kill();
    world.changed.notify_waiters();
    run.abort();
}

async fn start(world: Arc<World>, instance: Arc<Instance>, stop: watch::Receiver<bool>) -> Result<(), String> {
    let clock = Clock::simulated(world.wall());
    let metrics = Metrics::default();
    let key = world.state().aws.give_key(HUB, None);
    let credentials = Credentials::from_keys(key, "secret", None);
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .http_client(Connector::new(&world, &instance))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .sleep_impl(TokioSleep::new())
        .time_source(SimulatedTime(Arc::clone(&world)))
        .build();
    let times =
        LeaseTimes { duration: Duration::from_mins(1), renew: Duration::from_secs(10), retry: Duration::from_secs(5) };
    let aws = Aws::new(Ambient::new(&config, clock, times.aws_call()).measured(&metrics), clock, 10.0);
    let options = Options {
        cluster: CLUSTER.parse().map_err(|error| format!("{error}"))?,
        namespaces: Vec::new(),
        selector: None,
        slots: Slots { total: 16, reserved: 4 },
        deletions_at_once: 10,
        instance: instance.name.clone(),
        lease: Some(LeaseOptions {
            namespace: "operator".to_owned(),
            name: "port-aws-operator".to_owned(),
            identity: instance.name.clone(),
            times,
        }),
        health: Health::new(clock),
        metrics,
        clock,
    };
    controller::run(server::client(&world, &instance), aws, options, stop).await
}
