//! What reads text that others write, with any text: it may refuse, and must neither panic nor read one thing as
//! two. The same is done under the guidance of coverage by `make fuzz`, where there is a nightly toolchain.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checks;

use proptest::prelude::*;
use serde_json::{Value, json};

/// Any JSON, with words among its texts that mean something here.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        ".{0,6}",
        Just("Allow".to_owned()),
        Just("*".to_owned()),
        Just("${accountId}".to_owned()),
        Just("111122223333".to_owned()),
        Just("30m".to_owned()),
        Just("arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[A-Za-z]{1,10}|Statement|Effect|Principal|Action|Condition", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// How many places a document has.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(places).sum(),
        Value::Object(map) => map.values().map(places).sum(),
        _ => 0,
    }
}

/// Puts something else in one place.
fn replace(value: &mut Value, place: &mut usize, with: &Value) {
    if *place == 0 {
        *value = with.clone();
        *place = usize::MAX;
        return;
    }
    *place -= 1;
    let inner: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(list) => Box::new(list.iter_mut()),
        Value::Object(map) => Box::new(map.values_mut()),
        _ => return,
    };
    for each in inner {
        if *place == usize::MAX {
            return;
        }
        replace(each, place, with);
    }
}

/// A document in which some places hold something else.
fn damaged(document: Value) -> impl Strategy<Value = Value> {
    let all = places(&document);
    prop::collection::vec((0..all, any_json()), 0..3).prop_map(move |changes| {
        let mut document = document.clone();
        for (place, with) in changes {
            let mut place = place % places(&document);
            replace(&mut document, &mut place, &with);
        }
        document
    })
}

fn policy() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "A", "Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/i"},
        "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringEquals": {"i:aud": ["a"], "i:sub": "s"}}}]})
}

fn integration() -> Value {
    json!({
        "apiVersion": "integrations.port.io/v1alpha1", "kind": "PortAwsIntegration",
        "metadata": {"name": "aws-prod", "namespace": "demo", "uid": "u", "generation": 1},
        "spec": {
            "organizationId": "org_A", "integrationIdentifier": "aws-prod", "accounts": ["111122223333"],
            "interval": "10m", "mode": "Enforce", "suspend": false, "accessRef": {"name": "default"},
            "oidcProvider": {"deletionPolicy": "DeleteIfUnused", "management": "UseExisting", "subject": "s"},
            "role": {
                "name": "PortIntegrationRole-x", "managedPolicyArns": ["arn:aws:iam::${accountId}:policy/p"],
                "permissionsBoundaryArn": "arn:aws:iam::aws:policy/p", "maxSessionDuration": 3600, "tags": {"a": "b"},
            },
        },
        "status": {
            "observedGeneration": 1, "lastHandledReconcileAt": "x",
            "accounts": [{"id": "111122223333", "state": "Ready", "reason": "Ready", "claimed": true}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    })
}

fn access() -> Value {
    json!({
        "apiVersion": "integrations.port.io/v1alpha1", "kind": "PortAwsAccess", "metadata": {"name": "default"},
        "spec": {
            "accounts": ["*"], "allowedNamespaces": {"names": ["demo"], "selector": {"matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}},
            "assumeRole": {"roleName": "r", "externalId": "e"}, "organizations": {"roleArn": "arn:aws:iam::111122223333:role/r"},
            "takeOver": [{"clusterId": "c"}], "limits": {"organizationIds": ["org_A"], "roleNamePrefix": "Port"},
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_policy_document_or_refused(text in "\\PC*", bytes in any::<Vec<u8>>()) {
        checks::policy_text(&text);
        checks::policy_text(&format!("%7B{text}"));
        checks::policy_text(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_damaged_policy_is_refused_or_means_the_same_however_it_is_written(document in damaged(policy())) {
        checks::policy_document(&document);
    }

    #[test]
    fn damaged_resources_are_refused_or_survive_being_stored(
        integration in damaged(integration()),
        access in damaged(access()),
    ) {
        checks::resources(integration, access);
    }
}
