//! What the metrics say, held against what happened.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::{Call, Fault, count_by_action},
    fixture::{ORGANIZATION, SOON, Scenario},
    metrics::Metrics,
    wait::eventually,
};

use crate::{
    OPERATOR,
    iam::{ADMIN, Does, NAME, READ_ONLY, ROLE, Somebody},
    scenario,
    shared::account,
};

/// Waits until the metrics are as wanted: they follow what they speak of by a moment.
async fn until(it: &Scenario, what: &str, wanted: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
    eventually(what, SOON, async || {
        let metrics = it.operator()?.metrics().await?;
        if wanted(&metrics) { Ok(Some(metrics)) } else { Err(Error::not_yet(metrics.text)) }
    })
    .await
}

fn counts(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn numbers(counts: BTreeMap<String, usize>) -> BTreeMap<String, f64> {
    let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    counts.into_iter().map(|(name, count)| (name, number(count))).collect()
}

/// How accounts stand, by the metrics.
async fn accounts(it: &Scenario, wanted: &[(&str, f64)]) -> Result<Metrics> {
    until(it, &format!("accounts by state: {wanted:?}"), |metrics| metrics.by("accounts", "state") == counts(wanted))
        .await
}

/// Nothing of a tenant, and no secret, is anywhere in the text.
fn assert_discreet(it: &Scenario, metrics: &Metrics) {
    let options = [it.namespace(), it.account(), NAME, ROLE, ORGANIZATION, "arn:", "AKIA", "ASIA", "oidc.eks"];
    for word in options {
        assert!(!metrics.text.contains(word), "{word}: {}", metrics.text);
    }
    let number = |value: &str| value.len() >= 12 && value.bytes().all(|byte| byte.is_ascii_digit());
    for sample in &metrics.samples {
        for (label, value) in sample.labels.iter().filter(|(label, _)| *label != "le" && *label != "version") {
            assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !number(value), "{label}={value}");
        }
    }
}

/// Each call of the record is counted under its own operation, as often as it was made.
fn assert_calls(metrics: &Metrics, calls: &[Call]) {
    assert_eq!(metrics.by("aws_attempts_total", "operation"), numbers(count_by_action(calls)));
}

#[tokio::test]
async fn counts_are_those_of_what_happened() -> Result<()> {
    let it = scenario("metrics").await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    let metrics = accounts(&it, &[("Ready", 1.0)]).await?;
    let calls = it.operator_calls_since(0).await?;
    assert_calls(&metrics, &calls);
    assert_eq!(metrics.by("aws_calls_total", "operation"), numbers(count_by_action(&calls)), "no call took two tries");
    assert_eq!(metrics.by("aws_calls_total", "outcome"), counts(&[("Ok", 4.0), ("NotFoundInAccount", 2.0)]));
    assert_eq!(metrics.by("aws_call_duration_seconds_count", "operation"), numbers(count_by_action(&calls)));
    assert_eq!(metrics.by("aws_calls_total", "service"), counts(&[("IAM", 5.0), ("STS", 1.0)]));
    assert_eq!(metrics.by("passes_total", "outcome"), counts(&[("Ready", 1.0)]));
    assert_eq!(metrics.by("integrations", "state"), counts(&[("Ready", 1.0)]));
    assert_eq!(metrics.by("drift_corrected_total", "field"), counts(&[]), "nothing had drifted");
    assert_eq!(metrics.by("queue_scheduled", "priority"), counts(&[("Poll", 1.0)]));
    assert!(metrics.sum("status_writes_total", &[("kind", "PortAwsIntegration")]) >= 2.0, "{}", metrics.text);
    assert!((metrics.sum("leader", &[]) - 1.0).abs() < f64::EPSILON);
    // It hears of its integration a moment later.
    let access = [("kind", "PortAwsAccess"), ("outcome", "Ok")];
    until(&it, "the access is reconciled", |metrics| metrics.sum("reconciles_total", &access) > 0.5).await?;
    assert_discreet(&it, &metrics);
    it.finish().await
}

#[tokio::test]
async fn accounts_are_counted_as_status_has_them_until_they_are_gone() -> Result<()> {
    let it = scenario("metrics-states").await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    accounts(&it, &[("Ready", 1.0)]).await?;

    it.fault(Fault::access_denied().action("GetRole")).await?;
    it.request_check(NAME).await?;
    it.until(NAME, "it is denied", |object| account(object)["state"] == "Denied").await?;
    let metrics = accounts(&it, &[("Denied", 1.0)]).await?;
    assert_eq!(metrics.by("integrations", "state"), counts(&[("Reconciling", 1.0)]));
    let labels = [("operation", "GetRole"), ("outcome", "AccessDenied")];
    assert!((metrics.sum("aws_calls_total", &labels) - 1.0).abs() < f64::EPSILON, "{}", metrics.text);
    assert!((metrics.sum("passes_total", &[("outcome", "Denied")]) - 1.0).abs() < f64::EPSILON, "{}", metrics.text);
    assert_eq!(metrics.by("queue_scheduled", "priority"), counts(&[("NotReady", 1.0)]));

    it.delete(NAME).await?;
    let blocked = [("kind", "Remove"), ("outcome", "Blocked")];
    until(&it, "the deletion is blocked", |metrics| {
        metrics.sum("integrations", &[("state", "DeletionBlocked")]) > 0.5
            && metrics.sum("passes_total", &blocked) > 0.5
    })
    .await?;
    it.clear_faults().await?;
    it.annotate(NAME, testkit::fixture::REQUESTED_AT, "again").await?;
    it.gone(NAME).await?;
    let metrics = accounts(&it, &[]).await?;
    assert_eq!(metrics.by("integrations", "state"), counts(&[]));
    assert_eq!(metrics.by("queue_scheduled", "priority"), counts(&[]));
    assert!((metrics.sum("passes_total", &[("outcome", "Cleared")]) - 1.0).abs() < f64::EPSILON);
    assert_calls(&metrics, &it.operator_calls_since(0).await?);
    assert_discreet(&it, &metrics);
    it.finish().await
}

