//! Rules that make calls go wrong.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A rule: which calls go wrong, and how. Everything but the kind is optional; the first rule that
/// matches a call wins. Calls of the tests themselves count as well.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[must_use = "a rule does nothing until it is given to the backend"]
pub struct Fault {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    action: Vec<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    params: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Fault {
    fn of(kind: &'static str) -> Self {
        Self {
            kind,
            id: None,
            account: None,
            service: None,
            action: Vec::new(),
            params: Map::new(),
            skip: None,
            count: None,
            seconds: None,
            status: None,
            code: None,
            message: None,
        }
    }

    /// Too many requests.
    pub fn throttle() -> Self {
        Self::of("throttle")
    }

    /// Internal error.
    pub fn error500() -> Self {
        Self::of("error500")
    }

    /// Service unavailable.
    pub fn error503() -> Self {
        Self::of("error503")
    }

    /// The caller lacks the permission.
    pub fn access_denied() -> Self {
        Self::of("access_denied")
    }

    /// The caller's credentials are too old.
    pub fn expired_token() -> Self {
        Self::of("expired_token")
    }

    /// What is asked for is not there; only for reads unless actions are named.
    pub fn no_such_entity() -> Self {
        Self::of("no_such_entity")
    }

    /// Any error of the service.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self {
            status: Some(status),
            code: Some(code.to_owned()),
            message: Some(message.to_owned()),
            ..Self::of("error")
        }
    }

    /// The call takes longer.
    pub fn latency(time: Duration) -> Self {
        Self::of("latency").lasting(time)
    }

    /// No answer until the rule is deleted.
    pub fn hang() -> Self {
        Self::of("hang")
    }

    /// The connection is cut, and the call never takes effect.
    pub fn cut_before() -> Self {
        Self::of("cut_before")
    }

    /// The call takes effect, and the connection is cut instead of an answer.
    pub fn cut_after() -> Self {
        Self::of("cut_after")
    }

    /// The call is parked before it takes effect.
    pub fn hold_before() -> Self {
        Self::of("hold_before")
    }

    /// The call is parked after it took effect.
    pub fn hold_after() -> Self {
        Self::of("hold_after")
    }

    /// A name of one's own; an older rule of that name is replaced.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// Only calls that belong to this account.
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    pub(crate) fn account_if_none(mut self, account: &str) -> Self {
        self.account.get_or_insert_with(|| account.to_owned());
        self
    }

    /// Only calls of this service: `iam`, `sts` or `organizations`.
    pub fn service(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    /// Only this action, or one of those named before.
    pub fn action(mut self, action: &str) -> Self {
        self.action.push(action.to_owned());
        self
    }

    /// Only these actions, or those named before.
    pub fn actions<'a>(mut self, actions: impl IntoIterator<Item = &'a str>) -> Self {
        self.action.extend(actions.into_iter().map(str::to_owned));
        self
    }

    /// Only calls with exactly this parameter.
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// Lets the first calls pass.
    pub fn skip(mut self, calls: u32) -> Self {
        self.skip = Some(calls);
        self
    }

    /// Ends after so many calls; otherwise it stays until it is deleted.
    pub fn count(mut self, calls: u32) -> Self {
        self.count = Some(calls);
        self
    }

    /// How long a call hangs or is parked at most.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.seconds = Some(time.as_secs_f64());
        self
    }

    /// Another message of the error than the usual one.
    pub fn message(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }
}

/// Names a rule that the backend has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FaultId(pub(super) String);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A call that waits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Parked {
    /// Names it, for its release.
    pub id: String,
    /// Its place in the record.
    pub seq: u64,
    /// The rule that holds it.
    pub rule: FaultId,
    /// The rule's kind.
    pub kind: String,
    /// The account that it belongs to.
    pub account: String,
    /// Its service.
    pub service: String,
    /// Its action.
    pub action: String,
    /// Its parameters.
    pub params: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_says_only_what_was_asked_for() -> Result<(), serde_json::Error> {
        assert_eq!(serde_json::to_value(Fault::throttle())?, json!({"kind": "throttle"}));
        let rule = Fault::error(409, "Conflict", "busy")
            .account("111122223333")
            .account_if_none("444455556666")
            .service("iam")
            .actions(["CreateRole", "TagRole"])
            .param("RoleName", "a")
            .skip(1)
            .count(2)
            .lasting(Duration::from_millis(500))
            .id("mine");
        let wanted = json!({
            "kind": "error", "status": 409, "code": "Conflict", "message": "busy",
            "account": "111122223333", "service": "iam", "action": ["CreateRole", "TagRole"],
            "params": {"RoleName": "a"}, "skip": 1, "count": 2, "seconds": 0.5, "id": "mine",
        });
        assert_eq!(serde_json::to_value(rule)?, wanted);
        Ok(())
    }
}
