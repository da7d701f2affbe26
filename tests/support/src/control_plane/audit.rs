//! What the API server's audit log says about who wrote what.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Error, Result, folder::Folder};

/// Everything at level Metadata. The stage before the answer would only double the lines.
pub(super) fn policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
}

/// Where the log goes: into the folder, or, to be read when all tests have ended, into the one that
/// `TESTKIT_AUDIT_LOGS` names.
pub(super) fn file(folder: &Folder) -> Result<PathBuf> {
    let Some(kept) = std::env::var_os("TESTKIT_AUDIT_LOGS").filter(|path| !path.is_empty()) else {
        return Ok(folder.join("audit.log"));
    };
    std::fs::create_dir_all(&kept).map_err(Error::file("make", Path::new(&kept)))?;
    Ok(Path::new(&kept).join(format!("{:016x}.log", crate::fixture::random())))
}

/// One finished write request, refused ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Resource, plural.
    pub resource: String,
    /// Subresource, such as `status`.
    pub subresource: Option<String>,
    /// Namespace, for namespaced resources.
    pub namespace: Option<String>,
    /// Name of the object, if the request had it in its path or body.
    pub name: Option<String>,
    /// HTTP status code of the answer.
    pub code: u16,
    /// When the API server got it, RFC 3339 with microseconds. (A watch may show what it did before the time of
    /// its answer.)
    pub received: String,
}

/// Reads all events. A last line without its end is still being written and is left out.
pub(super) fn read(path: &Path) -> Result<Vec<Value>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        // Made with the first event.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Value>> {
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n') && !line.trim().is_empty())
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// The writes among `events` that `user` began at `since` or later, and that are finished.
pub(super) fn writes(events: &[Value], user: &str, since: SystemTime) -> Result<Vec<Write>> {
    let since = Timestamp::try_from(since).map_err(|error| Error::Setup(format!("a time out of range: {error}")))?;
    Ok(events
        .iter()
        .filter(|event| event["stage"] == "ResponseComplete" && event["user"]["username"] == user)
        .filter_map(as_write)
        .filter(|write| {
            let at = write.received.parse::<Timestamp>();
            at.is_ok_and(|at| at >= since)
        })
        .collect())
}

fn as_write(event: &Value) -> Option<Write> {
    let verb = event["verb"].as_str()?;
    if !["create", "update", "patch", "delete", "deletecollection"].contains(&verb) {
        return None;
    }
    let object = &event["objectRef"];
    let text = |key: &str| object[key].as_str().map(str::to_owned);
    Some(Write {
        verb: verb.to_owned(),
        group: text("apiGroup").unwrap_or_default(),
        resource: text("resource")?,
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        code: event["responseStatus"]["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
        received: event["requestReceivedTimestamp"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn event(user: &str, verb: &str, stage: &str, second: u32) -> Value {
        json!({
            "stage": stage, "verb": verb, "user": {"username": user},
            "objectRef": {"apiGroup": "apps", "resource": "deployments", "subresource": "status",
                          "namespace": "a", "name": "b"},
            "responseStatus": {"code": 200},
            "requestReceivedTimestamp": format!("2024-01-01T00:00:{second:02}.000001Z"),
        })
    }

    #[test]
    fn a_line_that_is_not_finished_is_left_out() -> TestResult {
        assert_eq!(parse("{\"a\":1}\n{\"b\":2}\n{\"c\"")?.len(), 2);
        assert!(parse("nonsense\n").is_err());
        Ok(())
    }

    #[test]
    fn only_finished_writes_of_the_user_count() -> TestResult {
        let done = "ResponseComplete";
        let events = [
            event("me", "patch", done, 10),
            event("me", "get", done, 11),
            event("me", "patch", "ResponseStarted", 12),
            event("you", "patch", done, 13),
            event("me", "create", done, 1),
        ];
        let since = SystemTime::from("2024-01-01T00:00:05Z".parse::<Timestamp>()?);
        let found = writes(&events, "me", since)?;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].verb, "patch");
        assert_eq!(found[0].subresource.as_deref(), Some("status"));
        assert_eq!(found[0].code, 200);
        assert_eq!(writes(&events, "me", since - Duration::from_mins(1))?.len(), 2);
        Ok(())
    }
}
