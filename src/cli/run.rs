use std::time::Duration;

use hyper::StatusCode;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt, api::ListParams, core::PartialObjectMeta};
use tokio::sync::watch;

use crate::{
    api::PortAwsIntegration,
    aws::{Ambient, Aws},
    clock::Clock,
    controller::{self, LeaseOptions, Options},
    domain::ClusterId,
    schedule::{LeaseTimes, Slots},
    telemetry::{
        health::Health,
        logging::{self, LogFormat},
        metrics::{CONTENT_TYPE, Metrics},
        server::{self, Answer, Routes},
    },
};

/// `port-aws-operator run`. Credentials for the cluster come from KUBECONFIG or the Pod's service
/// account, those for AWS from wherever the AWS SDK looks: environment, profile, IRSA, Pod Identity.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Names this installation in the tags of what it makes in AWS; carry it to a successor cluster.
    /// The default is the UID of the namespace kube-system
    #[arg(long, env = "PORT_AWS_OPERATOR_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<ClusterId>,

    /// Namespaces to watch, separated by commas. The default is all
    #[arg(long, env = "PORT_AWS_OPERATOR_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub watch_namespaces: Vec<String>,

    /// Labels of the `PortAwsIntegrations` to watch, as kubectl's `--selector` takes them. The default is all
    #[arg(long, env = "PORT_AWS_OPERATOR_WATCH_LABEL_SELECTOR", value_name = "SELECTOR")]
    pub watch_label_selector: Option<String>,

    /// Passes over accounts that run at once
    #[arg(long, env = "PORT_AWS_OPERATOR_MAX_PASSES", default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_passes: u16,

    /// Calls to `AssumeRole` a second, in all
    #[arg(long, env = "PORT_AWS_OPERATOR_MAX_ASSUME_ROLE_RATE", default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_assume_role_rate: u16,

    /// Resources deleted within a minute that need no confirmation by annotation; 0 means any number
    #[arg(long, env = "PORT_AWS_OPERATOR_MAX_DELETIONS", default_value_t = 10, value_name = "N")]
    pub max_deletions: usize,

    /// Which of several processes acts
    #[command(flatten)]
    pub election: ElectionArgs,

    /// Where metrics are served, at the path /metrics; empty means nowhere
    #[arg(long, env = "PORT_AWS_OPERATOR_METRICS_ADDR", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub metrics_addr: String,

    /// Where probes are answered, at the paths /livez and /readyz; empty means nowhere
    #[arg(long, env = "PORT_AWS_OPERATOR_HEALTH_ADDR", default_value = "0.0.0.0:8081", value_name = "ADDRESS")]
    pub health_addr: String,

    /// What is logged, such as info or debug or `port_aws_operator=debug,info`
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How it is logged
    #[arg(long, env = "PORT_AWS_OPERATOR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Base URL of an OpenTelemetry collector that spans are sent to, by OTLP over HTTP
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// Which of several processes acts.
#[derive(Debug, clap::Args)]
pub struct ElectionArgs {
    /// Act without a Lease. There must be no other process then, not even for a moment
    #[arg(long, env = "PORT_AWS_OPERATOR_NO_LEADER_ELECTION")]
    pub no_leader_election: bool,

    /// Name of the Lease that the acting process holds; each release in a namespace needs its own
    #[arg(long, env = "PORT_AWS_OPERATOR_LEASE_NAME", default_value = "port-aws-operator", value_name = "NAME", value_parser = object_name)]
    pub lease_name: String,

    /// Its namespace. The default is that of the Pod, or of the kubeconfig's context
    #[arg(long, env = "PORT_AWS_OPERATOR_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Seconds without a renewal after which another process takes over. A call to AWS may take half of them,
    /// and 30 at most; no write starts that might outlast the Lease. Below 50 a slow answer counts as none
    #[arg(long, env = "PORT_AWS_OPERATOR_LEASE_DURATION", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..=3600))]
    pub lease_duration: u64,
}

/// A name as the API server takes it; it would refuse another one again and again.
fn object_name(text: &str) -> Result<String, String> {
    let edge =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    let inner = |letter: char| edge(Some(letter)) || letter == '-' || letter == '.';
    let good = edge(text.chars().next()) && edge(text.chars().last()) && text.chars().all(inner) && text.len() <= 253;
    let rule = "an object's name has lower-case letters, digits, '-' and '.', begins and ends with a letter or digit, and has 253 characters at most";
    if good { Ok(text.to_owned()) } else { Err(rule.to_owned()) }
}

