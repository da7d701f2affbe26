//! The rights that `deploy/rbac.yaml` gives the operator: the model refuses what they do not cover.

use std::sync::OnceLock;

use serde_json::Value;

use super::Kind;

const RBAC: &str = include_str!("../../../../deploy/rbac.yaml");

/// Whether a rule of the operator's roles covers a request. `resource` is the kind, with `/status` where that is
/// meant; `name` is empty where a request names no object.
pub fn allow(verb: &str, resource: &str, name: &str) -> bool {
    rules().iter().any(|rule| {
        let has = |field: &str, text: &str| rule[field].as_array().is_some_and(|all| all.iter().any(|it| it == text));
        has("verbs", verb)
            && has("resources", resource)
            && (rule["resourceNames"].is_null() || has("resourceNames", name))
    })
}

/// The kind as a rule names it.
pub fn resource(kind: Kind, is_status: bool) -> String {
    format!("{kind}{}", if is_status { "/status" } else { "" })
}

/// The verb of a request, as RBAC names it.
pub fn verb(method: &str, watches: bool, names_one: bool) -> &'static str {
    match (method, watches, names_one) {
        ("GET", true, _) => "watch",
        ("GET", _, true) => "get",
        ("GET", ..) => "list",
        ("POST", ..) => "create",
        ("PUT", ..) => "update",
        ("PATCH", ..) => "patch",
        _ => "delete",
    }
}

fn rules() -> &'static [Value] {
    static RULES: OnceLock<Vec<Value>> = OnceLock::new();
    RULES.get_or_init(|| {
        // One that cannot be read gives no rights, so that nothing works.
        let documents: Vec<Value> = serde_saphyr::from_multiple(RBAC).unwrap_or_default();
        documents.iter().flat_map(|document| document["rules"].as_array().cloned().unwrap_or_default()).collect()
    })
}
