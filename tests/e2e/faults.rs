//! AWS that fails, refuses, forgets and does not answer, and an API server that is away.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{Call, Fault},
    fixture::{SOON, Scenario, World, condition},
};

use crate::{
    OPERATOR, scenario,
    shared::{ROLE, account, assert_discreet, effective, likeness, says_ready},
};

/// Scenarios of one table that run at once.
const AT_ONCE: usize = 6;

/// A call of a fresh account, what happens to it, and the reason that status and events show.
struct Case {
    action: &'static str,
    fault: Fault,
    reason: Option<&'static str>,
}

/// As many times as it takes to outlast the SDK's own two attempts.
fn thrice(action: &'static str, fault: Fault, reason: &'static str) -> Case {
    Case { action, fault: fault.count(3), reason: Some(reason) }
}

fn once(action: &'static str, fault: Fault, reason: Option<&'static str>) -> Case {
    Case { action, fault: fault.count(1), reason }
}

fn cases() -> Vec<Case> {
    const PROVIDER: &str = "GetOpenIDConnectProvider";
    const CREATE_PROVIDER: &str = "CreateOpenIDConnectProvider";
    const CHANGED: Option<&str> = Some("ConcurrentChange");
    let slow = || Fault::latency(Duration::from_secs(3));
    let silent = || Fault::hang().lasting(Duration::from_secs(25));
    let unknown_policy = Fault::error(404, "NoSuchEntity", "The role cannot be found.");
    let unknown_principal = Fault::error(400, "MalformedPolicyDocument", "Invalid principal in policy");
    let busy = Fault::error(409, "ConcurrentModification", "Try again");
    vec![
        thrice(PROVIDER, Fault::throttle(), "Throttled"),
        thrice("GetRole", Fault::throttle(), "Throttled"),
        thrice(CREATE_PROVIDER, Fault::throttle(), "Throttled"),
        thrice("CreateRole", Fault::throttle(), "Throttled"),
        thrice("AttachRolePolicy", Fault::throttle(), "Throttled"),
        thrice("GetRole", Fault::error500(), "ServiceUnavailable"),
        thrice("CreateRole", Fault::error500(), "ServiceUnavailable"),
        thrice(PROVIDER, Fault::error503(), "ServiceUnavailable"),
        thrice("AttachRolePolicy", Fault::error503(), "ServiceUnavailable"),
        thrice("GetRole", Fault::cut_before(), "Unreachable"),
        thrice(CREATE_PROVIDER, Fault::cut_before(), "Unreachable"),
        thrice("CreateRole", Fault::cut_before(), "Unreachable"),
        thrice("AttachRolePolicy", Fault::cut_before(), "Unreachable"),
        once(CREATE_PROVIDER, Fault::cut_after(), CHANGED),
        once("CreateRole", Fault::cut_after(), CHANGED),
        once("AttachRolePolicy", Fault::cut_after(), None),
        once("GetRole", slow(), None),
        once("CreateRole", slow(), None),
        once("GetRole", silent(), None),
        once("CreateRole", silent(), None),
        once("AttachRolePolicy", silent(), None),
        thrice("AttachRolePolicy", unknown_policy, "NotFoundInAccount"),
        thrice("CreateRole", unknown_principal, "InvalidRequest"),
        thrice("CreateRole", busy, "ConcurrentChange"),
    ]
}

#[tokio::test]
async fn whatever_goes_wrong_with_a_call_the_account_ends_as_if_nothing_had() -> Result<()> {
    let undisturbed = scenario("fault-none").await?;
    undisturbed.integration("aws-prod", |_| ()).await?;
    undisturbed.ready("aws-prod").await?;
    let wanted = likeness(&undisturbed).await?;
    undisturbed.finish().await?;
    let runs = stream::iter(cases()).map(|case| recovers(case, &wanted)).buffer_unordered(AT_ONCE);
    runs.try_collect::<Vec<()>>().await.map(drop)
}

async fn recovers(Case { action, fault, reason }: Case, wanted: &str) -> Result<()> {
    let what = serde_json::to_string(&fault)?;
    let mut it = scenario("fault").await?;
    let seq = it.seq().await?;
    it.fault(fault.action(action)).await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;

    assert_eq!(likeness(&it).await?, wanted, "{action}: {what}");
    let calls = it.operator_calls_since(seq).await?;
    assert!(calls.iter().any(|call| call.action == action && call.fault.is_some()), "{action}: {what}");
    for action in ["CreateOpenIDConnectProvider", "CreateRole"] {
        assert_eq!(effective(&calls, action), 1, "{action}: {what}: {calls:#?}");
    }
    let shown: Vec<Value> = it.watch()?.history("aws-prod");
    let shown: Vec<&str> = shown.iter().filter_map(|it| account(it)["reason"].as_str()).collect();
    if let Some(reason) = reason {
        assert!(shown.contains(&reason), "{action}: {what}: {shown:?}");
        let event = it.event("aws-prod", reason).await?;
        assert_eq!((event.type_.as_str(), event.count), ("Warning", 1), "{event:?}");
        assert!(event.note.contains(action), "{event:?}");
        if !what.contains("cut_") {
            assert_discreet(&mut it, "aws-prod").await?;
        }
    } else {
        let troubled = shown.iter().any(|reason| !["Pending", "Ready"].contains(reason));
        assert!(!troubled, "{action}: {what}: {shown:?}");
    }
    let seq = it.seq().await?;
    it.request_check("aws-prod").await?;
    assert_eq!(it.operator_writes_since(seq).await?, vec![], "{action}: {what}");
    it.finish().await
}

