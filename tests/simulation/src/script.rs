//! What happens to the operator, to the cluster and to AWS while a simulation runs.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::mpsc::UnboundedSender, time::sleep};

use crate::{
    aws::{Provider, Role, iam},
    cluster::{ACCESSES, INTEGRATIONS, Key, NAMESPACES},
    operator::{Order, replica},
    rules::{self, FOREIGN_ROLE, READ_ONLY, Wanted},
    world::{State, Weather, World},
};

const ACCOUNTS: [&str; 3] = ["111111111111", "222222222222", "333333333333"];
const MANAGEMENT: &str = "999999999999";
const NAMES: [&str; 3] = ["aws-a", "aws-b", "aws-c"];
const POLICIES: [&str; 3] =
    [READ_ONLY, "arn:aws:iam::aws:policy/SecurityAudit", "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"];
const EXTRA: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
/// How long all has to be as it should once nothing disturbs any more.
const SETTLED_WITHIN: Duration = Duration::from_mins(100);
/// In which each account is checked, and AWS Organizations asked twice: an account is let go when it is missing
/// from two answers.
const TWO_INTERVALS: Duration = Duration::from_mins(30);
/// Calls to AWS and writes to the cluster in an hour, whatever goes wrong: three times what the worst of many
/// thousand simulations took.
const MOST_IN_AN_HOUR: u64 = 4_000;
/// How long is watched afterwards.
const QUIET: Duration = Duration::from_hours(1);

fn key(name: &str) -> Key {
    (INTEGRATIONS, "team".to_owned(), name.to_owned())
}

/// Runs the whole of it; what was broken is in the record.
pub async fn run(world: &Arc<World>) {
    let shares = world.state().chance(0.3);
    world.state().shares_role = shares;
    prepare(world);
    let replicas: Vec<UnboundedSender<Order>> = (0..2).map(|number| replica(world, number)).collect();
    let steps = world.state().random.u32(10..=40);
    for _ in 0..steps {
        let wait = {
            let mut state = world.state();
            if state.chance(0.3) { state.between(0, 500) } else { state.between(500, 120_000) }
        };
        sleep(wait).await;
        step(world, &replicas);
        world.changed.notify_waiters();
    }
    let longest = Duration::from_mins(3);
    sleep(longest).await;
    world.log("nothing disturbs any more");
    {
        let mut state = world.state();
        state.weather = Weather::default();
        allow(&mut state, world.now(), true);
    }
    world.changed.notify_waiters();
    settle(world).await;
    let busiest = world.state().record.busiest_hour();
    if busiest > MOST_IN_AN_HOUR {
        world.state().record.broken.push(format!("calls: {busiest} within an hour"));
    }
}

async fn settle(world: &World) {
    let began = world.now();
    loop {
        sleep(Duration::from_secs(20)).await;
        let open = rules::unsettled(&world.state());
        if open.is_empty() {
            break;
        }
        if world.now().saturating_sub(began) > SETTLED_WITHIN {
            let text = format!("converge: after {SETTLED_WITHIN:?}: {}", open.join("; "));
            world.state().record.broken.push(text);
            return;
        }
    }
    world.log("all is as it should be");
    // What no status tells of, as a description that somebody changed, is set right by the next check.
    sleep(TWO_INTERVALS).await;
    let before = Counts::of(&world.state());
    sleep(QUIET).await;
    let now = Counts::of(&world.state());
    let (calls, changes, statuses) =
        (now.calls - before.calls, now.changes - before.changes, now.statuses - before.statuses);
    // At most 8 pairs of resource and account, checked each 10 minutes or a little less with 4 calls each.
    let most = 8 * 7 * 4 + 50;
    if calls > most || changes > 0 || statuses > 6 {
        let text = format!(
            "calls: {calls} to IAM, {changes} of them writes, and {statuses} writes of status in {QUIET:?} of quiet"
        );
        world.state().record.broken.push(text);
    }
}

/// Calls up to a moment.
struct Counts {
    calls: u64,
    /// Writes to IAM.
    changes: u64,
    /// Writes of status.
    statuses: u64,
}

impl Counts {
    fn of(state: &State) -> Self {
        let to_iam = |name: &str| name.strip_prefix("iam ").map(iam::is_read);
        Self {
            calls: state.record.counted(|name| to_iam(name).is_some()),
            changes: state.record.counted(|name| to_iam(name) == Some(false)),
            statuses: state.record.counted(|name| name.starts_with("cluster portaws")),
        }
    }
}

