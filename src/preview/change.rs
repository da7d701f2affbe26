use serde::Serialize;

use crate::{
    domain::{PolicyArn, tags::Tags},
    plan::{Action, Desired, DesiredRole, Observed, ObservedRole, Plan, Target},
    policy::{FieldDrift, TrustPolicy},
};

/// The AWS object that a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Object {
    /// The IAM OIDC provider.
    #[serde(rename = "OIDCProvider")]
    Provider,
    /// The IAM role.
    Role,
}

/// One write to AWS that the operator would make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about.
    pub object: Object,
    /// Its ARN.
    pub arn: String,
    /// The call, as the API reference names it.
    pub operation: &'static str,
    /// What it does, in words.
    pub summary: String,
    /// The fields that it changes.
    pub fields: Vec<FieldChange>,
}

/// A field that is set, changed or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Its path.
    pub field: String,
    /// What the account has; none if it has nothing there.
    pub observed: Option<String>,
    /// What is wanted; none if nothing is.
    pub wanted: Option<String>,
}

impl FieldChange {
    fn new(field: impl Into<String>, observed: Option<&str>, wanted: Option<&str>) -> Self {
        let owned = |value: Option<&str>| value.map(ToOwned::to_owned);
        Self { field: field.into(), observed: owned(observed), wanted: owned(wanted) }
    }

    fn set(field: impl Into<String>, wanted: &str) -> Self {
        Self::new(field, None, Some(wanted))
    }

    /// A drift with the name of the object's part that it is in, where it is a part.
    fn of(drift: &FieldDrift, part: &str) -> Self {
        let present = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty() && value != "absent");
        let field = format!("{part}{}", drift.field);
        Self { field, observed: present(&drift.found), wanted: present(&drift.wanted) }
    }
}

/// The changes of a plan, field by field.
#[must_use]
pub fn changes(desired: &Desired, observed: &Observed, plan: &Plan) -> Vec<Change> {
    let actions = plan.steps.iter().map(|step| &step.action);
    actions.map(|action| change(&desired.target, observed.role.as_ref(), action)).collect()
}

/// The changes of a removal, field by field.
#[must_use]
pub fn removal(target: &Target, role: Option<&ObservedRole>, actions: &[Action]) -> Vec<Change> {
    actions.iter().map(|action| change(target, role, action)).collect()
}

fn change(target: &Target, role: Option<&ObservedRole>, action: &Action) -> Change {
    use Action::{AddClientId, CreateProvider, DeleteProvider};
    let (object, arn) = match action {
        CreateProvider { .. } | AddClientId { .. } | DeleteProvider => (Object::Provider, &target.provider_arn),
        _ => (Object::Role, &target.role_arn),
    };
    let fields = fields(target, role, action);
    Change { object, arn: arn.clone(), operation: action.operation(), summary: action.to_string(), fields }
}

fn fields(target: &Target, role: Option<&ObservedRole>, action: &Action) -> Vec<FieldChange> {
    match action {
        Action::CreateProvider { client_id, tags } => {
            let mut fields =
                vec![FieldChange::set("url", target.issuer.as_str()), FieldChange::set("clientIds", client_id)];
            fields.extend(tag_fields(tags, None));
            fields
        }
        Action::AddClientId { client_id } => vec![FieldChange::set("clientIds", client_id)],
        Action::CreateRole(role) => created(role),
        Action::TagRole { tags, .. } => tag_fields(tags, role.map(|role| &role.tags)),
        Action::UntagRole { keys } => keys.iter().map(|key| untagged(key, role)).collect(),
        Action::UpdateTrust { drift, .. } => drift.iter().map(|drift| FieldChange::of(drift, "trust.")).collect(),
        Action::AttachPolicy(arn) => vec![FieldChange::set("managedPolicies", arn.as_str())],
        Action::DetachPolicy(arn) => vec![FieldChange::new("managedPolicies", Some(arn), None)],
        Action::PutBoundary { arn, found } => {
            vec![FieldChange::new("permissionsBoundary", found.as_deref(), Some(arn.as_str()))]
        }
        Action::DeleteBoundary { found } => vec![FieldChange::new("permissionsBoundary", Some(found), None)],
        Action::UpdateRole { drift, .. } => drift.iter().map(|drift| FieldChange::of(drift, "")).collect(),
        Action::DeleteRole | Action::DeleteProvider => Vec::new(),
    }
}

fn created(role: &DesiredRole) -> Vec<FieldChange> {
    let mut fields = trust_fields(&role.trust);
    fields.push(FieldChange::set("Description", &role.description));
    fields.push(FieldChange::set("MaxSessionDuration", &role.max_session_duration.to_string()));
    fields
        .extend(role.boundary.as_ref().map(PolicyArn::as_str).map(|arn| FieldChange::set("permissionsBoundary", arn)));
    fields.extend(tag_fields(&role.tags, None));
    fields
}

fn trust_fields(trust: &TrustPolicy) -> Vec<FieldChange> {
    vec![
        FieldChange::set("trust.Principal", &format!("Federated {}", trust.provider_arn)),
        FieldChange::set("trust.Action", crate::policy::ASSUME_ACTION),
        FieldChange::set("trust.Condition.StringEquals.aud", &trust.audience),
        FieldChange::set("trust.Condition.StringEquals.sub", &trust.subject),
    ]
}

fn tag_fields(wanted: &Tags, present: Option<&Tags>) -> Vec<FieldChange> {
    let observed = |key: &str| present.and_then(|tags| tags.get(key)).map(String::as_str);
    wanted.iter().map(|(key, value)| FieldChange::new(format!("tags.{key}"), observed(key), Some(value))).collect()
}

fn untagged(key: &str, role: Option<&ObservedRole>) -> FieldChange {
    let observed = role.and_then(|role| role.tags.get(key)).map(String::as_str);
    FieldChange::new(format!("tags.{key}"), observed, None)
}
