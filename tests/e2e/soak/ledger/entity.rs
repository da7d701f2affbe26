//! What the operator can know of a role or a provider, and whether a write was needless by that.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testkit::aws::Call;

/// Faults after which the operator may not know whether its call took effect.
const UNSURE: [&str; 5] = ["cut_after", "hang", "hold_after", "hold_before", "latency"];

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
    /// A write was made of whose effect the operator was not told, and it has not looked since.
    unsure: bool,
    /// Reads that were answered with "not there", and not with the truth since.
    misled: BTreeSet<String>,
}

impl Entity {
    /// Takes a call over, in the order of their arrival. Says if it was a needless write of the operator.
    pub fn take(&mut self, call: &Call) -> Option<String> {
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
            self.unsure |= unsure;
            let knows = !self.unsure && self.misled.is_empty();
            let again = took_effect && self.last.get(&part(call)) == Some(&set);
            let code = call.error_code.as_deref().filter(|_| call.applied);
            let missed = matches!(code, Some("EntityAlreadyExists" | "NoSuchEntity"));
            if knows && (again || missed) {
                wrong = Some(format!("needless: {call:?}"));
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
            if matches!(call.action.as_str(), "GetRole" | "GetOpenIDConnectProvider") {
                self.unsure = false;
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

/// Which part of it a write sets.
fn part(call: &Call) -> String {
    format!("{} {}", call.action, call.param("PolicyArn").unwrap_or_default())
}
