use std::{io::ErrorKind, net::TcpListener};

use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};

use super::*;
use crate::{
    api::{FINALIZER, PortAwsIntegration, Reason},
    controller::{events::Events, store},
    telemetry::metrics::Metrics,
};

/// An API server that takes connections and never answers.
struct Silent {
    listener: TcpListener,
    client: Client,
}

impl Silent {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let client = Client::try_from(kube::Config::new(url)).unwrap();
        Self { listener, client }
    }

    /// Whether somebody has asked it since the last look.
    fn was_asked(&self) -> bool {
        let asked = self.listener.accept();
        assert!(asked.is_ok() || asked.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{asked:?}");
        asked.is_ok()
    }
}

/// Short, so that a call is soon given up.
fn brief() -> LeaseTimes {
    LeaseTimes::of(Duration::from_millis(400))
}

fn leadership(standing: Standing) -> Leadership {
    let (_, standing) = watch::channel(standing);
    Leadership { standing, times: brief(), clock: Clock::system() }
}

/// One whose Lease lasts for some time from now on, or has run out.
fn holding(left: Duration) -> Leadership {
    let mut it = leadership(Standing::Waiting);
    let (_, standing) = watch::channel(Standing::Holding(it.clock.now() + left));
    it.standing = standing;
    it
}

fn object() -> PortAwsIntegration {
    let it = serde_json::json!({
        "apiVersion": "integrations.port.io/v1alpha1",
        "kind": "PortAwsIntegration",
        "metadata": {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1"},
        "spec": {
            "organizationId": "org_Test1", "integrationIdentifier": "a", "accessRef": {"name": "a"},
            "accounts": ["111122223333"],
        },
    });
    serde_json::from_value(it).unwrap()
}

#[test]
fn a_write_starts_only_while_the_lease_lasts_for_it() {
    let times = brief();
    let (aws, cluster) = (times.aws_call() + times.spare(), times.cluster_call() + times.spare());
    let may = |leadership: &Leadership| (leadership.may_write(), leadership.may_tell());
    let more = Duration::from_secs(5);
    assert_eq!(may(&holding(aws + more)), (true, true));
    assert_eq!(may(&holding(cluster)), (false, false));
    assert_eq!(may(&holding(Duration::ZERO)), (false, false));
    assert_eq!(may(&leadership(Standing::Alone)), (true, true));
    assert_eq!(may(&leadership(Standing::Waiting)), (false, false));
    assert_eq!(may(&leadership(Standing::Lost("b".into()))), (false, false));
}

#[tokio::test]
async fn one_that_does_not_lead_writes_no_event_and_no_finalizer() {
    let api = Silent::new();
    let write = async |leadership: &Leadership| {
        let client = api.client.clone();
        let events = Events::new(client, leadership.clone(), "me".into(), leadership.clock, Metrics::default());
        events.state(&object(), Reason::InvalidSpec, "a state").await;
        let told = api.was_asked();
        events.done(&object(), Reason::RoleReleased, "a deed").await;
        let done = api.was_asked();
        let all = Api::<ConfigMap>::namespaced(api.client.clone(), "b");
        let outcome = store::write_finalizer(leadership, &all, &object().metadata, FINALIZER, true).await;
        (told, done, api.was_asked(), matches!(outcome, Err(CallError::NotLeading)))
    };
    for idle in [leadership(Standing::Waiting), holding(brief().cluster_call()), leadership(Standing::Lost("b".into()))]
    {
        assert_eq!(write(&idle).await, (false, false, false, true), "{idle:?}");
    }
    assert_eq!(write(&leadership(Standing::Alone)).await, (true, true, true, false));
}

#[tokio::test]
async fn the_lease_is_kept_while_a_write_without_an_answer_may_take_effect() {
    let api = Silent::new();
    let was_released = async |unanswered: Option<Duration>| {
        let clock = Clock::system();
        let (told, _) = watch::channel(Standing::Holding(clock.now() + Duration::from_secs(60)));
        let options =
            LeaseOptions { namespace: "b".to_owned(), name: "a".to_owned(), identity: "me".to_owned(), times: brief() };
        let candidate = Candidate {
            api: Api::namespaced(api.client.clone(), "b"),
            election: Election::new("me".to_owned(), options.times),
            lease: None,
            stands_by_for: None,
            options,
            clock,
            health: Health::new(clock),
            told,
        };
        let began = unanswered.map(|ago| clock.now().saturating_sub(ago));
        candidate.release(began).await;
        api.was_asked()
    };
    assert!(was_released(None).await);
    assert!(!was_released(Some(Duration::ZERO)).await);
}

#[test]
fn a_round_of_slow_calls_is_not_stuck() {
    let (wait, call) = (Duration::from_secs(10), Duration::from_secs(10));
    assert!(patience(wait, call) > wait + call * 3);
}

#[test]
fn transitions_count_from_the_first_holder_on() {
    let minute = |minute: i64| MicroTime(Timestamp::from_second(60 * minute).unwrap());
    let long = Duration::from_secs(60);
    let made = next_spec(None, Some("a"), long, minute(1));
    assert_eq!((made.lease_transitions, &made.acquire_time), (Some(0), &Some(minute(1))));
    let renewed = next_spec(Some(&made), Some("a"), long, minute(2));
    assert_eq!((renewed.lease_transitions, &renewed.acquire_time), (Some(0), &Some(minute(1))));
    assert_eq!(renewed.renew_time, Some(minute(2)));
    let released = next_spec(Some(&renewed), None, long, minute(3));
    assert_eq!((released.lease_transitions, released.lease_duration_seconds), (Some(0), Some(1)));
    let taken = next_spec(Some(&released), Some("b"), long, minute(4));
    assert_eq!((taken.lease_transitions, &taken.acquire_time), (Some(1), &Some(minute(4))));
    assert_eq!(taken.lease_duration_seconds, Some(60));
    let lost = next_spec(Some(&taken), Some("a"), long, minute(5));
    assert_eq!(lost.lease_transitions, Some(2));
}
