//! Specs of which up to three fields are hostile, and all others are as the access allows it: a
//! hostile value next to another that is refused anyway would prove nothing.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
    strategy::Union,
};
use serde_json::{Value, json};

use super::{
    tenants::{ACCOUNTS, READ_ONLY, THEIRS, Tenant},
    values,
};

/// An integration that somebody asks the API server to create.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub spec: Value,
    /// The fields that have a hostile value.
    pub hostile: Vec<String>,
}

type Edit = (String, Value);

/// Integrations that use one of the accesses.
pub fn any_case<'a>(tenants: impl Iterator<Item = &'a Tenant>) -> BoxedStrategy<Case> {
    // One that is not for the namespace refuses everything, so there need not be much of it.
    let weighed = tenants.map(|tenant| (if tenant.name == THEIRS { 1 } else { 4 }, case(tenant).boxed()));
    Union::new_weighted(weighed.collect()).boxed()
}

fn case(tenant: &Tenant) -> impl Strategy<Value = Case> + use<> {
    let fields = good(tenant);
    let required = fields.iter().map(|(path, values)| {
        let edit = (Just((*path).to_owned()), select(values.clone()));
        // Those three have no default.
        let wanted = ["/organizationId", "/integrationIdentifier", "/accounts", "/accessRef/name"].contains(path);
        if wanted { edit.prop_map(Some).boxed() } else { option::of(edit).boxed() }
    });
    let valid: Vec<BoxedStrategy<Option<Edit>>> = required.collect();
    let edit = || hostile(tenant, &fields);
    let hostile = prop_oneof![
        3 => vec(edit(), 0),
        6 => vec(edit(), 1),
        3 => vec(edit(), 2),
        2 => vec(edit(), 3),
    ];
    let name = prop_oneof![12 => select(values::NAMES.to_vec()), 1 => select(values::HOSTILE_NAMES.to_vec())];
    (valid, hostile, name).prop_map(|(valid, hostile, name)| {
        let mut spec = json!({});
        for (path, value) in valid.into_iter().flatten().chain(hostile.iter().cloned()) {
            put(&mut spec, &path, value);
        }
        let hostile = hostile.into_iter().map(|(path, _)| path).collect();
        Case { name: name.to_owned(), spec, hostile }
    })
}

/// Sets the value at a path, whatever is in the way. A discovery takes the place of a list.
fn put(spec: &mut Value, path: &str, value: Value) {
    if path == "/discovery" {
        spec.as_object_mut().map(|fields| fields.remove("accounts"));
    }
    let mut at = spec;
    for part in path.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[part];
    }
    *at = value;
}

/// The fields of a spec, with values that the access allows.
fn good(tenant: &Tenant) -> Vec<(&'static str, Vec<Value>)> {
    let plain = |field: &str| -> Vec<String> {
        let texts = tenant.limit(field).into_iter().map(str::to_owned);
        texts.filter(|text| !values::is_pattern(text)).collect()
    };
    let texts = |texts: Vec<String>| texts.into_iter().map(Value::from).collect::<Vec<_>>();
    let organizations = plain("organizationIds");
    let allowed = tenant.spec["accounts"].as_array().expect("accounts");
    let accounts = if allowed.contains(&json!("*")) { ACCOUNTS.map(Value::from).to_vec() } else { allowed.clone() };
    let mut policies: Vec<Value> = plain("managedPolicyArns").into_iter().map(|arn| json!([arn])).collect();
    policies.push(plain("managedPolicyArns").into());
    let prefix = tenant.prefix();
    let mut tags = vec![json!({})];
    if tenant.limit("tagKeys").contains(&"Team") {
        tags.extend([json!({"Team": "a"}), json!({"Team": r#"","Effect":"Allow ${aws:username} *"#})]);
    }
    let limits = &tenant.spec["limits"];
    let boundary = &limits["permissionsBoundaryArn"];
    let boundaries = if boundary.is_null() { vec![json!(READ_ONLY)] } else { vec![boundary.clone()] };
    let adoption =
        if limits["adoption"] == "Adopt" { vec![json!("Adopt"), json!("Refuse")] } else { vec![json!("Refuse")] };
    vec![
        ("/organizationId", texts(organizations)),
        ("/integrationIdentifier", texts(vec!["team-a".into(), "team-prod-2".into()])),
        ("/accessRef/name", vec![json!(tenant.name)]),
        ("/accounts", vec![accounts[..1].into(), accounts.into()]),
        ("/oidcProvider/url", texts(plain("issuerUrls"))),
        ("/oidcProvider/clientId", texts(plain("clientIds"))),
        ("/oidcProvider/management", vec![json!("CreateOrAdopt"), json!("UseExisting")]),
        ("/role/name", texts(vec![format!("{prefix}a"), format!("{prefix}+=,.@_-"), prefix.to_owned()])),
        ("/role/description", vec![json!("for Port"), json!(r#""},{"Effect":"Allow","Action":"*"#)]),
        ("/role/managedPolicyArns", policies),
        ("/role/permissionsBoundaryArn", boundaries),
        ("/role/maxSessionDuration", vec![json!(3600), limits["maxSessionDuration"].clone()]),
        ("/role/extraPolicies", vec![json!("Remove"), json!("Report")]),
        ("/role/adoption", adoption),
        ("/role/tags", tags),
        ("/mode", vec![json!("Enforce"), json!("Observe")]),
        ("/deletionPolicy", vec![json!("Delete"), json!("Retain")]),
    ]
}

/// One hostile value in one field.
fn hostile(tenant: &Tenant, good: &[(&'static str, Vec<Value>)]) -> BoxedStrategy<Edit> {
    let one_of =
        |fields| select(fields).prop_flat_map(|(path, values): (&str, _)| (Just(path.to_owned()), select(values)));
    let beyond = [values::beyond(tenant), values::patterns(tenant)].concat();
    let (beyond, listed) = (one_of(beyond), one_of(values::listed(tenant)));
    let paths: Vec<String> = good.iter().map(|(path, _)| (*path).to_owned()).collect();
    let wrong_type = (select(paths), select(values::wrong_types()));
    prop_oneof![6 => beyond, 5 => listed, 3 => mangled(good), 1 => wrong_type, 1 => select(values::unknown_fields())]
        .boxed()
}

/// A good text with something wrong about it, alone or after a good one where the field is a list.
fn mangled(good: &[(&'static str, Vec<Value>)]) -> impl Strategy<Value = Edit> + use<> {
    let texts: Vec<_> =
        good.iter().filter_map(|(path, values)| Some((*path, values.clone(), first_text(values)?))).collect();
    let wrong = (select(texts), select(values::FRAGMENTS.to_vec()), 0..values::MANGLES, any::<Index>());
    wrong.prop_map(|((path, values, text), fragment, way, place)| {
        let broken = json!(values::mangle(&text, way, fragment, place));
        let value = match values.first() {
            Some(Value::Array(_)) if place.index(2) == 0 => json!([text, broken]),
            Some(Value::Array(_)) => json!([broken]),
            _ => broken,
        };
        (path.to_owned(), value)
    })
}

fn first_text(values: &[Value]) -> Option<String> {
    let first = values.first()?;
    first.as_str().or_else(|| first[0].as_str()).map(str::to_owned)
}
