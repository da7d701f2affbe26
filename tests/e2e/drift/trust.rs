//! Each field of the trust policy.

use serde_json::{Value, json};
use testkit::Result;

use super::{heals, healthy};
use crate::{
    iam::{Does, ISSUER, end, foreign_statement, role},
    scenario,
};

/// What is changed, and the fields that the event names.
type Case = (fn(&mut Value), &'static [&'static str]);

async fn each_is_healed(name: &str, cases: &[Case]) -> Result<()> {
    let it = scenario(name).await?;
    let (somebody, before) = healthy(&it, |_| ()).await?;
    let role = role(&before);
    for (change, fields) in cases {
        let mut document = role.trust_policy.clone();
        change(&mut document);
        somebody.does(&[Does::Trust(document.clone())]).await?;
        let told = heals(&it, &before, &["UpdateAssumeRolePolicy"]).await?;
        let [(reason, note)] = told.as_slice() else { panic!("{document}: {told:?}") };
        assert_eq!(reason, "DriftCorrected");
        let start = "set the trust policy: ";
        let end = format!(" ({})", role.arn);
        let drift = note.strip_prefix(start).and_then(|rest| rest.strip_suffix(&end)).expect(note);
        let named: Vec<_> = drift.split("; ").filter_map(|field| field.split_once(" was ")).collect();
        assert_eq!(named.iter().map(|(field, _)| *field).collect::<Vec<_>>(), *fields, "{note}");
    }
    end(it).await
}

fn condition<'a>(document: &'a mut Value, key: &str) -> &'a mut Value {
    &mut document["Statement"][0]["Condition"]["StringEquals"][format!("{ISSUER}:{key}")]
}

#[tokio::test]
async fn every_field_of_the_trust_policy_is_kept() -> Result<()> {
    let cases: [Case; 7] = [
        (|it| it["Version"] = json!("2008-10-17"), &["Version"]),
        (|it| drop(it.as_object_mut().expect("a map").remove("Version")), &["Version"]),
        (|it| it["Statement"][0]["Effect"] = json!("Deny"), &["Effect"]),
        (|it| it["Statement"][0]["Principal"] = json!({"Federated": "cognito-identity.amazonaws.com"}), &["Principal"]),
        (|it| it["Statement"][0]["Action"] = json!(["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]), &["Action"]),
        (|it| *condition(it, "aud") = json!("others"), &["Condition.StringEquals.aud"]),
        (
            |it| *condition(it, "sub") = json!("system:serviceaccount:org-org_Evil-port-oidc-sa"),
            &["Condition.StringEquals.sub"],
        ),
    ];
    each_is_healed("fields", &cases).await
}

#[tokio::test]
async fn conditions_and_statements_that_come_or_go_are_set_right() -> Result<()> {
    let cases: [Case; 5] = [
        (
            |it| {
                let block = json!({"aws:SourceIp": "203.0.113.0/24"});
                it["Statement"][0]["Condition"]["IpAddress"] = block;
            },
            &["Condition.IpAddress.aws:sourceip"],
        ),
        (|it| it["Statement"].as_array_mut().expect("a list").push(foreign_statement()), &["Statement"]),
        (
            |it| {
                let block = it["Statement"][0]["Condition"]["StringEquals"].take();
                it["Statement"][0]["Condition"] = json!({"StringLike": block});
            },
            &[
                "Condition.StringEquals.aud",
                "Condition.StringEquals.sub",
                "Condition.StringLike.aud",
                "Condition.StringLike.sub",
            ],
        ),
        (|it| *condition(it, "aud") = json!(["sts.amazonaws.com", "others"]), &["Condition.StringEquals.aud"]),
        (
            |it| drop(it["Statement"][0].as_object_mut().expect("a map").remove("Condition")),
            &["Condition.StringEquals.aud", "Condition.StringEquals.sub"],
        ),
    ];
    each_is_healed("statements", &cases).await
}