impl ElectionArgs {
    fn times(&self) -> LeaseTimes {
        LeaseTimes::of(Duration::from_secs(self.lease_duration))
    }

    fn options(&self, client: &Client, instance: &str) -> Option<LeaseOptions> {
        let namespace = self.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        // A container that starts again in its Pod is another candidate.
        let identity = format!("{instance}_{:08x}", fastrand::u32(..));
        let options = LeaseOptions { namespace, name: self.lease_name.clone(), identity, times: self.times() };
        (!self.no_leader_election).then_some(options)
    }
}

/// Threads that run tasks. The operator waits for AWS nearly all the time, and a thread for each core of a large
/// node would cost memory.
const WORKERS: usize = 2;
/// Slots that regular checks leave free, so that a change never waits for them.
const RESERVED_PASSES: usize = 4;

impl RunArgs {
    /// Runs the operator until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// If the cluster cannot be reached at the start.
    pub fn run(self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
        let runtime = runtime.map_err(|error| format!("the runtime cannot start: {error}"))?;
        // It ends before the runtime, which sends its last spans.
        let _log = {
            let _runtime = runtime.enter();
            logging::start(&self.log, self.log_format, self.collector())?
        };
        runtime.block_on(self.serve())
    }

    #[cfg(feature = "otlp")]
    fn collector(&self) -> Option<&str> {
        self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty())
    }

    // It is the same method with the feature.
    #[cfg(not(feature = "otlp"))]
    #[allow(clippy::unused_self)]
    fn collector(&self) -> Option<&str> {
        None
    }

    async fn serve(self) -> Result<(), String> {
        // Before anything else: until then a signal would end the process as if it had crashed.
        let stop = stop_signal()?;
        let starting = self.prepare();
        let (client, aws, options) = tokio::select! {
            biased;
            () = controller::stopped(stop.clone()) => {
                tracing::info!("port-aws-operator ends before it has begun");
                return Ok(());
            }
            prepared = starting => prepared?,
        };
        controller::run(client, aws, options, stop).await?;
        tracing::info!("port-aws-operator ends");
        Ok(())
    }

    /// Opens what is asked for, and finds the way to the cluster and to AWS.
    async fn prepare(self) -> Result<(Client, Aws, Options), String> {
        let metrics = Metrics::default();
        serve_metrics(&self.metrics_addr, &metrics).await?;
        let clock = Clock::system();
        let health = Health::new(clock);
        serve_probes(&self.health_addr, &health).await?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "port-aws-operator starts");
        let client = Client::try_default().await.map_err(|error| format!("no way to the cluster: {error}"))?;
        let cluster = match self.cluster_id {
            Some(id) => id,
            None => default_cluster_id(&client).await?,
        };
        let selector = self.watch_label_selector.filter(|selector| !selector.trim().is_empty());
        if let Some(selector) = &selector {
            check_selector(&client, selector).await?;
        }
        let instance =
            std::env::var("HOSTNAME").unwrap_or_else(|_| format!("port-aws-operator-{}", std::process::id()));
        let lease = self.election.options(&client, &instance);
        let ambient = Ambient::load(clock, self.election.times().aws_call()).await.measured(&metrics);
        greet_aws(&ambient).await;
        let aws = Aws::new(ambient, clock, f64::from(self.max_assume_role_rate));
        let total = usize::from(self.max_passes);
        let options = Options {
            cluster,
            namespaces: self.watch_namespaces.into_iter().filter(|namespace| !namespace.is_empty()).collect(),
            selector,
            slots: Slots { total, reserved: RESERVED_PASSES.min(total - 1) },
            deletions_at_once: self.max_deletions,
            instance,
            lease,
            health,
            metrics,
            clock,
        };
        Ok((client, aws, options))
    }
}

async fn serve_metrics(address: &str, metrics: &Metrics) -> Result<(), String> {
    if address.is_empty() {
        return Ok(());
    }
    let metrics = metrics.clone();
    let answer = move || Answer { status: StatusCode::OK, content_type: CONTENT_TYPE, body: metrics.render() };
    let address = server::serve(address, Routes::default().with("/metrics", answer)).await;
    let address = address.map_err(|error| format!("--metrics-addr: {error}"))?;
    tracing::info!(%address, "metrics are served");
    Ok(())
}

