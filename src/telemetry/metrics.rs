//! Metrics, for Prometheus.
//!
//! What there is, with `port_aws_operator_` before each name and `_total` after that of a counter:
//!
//! - the process: `build_info`, `leader`;
//! - how things stand: `accounts`, `integrations`;
//! - work in the cluster: `reconciles`, `reconcile_duration_seconds`, `status_writes`, `events_dropped`,
//!   `watch_errors`;
//! - work in accounts: `passes`, `pass_duration_seconds`, `passes_running`, `passes_limit`, `queue_depth`,
//!   `queue_scheduled`, `queue_oldest_due_seconds`, `drift_corrected`, `discoveries`;
//! - AWS: `aws_calls`, `aws_call_duration_seconds`, `aws_attempts`, `assume_role_wait_seconds`,
//!   `sessions_cached`.
//!
//! [`super::catalog`] describes each with its labels. A label's value is a [`Word`], which can hold no text
//! from outside: so nothing of a tenant becomes a label, and the number of series has a bound.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus_client::{encoding::prometheus_text, registry::Registry};

pub use super::series::Word;
use super::{
    catalog,
    series::{Counters, Gauges, Histograms, counters, gauges, histograms},
};
use crate::{
    api::AccountState,
    schedule::{Depth, Priority},
};

/// The type of what [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// How things stand at one moment.
#[derive(Debug, Default)]
pub struct Sample {
    /// Whether this process may write.
    pub leads: bool,
    /// Accounts by state.
    pub accounts: BTreeMap<AccountState, usize>,
    /// Resources by how they stand.
    pub integrations: BTreeMap<&'static str, usize>,
    /// What waits for a pass.
    pub queue: Depth,
    /// Sessions that are kept.
    pub sessions: usize,
}

/// How resources may stand.
pub const INTEGRATION_STATES: [&str; 7] =
    ["Ready", "Reconciling", "Stalled", "Suspended", "Deleting", "DeletionBlocked", "Unreadable"];

type Source = Box<dyn Fn() -> Sample + Send + Sync>;

struct Inner {
    registry: Registry,
    source: OnceLock<Source>,
    leader: Gauges<0>,
    accounts: Gauges<1>,
    integrations: Gauges<1>,
    reconciles: Counters<2>,
    reconcile_seconds: Histograms<1>,
    passes: Counters<2>,
    pass_seconds: Histograms<1>,
    passes_running: Gauges<0>,
    passes_limit: Gauges<0>,
    queue_depth: Gauges<1>,
    queue_scheduled: Gauges<1>,
    queue_oldest: Gauges<0>,
    aws_calls: Counters<3>,
    aws_seconds: Histograms<2>,
    aws_attempts: Counters<2>,
    assume_role_wait: Histograms<0>,
    sessions: Gauges<0>,
    drift_corrected: Counters<1>,
    discoveries: Counters<1>,
    status_writes: Counters<1>,
    events_dropped: Counters<0>,
    watch_errors: Counters<1>,
}

/// All metrics of the process. Clones are the same metrics.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(catalog::PREFIX);
        let it = &mut registry;
        gauges::<1>(it, &catalog::BUILD_INFO).of([env!("CARGO_PKG_VERSION").into()]).set(1);
        let inner = Inner {
            source: OnceLock::new(),
            leader: gauges(it, &catalog::LEADER),
            accounts: gauges(it, &catalog::ACCOUNTS),
            integrations: gauges(it, &catalog::INTEGRATIONS),
            reconciles: counters(it, &catalog::RECONCILES),
            reconcile_seconds: histograms(it, &catalog::RECONCILE_SECONDS_),
            passes: counters(it, &catalog::PASSES),
            pass_seconds: histograms(it, &catalog::PASS_SECONDS_),
            passes_running: gauges(it, &catalog::PASSES_RUNNING),
            passes_limit: gauges(it, &catalog::PASSES_LIMIT),
            queue_depth: gauges(it, &catalog::QUEUE_DEPTH),
            queue_scheduled: gauges(it, &catalog::QUEUE_SCHEDULED),
            queue_oldest: gauges(it, &catalog::QUEUE_OLDEST),
            aws_calls: counters(it, &catalog::AWS_CALLS),
            aws_seconds: histograms(it, &catalog::AWS_SECONDS),
            aws_attempts: counters(it, &catalog::AWS_ATTEMPTS),
            assume_role_wait: histograms(it, &catalog::ASSUME_ROLE_WAIT),
            sessions: gauges(it, &catalog::SESSIONS),
            drift_corrected: counters(it, &catalog::DRIFT_CORRECTED),
            discoveries: counters(it, &catalog::DISCOVERIES),
            status_writes: counters(it, &catalog::STATUS_WRITES),
            events_dropped: counters(it, &catalog::EVENTS_DROPPED),
            watch_errors: counters(it, &catalog::WATCH_ERRORS),
            registry,
        };
        // What is alerted on starts at 0, so that its first rise is seen.
        inner.leader.of([]).set(1);
        inner.events_dropped.of([]);
        inner.assume_role_wait.of([]);
        inner.passes.of(["Ensure".into(), "Panicked".into()]);
        for watch in ["integrations", "accesses", "namespaces"] {
            inner.watch_errors.of([watch.into()]);
        }
        Self(Arc::new(inner))
    }
}

