//! What the operator can know of a role or a provider, and whether a write was needless by that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use testkit::aws::Call;

/// Faults after which the operator may not know whether its call took effect.
const UNSURE: [&str; 5] = ["cut_after", "hang", "hold_after", "hold_before", "latency"];

/// Calls that lead up to one that is wrong.
const SHOWN: usize = 16;

/// What a call is about, in its account.
pub fn of(call: &Call) -> Option<String> {
    if call.action.contains("OpenIDConnectProvider") {
        let provider = call.param("OpenIDConnectProviderArn").or(call.param("Url")).unwrap_or_default();
        // Of its ARN or URL.
        return provider.rsplit('/').next().map(str::to_owned);
    }
    call.param("RoleName").map(str::to_owned)
}

#[derive(Default)]
pub struct Entity {
    /// The last write to each part of it, whoever made it, with what it set.
    last: BTreeMap<String, String>,
    /// A write was made of whose effect the operator was not told, and it has not looked since; when the write
    /// ended, which may be long after the operator gave it up.
    unsure: Option<f64>,
    /// Reads that were answered with "not there", and not with the truth since.
    misled: BTreeSet<String>,
    /// The last calls about it, as a message shows them.
    recent: VecDeque<String>,
}

impl Entity {
    /// Takes a call over, in the order of their arrival. Says if it was a needless write of the operator.
    pub fn take(&mut self, call: &Call) -> Option<String> {
        if self.recent.len() == SHOWN {
            self.recent.pop_front();
        }
        self.recent.push_back(line(call));
        if !call.is_write() {
            if call.is_by_operator() {
                self.read(call);
            }
            return None;
        }
        let took_effect = call.applied && call.error_code.is_none();
        let set = Value::Object(call.params.clone()).to_string();
        let mut wrong = None;
        if call.is_by_operator() {
            let unsure = call.fault.as_ref().is_some_and(|fault| UNSURE.contains(&fault.kind.as_str()));
            // Of the call itself as well: one that hung may take effect after the next one.
            if unsure {
                let end = call.end_time.unwrap_or(f64::MAX);
                self.unsure = Some(self.unsure.map_or(end, |other| other.max(end)));
            }
            let knows = self.unsure.is_none() && self.misled.is_empty();
            let again = took_effect && self.last.get(&part(call)) == Some(&set);
            let code = call.error_code.as_deref().filter(|_| call.applied);
            let missed = matches!(code, Some("EntityAlreadyExists" | "NoSuchEntity"));
            if knows && (again || missed) {
                wrong = Some(format!("needless: {call:?} after {:#?}", self.recent));
            }
        }
        if took_effect {
            self.note(call, set);
        }
        wrong
    }

    fn read(&mut self, call: &Call) {
        let kind = call.fault.as_ref().map(|fault| fault.kind.as_str());
        if kind == Some("no_such_entity") {
            self.misled.insert(call.action.clone());
        } else if call.applied && call.status.is_some() {
            self.misled.remove(&call.action);
            let looks = matches!(call.action.as_str(), "GetRole" | "GetOpenIDConnectProvider");
            if looks && self.unsure.is_some_and(|end| end < call.time) {
                self.unsure = None;
            }
        }
    }

    fn note(&mut self, call: &Call, set: String) {
        if matches!(call.action.as_str(), "DeleteRole" | "DeleteOpenIDConnectProvider") {
            self.last.clear();
        }
        let policy = call.param("PolicyArn").unwrap_or_default();
        let undone = match call.action.as_str() {
            "AttachRolePolicy" => Some(format!("DetachRolePolicy {policy}")),
            "DetachRolePolicy" => Some(format!("AttachRolePolicy {policy}")),
            "TagRole" => Some("UntagRole ".to_owned()),
            "UntagRole" => Some("TagRole ".to_owned()),
            _ => None,
        };
        undone.map(|part| self.last.remove(&part));
        if call.action == "CreateRole" {
            self.last.remove("DeleteRole ");
        }
        self.last.insert(part(call), set);
    }
}

