//! Files of YAML documents, sorted by what they hold.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Invalid, Kind};
use crate::{
    api::{GROUP, PortAwsAccess, PortAwsIntegration},
    domain::Owner,
};

/// The version of our kinds.
const VERSION: &str = "v1alpha1";

/// An integration of a file.
#[derive(Debug, Clone)]
pub struct Integration {
    /// Where it stands, for messages.
    pub source: String,
    /// Its name.
    pub resource: Owner,
    /// It, with its defaults.
    pub object: PortAwsIntegration,
    /// The same as it was read, with its defaults.
    pub value: Value,
}

/// What files hold.
#[derive(Debug, Default)]
pub struct Documents {
    /// The integrations, in the order of the files.
    pub integrations: Vec<Integration>,
    /// The access objects, by name.
    pub accesses: BTreeMap<String, PortAwsAccess>,
    /// The labels of namespaces, by name.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// What is not looked at, and why.
    pub skipped: Vec<String>,
    /// What is wrong, with file, document and field.
    pub errors: Vec<String>,
}

impl Documents {
    /// Reads one file. Documents without a namespace go to `namespace`.
    pub fn read(&mut self, file: &str, text: &str, namespace: &str) {
        match serde_saphyr::from_multiple::<Value>(text) {
            Ok(documents) => {
                for (index, document) in documents.into_iter().enumerate() {
                    self.take(&format!("{file}, document {}", index + 1), document, namespace);
                }
            }
            Err(error) => self.errors.push(format!("{file}: no YAML: {error}")),
        }
    }

    fn take(&mut self, place: &str, document: Value, namespace: &str) {
        let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let source = format!("{place} ({})", called(&kind, &document, namespace));
        match kind.as_str() {
            "PortAwsIntegration" | "PortAwsAccess" if group == GROUP => {
                if version != format!("{GROUP}/{VERSION}") {
                    self.errors.push(format!("{source}: apiVersion: there is no {version}, only {GROUP}/{VERSION}"));
                } else if kind == "PortAwsAccess" {
                    self.take_access(&source, document);
                } else {
                    self.take_integration(source, document, namespace);
                }
            }
            "Namespace" if version == "v1" => {
                let labels = document["metadata"]["labels"].as_object().into_iter().flatten();
                let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
                let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                self.namespaces.insert(name, labels.collect());
            }
            "List" if document["items"].is_array() => {
                let items = document["items"].as_array().cloned().unwrap_or_default();
                for (index, item) in items.into_iter().enumerate() {
                    self.take(&format!("{place}, item {}", index + 1), item, namespace);
                }
            }
            "" => self.errors.push(format!("{place}: kind: Required value")),
            _ => self.skipped.push(source),
        }
    }

    fn take_access(&mut self, source: &str, document: Value) {
        let Some((mut object, _)) = self.checked::<PortAwsAccess>(source, &Kind::access(), document) else { return };
        let name = object.metadata.name.clone().unwrap_or_default();
        // It stands for a UID, by which sessions in AWS are told apart.
        object.metadata.uid = Some(format!("file/{name}"));
        if self.accesses.insert(name, object).is_some() {
            self.errors.push(format!("{source}: the files have it twice"));
        }
    }

    fn take_integration(&mut self, source: String, mut document: Value, namespace: &str) {
        if document["metadata"].is_object() && document["metadata"]["namespace"].is_null() {
            document["metadata"]["namespace"] = json!(namespace);
        }
        let Some((object, value)) = self.checked::<PortAwsIntegration>(&source, &Kind::integration(), document) else {
            return;
        };
        let (namespace, name) = (object.metadata.namespace.clone(), object.metadata.name.clone());
        let resource = Owner { namespace: namespace.unwrap_or_default(), name: name.unwrap_or_default() };
        if self.integrations.iter().any(|known| known.resource == resource) {
            self.errors.push(format!("{source}: the files have it twice"));
        }
        self.integrations.push(Integration { source, resource, object, value });
    }

    fn checked<T: DeserializeOwned>(&mut self, source: &str, kind: &Kind, document: Value) -> Option<(T, Value)> {
        let read = |value: Value| match serde_json::from_value(value.clone()) {
            Ok(object) => Ok((object, value)),
            Err(error) => Err(vec![Invalid::new("", error.to_string())]),
        };
        match kind.check(document, None).and_then(read) {
            Ok(object) => Some(object),
            Err(found) => {
                self.errors.extend(found.iter().map(|invalid| format!("{source}: {invalid}")));
                None
            }
        }
    }
}

/// An object as kubectl would call it.
fn called(kind: &str, document: &Value, namespace: &str) -> String {
    let name = document["metadata"]["name"].as_str().unwrap_or("without a name");
    let namespace = document["metadata"]["namespace"].as_str().unwrap_or(namespace);
    match kind {
        "PortAwsIntegration" => format!("{kind} {namespace}/{name}"),
        _ => format!("{kind} {name}"),
    }
}