fn prepare(world: &World) {
    let (now, moment) = (world.now(), world.wall().to_string());
    let mut state = world.state();
    for name in ["team", "operator", "kube-system"] {
        let made = state.cluster.create(
            (NAMESPACES, String::new(), name.to_owned()),
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}),
            &moment,
        );
        debug_assert!(made.is_ok());
    }
    let access = json!({
        "apiVersion": "integrations.port.io/v1alpha1", "kind": "PortAwsAccess",
        "spec": {
            "allowedNamespaces": {"names": ["team"]},
            "accounts": ["*"],
            "assumeRole": {"roleName": "PortAwsOperator", "externalId": "example-external-id"},
            "organizations": {"roleArn": format!("arn:aws:iam::{MANAGEMENT}:role/PortAwsOperator"), "externalId": "example-external-id"},
            "limits": {"organizationIds": ["org_A", "org_B"], "managedPolicyArns": POLICIES, "adoption": "Adopt"},
        },
    });
    let made = state.cluster.create((ACCESSES, String::new(), "default".to_owned()), access, &moment);
    debug_assert!(made.is_ok());
    for account in ACCOUNTS {
        state.aws.change(account, now, |content| {
            content.roles.insert(
                FOREIGN_ROLE.to_owned(),
                Role {
                    id: format!("AROAFOREIGN{account}"),
                    created: 0,
                    description: "of somebody".to_owned(),
                    session: "3600".to_owned(),
                    boundary: None,
                    trust: json!({"Version": "2012-10-17", "Statement": []}),
                    tags: [].into(),
                    attached: [EXTRA.to_owned()].into(),
                },
            );
        });
        state
            .aws
            .organization
            .accounts
            .insert(account.to_owned(), ("ou-root-workloads".to_owned(), "ACTIVE".to_owned()));
    }
    MANAGEMENT.clone_into(&mut state.aws.organization.management);
    for name in NAMES {
        create(&mut state, name, now, &moment);
    }
}

/// Creates an integration, if there is none of that name.
pub fn create(state: &mut State, name: &str, now: Duration, moment: &str) {
    let mut spec = json!({"organizationId": "org_A", "integrationIdentifier": name, "interval": "10m"});
    if name == NAMES[2] {
        spec["discovery"] = json!({"organizationalUnitIds": ["ou-root-workloads"]});
    } else {
        spec["accounts"] = some_accounts(state);
    }
    if state.random.bool() {
        spec["accountRemovalPolicy"] = json!("Delete");
    }
    if state.chance(0.2) {
        spec["deletionPolicy"] = json!("Retain");
    }
    if state.chance(0.4) {
        spec["oidcProvider"] = json!({"deletionPolicy": "DeleteIfUnused"});
    }
    if state.shares_role && name != NAMES[2] {
        spec["role"] = json!({"name": "PortIntegrationRole-shared"});
    }
    if state.random.bool() {
        spec["role"]["adoption"] = json!("Adopt");
    }
    let object = json!({"apiVersion": "integrations.port.io/v1alpha1", "kind": "PortAwsIntegration", "spec": spec});
    // One that is still there stays.
    if state.cluster.create(key(name), object, moment).is_ok() {
        rules::note_version(state, &key(name), now);
        if state.chance(0.3) {
            let account = ACCOUNTS[state.random.usize(..ACCOUNTS.len())];
            by_hand(state, account, &format!("PortIntegrationRole-{name}"), now);
        }
    }
}

/// Sets whether the access object allows both organizations of Port, or only one.
fn allow(state: &mut State, now: Duration, all: bool) {
    let organizations = if all { json!(["org_A", "org_B"]) } else { json!(["org_B"]) };
    let key = (ACCESSES, String::new(), "default".to_owned());
    // It is there all the time.
    let _ = state.cluster.change(&key, |object| object["spec"]["limits"]["organizationIds"] = organizations);
    rules::note_allowed(state, now, all);
}

fn some_accounts(state: &mut State) -> Value {
    let bits = state.random.u8(1..8);
    let chosen = ACCOUNTS.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    chosen.map(|(_, account)| json!(account)).collect()
}

/// Something happens.
fn step(world: &Arc<World>, replicas: &[UnboundedSender<Order>]) {
    let what = world.state().random.u8(..10);
    match what {
        0..4 => in_cluster(world),
        4..6 => in_aws(world),
        6 | 7 => to_replicas(world, replicas),
        _ => to_weather(world),
    }
}

fn in_cluster(world: &World) {
    let (now, moment) = (world.now(), world.wall().to_string());
    let mut state = world.state();
    let name = NAMES[state.random.usize(..NAMES.len())];
    let what = state.random.u8(..12);
    if state.cluster.get(&key(name)).is_none() {
        create(&mut state, name, now, &moment);
        drop(state);
        return world.log(format_args!("somebody creates {name}"));
    }
    let (accounts, bit, number) = (some_accounts(&mut state), state.random.bool(), state.random.u32(..));
    let policies: Vec<&str> = POLICIES.into_iter().take(state.random.usize(1..=3)).collect();
    if what == 0 {
        state.cluster.delete(&key(name), &moment);
    } else if what == 11 {
        allow(&mut state, now, bit);
    } else {
        // It is there: that was asked above.
        let _ = state.cluster.change(&key(name), |object| {
            let spec = &mut object["spec"];
            match what {
                1 | 2 => spec["organizationId"] = json!(if bit { "org_A" } else { "org_B" }),
                3 | 4 => spec["role"]["managedPolicyArns"] = json!(policies),
                5 | 6 if spec["discovery"].is_null() => spec["accounts"] = accounts,
                7 => spec["suspend"] = json!(bit),
                8 => spec["mode"] = json!(if bit { "Observe" } else { "Enforce" }),
                9 => {
                    object["metadata"]["annotations"]["integrations.port.io/confirm-removal"] =
                        json!(format!("9-{number}"));
                }
                _ => object["metadata"]["annotations"]["integrations.port.io/requestedAt"] = json!(number.to_string()),
            }
        });
    }
    rules::note_version(&mut state, &key(name), now);
    drop(state);
    world.log(format_args!("somebody does {what} to {name}"));
}

