//! Rendered manifests as objects.

use serde_json::Value;

/// The documents of a YAML stream, in order.
pub(crate) fn parse(stream: &str) -> Vec<Value> {
    let documents = stream.split("\n---\n").map(|text| text.strip_prefix("---\n").unwrap_or(text));
    let parsed = documents.map(|text| serde_saphyr::from_str::<Value>(text).unwrap_or_else(|e| panic!("{e}\n{text}")));
    parsed.filter(|object| !object.is_null()).collect()
}

pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The only one of a kind.
pub(crate) fn the<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}: {}", names(objects).join(", "));
    found[0]
}

/// One of a kind, by its name.
pub(crate) fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}: {}", names(objects).join(", ")))
}

/// Kind and name of each.
pub(crate) fn names(objects: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    objects.iter().map(|it| format!("{}/{}", text(&it["kind"]), text(&it["metadata"]["name"]))).collect()
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The arguments of the operator's container.
pub(crate) fn arguments(objects: &[Value]) -> Vec<String> {
    strings(&the(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"])
}
