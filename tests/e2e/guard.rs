//! What a `PortAwsAccess` does not allow is refused before any call to AWS.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::actions,
    fixture::{Scenario, condition, unused_account},
};

use crate::{OPERATOR, scenario};

const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
/// The calls by which an integration goes from nothing to Ready in an account that has nothing.
const FIRST_PASS: [&str; 5] =
    ["GetOpenIDConnectProvider", "GetRole", "CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy"];

/// Waits until an integration is refused for good, and gives the message.
async fn refused(it: &Scenario, name: &str, reason: &str) -> Result<String> {
    let object = it
        .until(name, &format!("it is refused: {reason}"), |object| {
            let (ready, stalled) = (condition(object, "Ready"), condition(object, "Stalled"));
            object["status"]["observedGeneration"] == object["metadata"]["generation"]
                && ready["status"] == "False"
                && ready["reason"] == reason
                && stalled["status"] == "True"
        })
        .await?;
    let message = condition(&object, "Ready")["message"].as_str().unwrap_or_default().to_owned();
    assert!(condition(&object, "Reconciling").is_null(), "{object}");
    assert!(object["metadata"]["finalizers"].is_null(), "{object}");
    Ok(message)
}

/// A field of the `PortAwsAccess`, a spec that breaks it, and what the message has to say of it.
fn violations() -> Vec<(&'static str, Value, &'static str)> {
    let role = |role: Value| json!({"role": role});
    let provider = |provider: Value| json!({"oidcProvider": provider});
    vec![
        ("organizationIds", json!({"organizationId": "org_Theirs"}), "organization org_Theirs is not allowed"),
        ("subjects", provider(json!({"subject": "system:serviceaccount:a:b"})), "subject system:serviceaccount:a:b"),
        ("issuerUrls", provider(json!({"url": "https://issuer.example.org/x"})), "issuer https://issuer.example.org/x"),
        ("clientIds", provider(json!({"clientId": "port.example.org"})), "client ID port.example.org"),
        (
            "managedPolicyArns",
            role(json!({"managedPolicyArns": [READ_ONLY, "arn:aws:iam::aws:policy/SecurityAudit"]})),
            "managed policy arn:aws:iam::aws:policy/SecurityAudit is not allowed",
        ),
        ("roleNamePrefix", role(json!({"name": "PortIntegrator"})), "does not start with PortIntegrationRole-"),
        (
            "permissionsBoundaryArn",
            role(json!({"permissionsBoundaryArn": READ_ONLY})),
            "leave it out, or write arn:aws:iam::aws:policy/PowerUserAccess",
        ),
        ("maxSessionDuration", role(json!({"maxSessionDuration": 3601})), "maxSessionDuration 3601 is over 3600"),
        ("tagKeys", role(json!({"tags": {"Team": "a"}})), "role tag Team is not allowed"),
        ("adoption", role(json!({"adoption": "Adopt"})), "taking over an existing role is not allowed"),
    ]
}

/// Limits that allow all of [`violations`].
fn wide_limits() -> Value {
    json!({
        "organizationIds": ["org_Test1", "org_Theirs"],
        "subjects": ["system:serviceaccount:a:b"],
        "issuerUrls": [
            "https://oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4",
            "https://issuer.example.org/x",
        ],
        "clientIds": ["sts.amazonaws.com", "port.example.org"],
        "managedPolicyArns": [READ_ONLY, "arn:aws:iam::aws:policy/SecurityAudit"],
        "roleNamePrefix": "PortIntegrat",
        "permissionsBoundaryArn": null,
        "maxSessionDuration": 43200,
        "tagKeys": ["Team"],
        "adoption": "Adopt",
    })
}

fn identifier(rule: &str) -> String {
    format!("breaks-{}", rule.to_lowercase())
}

fn set(spec: &mut Value, fields: &Value) {
    for (key, value) in fields.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
}

