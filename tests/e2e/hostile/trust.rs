//! Who is trusted where a spec says nothing, and where it says something.

use std::collections::BTreeMap;

use port_aws_operator::{
    api::{PortAwsAccessSpec, PortAwsIntegrationSpec},
    domain::{Owner, Partition},
    plan::{Claim, Desired, Granted},
};
use proptest::{option, prelude::*, sample::select};
use serde_json::json;

use super::tenants::ISSUER;

const ALLOWED: &str = "system:serviceaccount:port:port-oidc-sa";

fn computed(organization: &str) -> String {
    format!("system:serviceaccount:org-{organization}-port-oidc-sa")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_is_trusted_is_what_the_spec_says_else_what_the_organization_makes(
        organization in "[A-Za-z0-9]([A-Za-z0-9_-]{0,20}[A-Za-z0-9])?",
        other in "[A-Za-z0-9]{1,8}",
        choice in option::of(0..4_usize),
        audience in option::of(select(vec!["sts.amazonaws.com", "port.example.org", "evil.example.org"])),
    ) {
        let subjects = [computed(&organization), ALLOWED.to_owned(), computed(&other), format!("{ALLOWED}x")];
        let subject = choice.map(|index| &subjects[index]);
        let access: PortAwsAccessSpec = serde_json::from_value(json!({
            "allowedNamespaces": {},
            "accounts": ["*"],
            "limits": {
                "organizationIds": [organization, other],
                "subjects": [ALLOWED],
                "clientIds": ["sts.amazonaws.com", "port.example.org"],
            },
        }))
        .unwrap();
        let mut provider = json!({});
        if let Some(subject) = subject {
            provider["subject"] = json!(subject);
        }
        if let Some(audience) = audience {
            provider["clientId"] = json!(audience);
        }
        let spec: PortAwsIntegrationSpec = serde_json::from_value(json!({
            "organizationId": organization, "integrationIdentifier": "aws-prod", "accounts": ["111122223333"], "oidcProvider": provider,
        }))
        .unwrap();
        let granted = Granted::check(&spec, "ns", Some(&BTreeMap::new()), &access);
        let subject_allowed = subject.is_none_or(|subject| *subject == computed(&organization) || subject == ALLOWED);
        prop_assert_eq!(granted.is_ok(), subject_allowed && audience != Some("evil.example.org"));
        let Ok(granted) = granted else { return Ok(()) };
        let claim = Claim {
            cluster: "here".parse().unwrap(),
            former: [].into(),
            owner: Owner { namespace: "ns".into(), name: "name".into() },
            predecessor: None,
        };
        let desired = Desired::build(granted, &"111122223333".parse().unwrap(), Partition::Aws, &claim).unwrap();
        let trust: serde_json::Value = serde_json::from_str(&desired.role.trust.to_json()).unwrap();
        let issuer = ISSUER.replace("https://", "");
        prop_assert_eq!(&trust["Statement"][0]["Condition"], &json!({"StringEquals": {
            format!("{issuer}:aud"): audience.unwrap_or("sts.amazonaws.com"),
            format!("{issuer}:sub"): subject.cloned().unwrap_or_else(|| computed(&organization)),
        }}));
    }
}
