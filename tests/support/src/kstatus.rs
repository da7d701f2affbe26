//! The rules that every version of a resource's status has to keep.
//!
//! `GitOps` tools judge a resource by the kstatus conventions. One version that breaks them for a
//! moment makes a deployment look finished or failed, so the rules are checked on every version,
//! not only on the last.

mod text;
mod transition;

use std::collections::BTreeSet;

use serde_json::Value;

pub use transition::{USUAL, check_late_transition, check_transition};

const MAX_MESSAGE: usize = 1024;

/// What a `GitOps` tool concludes from a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kstatus {
    /// As wanted.
    Current,
    /// On its way.
    InProgress,
    /// Stuck until somebody acts.
    Failed,
    /// Being deleted.
    Terminating,
    /// Not there.
    NotFound,
}

/// Computes the status as `GitOps` tools do for custom resources; `null` stands for no object.
#[must_use]
pub fn compute(object: &Value) -> Kstatus {
    if object.is_null() {
        return Kstatus::NotFound;
    }
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Kstatus::Terminating;
    }
    let status = &object["status"];
    let observed = status["observedGeneration"].as_i64();
    if observed.is_some() && observed != object["metadata"]["generation"].as_i64() {
        return Kstatus::InProgress;
    }
    // In the order of the list: the first abnormal condition decides.
    for condition in conditions(object) {
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Reconciling"), Some("True")) => return Kstatus::InProgress,
            (Some("Stalled"), Some("True")) => return Kstatus::Failed,
            _ => {}
        }
    }
    match find(object, "Ready").and_then(|ready| ready["status"].as_str()) {
        Some("False" | "Unknown") => Kstatus::InProgress,
        _ => Kstatus::Current,
    }
}

/// The rules that one version of an object breaks; empty if it is right.
#[must_use]
pub fn check(object: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for condition in conditions(object) {
        let kind = condition["type"].as_str().unwrap_or_default();
        if !seen.insert(kind) {
            broken.push(format!("condition {kind} is there twice"));
        }
        check_form(condition, object, &mut broken);
        check_secrets(condition, &format!("condition {kind}"), &mut broken);
    }
    check_summary(object, &mut broken);
    check_accounts(object, &mut broken);
    broken
}

/// A resource's conditions; empty if it has none.
fn conditions(object: &Value) -> &[Value] {
    object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn find<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    conditions(object).iter().find(|it| it["type"] == kind)
}

fn is_true(object: &Value, kind: &str) -> bool {
    find(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// One condition by itself.
fn check_form(condition: &Value, object: &Value, broken: &mut Vec<String>) {
    let kind = condition["type"].as_str().unwrap_or_default();
    let mut rule = |kept: bool, what: &str| {
        if !kept {
            broken.push(format!("condition {kind}: {what} ({condition})"));
        }
    };
    rule(text::is_camel_case(kind), "type is not in CamelCase");
    let status = condition["status"].as_str().unwrap_or_default();
    rule(["True", "False", "Unknown"].contains(&status), "status is none of True, False and Unknown");
    let reason = condition["reason"].as_str().unwrap_or_default();
    rule(text::is_camel_case(reason), "reason is not in CamelCase");
    rule(
        condition["message"].as_str().is_some_and(|it| it.len() <= MAX_MESSAGE),
        "message is missing or longer than 1024 bytes",
    );
    rule(
        condition["lastTransitionTime"].as_str().is_some_and(text::is_time_in_seconds),
        "lastTransitionTime is no RFC 3339 time in whole seconds",
    );
    let observed = condition["observedGeneration"].as_i64();
    rule(observed.is_some(), "observedGeneration is missing");
    rule(observed <= object["metadata"]["generation"].as_i64(), "observedGeneration is ahead of metadata.generation");
    rule(
        observed <= object["status"]["observedGeneration"].as_i64(),
        "observedGeneration is ahead of status.observedGeneration",
    );
    if ["Reconciling", "Stalled"].contains(&kind) {
        rule(status == "True", "an abnormal condition is either True or absent");
    }
}

/// Ready, Reconciling and Stalled together.
fn check_summary(object: &Value, broken: &mut Vec<String>) {
    if conditions(object).is_empty() {
        return;
    }
    let reconciling = is_true(object, "Reconciling");
    let stalled = is_true(object, "Stalled");
    if reconciling && stalled {
        broken.push("Reconciling and Stalled at the same time".to_owned());
    }
    let Some(ready) = find(object, "Ready") else {
        broken.push("there are conditions, but not Ready".to_owned());
        return;
    };
    if ready["status"] == "True" {
        if reconciling || stalled {
            broken.push("Ready together with Reconciling or Stalled".to_owned());
        }
        if ready["observedGeneration"] != object["status"]["observedGeneration"] {
            broken.push("Ready is about another generation than the status".to_owned());
        }
        return;
    }
    // A deletion and a suspended resource may rest without either. A status of another generation
    // speaks of another spec, as right after the end of a suspension.
    let at_rest = !object["metadata"]["deletionTimestamp"].is_null() || object["spec"]["suspend"] == true;
    let outdated = object["status"]["observedGeneration"] != object["metadata"]["generation"];
    if !at_rest && !outdated && !reconciling && !stalled {
        broken.push("not Ready, and neither Reconciling nor Stalled".to_owned());
    }
}

fn check_accounts(object: &Value, broken: &mut Vec<String>) {
    let status = &object["status"];
    let Some(accounts) = status["accounts"].as_array() else {
        return;
    };
    let id = |account: &Value| account["id"].as_str().unwrap_or_default().to_owned();
    for pair in accounts.windows(2) {
        let (first, second) = (id(&pair[0]), id(&pair[1]));
        if first == second {
            broken.push(format!("account {first} is there twice"));
        } else if first > second {
            broken.push(format!("accounts are not sorted: {first} before {second}"));
        }
    }
    for account in accounts {
        check_secrets(account, &format!("account {}", id(account)), broken);
    }
    let count = |wanted: &dyn Fn(&Value) -> bool| {
        let number = accounts.iter().filter(|it| wanted(&it["state"])).count();
        u64::try_from(number).unwrap_or(u64::MAX)
    };
    // Only what discovery found is skipped.
    let discovers = object["spec"]["discovery"].is_object();
    let skipped = |state: &Value| discovers && (state == "NotAllowed" || state == "AccountSuspended");
    let expected = [
        ("total", count(&|state| state != "Removed" && !skipped(state))),
        ("ready", count(&|state| state == "Ready")),
        ("skipped", count(&|state| skipped(state))),
    ];
    for (name, number) in expected {
        let told = status["accountCounts"][name].as_u64();
        // Absent counts are another test's business.
        if told.is_some_and(|told| told != number) {
            broken.push(format!("accountCounts.{name} is {}, but accounts has {number}", told.unwrap_or_default()));
        }
    }
}

/// Request IDs change with each call and make each status a new one; key IDs are nobody's business.
fn check_secrets(holder: &Value, what: &str, broken: &mut Vec<String>) {
    let message = holder["message"].as_str().unwrap_or_default();
    if text::has_uuid(message) {
        broken.push(format!("{what}: message has a request ID: {message}"));
    }
    if text::has_access_key_id(message) {
        broken.push(format!("{what}: message has an access key ID"));
    }
}

#[cfg(test)]
#[path = "kstatus/tests.rs"]
mod tests;
