//! A policy document, normalised so that two documents are equal exactly when they mean the same.
//!
//! IAM returns documents URL-encoded, with keys and array elements in another order and one-element
//! arrays as plain strings, so text never compares equal for long. Grammar:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Text that is no policy document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a policy document: {0}")]
pub struct MalformedPolicy(String);

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Grants.
    Allow,
    /// Refuses, whatever else grants.
    Deny,
}

/// One statement. Two kinds of elements carry no meaning and are left out: `Sid`, and the order and
/// number of equal array elements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statement {
    /// `Effect`.
    pub effect: Effect,
    /// `Principal` by kind (`AWS`, `Federated`, …); the bare `"*"` has the kind `*`.
    pub principals: BTreeMap<String, BTreeSet<String>>,
    /// `Action`, in lower case: IAM ignores the case of actions.
    pub actions: BTreeSet<String>,
    /// `Condition`: operator, then key in lower case (IAM ignores the case of keys), then values.
    pub conditions: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// Every other element (`NotAction`, `Resource`, …), by name.
    pub others: BTreeMap<String, BTreeSet<String>>,
}

/// A normalised policy document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyDocument {
    /// `Version`; a document without one has the version of 2008, in which variables are plain text.
    pub version: String,
    /// The statements; their order has no meaning.
    pub statements: BTreeSet<Statement>,
}

impl PolicyDocument {
    /// Parses a document as IAM returns it (URL-encoded, RFC 3986) or as a person writes it.
    ///
    /// # Errors
    /// If the text is not JSON, or not shaped like a policy document.
    pub fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        let decoded = if text.trim_start().starts_with('{') {
            text.into()
        } else {
            percent_decode_str(text).decode_utf8().map_err(|error| MalformedPolicy(error.to_string()))?
        };
        let root: Value = serde_json::from_str(&decoded).map_err(|error| MalformedPolicy(error.to_string()))?;
        let root = root.as_object().ok_or_else(|| MalformedPolicy("no JSON object".into()))?;
        let statements = match root.get("Statement") {
            Some(Value::Array(list)) => list.iter().map(Statement::parse).collect::<Result<_, _>>()?,
            Some(one @ Value::Object(_)) => BTreeSet::from([Statement::parse(one)?]),
            _ => return Err(MalformedPolicy("no Statement".into())),
        };
        let version = root.get("Version").and_then(Value::as_str).unwrap_or("2008-10-17").to_owned();
        Ok(Self { version, statements })
    }
}

impl Statement {
    fn parse(value: &Value) -> Result<Self, MalformedPolicy> {
        let map = value.as_object().ok_or_else(|| MalformedPolicy("a Statement is no object".into()))?;
        let effect = match map.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(MalformedPolicy("a Statement has no Effect".into())),
        };
        let lower = |values: BTreeSet<String>| values.iter().map(|value| value.to_ascii_lowercase()).collect();
        let mut statement = Self {
            effect,
            principals: BTreeMap::new(),
            actions: BTreeSet::new(),
            conditions: BTreeMap::new(),
            others: BTreeMap::new(),
        };
        for (element, value) in map {
            match element.as_str() {
                "Effect" | "Sid" => {}
                "Principal" => statement.principals = principals(value)?,
                "Action" => statement.actions = lower(strings(value)?),
                "Condition" => statement.conditions = conditions(value)?,
                // Kept as text: the operator never writes these, so any is a difference.
                _ => drop(statement.others.insert(element.clone(), other(value))),
            }
        }
        Ok(statement)
    }
}

fn principals(value: &Value) -> Result<BTreeMap<String, BTreeSet<String>>, MalformedPolicy> {
    match value {
        Value::String(any) => Ok(BTreeMap::from([(any.clone(), BTreeSet::from([any.clone()]))])),
        Value::Object(kinds) => kinds.iter().map(|(kind, ids)| Ok((kind.clone(), strings(ids)?))).collect(),
        _ => Err(MalformedPolicy("a Principal is neither text nor an object".into())),
    }
}

fn conditions(value: &Value) -> Result<BTreeMap<String, BTreeMap<String, BTreeSet<String>>>, MalformedPolicy> {
    let block = |value: &Value| -> Result<BTreeMap<String, BTreeSet<String>>, MalformedPolicy> {
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (key, values) in object(value)? {
            keys.entry(key.to_ascii_lowercase()).or_default().extend(strings(values)?);
        }
        Ok(keys)
    };
    object(value)?.iter().map(|(operator, keys)| Ok((operator.clone(), block(keys)?))).collect()
}

fn object(value: &Value) -> Result<&Map<String, Value>, MalformedPolicy> {
    value.as_object().ok_or_else(|| MalformedPolicy("a Condition is no object".into()))
}

fn strings(value: &Value) -> Result<BTreeSet<String>, MalformedPolicy> {
    match value {
        Value::Array(list) => list.iter().map(scalar).collect(),
        one => Ok(BTreeSet::from([scalar(one)?])),
    }
}

fn scalar(value: &Value) -> Result<String, MalformedPolicy> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(MalformedPolicy("an element holds neither text nor a list of text".into())),
    }
}

