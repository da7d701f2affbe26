//! What has to hold of any text that others write.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use port_aws_operator::{
    api::{PortAwsAccess, PortAwsIntegration},
    domain::Partition,
    plan::{Granted, Target},
    policy::PolicyDocument,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A text is a policy document or refused.
pub fn policy_text(text: &str) {
    let _ = PolicyDocument::parse(text);
}

/// A document means the same however it is written down.
pub fn policy_document(document: &Value) {
    let text = document.to_string();
    let plain = PolicyDocument::parse(&text).ok();
    let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
    assert_eq!(plain, PolicyDocument::parse(&encoded).ok(), "{text}");
    assert_eq!(plain, PolicyDocument::parse(&format!("{document:#}")).ok(), "{text}");
}

/// Resources that can be read survive being stored, and what comes of them is decided without a panic.
pub fn resources(integration: Value, access: Value) {
    let access = serde_json::from_value::<PortAwsAccess>(access).ok();
    if let Some(access) = &access {
        survives_being_stored(access);
    }
    let Ok(integration) = serde_json::from_value::<PortAwsIntegration>(integration) else { return };
    survives_being_stored(&integration);
    let spec = &integration.spec;
    let account = "111122223333".parse().unwrap();
    let _ = (spec.role_name(), Target::new(spec, &account, Partition::Aws));
    if let Some(access) = access {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let _ = Granted::check(spec, "demo", Some(&labels), &access.spec);
    }
}

fn survives_being_stored<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(object: &T) {
    let stored = serde_json::to_value(object).unwrap();
    assert_eq!(&serde_json::from_value::<T>(stored).unwrap(), object);
}
