//! The structural schema of a definition: defaults, unknown fields and bounds, with the words of the API
//! server
//! (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>).

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::Invalid;

/// What every object has; schemas need not say so.
const OF_ALL: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The fields that the schema does not have.
pub(super) fn unknown_fields(schema: &Value, object: &Value, found: &mut Vec<Invalid>) {
    unknown(schema, object, "", found);
}

fn unknown(schema: &Value, value: &Value, path: &str, found: &mut Vec<Invalid>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = field(path, name);
                match child(schema, name) {
                    _ if OF_ALL.contains(&path.as_str()) => {}
                    Some(schema) => unknown(schema, value, &path, found),
                    None if schema["type"] == "object" => found.push(Invalid::new(&path, "unknown field")),
                    None => {}
                }
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                unknown(&schema["items"], value, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// Sets the defaults, and drops each null that stands for an absent field.
pub(super) fn complete(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                !value.is_null() || child(schema, name).is_none_or(|schema| schema["nullable"] == true)
            });
            set_defaults(schema, fields);
            for (name, value) in fields.iter_mut() {
                if let Some(schema) = child(schema, name) {
                    complete(schema, value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| complete(&schema["items"], value)),
        _ => {}
    }
}

fn set_defaults(schema: &Value, fields: &mut Map<String, Value>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, schema) in properties {
        if let Some(default) = schema.get("default").filter(|_| !fields.contains_key(name)) {
            fields.insert(name.clone(), default.clone());
        }
    }
}

/// The values that the schema does not allow.
pub(super) fn validate(schema: &Value, object: &Value, found: &mut Vec<Invalid>) {
    validate_at(schema, object, "", found);
}

fn validate_at(schema: &Value, value: &Value, path: &str, found: &mut Vec<Invalid>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(wanted) = schema["type"].as_str().filter(|wanted| !is_of_type(wanted, value)) {
        let message = format!("Invalid value: {}: must be of type {wanted}: \"{}\"", value, type_of(value));
        return found.push(Invalid::new(path, message));
    }
    if let Some(choice) = schema["enum"].as_array().filter(|choice| !choice.contains(value)) {
        let choice = choice.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        found.push(Invalid::new(path, format!("Unsupported value: {value}: supported values: {choice}")));
    }
    match value {
        Value::Object(fields) => object(schema, fields, path, found),
        Value::Array(list) => array(schema, list, path, found),
        Value::String(text) => string(schema, text, path, found),
        Value::Number(_) => number(schema, value, path, found),
        _ => {}
    }
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &str, found: &mut Vec<Invalid>) {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for name in required.filter(|name| !fields.contains_key(*name)) {
        found.push(Invalid::new(&field(path, name), "Required value"));
    }
    count(schema, "Properties", fields.len(), path, found);
    for (name, value) in fields {
        if let Some(schema) = child(schema, name) {
            validate_at(schema, value, &field(path, name), found);
        }
    }
}

fn array(schema: &Value, list: &[Value], path: &str, found: &mut Vec<Invalid>) {
    count(schema, "Items", list.len(), path, found);
    let mut seen = BTreeSet::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        validate_at(&schema["items"], value, &path, found);
        if schema["x-kubernetes-list-type"] == "set" && !seen.insert(value.to_string()) {
            found.push(Invalid::new(&path, format!("Duplicate value: {value}")));
        }
    }
}

/// The bounds of a number of entries, and so of `minItems` and the like.
fn count(schema: &Value, of: &str, count: usize, path: &str, found: &mut Vec<Invalid>) {
    let bound = |end: &str| schema[format!("{end}{of}")].as_u64().and_then(|bound| usize::try_from(bound).ok());
    if let Some(most) = bound("max").filter(|most| count > *most) {
        found.push(Invalid::new(path, format!("Too many: {count}: must have at most {most} items")));
    }
    if let Some(least) = bound("min").filter(|least| count < *least) {
        found.push(Invalid::new(path, format!("Invalid value: {count}: should have at least {least} items")));
    }
}

fn string(schema: &Value, text: &str, path: &str, found: &mut Vec<Invalid>) {
    let characters = text.chars().count() as u64;
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| characters > *most) {
        found.push(Invalid::new(path, format!("Too long: may not be more than {most} characters")));
    }
    let mut wrong =
        |message: String| found.push(Invalid::new(path, format!("Invalid value: {}: {message}", json!(text))));
    if let Some(least) = schema["minLength"].as_u64().filter(|least| characters < *least) {
        wrong(format!("should be at least {least} characters long"));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        match Regex::new(pattern) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => wrong(format!("should match '{pattern}'")),
            Err(error) => wrong(format!("the pattern '{pattern}' cannot be read: {error}")),
        }
    }
}

fn number(schema: &Value, value: &Value, path: &str, found: &mut Vec<Invalid>) {
    let Some(number) = value.as_f64() else { return };
    let mut wrong = |message: String| found.push(Invalid::new(path, format!("Invalid value: {value}: {message}")));
    if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
        wrong(format!("should be greater than or equal to {least}"));
    }
    if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
        wrong(format!("should be less than or equal to {most}"));
    }
    let fits = schema["format"] != "int32" || value.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
    if !fits {
        wrong("must be of type int32".to_owned());
    }
}

/// The schema of a field of an object.
pub(super) fn child<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema["properties"].get(name);
    named.or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
}

/// The path of a field of the object at a path.
pub(super) fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn is_of_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "number" => value.is_number(),
        wanted => type_of(value) == wanted,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
