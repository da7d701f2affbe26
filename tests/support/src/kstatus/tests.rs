//! Each rule is shown to hold for a right object and to fail for a wrong one.

use std::time::Duration;

use serde_json::json;

use super::*;

const TIME: &str = "2024-05-01T10:00:00Z";
const LATER: &str = "2024-05-01T10:05:00Z";

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "Because", "message": "text",
           "lastTransitionTime": TIME, "observedGeneration": 2})
}

fn object(conditions: &[Value]) -> Value {
    json!({
        "metadata": {"name": "x", "generation": 2, "resourceVersion": "10"},
        "spec": {},
        "status": {"observedGeneration": 2, "conditions": conditions},
    })
}

fn ready() -> Value {
    object(&[condition("Ready", "True")])
}

fn busy() -> Value {
    object(&[condition("Ready", "False"), condition("Reconciling", "True")])
}

/// A right object with one thing changed.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
    let parent = object.pointer_mut(parent).unwrap_or(&mut Value::Null).take();
    let changed = match parent {
        Value::Object(mut map) => {
            map.insert(key.to_owned(), value);
            Value::Object(map)
        }
        other => other,
    };
    let (place, _) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(slot) = object.pointer_mut(place) {
        *slot = changed;
    }
    object
}

fn first(object: Value, key: &str, value: Value) -> Value {
    with(object, &format!("/status/conditions/0/{key}"), value)
}

#[track_caller]
fn assert_broken(broken: &[String], part: &str) {
    assert!(broken.iter().any(|text| text.contains(part)), "{part:?} expected among {broken:?}");
}

#[test]
fn right_objects_break_nothing() {
    let stalled = object(&[condition("Ready", "False"), condition("Stalled", "True")]);
    let first_visit = object(&[condition("Ready", "Unknown"), condition("Reconciling", "True")]);
    let waiting = object(&[condition("Ready", "False")]);
    let accounts = json!([
        {"id": "111111111111", "state": "Ready"},
        {"id": "222222222222", "state": "Removed"},
        {"id": "333333333333", "state": "Failed", "message": "denied"},
    ]);
    let counted =
        with(with(busy(), "/status/accounts", accounts), "/status/accountCounts", json!({"total": 2, "ready": 1}));
    for right in [
        json!({"metadata": {"generation": 1}, "spec": {}}),
        json!({"metadata": {"generation": 1}, "status": {}}),
        ready(),
        busy(),
        stalled,
        first_visit,
        with(waiting.clone(), "/spec/suspend", json!(true)),
        with(waiting, "/metadata/deletionTimestamp", json!(TIME)),
        counted,
        // The spec was changed, nobody has looked at it yet.
        with(ready(), "/metadata/generation", json!(3)),
    ] {
        assert_eq!(check(&right), Vec::<String>::new(), "{right}");
    }
}

#[test]
fn each_rule_about_one_condition_can_fail() {
    let table = [
        ("type", json!("ready"), "type is not"),
        ("status", json!("true"), "status is none"),
        ("status", json!(true), "status is none"),
        ("reason", json!(""), "reason is not"),
        ("reason", json!("not_camel"), "reason is not"),
        ("reason", json!("lower"), "reason is not"),
        ("message", json!("x".repeat(1025)), "message is missing or"),
        ("message", Value::Null, "message is missing or"),
        ("lastTransitionTime", Value::Null, "lastTransitionTime is no"),
        ("lastTransitionTime", json!("2024-05-01T10:00:00.123Z"), "lastTransitionTime is no"),
        ("lastTransitionTime", json!("2024-05-41T10:00:00Z"), "lastTransitionTime is no"),
        ("observedGeneration", Value::Null, "observedGeneration is missing"),
        ("observedGeneration", json!(3), "ahead of metadata.generation"),
        ("observedGeneration", json!(3), "ahead of status.observedGeneration"),
        ("message", json!("RequestID: 7a62c49f-347e-4fc4-9331-6e8eeeeeeeee"), "request ID"),
        ("message", json!("key AKIAIOSFODNN7EXAMPLE"), "access key ID"),
        ("message", json!("ASIAIOSFODNN7EXAMPLE."), "access key ID"),
    ];
    for (key, value, part) in table {
        assert_broken(&check(&first(ready(), key, value)), part);
    }
    assert!(check(&first(ready(), "message", json!("x".repeat(1024)))).is_empty());
}

