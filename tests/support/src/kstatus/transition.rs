//! What may change from one version of an object to the next.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::{conditions, find};

/// What a write may take from the writer's clock to the server's where nothing holds it up.
pub const USUAL: Duration = Duration::from_secs(1);

/// The rules that the step from one version to the next breaks.
///
/// Both have to be versions of the same object (the same UID), without one between them.
#[must_use]
pub fn check_transition(old: &Value, new: &Value) -> Vec<String> {
    check_late_transition(old, new, USUAL)
}

/// The same if a write may take so long from the writer's clock to the server's.
#[must_use]
pub fn check_late_transition(old: &Value, new: &Value, late: Duration) -> Vec<String> {
    let mut broken = Vec::new();
    for condition in conditions(new) {
        let before = condition["type"].as_str().and_then(|kind| find(old, kind));
        if let Some(before) = before {
            check_time(before, condition, new, late, &mut broken);
        }
    }
    let generation = |object: &Value| object["status"]["observedGeneration"].as_i64();
    if generation(new) < generation(old) {
        broken.push(format!("status.observedGeneration went back from {:?} to {:?}", generation(old), generation(new)));
    }
    if content(old) == content(new) {
        broken.push("a write that changed nothing".to_owned());
    }
    broken
}

fn check_time(old: &Value, new: &Value, object: &Value, late: Duration, broken: &mut Vec<String>) {
    let kind = new["type"].as_str().unwrap_or_default();
    let (before, after) = (&old["lastTransitionTime"], &new["lastTransitionTime"]);
    let moved = before != after;
    let turned = old["status"] != new["status"];
    if moved && !turned {
        broken.push(format!("condition {kind}: lastTransitionTime moved from {before} to {after}, status did not"));
    }
    if turned && !moved && !is_fresh(after, object, late) {
        broken.push(format!(
            "condition {kind}: status went from {} to {}, lastTransitionTime stayed at {after}",
            old["status"], new["status"]
        ));
    }
    if moved && time(after) < time(before) {
        broken.push(format!("condition {kind}: lastTransitionTime went back from {before} to {after}"));
    }
}

/// Two turns within the same second leave the same time. That is so only if this version was
/// written in that second, or later by what a write may take.
fn is_fresh(transition: &Value, object: &Value, late: Duration) -> bool {
    let managers = object["metadata"]["managedFields"].as_array();
    let written = managers.into_iter().flatten().filter_map(|it| time(&it["time"])).max();
    match (time(transition), written) {
        (Some(transition), Some(written)) => written.duration_since(transition).unsigned_abs() <= late,
        _ => false,
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// An object without what the server changes with every write.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    object
}