async fn serve_probes(address: &str, health: &Health) -> Result<(), String> {
    if address.is_empty() {
        return Ok(());
    }
    let answer = |(good, body): (bool, String)| Answer {
        status: if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE },
        content_type: "text/plain",
        body,
    };
    let (live, ready) = (health.clone(), health.clone());
    let routes = Routes::default().with("/livez", move || answer(live.live())).with("/readyz", move || {
        let (good, text) = ready.ready();
        answer((good, text.to_owned()))
    });
    let address = server::serve(address, routes).await.map_err(|error| format!("--health-addr: {error}"))?;
    tracing::info!(%address, "probes are answered");
    Ok(())
}

/// Says at once what the AWS credentials are worth. Nothing depends on it: they may come later.
async fn greet_aws(aws: &Ambient) {
    match tokio::time::timeout(Duration::from_secs(10), aws.caller()).await {
        Ok(Ok(caller)) => {
            tracing::info!(account = %caller.account, arn = %caller.arn, aws = %aws.describe(), "AWS credentials work");
        }
        Ok(Err(error)) => {
            tracing::warn!(aws = %aws.describe(), %error, "AWS credentials do not work: {}", error.advice());
        }
        Err(_) => {
            tracing::warn!(aws = %aws.describe(), "AWS did not answer within 10 s; every account is tried all the same");
        }
    }
}

async fn default_cluster_id(client: &Client) -> Result<ClusterId, String> {
    let advice = "give --cluster-id, or let the operator read the namespace kube-system";
    let read = Api::<Namespace>::all(client.clone());
    let found = tokio::time::timeout(Duration::from_secs(30), read.get("kube-system")).await;
    let found = found.map_err(|_| format!("no answer from the cluster: {advice}"))?;
    let namespace = found.map_err(|error| format!("the cluster's identity cannot be read ({error}): {advice}"))?;
    let uid = namespace.uid().unwrap_or_default();
    uid.parse().map_err(|error| format!("{error}: {advice}"))
}

/// Refuses a selector that is none, rather than watch nothing by it. That the cluster cannot be asked now
/// says nothing of it.
async fn check_selector(client: &Client, selector: &str) -> Result<(), String> {
    let all = Api::<PartialObjectMeta<PortAwsIntegration>>::all(client.clone());
    let params = ListParams::default().labels(selector).limit(1);
    match tokio::time::timeout(Duration::from_secs(10), all.list(&params)).await {
        Ok(Err(kube::Error::Api(status))) if status.code == 400 => {
            Err(format!("--watch-label-selector {selector:?}: {}", status.message))
        }
        _ => Ok(()),
    }
}

/// Becomes true at SIGTERM or SIGINT; a second signal ends the process at once.
fn stop_signal() -> Result<watch::Receiver<bool>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let mut once = async || {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        once().await;
        tracing::info!("asked to end; no write starts any more");
        sender.send_replace(true);
        once().await;
        tracing::warn!("asked to end again; ending at once");
        std::process::exit(1);
    });
    Ok(receiver)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        election: ElectionArgs,
    }

    fn parse(args: &[&str]) -> Result<ElectionArgs, String> {
        let line = Line::try_parse_from([&["it"], args].concat());
        line.map(|line| line.election).map_err(|error| error.to_string())
    }

    #[test]
    fn a_lease_that_cannot_be_is_refused_with_the_reason() {
        let usual = parse(&[]).unwrap();
        assert_eq!(
            (usual.lease_name.as_str(), usual.times().aws_call()),
            ("port-aws-operator", Duration::from_secs(30))
        );
        assert_eq!(parse(&["--lease-duration", "10"]).unwrap().times().aws_call(), Duration::from_secs(5));
        for (flag, value, reason) in [
            ("--lease-duration", "9", "9 is not in 10..=3600"),
            ("--lease-duration", "3601", "3601 is not in 10..=3600"),
            ("--lease-name", "", "an object's name"),
            ("--lease-name", "Upper", "an object's name"),
            ("--lease-name", "a/b", "an object's name"),
        ] {
            let error = parse(&[flag, value]).unwrap_err();
            assert!(error.contains(flag) && error.contains(reason), "{error}");
        }
        assert_eq!(parse(&["--lease-name", "a.b-1"]).unwrap().lease_name, "a.b-1");
    }
}
