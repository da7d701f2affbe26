//! The rules of a schema in CEL, `x-kubernetes-validations`
//! (<https://kubernetes.io/docs/reference/using-api/cel/>).

use std::{collections::HashMap, sync::Arc};

use cel::{Context, Env, ExecutionError, extensions};
use serde_json::Value;

use super::{Invalid, schema::field};

/// The rules that an object breaks, wherever the schema has them. A rule about a change is asked where
/// there is an old value.
pub(super) fn check(schema: &Value, object: &Value, old: Option<&Value>, found: &mut Vec<Invalid>) {
    let mut env = Env::stdlib();
    match env.add_extension(extensions::strings) {
        Ok(()) => walk(&Arc::new(env), schema, object, old, "", found),
        Err(error) => found.push(Invalid::new("", format!("the rules cannot be read: {error}"))),
    }
}

fn walk(env: &Arc<Env>, schema: &Value, value: &Value, old: Option<&Value>, path: &str, found: &mut Vec<Invalid>) {
    if value.is_null() {
        return;
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = rule["rule"].as_str().unwrap_or_default();
        // The API server, too, asks a rule that names oldSelf of a change alone.
        if text.contains("oldSelf") && old.is_none() {
            continue;
        }
        let message = rule["message"].as_str().unwrap_or(text);
        match holds(env, text, value, old) {
            Ok(true) => {}
            Ok(false) => found.push(Invalid::new(path, format!("Invalid value: {message}"))),
            Err(error) => found.push(Invalid::new(path, format!("the rule {text:?} cannot be asked: {error}"))),
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(schema) = super::schema::child(schema, name) {
                    let old = old.and_then(|old| old.get(name));
                    walk(env, schema, value, old, &field(path, name), found);
                }
            }
        }
        // An entry of a list has no old value of its own, unless the list is a map.
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                walk(env, &schema["items"], value, None, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn holds(env: &Arc<Env>, rule: &str, value: &Value, old: Option<&Value>) -> Result<bool, String> {
    let program = env.compile(rule).map_err(|error| error.to_string())?;
    let mut context = Context::with_env(Arc::clone(env));
    context.add_function("duration", duration).map_err(|error| error.to_string())?;
    context.add_variable_from_value("self", in_cel(value));
    if let Some(old) = old {
        context.add_variable_from_value("oldSelf", in_cel(old));
    }
    match program.execute(&context).map_err(|error| error.to_string())? {
        cel::Value::Bool(outcome) => Ok(outcome),
        other => Err(format!("it gives {other:?}")),
    }
}

/// A null stands for an absent field: `has` is false of it.
fn in_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(it) => (*it).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().map(in_cel).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let present = fields.iter().filter(|(_, value)| !value.is_null());
            present.map(|(name, value)| (name.clone(), in_cel(value))).collect::<HashMap<_, _>>().into()
        }
    }
}

/// CEL's durations, as far as whole numbers go, in nanoseconds: they are compared and nothing else.
// The library hands its texts over by value.
#[allow(clippy::needless_pass_by_value)]
fn duration(text: Arc<String>) -> Result<i64, ExecutionError> {
    nanoseconds(&text).ok_or_else(|| ExecutionError::function_error("duration", format!("{text:?} is no duration")))
}

fn nanoseconds(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 6] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (mut rest, mut sum) = (text, 0_i64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|char: char| char.is_ascii_digit()).len();
        let (number, unit) = rest.split_at(digits);
        let letters = unit.len() - unit.trim_start_matches(|char: char| char.is_ascii_alphabetic()).len();
        let (unit, after) = unit.split_at(letters);
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(*nanoseconds)?)?;
        rest = after;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, seconds) in [("5m", 300), ("1h30m", 5400), ("24h", 86_400), ("90s", 90), ("0s", 0)] {
            assert_eq!(nanoseconds(text), Some(seconds * 1_000_000_000), "{text}");
        }
        for bad in ["", "5", "m", "5d", "5m ", "-5m", "99999999999999999999h", "9999999999h"] {
            assert_eq!(nanoseconds(bad), None, "{bad}");
        }
    }
}