#[tokio::test]
async fn each_limit_refuses_before_any_call_to_aws_and_lets_in_once_it_is_widened() -> Result<()> {
    let it = Scenario::builder("limits", OPERATOR)
        .access(|spec| spec["limits"]["permissionsBoundaryArn"] = json!("arn:aws:iam::aws:policy/PowerUserAccess"))
        .start()
        .await?;
    let seq = it.seq().await?;
    for (rule, fields, _) in &violations() {
        it.integration(&identifier(rule), |spec| set(spec, fields)).await?;
    }
    for (rule, _, words) in &violations() {
        let message = refused(&it, &identifier(rule), "NotAllowed").await?;
        assert!(message.contains(&format!("(limits.{rule})")), "{rule}: {message}");
        assert!(message.contains(words), "{rule}: {message}");
        assert!(message.contains(&format!("PortAwsAccess {}", it.namespace())), "{rule}: {message}");
        assert_eq!(message.matches("(limits.").count(), 1, "{rule}: {message}");
    }
    // One that is allowed, after all those: its calls are the only ones, reads included.
    it.integration("allowed", |_| ()).await?;
    it.ready("allowed").await?;
    let calls = it.operator_calls_since(seq).await?;
    assert_eq!(actions(&calls), FIRST_PASS);
    assert_eq!(it.state().await?.roles.len(), 1);

    it.patch_access(json!({"limits": wide_limits()})).await?;
    for (rule, _, _) in &violations() {
        let object = it.ready(&identifier(rule)).await?;
        assert_eq!(object["metadata"]["generation"], 1, "{rule}");
    }
    assert_eq!(it.state().await?.roles.len(), 1 + violations().len());
    it.finish().await
}

#[tokio::test]
async fn all_broken_rules_are_named_at_once_and_observe_is_refused_too() -> Result<()> {
    let it = scenario("several").await?;
    let seq = it.seq().await?;
    it.integration("several", |spec| {
        spec["mode"] = json!("Observe");
        for (_, fields, _) in violations().iter().filter(|(rule, _, _)| !["permissionsBoundaryArn"].contains(rule)) {
            for (key, value) in fields.as_object().into_iter().flatten() {
                let inner = value.as_object().cloned();
                match inner {
                    Some(inner) => inner.into_iter().for_each(|(field, value)| spec[key][field] = value),
                    None => spec[key] = value.clone(),
                }
            }
        }
    })
    .await?;
    let message = refused(&it, "several", "NotAllowed").await?;
    for (rule, _, _) in violations() {
        assert_eq!(
            message.contains(&format!("(limits.{rule})")),
            rule != "permissionsBoundaryArn",
            "{rule}: {message}"
        );
    }
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);
    it.finish().await
}

#[tokio::test]
async fn an_integration_that_is_no_longer_allowed_is_left_alone_until_it_is_allowed_again() -> Result<()> {
    let it = scenario("narrowed").await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let (seq, before) = (it.seq().await?, it.state().await?);
    for (patch, rule) in [
        (json!({"limits": {"organizationIds": ["org_Other"]}}), "(limits.organizationIds)"),
        (json!({"allowedNamespaces": null, "limits": {"organizationIds": ["org_Test1"]}}), "(allowedNamespaces)"),
    ] {
        it.patch_access(patch).await?;
        let object = it
            .until("aws-prod", rule, |object| {
                let ready = condition(object, "Ready");
                ready["reason"] == "NotAllowed" && ready["message"].as_str().is_some_and(|text| text.contains(rule))
            })
            .await?;
        assert_eq!(condition(&object, "Stalled")["status"], "True");
        assert_eq!(object["metadata"]["finalizers"], json!(["integrations.port.io/cleanup"]));
    }
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);
    it.patch_access(json!({"allowedNamespaces": {}})).await?;
    it.ready("aws-prod").await?;
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert_eq!(it.state().await?, before);
    it.finish().await
}