async fn calls_of(it: &Scenario, action: &str, role: &str) -> Result<Vec<Call>> {
    let mut calls = it.operator_calls_since(0).await?;
    calls.retain(|call| call.action == action && call.param("RoleName") == Some(role));
    Ok(calls)
}

#[tokio::test]
async fn a_refused_permission_is_named_and_asked_for_again_after_a_minute_until_it_is_there() -> Result<()> {
    let mut it = scenario("denied").await?;
    it.integration("aws-other", |_| ()).await?;
    it.ready("aws-other").await?;
    it.fault(Fault::access_denied().action("CreateRole")).await?;
    it.integration("aws-prod", |_| ()).await?;
    let object = it.until("aws-prod", "CreateRole is refused", |it| account(it)["state"] == "Denied").await?;
    assert_eq!(account(&object)["reason"], "AccessDenied");
    let message = "AWS refuses CreateRole: check the operator's IAM policy and the SCPs of the account";
    assert_eq!(account(&object)["message"], message);
    assert_eq!(condition(&object, "Ready")["reason"], "AccessDenied");
    assert_eq!(condition(&object, "RoleReady")["reason"], "AccessDenied");
    assert_eq!(condition(&object, "Reconciling")["reason"], "Retrying");
    let event = it.event("aws-prod", "AccessDenied").await?;
    assert_eq!((event.type_.as_str(), event.count), ("Warning", 1));

    // Meanwhile the account is visited again and again for somebody else.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        it.request_check("aws-other").await?;
    }
    assert_eq!(calls_of(&it, "CreateRole", ROLE).await?.len(), 1);

    it.clear_faults().await?;
    let by_itself = Duration::from_secs(80);
    it.watch()?.until("aws-prod", "it is ready by itself", by_itself, says_ready).await?;
    let tries = calls_of(&it, "CreateRole", ROLE).await?;
    let pause = tries[1].time - tries[0].time;
    assert_eq!(tries.len(), 2);
    assert!((60.0..76.0).contains(&pause), "{pause} s");
    assert_eq!(it.event("aws-prod", "AccessDenied").await?.count, 1);
    assert_discreet(&mut it, "aws-prod").await?;
    it.finish().await
}

#[tokio::test]
async fn a_refused_account_is_tried_again_at_once_when_the_spec_changes_or_somebody_asks() -> Result<()> {
    let it = scenario("denied-asked").await?;
    let change = |name| it.patch_spec(name, json!({"role": {"description": "Another"}}));
    for name in ["aws-changed", "aws-asked"] {
        let role = format!("PortIntegrationRole-{name}");
        it.fault(Fault::access_denied().action("CreateRole")).await?;
        it.integration(name, |_| ()).await?;
        it.until(name, "CreateRole is refused", |it| account(it)["state"] == "Denied").await?;
        it.clear_faults().await?;
        if name == "aws-changed" {
            change(name).await?;
        } else {
            it.request_check(name).await?;
        }
        it.ready(name).await?;
        let tries = calls_of(&it, "CreateRole", &role).await?;
        assert_eq!(tries.len(), 2);
        let pause = tries[1].time - tries[0].time;
        assert!(pause < 30.0, "{name}: {pause} s");
        assert_eq!(tries[1].param("Description") == Some("Another"), name == "aws-changed");
    }
    it.finish().await
}