fn line(call: &Call) -> String {
    let who = if call.is_by_operator() { "operator" } else { "somebody" };
    let Call { seq, time, end_time, action, status, error_code, applied, .. } = call;
    let fault = call.fault.as_ref().map_or("no fault", |fault| fault.kind.as_str());
    let error = error_code.as_deref().unwrap_or("no error");
    let took = end_time.unwrap_or_default() - time;
    format!(
        "{seq} at {time:.3} for {took:.3} s: {who} {action}, {fault}, {error}, status {status:?}, applied {applied}"
    )
}

/// Which part of it a write sets.
fn part(call: &Call) -> String {
    format!("{} {}", call.action, call.param("PolicyArn").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A call of the operator about a role.
    fn call(action: &str, policy: &str, fault: Option<&str>, error: Option<&str>) -> Call {
        serde_json::from_value(json!({
            "seq": 1, "time": 1.0, "endTime": 2.0, "account": "111122223333", "accessKeyId": null, "service": "iam",
            "action": action, "params": {"RoleName": "a", "PolicyArn": policy}, "userAgent": "port-aws-operator",
            "status": if fault == Some("cut_after") { None } else { Some(error.map_or(200, |_| 404)) },
            "errorCode": error, "applied": fault != Some("no_such_entity"), "fault": fault.map(|kind| json!({"id": "f", "kind": kind})),
        }))
        .expect("a call")
    }

    fn writes(action: &str, fault: Option<&str>) -> Call {
        call(action, "p", fault, None)
    }

    #[test]
    fn a_write_that_sets_what_is_set_is_needless_unless_its_effect_was_not_told() {
        let mut entity = Entity::default();
        assert_eq!(entity.take(&writes("AttachRolePolicy", None)), None);
        assert_eq!(entity.take(&call("AttachRolePolicy", "q", None, None)), None);
        assert!(entity.take(&writes("AttachRolePolicy", None)).is_some());
        assert_eq!(entity.take(&writes("DetachRolePolicy", None)), None);
        assert_eq!(entity.take(&writes("AttachRolePolicy", Some("cut_after"))), None);
        assert_eq!(entity.take(&writes("AttachRolePolicy", None)), None);
        // It ended after that read had begun.
        entity.take(&call("GetRole", "", None, None));
        assert_eq!(entity.take(&writes("AttachRolePolicy", None)), None);
        entity.take(&Call { time: 3.0, ..call("GetRole", "", None, None) });
        assert!(entity.take(&writes("AttachRolePolicy", None)).is_some());
        entity.take(&writes("DeleteRole", None));
        assert_eq!(entity.take(&writes("AttachRolePolicy", None)), None);
    }

    #[test]
    fn what_is_there_is_made_again_only_by_somebody_misled() {
        let mut entity = Entity::default();
        let exists = || call("CreateRole", "", None, Some("EntityAlreadyExists"));
        assert!(entity.take(&exists()).is_some());
        entity.take(&call("GetRole", "", Some("no_such_entity"), Some("NoSuchEntity")));
        assert_eq!(entity.take(&exists()), None);
        entity.take(&call("GetRole", "", None, None));
        assert!(entity.take(&exists()).is_some());
    }

    #[test]
    fn what_somebody_else_has_set_may_be_set_right() {
        let mut entity = Entity::default();
        let mut theirs = writes("UpdateRole", None);
        theirs.user_agent = "somebody".to_owned();
        theirs.params.insert("Description".to_owned(), "theirs".into());
        let ours = writes("UpdateRole", None);
        assert_eq!(entity.take(&ours), None);
        assert_eq!(entity.take(&theirs), None);
        assert_eq!(entity.take(&theirs), None);
        assert_eq!(entity.take(&ours), None);
        assert!(entity.take(&ours).is_some());
    }
}