#[tokio::test]
async fn a_namespace_is_let_in_by_name_or_by_label_and_a_label_counts_at_once() -> Result<()> {
    let it = Scenario::builder("namespaces", OPERATOR)
        .access(|spec| spec["allowedNamespaces"] = json!({"names": ["another"]}))
        .start()
        .await?;
    let seq = it.seq().await?;
    it.integration("aws-prod", |_| ()).await?;
    let words = format!("namespace {} may not use this access (allowedNamespaces)", it.namespace());
    assert!(refused(&it, "aws-prod", "NotAllowed").await?.contains(&words));

    // A selector that does not match yet, next to a field that makes the change visible in status.
    it.patch_access(json!({
        "allowedNamespaces": {"names": null, "selector": {"matchLabels": {"port": "yes"}}},
        "limits": {"organizationIds": ["org_Other"]},
    }))
    .await?;
    it.until("aws-prod", "the selector is in force", |object| {
        condition(object, "Ready")["message"].as_str().is_some_and(|text| text.contains("(limits.organizationIds)"))
    })
    .await?;
    it.patch_access(json!({"limits": {"organizationIds": ["org_Test1"]}})).await?;
    let message = it
        .until("aws-prod", "only the namespace is refused", |object| {
            let text = condition(object, "Ready")["message"].as_str().unwrap_or_default();
            text.contains(&words) && !text.contains("organizationIds")
        })
        .await;
    message?;
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);

    label_namespace(&it, json!("yes")).await?;
    it.ready("aws-prod").await?;
    label_namespace(&it, Value::Null).await?;
    it.until("aws-prod", "it is refused again", |object| condition(object, "Ready")["reason"] == "NotAllowed").await?;
    it.finish().await
}