fn in_aws(world: &World) {
    let now = world.now();
    let mut state = world.state();
    let account = ACCOUNTS[state.random.usize(..ACCOUNTS.len())];
    let role = if state.shares_role && state.random.bool() {
        "PortIntegrationRole-shared".to_owned()
    } else {
        format!("PortIntegrationRole-{}", NAMES[state.random.usize(..NAMES.len())])
    };
    let what = state.random.u8(..10);
    let unit = if state.random.bool() { "ou-root-workloads" } else { "ou-root-elsewhere" };
    if what == 8 {
        state.aws.organization.accounts.insert(account.to_owned(), (unit.to_owned(), "ACTIVE".to_owned()));
    } else if what == 9 {
        by_hand(&mut state, account, &role, now);
    } else {
        state.aws.change(account, now, |content| {
            if what == 7 {
                return content.providers.values_mut().for_each(|provider: &mut Provider| provider.clients.clear());
            }
            let Some(found) = content.roles.get_mut(&role) else { return };
            match what {
                0 => found.attached.clear(),
                1 => _ = found.attached.insert(EXTRA.to_owned()),
                2 => found.trust["Statement"][0]["Principal"] = json!({"AWS": "*"}),
                3 => found.tags.clear(),
                4 => _ = content.roles.remove(&role),
                5 => content.providers.clear(),
                _ => "of somebody".clone_into(&mut found.description),
            }
        });
    }
    drop(state);
    world.log(format_args!("somebody does {what} to {role} in {account}"));
}

/// A trust policy of somebody's own.
fn other_trust() -> Value {
    let principal = json!({"AWS": "arn:aws:iam::444444444444:root"});
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]})
}

/// Somebody makes a role of that name, if there is none.
fn by_hand(state: &mut State, account: &str, name: &str, now: Duration) {
    let integrations: Vec<Value> = state.cluster.list(INTEGRATIONS).map(|(_, object)| object.clone()).collect();
    let trust = integrations.iter().map(Wanted).find(|wanted| wanted.role_name() == name);
    let trust = trust.filter(|_| state.chance(0.7)).map_or_else(other_trust, |wanted| wanted.trust(account));
    let attached = state.pick(&[READ_ONLY, EXTRA]).map(|arn| (*arn).to_owned());
    let role = Role {
        id: format!("AROABYHAND{}", state.random.u32(..)),
        created: 0,
        description: "by hand".to_owned(),
        session: "3600".to_owned(),
        boundary: None,
        trust,
        tags: [].into(),
        attached: attached.into_iter().collect(),
    };
    state.aws.change(account, now, |content| _ = content.roles.entry(name.to_owned()).or_insert(role));
}

fn to_replicas(world: &World, replicas: &[UnboundedSender<Order>]) {
    let mut state = world.state();
    let number = state.random.usize(..replicas.len());
    let order = match state.random.u8(..4) {
        0 | 1 => Order::Kill,
        2 => Order::Stop,
        _ => Order::CutOff(state.between(1_000, 150_000)),
    };
    drop(state);
    // The replica lasts as long as the simulation.
    let _ = replicas[number].send(order);
}

/// Changes how things go, for a time.
fn to_weather(world: &Arc<World>) {
    let mut state = world.state();
    let account = ACCOUNTS[state.random.usize(..ACCOUNTS.len())].to_owned();
    let what = state.random.u8(..9);
    let time = state.between(1_000, 150_000);
    let share = state.random.f64() * 0.4;
    if what == 7 {
        state.cluster.compact();
    }
    set(&mut state.weather, what, &account, true, share);
    drop(state);
    world.log(format_args!("weather {what} for {time:?}"));
    let world = Arc::clone(world);
    tokio::spawn(async move {
        sleep(time).await;
        set(&mut world.state().weather, what, &account, false, share);
        world.changed.notify_waiters();
    });
}

fn set(weather: &mut Weather, what: u8, account: &str, on: bool, share: f64) {
    let share = if on { share } else { 0.0 };
    match what {
        0 => weather.aws_faults = share,
        1 => weather.aws_slow = share,
        2 => weather.lag = if on { Duration::from_secs(10) } else { Duration::ZERO },
        3 => weather.cluster_faults = share,
        4 => weather.cluster_down = on,
        5 if on => _ = weather.throttled.insert(account.to_owned()),
        5 => _ = weather.throttled.remove(account),
        8 => weather.watch_lag = if on { 5_000 } else { 0 },
        6 if on => _ = weather.denied.insert(account.to_owned()),
        6 => _ = weather.denied.remove(account),
        _ => {}
    }
}