impl Metrics {
    /// Whether this process may write.
    pub fn set_leader(&self, leads: bool) {
        self.0.leader.of([]).set(i64::from(leads));
    }

    /// A reconcile of an object has ended.
    pub fn reconciled(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.0.reconciles.of([kind.into(), outcome.into()]).inc();
        self.0.reconcile_seconds.of([kind.into()]).observe(took.as_secs_f64());
    }

    /// A pass over an account has ended.
    pub fn passed(&self, kind: &'static str, outcome: impl Into<Word>, took: Duration) {
        self.0.passes.of([kind.into(), outcome.into()]).inc();
        self.0.pass_seconds.of([kind.into()]).observe(took.as_secs_f64());
    }

    /// A call to AWS has ended, with all its retries.
    pub fn called(&self, service: &'static str, operation: &'static str, outcome: impl Into<Word>, took: Duration) {
        self.0.aws_calls.of([service.into(), operation.into(), outcome.into()]).inc();
        self.0.aws_seconds.of([service.into(), operation.into()]).observe(took.as_secs_f64());
    }

    /// A request goes to AWS.
    pub fn attempted(&self, service: &'static str, operation: &'static str) {
        self.0.aws_attempts.of([service.into(), operation.into()]).inc();
    }

    /// `AssumeRole` has waited for its turn.
    pub fn waited_to_assume(&self, wait: Duration) {
        self.0.assume_role_wait.of([]).observe(wait.as_secs_f64());
    }

    /// Something that somebody changed in AWS was set right.
    pub fn corrected(&self, field: &'static str) {
        self.0.drift_corrected.of([field.into()]).inc();
    }

    /// AWS Organizations has answered, or not.
    pub fn discovered(&self, outcome: impl Into<Word>) {
        self.0.discoveries.of([outcome.into()]).inc();
    }

    /// Status was written.
    pub fn wrote_status(&self, kind: &'static str) {
        self.0.status_writes.of([kind.into()]).inc();
    }

    /// An event could not be written.
    pub fn dropped_event(&self) {
        self.0.events_dropped.of([]).inc();
    }

    /// A watch was interrupted.
    pub fn interrupted(&self, watch: &'static str) {
        self.0.watch_errors.of([watch.into()]).inc();
    }

    /// Says where to look for how things stand, whenever somebody asks. The first one that says so counts.
    pub fn look_at(&self, source: impl Fn() -> Sample + Send + Sync + 'static) {
        let _ = self.0.source.set(Box::new(source));
    }