#[tokio::test]
async fn a_role_or_provider_that_iam_does_not_show_yet_is_not_made_again() -> Result<()> {
    // Something after the creation fails, so that the account is read again at once.
    let later = |action| Fault::error(409, "ConcurrentModification", "Try again").action(action).count(2);
    for (hidden, create, later) in [
        ("GetRole", "CreateRole", later("AttachRolePolicy")),
        ("GetOpenIDConnectProvider", "CreateOpenIDConnectProvider", later("CreateRole")),
    ] {
        let it = scenario("hidden").await?;
        let seq = it.seq().await?;
        it.fault(later).await?;
        it.fault(Fault::no_such_entity().action(hidden).skip(1).count(3)).await?;
        it.integration("aws-prod", |_| ()).await?;
        it.ready("aws-prod").await?;
        let calls = it.operator_calls_since(seq).await?;
        let creations: Vec<&Call> = calls.iter().filter(|call| call.action == create).collect();
        assert_eq!(creations.len(), 1, "{creations:#?}");
        assert_eq!(calls.iter().filter(|call| call.action == hidden && call.fault.is_some()).count(), 3);
        let role = it.state().await?.role(ROLE).cloned().expect("the role");
        assert!(role.attached_policies.iter().eq(["arn:aws:iam::aws:policy/ReadOnlyAccess"]));
        it.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_role_that_iam_does_not_show_yet_is_not_left_behind_by_a_deletion() -> Result<()> {
    let it = scenario("hidden-deleted").await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    it.fault(Fault::no_such_entity().action("GetRole").count(2)).await?;
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.finish().await
}

#[tokio::test]
async fn a_check_that_is_asked_for_before_iam_shows_role_and_provider_does_no_harm() -> Result<()> {
    for hidden in ["GetRole", "GetOpenIDConnectProvider"] {
        let it = scenario("hidden-asked").await?;
        it.integration("aws-prod", |_| ()).await?;
        it.ready("aws-prod").await?;
        let before = it.state().await?;
        it.fault(Fault::no_such_entity().action(hidden).count(1)).await?;
        it.request_check("aws-prod").await?;
        let object = it.ready("aws-prod").await?;
        assert_eq!(it.state().await?, before);
        assert_eq!(account(&object)["roleId"], before.role(ROLE).expect("the role").id);
        let calls = it.operator_calls_since(0).await?;
        assert_eq!(calls.iter().filter(|call| call.action == hidden && call.fault.is_some()).count(), 1);
        it.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_role_name_that_is_taken_in_another_case_is_not_tried_without_end() -> Result<()> {
    let it = scenario("taken").await?;
    let foreign = ROLE.to_lowercase();
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ]});
    let iam = it.iam().await?;
    iam.create_role().role_name(&foreign).assume_role_policy_document(trust.to_string()).send().await.expect("a role");
    let before = it.state().await?.role(&foreign).cloned();
    it.integration("aws-prod", |_| ()).await?;
    let object = it.until("aws-prod", "the name is taken", |it| account(it)["state"] == "Failed").await?;
    assert_eq!(account(&object)["reason"], "ConcurrentChange");
    assert_eq!(condition(&object, "Reconciling")["reason"], "Retrying");
    let tries = testkit::wait::eventually("four tries", SOON, async || {
        Ok(Some(calls_of(&it, "CreateRole", ROLE).await?).filter(|tries| tries.len() >= 4))
    })
    .await?;
    let pauses: Vec<f64> = tries.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
    for (pause, least) in pauses.iter().zip([2.0, 4.0, 8.0]) {
        assert!(*pause >= least, "{pauses:?}");
    }
    assert_eq!(it.state().await?.role(&foreign).cloned(), before);
    assert_eq!(it.event("aws-prod", "ConcurrentChange").await?.count, 1);

    iam.delete_role().role_name(&foreign).send().await.expect("the role goes");
    it.request_check("aws-prod").await?;
    it.ready("aws-prod").await?;
    it.finish().await
}

/// What a change of the resource may take to be seen while a pass hangs. The pass itself would take
/// longer: an attempt at a call lasts 10 s.
const AT_ONCE_DEADLINE: Duration = Duration::from_secs(5);

async fn seen_at_once(it: &Scenario, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
    it.watch()?.until(name, what, AT_ONCE_DEADLINE, wanted).await.map(drop)
}

#[tokio::test]
async fn a_spec_that_changes_while_a_call_hangs_is_seen_at_once_and_the_old_one_is_never_written() -> Result<()> {
    let it = scenario("hang-spec").await?;
    let rule = it.fault(Fault::hold_before().action("GetRole").count(1)).await?;
    it.integration("aws-prod", |_| ()).await?;
    let parked = it.world().backend().next_parked(&rule, SOON).await?;
    it.patch_spec("aws-prod", json!({"suspend": true})).await?;
    seen_at_once(&it, "aws-prod", "it is suspended", |it| condition(it, "Ready")["reason"] == "Suspended").await?;
    let changed = it.patch_spec("aws-prod", json!({"suspend": false, "role": {"description": "Another"}})).await?;
    let generation = &changed["metadata"]["generation"];
    let seen = |it: &Value| it["status"]["observedGeneration"] == *generation;
    seen_at_once(&it, "aws-prod", "the change is seen", seen).await?;
    assert!(it.world().backend().parked(&rule, Duration::ZERO).await?.len() == 1, "the call hangs all the while");
    it.world().backend().release(&parked.id, true, true).await?;

    it.ready("aws-prod").await?;
    assert_eq!(it.state().await?.role(ROLE).expect("the role").description, "Another");
    let created = calls_of(&it, "CreateRole", ROLE).await?;
    let descriptions: Vec<_> = created.iter().map(|call| call.param("Description")).collect();
    assert_eq!(descriptions, [Some("Another")]);
    assert_eq!(calls_of(&it, "UpdateRole", ROLE).await?, vec![]);
    it.finish().await
}

#[tokio::test]
async fn a_deletion_while_a_call_hangs_is_seen_at_once_and_nothing_more_is_made() -> Result<()> {
    let it = scenario("hang-delete").await?;
    let backend = it.world().backend();
    let hold = || Fault::hold_before().action("GetRole").count(1);
    let rule = it.fault(hold()).await?;
    it.integration("aws-prod", |_| ()).await?;
    let parked = backend.next_parked(&rule, SOON).await?;
    it.delete("aws-prod").await?;
    // Nothing was made yet, so nothing keeps it.
    seen_at_once(&it, "aws-prod", "it is gone", Value::is_null).await?;
    backend.release(&parked.id, true, true).await?;

    // Passes in an account follow each other, so the one that hung is over when this is ready.
    it.integration("aws-next", |_| ()).await?;
    it.ready("aws-next").await?;
    assert_eq!(calls_of(&it, "CreateRole", ROLE).await?, vec![]);

    let rule = it.fault(hold()).await?;
    it.annotate("aws-next", "integrations.port.io/requestedAt", "now").await?;
    let parked = backend.next_parked(&rule, SOON).await?;
    it.delete("aws-next").await?;
    let deleting = |it: &Value| condition(it, "Ready")["reason"] == "Deleting";
    seen_at_once(&it, "aws-next", "it is being deleted", deleting).await?;
    assert_eq!(backend.parked(&rule, Duration::ZERO).await?.len(), 1, "the call hangs all the while");
    backend.release(&parked.id, true, true).await?;
    it.gone("aws-next").await?;
    assert_eq!(it.state().await?.roles, vec![]);
    it.finish().await
}

#[tokio::test]
async fn a_role_whose_calls_hang_for_ever_does_not_keep_another_of_its_account_from_being_ready() -> Result<()> {
    let it = scenario("hang-other").await?;
    let rule = it.fault(Fault::hang().param("RoleName", ROLE)).await?;
    it.integration("aws-prod", |_| ()).await?;
    it.world().backend().next_parked(&rule, SOON).await?;
    it.integration("aws-other", |_| ()).await?;
    let one_operation = Duration::from_secs(60);
    it.watch()?.until("aws-other", "it is ready", one_operation, says_ready).await?;
    let object = it.watch()?.current("aws-prod");
    assert_eq!(account(&object)["reason"], "Unreachable", "{object}");
    assert_eq!(condition(&object, "Reconciling")["reason"], "Retrying");
    it.clear_faults().await?;
    it.request_check("aws-prod").await?;
    it.ready("aws-prod").await?;
    it.finish().await
}

#[tokio::test]
async fn an_outage_of_the_api_server_is_outlived_and_caught_up_with() -> Result<()> {
    // Leaked, as all other worlds are: scenarios borrow theirs for the rest of the process.
    let world: &'static World = Box::leak(Box::new(World::start(false).await?));
    let it = Scenario::builder("outage", OPERATOR).world(world).start().await?;
    let held = it.fault(Fault::hold_after().action("CreateOpenIDConnectProvider").count(1)).await?;
    it.integration("aws-prod", |_| ()).await?;
    let parked = world.backend().next_parked(&held, SOON).await?;
    world.plane().stop_api_server().await?;
    world.backend().release(&parked.id, true, true).await?;
    // The claim is stored, so the pass goes on.
    it.state_until("the role is made", |state| state.role(ROLE).is_some_and(|it| !it.attached_policies.is_empty()))
        .await?;
    let iam = it.iam().await?;
    let admin = "arn:aws:iam::aws:policy/AdministratorAccess";
    iam.attach_role_policy().role_name(ROLE).policy_arn(admin).send().await.expect("somebody attaches it");
    it.operator()?.check_healthy()?;

    world.plane().start_api_server().await?;
    it.ready("aws-prod").await?;
    it.operator()?.check_healthy()?;
    it.request_check("aws-prod").await?;
    let role = it.state().await?.role(ROLE).cloned().expect("the role");
    assert!(role.attached_policies.iter().eq(["arn:aws:iam::aws:policy/ReadOnlyAccess"]));
    let calls = it.operator_calls_since(0).await?;
    assert_eq!(effective(&calls, "CreateRole"), 1);
    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    it.finish().await
}