fn other(value: &Value) -> BTreeSet<String> {
    strings(value).unwrap_or_else(|_| BTreeSet::from([value.to_string()]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const PLAIN: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Principal":{"Federated":["p"]},
        "Action":["sts:AssumeRoleWithWebIdentity"],"Condition":{"StringEquals":{"i:aud":["a"],"i:sub":["s","t"]}}}]}"#;

    #[test]
    fn order_arrays_case_and_encoding_do_not_matter() {
        let same = r#"{"Statement":{"Condition":{"StringEquals":{"I:SUB":["t","s","s"],"i:aud":"a"}},"Action":"STS:assumeRoleWithWebIdentity",
            "Principal":{"Federated":"p"},"Effect":"Allow"},"Version":"2012-10-17"}"#;
        let encoded: String = percent_encoding::utf8_percent_encode(same, percent_encoding::NON_ALPHANUMERIC).collect();
        let plain = PolicyDocument::parse(PLAIN).unwrap();
        assert_eq!(plain, PolicyDocument::parse(same).unwrap());
        assert_eq!(plain, PolicyDocument::parse(&encoded).unwrap());
    }

    #[test]
    fn every_element_with_a_meaning_makes_a_difference() {
        let plain = PolicyDocument::parse(PLAIN).unwrap();
        for (from, to) in [
            ("2012-10-17", "2008-10-17"),
            ("\"Allow\"", "\"Deny\""),
            ("[\"p\"]", "[\"p\",\"q\"]"),
            ("Federated", "AWS"),
            ("sts:AssumeRoleWithWebIdentity", "sts:AssumeRole"),
            ("StringEquals", "StringLike"),
            ("i:aud", "j:aud"),
            ("[\"s\",\"t\"]", "[\"s\"]"),
            ("\"a\"", "\"A\""),
            ("\"Sid\":\"A\"", "\"Resource\":\"*\""),
        ] {
            let changed = PolicyDocument::parse(&PLAIN.replace(from, to)).unwrap();
            assert_ne!(plain, changed, "{from} -> {to}");
        }
    }

    #[test]
    fn malformed_text_is_an_error() {
        for bad in
            ["", "x", "[]", "{}", r#"{"Statement":[{}]}"#, r#"{"Statement":[{"Effect":"Allow","Action":{"a":1}}]}"#]
        {
            assert!(PolicyDocument::parse(bad).is_err(), "{bad}");
        }
    }

    /// A document of one or two statements, with every element in the form that is given.
    fn any_document() -> impl Strategy<Value = Value> {
        let texts = || prop::collection::btree_set("[a-c]{1,2}", 1..4).prop_map(|set| json!(set));
        let block = prop::collection::btree_map("[a-c]:(aud|sub)", texts(), 1..3);
        let conditions = prop::collection::btree_map("String(Equals|Like)", block, 0..3);
        let principals = prop::collection::btree_map("(AWS|Federated)", texts(), 1..3);
        let effect = prop_oneof![Just("Allow"), Just("Deny")];
        let statement = (effect, principals, texts(), conditions).prop_map(|(effect, principals, actions, conditions)| {
            json!({"Effect": effect, "Principal": principals, "Action": actions, "Condition": conditions})
        });
        prop::collection::vec(statement, 1..3).prop_map(|list| json!({"Version": "2012-10-17", "Statement": list}))
    }

    /// What IAM may make of a document: arrays in another order, those of one element as text, and all
    /// URL-encoded.
    fn as_iam_returns_it(value: &Value, random: &mut fastrand::Rng) -> Value {
        match value {
            Value::Array(list) => {
                let mut list: Vec<Value> = list.iter().map(|entry| as_iam_returns_it(entry, random)).collect();
                random.shuffle(&mut list);
                if list.len() == 1 && random.bool() { list.remove(0) } else { Value::Array(list) }
            }
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (key.clone(), as_iam_returns_it(value, random)))
                .collect::<Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }

    /// Changes one text in a place that is drawn, wherever it is.
    fn change_one(value: &mut Value, random: &mut fastrand::Rng) {
        match value {
            Value::Array(list) => {
                let index = random.usize(..list.len());
                change_one(&mut list[index], random);
            }
            Value::Object(map) => {
                let full: Vec<String> =
                    map.iter().filter(|(_, value)| **value != json!({})).map(|(key, _)| key.clone()).collect();
                change_one(&mut map[&full[random.usize(..full.len())]], random);
            }
            Value::String(text) if text == "Allow" => *text = "Deny".into(),
            Value::String(text) if text == "Deny" => *text = "Allow".into(),
            Value::String(text) => text.push_str("-changed"),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn a_document_is_equal_to_itself_as_iam_returns_it_and_to_none_that_is_changed(document in any_document(), seed in any::<u64>()) {
            let mut random = fastrand::Rng::with_seed(seed);
            let plain = PolicyDocument::parse(&document.to_string()).unwrap();
            let returned = as_iam_returns_it(&document, &mut random).to_string();
            let encoded: String =
                percent_encoding::utf8_percent_encode(&returned, percent_encoding::NON_ALPHANUMERIC).collect();
            prop_assert_eq!(&plain, &PolicyDocument::parse(&encoded).unwrap());
            let mut changed = document.clone();
            change_one(&mut changed, &mut random);
            let changed = PolicyDocument::parse(&changed.to_string()).unwrap();
            // Of two equal statements one may be changed to what the document has anyway.
            prop_assert!(plain != changed || document["Statement"][0] == document["Statement"][1]);
        }
    }
}