    /// All metrics in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        if let Some(source) = self.0.source.get() {
            self.show(&source());
        }
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_text::encode(&mut text, &self.0.registry);
        text
    }

    fn show(&self, sample: &Sample) {
        self.set_leader(sample.leads);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let at = |counts: &BTreeMap<Priority, usize>, priority| counts.get(&priority).copied().unwrap_or_default();
        let inner = &self.0;
        for state in AccountState::ALL {
            let count = sample.accounts.get(&state).copied().unwrap_or_default();
            inner.accounts.of([state.into()]).set(number(count));
        }
        for state in INTEGRATION_STATES {
            let count = sample.integrations.get(state).copied().unwrap_or_default();
            inner.integrations.of([state.into()]).set(number(count));
        }
        for priority in Priority::ALL {
            let label = [Word::Priority(priority)];
            inner.queue_depth.of(label).set(number(at(&sample.queue.due, priority)));
            inner.queue_scheduled.of(label).set(number(at(&sample.queue.later, priority)));
        }
        let oldest = sample.queue.oldest.unwrap_or_default();
        inner.queue_oldest.of([]).set(i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX));
        inner.passes_running.of([]).set(number(sample.queue.running));
        inner.passes_limit.of([]).set(number(sample.queue.slots));
        inner.sessions.of([]).set(number(sample.sessions));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::api::Reason;

    /// A registry in which everything has happened once.
    fn busy() -> Metrics {
        let metrics = Metrics::default();
        let took = Duration::from_millis(70);
        metrics.reconciled("PortAwsIntegration", "Ok", took);
        metrics.passed("Ensure", AccountState::Ready, took);
        metrics.called("IAM", "GetRole", Reason::AccessDenied, took);
        metrics.attempted("IAM", "GetRole");
        metrics.waited_to_assume(Duration::ZERO);
        metrics.corrected("Tags");
        metrics.discovered(Word::OK);
        metrics.wrote_status("PortAwsAccess");
        metrics.dropped_event();
        metrics.interrupted("accesses");
        metrics.look_at(|| Sample {
            leads: true,
            accounts: BTreeMap::from([(AccountState::Denied, 2)]),
            integrations: BTreeMap::from([("Stalled", 1)]),
            queue: Depth { oldest: Some(Duration::from_secs(7)), running: 3, slots: 32, ..Depth::default() },
            sessions: 4,
        });
        metrics
    }

    /// The names of the series in a text, with their labels' names.
    fn series(text: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
            let pairs = labels.split_once('}').map_or("", |(pairs, _)| pairs).split(',').filter(|it| !it.is_empty());
            let labels = pairs.map(|pair| pair.split_once('=').unwrap().0.to_owned()).filter(|name| name != "le");
            found.entry(name.to_owned()).or_default().extend(labels);
        }
        found
    }

    #[test]
    fn every_metric_that_is_described_is_there_with_its_labels_and_no_other() {
        let found = series(&busy().render());
        let described = catalog::ALL.iter().flat_map(|metric| {
            let labels: BTreeSet<String> = metric.labels.iter().map(|(name, _)| (*name).to_owned()).collect();
            metric.series().into_iter().map(move |name| (name, labels.clone()))
        });
        assert_eq!(found, described.collect());
    }

    #[test]
    fn the_text_says_what_happened() {
        let text = busy().render();
        for line in [
            "# TYPE port_aws_operator_aws_calls_total counter",
            r#"port_aws_operator_aws_calls_total{service="IAM",operation="GetRole",outcome="AccessDenied"} 1"#,
            r#"port_aws_operator_pass_duration_seconds_bucket{kind="Ensure",le="0.1"} 1"#,
            r#"port_aws_operator_accounts{state="Denied"} 2"#,
            r#"port_aws_operator_accounts{state="Ready"} 0"#,
            r#"port_aws_operator_integrations{state="Stalled"} 1"#,
            "port_aws_operator_queue_oldest_due_seconds 7",
            "port_aws_operator_leader 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn one_leads_for_as_long_as_it_may_write() {
        let leads = Arc::new(AtomicBool::new(true));
        let metrics = Metrics::default();
        metrics.set_leader(false);
        assert!(metrics.render().contains("port_aws_operator_leader 0"));
        let seen = Arc::clone(&leads);
        metrics.look_at(move || Sample { leads: seen.load(Ordering::Relaxed), ..Sample::default() });
        assert!(metrics.render().contains("port_aws_operator_leader 1"));
        leads.store(false, Ordering::Relaxed);
        assert!(metrics.render().contains("port_aws_operator_leader 0"));
    }

    #[test]
    fn the_module_lists_every_metric() {
        let text = include_str!("metrics.rs");
        let list = text.split("use std").next().unwrap();
        for metric in catalog::ALL {
            assert!(list.contains(&format!("`{}`", metric.name)), "{}", metric.name);
        }
    }
}