async fn label_namespace(it: &Scenario, value: Value) -> Result<()> {
    let all = Api::<Namespace>::all(it.world().plane().admin_client()?);
    let patch = Patch::Merge(json!({"metadata": {"labels": {"port": value}}}));
    all.patch(it.namespace(), &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn an_account_that_the_access_does_not_cover_is_not_called() -> Result<()> {
    let another = unused_account();
    let covered = another.clone();
    let it = Scenario::builder("uncovered", OPERATOR)
        .access(move |spec| spec["accounts"] = json!([covered]))
        .start()
        .await?;
    let seq = it.seq().await?;
    it.integration("aws-prod", |_| ()).await?;
    let message = refused(&it, "aws-prod", "NotAllowed").await?;
    let words = format!("PortAwsAccess {} does not cover this account", it.namespace());
    assert!(message.contains(it.account()) && message.contains(&words), "{message}");
    let object = it.watch()?.current("aws-prod");
    assert_eq!(condition(&object, "Stalled")["reason"], "AccountsFailing");
    let entry = json!({"id": it.account(), "state": "NotAllowed", "reason": "NotAllowed", "message": words});
    assert_eq!(object["status"]["accounts"], json!([entry]));
    // A check that is asked for is answered, and calls nothing either.
    it.request_check("aws-prod").await?;
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);

    for accounts in [json!([another, it.account()]), json!(["*"])] {
        it.patch_access(json!({"accounts": accounts})).await?;
        it.ready("aws-prod").await?;
        it.patch_access(json!({"accounts": [another]})).await?;
        it.until("aws-prod", "it is refused again", |object| condition(object, "Ready")["reason"] == "NotAllowed")
            .await?;
    }
    assert_eq!(actions(&it.operator_writes_since(seq).await?), FIRST_PASS[2..]);
    it.finish().await
}

#[tokio::test]
async fn an_integration_waits_for_an_access_that_is_made_later() -> Result<()> {
    let it = scenario("late-access").await?;
    let seq = it.seq().await?;
    let late = format!("{}-late", it.namespace());
    it.integration("aws-prod", |spec| spec["accessRef"] = json!({"name": late})).await?;
    let object = it
        .until("aws-prod", "it waits for the access", |object| condition(object, "Ready")["reason"] == "AccessNotFound")
        .await?;
    let words = format!("PortAwsAccess {late} does not exist: the platform team has to create it (see accessRef)");
    for (kind, status) in [("Ready", "False"), ("Reconciling", "True"), ("AccountsResolved", "False")] {
        let found = condition(&object, kind);
        assert_eq!((&found["status"], &found["reason"]), (&json!(status), &json!("AccessNotFound")), "{kind}");
        assert_eq!(found["message"], words, "{kind}");
    }
    assert!(condition(&object, "Stalled").is_null());
    assert_eq!(it.operator_calls_since(seq).await?, vec![]);

    create_access(&it, &late).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(object["metadata"]["generation"], 1);
    it.finish().await
}

/// Creates a `PortAwsAccess` with the spec of the scenario's own.
async fn create_access(it: &Scenario, name: &str) -> Result<()> {
    let mut access: DynamicObject = it.accesses().get(it.namespace()).await?;
    access.metadata = kube::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
    it.accesses().create(&PostParams::default(), &access).await?;
    Ok(())
}

#[tokio::test]
async fn an_access_that_is_deleted_takes_nothing_away_in_aws() -> Result<()> {
    let it = scenario("access-gone").await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    let mut access: DynamicObject = it.accesses().get(it.namespace()).await?;
    access.metadata = kube::api::ObjectMeta { name: access.metadata.name, ..Default::default() };
    let (seq, before) = (it.seq().await?, it.state().await?);
    it.delete_access().await?;
    let object = it
        .until("aws-prod", "the access is missed", |object| condition(object, "Ready")["reason"] == "AccessNotFound")
        .await?;
    assert_eq!(condition(&object, "Reconciling")["status"], "True");
    assert_eq!(object["metadata"]["finalizers"], json!(["integrations.port.io/cleanup"]));
    it.accesses().create(&PostParams::default(), &access).await?;
    it.ready("aws-prod").await?;
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert_eq!(it.state().await?, before);
    it.finish().await
}

#[tokio::test]
async fn a_forced_boundary_is_on_every_role_and_may_be_named() -> Result<()> {
    const FORCED: &str = "arn:aws:iam::${accountId}:policy/Boundary";
    let it = Scenario::builder("boundary", OPERATOR)
        .access(|spec| spec["limits"]["permissionsBoundaryArn"] = json!(FORCED))
        .start()
        .await?;
    let document = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let policy = it.iam().await?.create_policy().policy_name("Boundary").policy_document(document.to_string());
    policy.send().await.expect("the policy");
    let own = FORCED.replace("${accountId}", it.account());
    it.integration("silent", |_| ()).await?;
    it.integration("agrees", |spec| spec["role"] = json!({"permissionsBoundaryArn": FORCED})).await?;
    // Limits are compared before ${accountId} is replaced.
    it.integration("differs", |spec| spec["role"] = json!({"permissionsBoundaryArn": own})).await?;
    assert!(refused(&it, "differs", "NotAllowed").await?.contains("(limits.permissionsBoundaryArn)"));
    for name in ["silent", "agrees"] {
        it.ready(name).await?;
        let state = it.state().await?;
        let role = state.role(&format!("PortIntegrationRole-{name}")).expect("the role");
        assert_eq!(role.permissions_boundary.as_deref(), Some(own.as_str()), "{name}");
    }
    assert_eq!(it.state().await?.roles.len(), 2);
    it.finish().await
}

#[tokio::test]
async fn an_allowed_subject_is_in_the_trust_policy_and_in_status() -> Result<()> {
    const SUBJECT: &str = "system:serviceaccount:org-1234-port-oidc-sa";
    let it = Scenario::builder("subject", OPERATOR)
        .access(|spec| spec["limits"]["subjects"] = json!([SUBJECT]))
        .start()
        .await?;
    it.integration("aws-prod", |spec| spec["oidcProvider"] = json!({"subject": SUBJECT})).await?;
    let object = it.ready("aws-prod").await?;
    let state = it.state().await?;
    let trust = &state.role("PortIntegrationRole-aws-prod").expect("the role").trust_policy;
    assert_eq!(
        trust["Statement"][0]["Condition"],
        json!({"StringEquals": {
            "oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4:aud": "sts.amazonaws.com",
            "oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4:sub": SUBJECT,
        }})
    );
    assert_eq!(object["status"]["trust"]["subject"], SUBJECT);
    it.finish().await
}
