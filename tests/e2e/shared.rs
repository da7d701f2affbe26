//! What several tests have in common.

use serde_json::Value;
use testkit::{
    Result,
    aws::Call,
    fixture::{Scenario, condition},
};

/// The role of the integration `aws-prod`, by which most tests go.
pub const ROLE: &str = "PortIntegrationRole-aws-prod";

/// The entry of the one account in an integration's status.
pub fn account(object: &Value) -> &Value {
    &object["status"]["accounts"][0]
}

/// Whether an integration says that it is ready, whatever the generation.
pub fn says_ready(object: &Value) -> bool {
    condition(object, "Ready")["status"] == "True"
}

/// The account's state as text, without what no two scenarios share: ids, account and namespace. Two
/// runs that led to the same have the same text.
pub async fn likeness(it: &Scenario) -> Result<String> {
    let mut state = it.state().await?;
    for role in &mut state.roles {
        role.id.clear();
    }
    Ok(format!("{state:#?}").replace(it.account(), "ACCOUNT").replace(it.namespace(), "NAMESPACE"))
}

/// How many of the calls are of that action and changed something. A call whose connection was cut
/// counts if it had reached IAM.
pub fn effective(calls: &[Call], action: &str) -> usize {
    calls.iter().filter(|call| call.action == action && call.applied && call.error_code.is_none()).count()
}

/// Asserts that neither the statuses that were ever written nor the events of an integration have a
/// word of AWS's own: no message, no request id, no key, no caller.
pub async fn assert_discreet(it: &mut Scenario, name: &str) -> Result<()> {
    let log = it.operator()?.log()?;
    let ids = log.split("request_id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut private: Vec<String> = ids.filter(|id| *id != "none").map(str::to_owned).collect();
    assert!(!private.is_empty(), "the log has the request ids of what failed");
    let credentials = it.operator_options().credentials.clone().expect("the operator has credentials");
    private.extend([credentials.access_key_id, credentials.secret_access_key, credentials.session_token]);
    private.extend(["not authorized", "Rate exceeded", "assumed-role", "identity-based"].map(str::to_owned));
    let statuses = it.watch()?.history(name).into_iter().map(|object| object["status"].to_string());
    let notes = it.events(name).await?.into_iter().map(|event| event.note);
    for text in statuses.chain(notes) {
        let found = private.iter().find(|word| text.contains(word.as_str()));
        assert_eq!(found, None, "{text}");
    }
    Ok(())
}
