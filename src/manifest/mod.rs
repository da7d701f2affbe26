//! Objects as people write them, held against the schema and the rules of their kind as the API server
//! holds them, without one. Nothing here does I/O.

mod documents;
mod reference;
mod rules;
mod schema;

use std::fmt;

pub use documents::{Documents, Integration};
use kube::CustomResourceExt;
pub use reference::reference;
use serde_json::{Value, json};

use crate::api::{PortAwsAccess, PortAwsIntegration};

/// The most characters of an object's name.
const NAME: usize = 253;

/// What is wrong in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field, as kubectl names it; empty for the object as a whole.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl Invalid {
    fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// A kind of ours, with the schema of its definition.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    schema: Value,
}

impl Kind {
    /// `PortAwsIntegration`.
    #[must_use]
    pub fn integration() -> Self {
        Self::of::<PortAwsIntegration>("PortAwsIntegration")
    }

    /// `PortAwsAccess`.
    #[must_use]
    pub fn access() -> Self {
        Self::of::<PortAwsAccess>("PortAwsAccess")
    }

    fn of<K: CustomResourceExt>(name: &'static str) -> Self {
        let definition = serde_json::to_value(K::crd()).unwrap_or_default();
        Self { name, schema: definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone() }
    }

    /// Checks an object as the API server does before it stores one, and gives it with its defaults. The
    /// rules about a change are asked only if there is an `old` object.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn check(&self, mut object: Value, old: Option<&Value>) -> Result<Value, Vec<Invalid>> {
        // What a manifest says of status, the API server drops.
        object.as_object_mut().map(|fields| fields.remove("status"));
        let mut found = metadata(&object);
        schema::unknown_fields(&self.schema, &object, &mut found);
        schema::complete(&self.schema, &mut object);
        schema::validate(&self.schema, &object, &mut found);
        if found.is_empty() {
            rules::check(&self.schema, &object, old, &mut found);
        }
        if found.is_empty() { Ok(object) } else { Err(found) }
    }
}

/// What every kind asks of metadata, whose own schema says nothing.
fn metadata(object: &Value) -> Vec<Invalid> {
    let path = "metadata.name";
    match object["metadata"]["name"].as_str() {
        None | Some("") => vec![Invalid::new(path, "Required value: name is required")],
        Some(name) if !is_name(name) => vec![Invalid::new(
            path,
            format!(
                "Invalid value: {}: must be lower-case letters, digits, '-' and '.', begin and end with a letter or digit, and have at most {NAME} characters",
                json!(name)
            ),
        )],
        Some(_) => Vec::new(),
    }
}

/// Whether the API server takes it as a name: an RFC 1123 subdomain.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = label.as_bytes().first().is_some_and(plain) && label.as_bytes().last().is_some_and(plain);
        ends && label.bytes().all(|byte| plain(&byte) || byte == b'-')
    };
    name.len() <= NAME && name.split('.').all(label)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
