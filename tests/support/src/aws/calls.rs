//! The record of calls.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// In the user agent of every call of the operator, and of nobody else.
const OPERATOR: &str = "port-aws-operator";

/// What the names of calls that change nothing start with.
const READS: &[&str] = &["Assume", "Decode", "Describe", "Generate", "Get", "List", "Simulate"];

/// One call to AWS.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Place in the order of arrival.
    pub seq: u64,
    /// Arrival, in Unix seconds.
    pub time: f64,
    /// End, in Unix seconds; none while it is under way.
    pub end_time: Option<f64>,
    /// The account that it belongs to.
    pub account: String,
    /// The key that signed it.
    pub access_key_id: Option<String>,
    /// `iam`, `sts` or `organizations`.
    pub service: String,
    /// Such as `CreateRole`.
    pub action: String,
    /// Its parameters, as they were sent: texts, with names such as `Tags.member.1.Key`.
    pub params: Map<String, Value>,
    /// The caller's user agent.
    pub user_agent: String,
    /// HTTP status of the answer; none while it is under way, and if its connection was cut.
    pub status: Option<u16>,
    /// Code of an error.
    pub error_code: Option<String>,
    /// Whether it reached IAM, and no fault kept it from taking effect.
    pub applied: bool,
    /// The fault that it met.
    pub fault: Option<FaultMark>,
}

/// The fault that a call met.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FaultMark {
    /// The rule's id.
    pub id: String,
    /// The rule's kind.
    pub kind: String,
}

impl Call {
    /// Whether the operator made it.
    #[must_use]
    pub fn is_by_operator(&self) -> bool {
        self.user_agent.contains(OPERATOR)
    }

    /// Whether it asks for a change. Whatever is not known to be a read counts, refused calls too.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !READS.iter().any(|prefix| self.action.starts_with(prefix))
    }

    /// A parameter's text.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }
}

/// How often each action was called.
#[must_use]
pub fn count_by_action(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.action.clone()).or_default() += 1;
    }
    counts
}

/// The actions in the order of their arrival.
#[must_use]
pub fn actions(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(|call| call.action.as_str()).collect()
}

/// The calls that the operator made.
#[must_use]
pub fn by_operator(calls: Vec<Call>) -> Vec<Call> {
    calls.into_iter().filter(Call::is_by_operator).collect()
}

/// The calls that ask for a change.
#[must_use]
pub fn writes(calls: Vec<Call>) -> Vec<Call> {
    calls.into_iter().filter(Call::is_write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(action: &str, user_agent: &str) -> Result<Call, serde_json::Error> {
        serde_json::from_value(json!({
            "seq": 1, "time": 1.5, "endTime": null, "account": "111122223333", "accessKeyId": null,
            "service": "iam", "action": action, "params": {"RoleName": "a"}, "status": 200,
            "userAgent": user_agent, "errorCode": null, "applied": true, "fault": null,
        }))
    }

    #[test]
    fn writes_are_told_from_reads_and_callers_apart() -> Result<(), serde_json::Error> {
        let calls = vec![
            call("GetRole", "aws-sdk-rust/1 app/port-aws-operator")?,
            call("TagRole", "aws-sdk-rust/1 app/port-aws-operator")?,
            call("TagRole", "aws-sdk-rust/1")?,
            call("SomethingNew", "aws-sdk-rust/1")?,
            call("AssumeRole", "aws-sdk-rust/1")?,
        ];
        assert_eq!(calls[0].param("RoleName"), Some("a"));
        assert_eq!(count_by_action(&calls)["TagRole"], 2);
        let written = writes(calls.clone());
        assert_eq!(actions(&written), ["TagRole", "TagRole", "SomethingNew"]);
        assert_eq!(actions(&by_operator(written)), ["TagRole"]);
        Ok(())
    }
}
