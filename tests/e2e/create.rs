//! From nothing to Ready, and then nothing more.

use std::time::SystemTime;

use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{Fault, actions, count_by_action},
    fixture::condition,
    wait::eventually,
};

use crate::scenario;

#[tokio::test]
async fn an_account_goes_from_nothing_to_ready() -> Result<()> {
    let it = scenario("create").await?;
    let seq = it.seq().await?;
    it.integration("aws-prod", |_| ()).await?;
    let object = it.ready("aws-prod").await?;

    let state = it.state().await?;
    let role = state.role("PortIntegrationRole-aws-prod").expect("the role");
    let provider = state.provider().expect("the provider");
    let issuer = "oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4";
    assert_eq!(provider.url, issuer);
    assert_eq!(provider.client_ids, ["sts.amazonaws.com"]);
    assert_eq!(provider.tags["port:integration"], "aws-prod");
    assert_eq!(
        role.trust_policy,
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": provider.arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {
                format!("{issuer}:aud"): "sts.amazonaws.com",
                format!("{issuer}:sub"): "system:serviceaccount:org-org_Test1-port-oidc-sa",
            }},
        }]})
    );
    assert!(role.attached_policies.iter().eq(["arn:aws:iam::aws:policy/ReadOnlyAccess"]));
    assert_eq!(role.max_session_duration, 3600);
    assert_eq!(role.path, "/");
    assert_eq!(role.tags["port:integration"], "aws-prod");
    assert_eq!(role.tags["port-aws-operator/cluster"], it.namespace());
    assert_eq!(role.tags["port-aws-operator/owner"], format!("{}.aws-prod", it.namespace()));
    assert_eq!(role.tags["port-aws-operator/origin"], "Created");

    // 1 call to learn whose the credentials are, then 2 reads and 3 writes.
    let calls = it.operator_calls_since(seq).await?;
    let iam: Vec<&str> = actions(&calls).into_iter().filter(|action| *action != "GetCallerIdentity").collect();
    assert_eq!(
        iam,
        ["GetOpenIDConnectProvider", "GetRole", "CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy"]
    );

    let status = &object["status"];
    assert_eq!(status["roleArns"], json!([role.arn]));
    assert_eq!(status["trust"]["subject"], "system:serviceaccount:org-org_Test1-port-oidc-sa");
    assert_eq!(status["accounts"][0]["roleId"], role.id);
    assert_eq!(status["accounts"][0]["claimed"], true);
    assert_eq!(condition(&object, "RoleReady")["status"], "True");
    assert_eq!(condition(&object, "OIDCProviderReady")["status"], "True");
    assert_eq!(condition(&object, "InUse")["reason"], "NotYetUsed");
    for reason in ["ProviderCreated", "RoleCreated"] {
        assert_eq!(it.event("aws-prod", reason).await?.count, 1);
    }
    it.finish().await
}

/// Port drops what its list no longer has.
#[tokio::test]
async fn a_check_that_fails_takes_no_role_off_the_list_for_port() -> Result<()> {
    let it = scenario("listed").await?;
    it.integration("aws-prod", |_| ()).await?;
    let listed = it.ready("aws-prod").await?["status"]["roleArns"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    it.fault(Fault::access_denied().action("GetRole")).await?;
    it.patch_spec("aws-prod", json!({"interval": "1h"})).await?;
    let refused = |object: &Value| object["status"]["accounts"][0]["reason"] == "AccessDenied";
    it.until("aws-prod", "the check is refused", refused).await?;
    for version in it.watch()?.history("aws-prod").iter().skip_while(|version| version["status"]["roleArns"] != listed)
    {
        assert_eq!(version["status"]["roleArns"], listed, "{version}");
    }
    it.finish().await
}

#[tokio::test]
async fn a_second_pass_reads_four_times_and_writes_nothing_however_iam_returns_documents() -> Result<()> {
    let it = scenario("idempotent").await?;
    it.integration("aws-prod", |spec| {
        spec["role"] = json!({"managedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]});
    })
    .await?;
    it.ready("aws-prod").await?;
    let before = it.state().await?;
    for seed in 1..=5 {
        it.world().backend().permute(it.account(), Some(seed)).await?;
        let (seq, since) = (it.seq().await?, SystemTime::now());
        it.request_check("aws-prod").await?;
        let calls = it.operator_calls_since(seq).await?;
        assert_eq!(it.operator_writes_since(seq).await?, vec![]);
        let counts = count_by_action(&calls);
        assert_eq!(counts.values().sum::<usize>(), 4, "{counts:?}");
        // The echo of the request is the one write that the request itself asks for.
        let writes = eventually("the audit log", std::time::Duration::from_secs(10), async || {
            Ok(Some(it.k8s_writes_since(since)?).filter(|writes| !writes.is_empty()))
        })
        .await?;
        let writes: Vec<_> = writes.iter().map(|write| (write.verb.as_str(), write.subresource.as_deref())).collect();
        assert_eq!(writes, [("patch", Some("status"))]);
    }
    assert_eq!(it.state().await?, before);
    it.finish().await
}
