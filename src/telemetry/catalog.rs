//! Every metric, described once: the registry, `docs/metrics.md` and the tests of dashboard and rules are
//! made from this.

use std::fmt::Write as _;

/// What the names of all metrics start with.
pub const PREFIX: &str = "port_aws_operator";

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It is as high as it is now.
    Gauge,
    /// How long things took, counted by upper bounds in seconds.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug)]
pub struct Description {
    /// Its name, without the prefix and without the `_total` of a counter.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it says, without a full stop.
    pub help: &'static str,
    /// Its labels, and what each may be.
    pub labels: &'static [(&'static str, &'static str)],
}

impl Description {
    /// Its name as Prometheus has it.
    #[must_use]
    pub fn full_name(&self) -> String {
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{PREFIX}_{}{suffix}", self.name)
    }

    /// The names of the series that it has.
    #[must_use]
    pub fn series(&self) -> Vec<String> {
        let name = self.full_name();
        match self.kind {
            Kind::Histogram(_) => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
            Kind::Counter | Kind::Gauge => vec![name],
        }
    }
}

/// A reconcile writes to the cluster at most.
const RECONCILE_SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 20.0];
/// A pass makes 4 to 20 calls to AWS, waits for the account's allowance, and ends after two minutes.
const PASS_SECONDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 120.0];
/// A call with its retries ends after half a minute.
const CALL_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// A thousand accounts at 10 a second wait up to two minutes.
const WAIT_SECONDS: &[f64] = &[0.0, 0.1, 1.0, 5.0, 20.0, 60.0, 180.0];

const KIND: (&str, &str) = ("kind", "`PortAwsIntegration` or `PortAwsAccess`");
const PASS_KIND: (&str, &str) = ("kind", "`Ensure` (keep what is wanted) or `Remove` (take away what is ours)");
const SERVICE: (&str, &str) = ("service", "`IAM`, `STS` or `Organizations`");
const OPERATION: (&str, &str) = ("operation", "the call's name in the AWS API reference, such as `GetRole`");
const PRIORITY: (&str, &str) = ("priority", "`Deletion`, `SpecChanged`, `NeverVisited`, `NotReady` or `Poll`");