#[test]
fn each_rule_about_the_summary_can_fail() {
    let table = [
        (vec![("Ready", "True"), ("Ready", "True")], "twice"),
        (vec![("Ready", "True"), ("Stalled", "False")], "True or absent"),
        (vec![("Ready", "True"), ("Reconciling", "Unknown")], "True or absent"),
        (
            vec![("Ready", "False"), ("Reconciling", "True"), ("Stalled", "True")],
            "Reconciling and Stalled at the same time",
        ),
        (vec![("RoleReady", "True")], "but not Ready"),
        (vec![("Ready", "True"), ("Reconciling", "True")], "Ready together"),
        (vec![("Ready", "True"), ("Stalled", "True")], "Ready together"),
        (vec![("Ready", "False")], "neither Reconciling nor Stalled"),
        (vec![("Ready", "Unknown")], "neither Reconciling nor Stalled"),
    ];
    for (conditions, part) in table {
        let conditions: Vec<_> = conditions.iter().map(|(kind, status)| condition(kind, status)).collect();
        assert_broken(&check(&object(&conditions)), part);
    }
    let behind = first(ready(), "observedGeneration", json!(1));
    assert_broken(&check(&behind), "another generation");
}

#[test]
fn each_rule_about_accounts_can_fail() {
    let a = json!({"id": "111111111111", "state": "Ready"});
    let b = json!({"id": "222222222222", "state": "Failed",
                   "message": "see 7a62c49f-347e-4fc4-9331-6e8eeeeeeeee"});
    let table = [
        (json!([b, a]), json!({}), "not sorted"),
        (json!([a, a]), json!({}), "twice"),
        (json!([a, b]), json!({}), "account 222222222222: message has a request ID"),
        (json!([a, b]), json!({"total": 1}), "accountCounts.total is 1"),
        (json!([a, b]), json!({"ready": 2}), "accountCounts.ready is 2"),
    ];
    for (accounts, counts, part) in table {
        let wrong = with(busy(), "/status/accounts", accounts);
        let wrong = with(wrong, "/status/accountCounts", counts);
        assert_broken(&check(&wrong), part);
    }
}

#[test]
fn right_steps_break_nothing() {
    let mut turned = busy();
    turned = first(turned, "lastTransitionTime", json!(LATER));
    let new_message = first(busy(), "message", json!("other"));
    let spec = with(ready(), "/metadata/generation", json!(3));
    let quick = with(busy(), "/metadata/managedFields", json!([{"time": TIME}]));
    for (old, new) in [
        (ready(), turned),
        (busy(), new_message),
        (ready(), spec),
        (json!({"metadata": {"generation": 2}}), ready()),
        // Both turns were within one second.
        (ready(), quick),
    ] {
        assert_eq!(check_transition(&old, &new), Vec::<String>::new(), "{new}");
    }
}

#[test]
fn each_rule_about_steps_can_fail() {
    let touched = with(ready(), "/metadata/resourceVersion", json!("11"));
    let managed = with(touched.clone(), "/metadata/managedFields", json!([{"time": LATER}]));
    let late = with(busy(), "/metadata/managedFields", json!([{"time": LATER}]));
    let table = [
        (ready(), touched, "changed nothing"),
        (ready(), managed, "changed nothing"),
        (ready(), first(ready(), "lastTransitionTime", json!(LATER)), "status did not"),
        (ready(), busy(), "lastTransitionTime stayed"),
        (ready(), late, "lastTransitionTime stayed"),
        (first(ready(), "lastTransitionTime", json!(LATER)), busy(), "lastTransitionTime went back"),
        (ready(), with(ready(), "/status/observedGeneration", json!(1)), "went back from Some(2)"),
        (ready(), json!({"metadata": {"generation": 2}}), "went back from Some(2) to None"),
    ];
    for (old, new, part) in table {
        assert_broken(&check_transition(&old, &new), part);
    }
}

#[test]
fn a_write_that_was_held_up_may_leave_the_time_of_two_quick_turns() {
    let late = with(busy(), "/metadata/managedFields", json!([{"time": LATER}]));
    let (took, less) = (Duration::from_mins(5), Duration::from_mins(4));
    assert_eq!(check_late_transition(&ready(), &late, took), Vec::<String>::new());
    assert_broken(&check_late_transition(&ready(), &late, less), "lastTransitionTime stayed");
}

#[test]
fn computes_what_gitops_tools_see() {
    let stalled = object(&[condition("Ready", "False"), condition("Stalled", "True")]);
    let table = [
        (Value::Null, Kstatus::NotFound),
        (with(ready(), "/metadata/deletionTimestamp", json!(TIME)), Kstatus::Terminating),
        (ready(), Kstatus::Current),
        (busy(), Kstatus::InProgress),
        (stalled, Kstatus::Failed),
        (with(ready(), "/metadata/generation", json!(3)), Kstatus::InProgress),
        (object(&[condition("Ready", "Unknown")]), Kstatus::InProgress),
        (object(&[condition("Ready", "False")]), Kstatus::InProgress),
        (object(&[condition("RoleReady", "False")]), Kstatus::Current),
        (json!({"metadata": {"generation": 1}}), Kstatus::Current),
    ];
    for (object, expected) in table {
        assert_eq!(compute(&object), expected, "{object}");
    }
}