#[tokio::test]
async fn what_an_attack_changed_is_counted_by_field_and_what_a_spec_changes_is_not() -> Result<()> {
    let it = scenario("metrics-drift").await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    it.patch_spec(NAME, json!({"role": {"description": "Another"}})).await?;
    it.ready(NAME).await?;
    let metrics = it.operator()?.metrics().await?;
    assert_eq!(metrics.by("drift_corrected_total", "field"), counts(&[]), "{}", metrics.text);

    let somebody = Somebody::on(&it, ROLE).await?;
    let mut trust = it.state().await?.role(ROLE).expect("the role").trust_policy.clone();
    trust["Statement"][0]["Condition"] = json!({"StringLike": {"*evil*": "system:*"}});
    somebody.does(&[Does::Attach(ADMIN), Does::Detach(READ_ONLY), Does::Trust(trust)]).await?;
    somebody.does(&[Does::Update("Mine", 43200), Does::Tag("port:integration", "x")]).await?;
    it.request_check(NAME).await?;
    let fields = ["Description", "ExtraPolicy", "MaxSessionDuration", "MissingPolicy", "Tags", "TrustCondition"];
    let wanted = counts(&fields.map(|field| (field, 1.0)));
    let metrics =
        until(&it, "drift by field", |metrics| metrics.by("drift_corrected_total", "field") == wanted).await?;
    assert_discreet(&it, &metrics);

    somebody.deletes(&[READ_ONLY]).await?;
    it.request_check(NAME).await?;
    until(&it, "the role made anew", |metrics| metrics.sum("drift_corrected_total", &[("field", "Role")]) > 0.5)
        .await?;
    it.finish().await
}

#[tokio::test]
async fn retries_and_calls_that_hang_are_counted() -> Result<()> {
    let it = scenario("metrics-faults").await?;
    it.fault(Fault::throttle().action("GetRole").count(3)).await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    let metrics = accounts(&it, &[("Ready", 1.0)]).await?;
    assert_calls(&metrics, &it.operator_calls_since(0).await?);
    let called = |outcome| metrics.sum("aws_calls_total", &[("operation", "GetRole"), ("outcome", outcome)]);
    assert!((called("Throttled") - 1.0).abs() < f64::EPSILON, "{}", metrics.text);
    assert!((metrics.sum("aws_attempts_total", &[("operation", "GetRole")]) - 4.0).abs() < f64::EPSILON);

    let rule = it.fault(Fault::hold_before().action("GetRole").count(1)).await?;
    it.annotate(NAME, testkit::fixture::REQUESTED_AT, "now").await?;
    let parked = it.world().backend().next_parked(&rule, SOON).await?;
    let busy = until(&it, "a pass runs", |metrics| metrics.sum("passes_running", &[]) > 0.5).await?;
    assert_eq!(busy.by("passes_limit", ""), counts(&[("", 32.0)]));
    it.world().backend().release(&parked.id, true, true).await?;
    until(&it, "no pass runs", |metrics| metrics.sum("passes_running", &[]) < 0.5).await?;
    it.finish().await
}

#[tokio::test]
async fn sessions_and_discoveries_are_counted() -> Result<()> {
    let access = |spec: &mut Value| {
        spec["assumeRole"] = json!({"roleName": "PortAwsOperator", "externalId": "example-external-id"});
    };
    let it = Scenario::builder("metrics-assume", OPERATOR).access(access).start().await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    let metrics = accounts(&it, &[("Ready", 1.0)]).await?;
    assert!((metrics.sum("sessions_cached", &[]) - 1.0).abs() < f64::EPSILON, "{}", metrics.text);
    assert!((metrics.sum("assume_role_wait_seconds_count", &[]) - 1.0).abs() < f64::EPSILON);
    let labels = [("service", "STS"), ("operation", "AssumeRole"), ("outcome", "Ok")];
    assert!((metrics.sum("aws_calls_total", &labels) - 1.0).abs() < f64::EPSILON, "{}", metrics.text);

    let discovers = |spec: &mut Value| {
        spec.as_object_mut().expect("fields").remove("accounts");
        spec["discovery"] = json!({"organizationalUnitIds": ["r-abcd"]});
    };
    it.patch_access(json!({"organizations": {}})).await?;
    it.integration("aws-found", discovers).await?;
    let told = Duration::from_secs(60);
    let refused = |object: &Value| testkit::fixture::condition(object, "AccountsResolved")["status"] == "False";
    let object = it.watch()?.until("aws-found", "discovery fails", told, refused).await?;
    let reason = testkit::fixture::condition(&object, "AccountsResolved")["reason"].clone();
    let wanted = counts(&[(reason.as_str().expect("a reason"), 1.0)]);
    until(&it, "a failed discovery", |metrics| metrics.by("discoveries_total", "outcome") == wanted).await?;
    it.finish().await
}