/// Defines the descriptions, and [`ALL`] of them.
macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:expr, $help:literal, [$($label:expr),*];)*) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            pub const $constant: Description =
                Description { name: $name, kind: $kind, help: $help, labels: &[$($label),*] };
        )*
        /// Every metric.
        pub const ALL: &[Description] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO = "build_info", Kind::Gauge, "1, for the version that runs", [("version", "the operator's version")];
    LEADER = "leader", Kind::Gauge, "1 in the process that may write, 0 in one that stands by", [];

    ACCOUNTS = "accounts", Kind::Gauge,
        "Accounts of all resources, by their state in status.accounts; one that two resources have counts twice",
        [("state", "a state of `status.accounts`, such as `Ready` or `Denied`")];
    INTEGRATIONS = "integrations", Kind::Gauge, "PortAwsIntegrations, by how they stand",
        [("state", "`Ready`, `Reconciling`, `Stalled`, `Suspended`, `Deleting`, `DeletionBlocked` or `Unreadable`")];

    RECONCILES = "reconciles", Kind::Counter, "Reconciles of objects in the cluster; they make no call to AWS",
        [KIND, ("outcome", "`Ok`, `Outdated` (the object changed meanwhile) or `Failed` (the API server did not take a write)")];
    RECONCILE_SECONDS_ = "reconcile_duration_seconds", Kind::Histogram(RECONCILE_SECONDS), "How long reconciles took", [KIND];

    PASSES = "passes", Kind::Counter, "Passes over one account for one resource",
        [PASS_KIND, ("outcome", "the account's state afterwards, or `Unsettled` (a write of ours is not visible yet), \
         `Superseded` (something changed meanwhile), `TimedOut`, `Panicked`; of `Remove`: `Cleared`, `Blocked` or `Retrying`")];
    PASS_SECONDS_ = "pass_duration_seconds", Kind::Histogram(PASS_SECONDS), "How long passes took", [PASS_KIND];
    PASSES_RUNNING = "passes_running", Kind::Gauge, "Passes under way", [];
    PASSES_LIMIT = "passes_limit", Kind::Gauge, "Passes that may run at once (`--max-passes`)", [];

    QUEUE_DEPTH = "queue_depth", Kind::Gauge, "Visits that are due and wait for a slot or for their account", [PRIORITY];
    QUEUE_SCHEDULED = "queue_scheduled", Kind::Gauge, "Visits whose time has not come yet", [PRIORITY];
    QUEUE_OLDEST = "queue_oldest_due_seconds", Kind::Gauge, "For how long the visit that is due longest has waited; 0 if none is due", [];

    AWS_CALLS = "aws_calls", Kind::Counter, "Calls to AWS, each with its retries counted once",
        [SERVICE, OPERATION, ("outcome", "`Ok`, the operator's own reason for a failure, such as `AccessDenied`, `Throttled` or `Unreachable`, \
         or `Cancelled`; `NotFoundInAccount` of a read is no failure")];
    AWS_SECONDS = "aws_call_duration_seconds", Kind::Histogram(CALL_SECONDS), "How long calls to AWS took, with their retries", [SERVICE, OPERATION];
    AWS_ATTEMPTS = "aws_attempts", Kind::Counter, "HTTP requests to AWS: calls and their retries", [SERVICE, OPERATION];
    ASSUME_ROLE_WAIT = "assume_role_wait_seconds", Kind::Histogram(WAIT_SECONDS),
        "How long AssumeRole waited for `--max-assume-role-rate`", [];
    SESSIONS = "sessions_cached", Kind::Gauge, "Sessions in other accounts that are kept", [];

    DRIFT_CORRECTED = "drift_corrected", Kind::Counter,
        "Differences set right in AWS that did not come of a change in the cluster",
        [("field", "`Role`, `Provider`, `ClientIds`, `Tags`, `PermissionsBoundary`, `MissingPolicy`, `ExtraPolicy`, \
          `Description`, `MaxSessionDuration`, or a part of the trust policy: `TrustVersion`, `TrustStatement`, `TrustEffect`, \
          `TrustPrincipal`, `TrustAction`, `TrustCondition`, `TrustDocument` (not readable)")];
    DISCOVERIES = "discoveries", Kind::Counter, "Answers of AWS Organizations to which accounts there are",
        [("outcome", "`Ok`, `Outdated` (no longer asked for), or the reason why it was not believed")];

    STATUS_WRITES = "status_writes", Kind::Counter, "Writes of status to the cluster", [KIND];
    EVENTS_DROPPED = "events_dropped", Kind::Counter, "Events that could not be written", [];
    WATCH_ERRORS = "watch_errors", Kind::Counter, "Interruptions of a watch, after each of which it is tried again",
        [("watch", "`integrations`, `accesses` or `namespaces`")];
}

/// `docs/metrics.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "<!-- Generated by `port-aws-operator metrics-doc`; do not edit. -->\n\n# Metrics\n\n\
         Served at `/metrics` on `--metrics-addr`. No label names a resource, a namespace, an account or an ARN: each \
         value is one of a closed set.\n",
    );
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "Counter".to_owned(),
            Kind::Gauge => "Gauge".to_owned(),
            Kind::Histogram(bounds) => {
                let bounds = bounds.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
                format!("Histogram, with the bounds {bounds} s")
            }
        };
        let _ = write!(text, "\n## `{}`\n\n{}. {kind}.\n", metric.full_name(), metric.help);
        if !metric.labels.is_empty() {
            text.push_str("\n| label | values |\n|---|---|\n");
        }
        for (label, values) in metric.labels {
            let _ = writeln!(text, "| `{label}` | {values} |");
        }
    }
    text
}
