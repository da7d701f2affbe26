//! The `PortAwsAccess` itself: what its status says, what holds it, and what a change of it does.

use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::{Call, Fault},
    fixture::{SOON, Scenario, condition, unused_account},
    wait::eventually,
};

use crate::{OPERATOR, many::entry, scenario, shared::ROLE};

/// Waits until the scenario's access object is as wanted.
async fn access_until(it: &Scenario, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually(what, SOON, async || {
        let object = serde_json::to_value(it.accesses().get(it.namespace()).await?)?;
        if wanted(&object) { Ok(Some(object)) } else { Err(Error::not_yet(object["status"].to_string())) }
    })
    .await
}

async fn access_is_gone(it: &Scenario) -> Result<()> {
    eventually("the end of the access object", SOON, async || match it.accesses().get_opt(it.namespace()).await? {
        None => Ok(Some(())),
        Some(object) => Err(Error::not_yet(object.data["status"].to_string())),
    })
    .await
}

fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn its_status_says_how_far_it_reaches_and_why_no_further() -> Result<()> {
    let edit = |spec: &mut Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": "PortAwsOperator"});
    };
    let it = Scenario::builder("reach", OPERATOR).access(edit).start().await?;
    let unused = access_until(&it, "it is ready", |it| condition(it, "Ready")["status"] == "True").await?;
    assert_eq!(unused["status"]["reach"], json!({"integrations": 0, "accounts": 0, "reached": 0, "unreached": 0}));
    let caller = format!("arn:aws:sts::{}:assumed-role/Operator/backend", it.account());
    assert_eq!(unused["status"]["callerArn"], json!(caller));
    assert_eq!(finalizers(&unused), Vec::<&str>::new());

    let (good, bad) = (unused_account(), unused_account());
    let role = format!("arn:aws:iam::{bad}:role/PortAwsOperator");
    it.fault(Fault::access_denied().action("AssumeRole").param("RoleArn", &role)).await?;
    it.integration("aws-prod", |spec| spec["accounts"] = json!([good, bad])).await?;
    let denied = access_until(&it, "one is not reached", |it| it["status"]["reach"]["unreached"] == 1).await?;
    assert_eq!(denied["status"]["reach"], json!({"integrations": 1, "accounts": 2, "reached": 1, "unreached": 1}));
    // One account that lets nobody in is no fault of the access.
    assert_eq!(condition(&denied, "Ready")["status"], "True", "{denied}");
    assert!(condition(&denied, "Stalled").is_null() && condition(&denied, "Reconciling").is_null(), "{denied}");
    let error = denied["status"]["lastError"].as_str().unwrap_or_default();
    assert!(
        error.starts_with(&bad) && error.contains("cannot be assumed") && !error.contains("arn:aws:sts"),
        "{error}"
    );

    // If no account lets it in, it may well be.
    it.patch_spec("aws-prod", json!({"accounts": [bad]})).await?;
    let alone = access_until(&it, "it reaches nothing", |it| condition(it, "Ready")["status"] == "False").await?;
    assert_eq!(condition(&alone, "Ready")["reason"], "AccessDenied");
    assert_eq!(condition(&alone, "Stalled")["status"], "True");
    it.patch_spec("aws-prod", json!({"accounts": [good, bad]})).await?;

    it.clear_faults().await?;
    it.request_check("aws-prod").await?;
    it.ready("aws-prod").await?;
    let healed = access_until(&it, "all are reached", |it| it["status"]["reach"]["reached"] == 2).await?;
    assert_eq!(condition(&healed, "Ready")["status"], "True");
    assert!(condition(&healed, "Stalled").is_null() && healed["status"]["lastError"].is_null());
    it.finish().await
}

#[tokio::test]
async fn credentials_that_do_not_work_show_on_it() -> Result<()> {
    let it = Scenario::builder("no-credentials", OPERATOR).without_credentials().start().await?;
    let object = access_until(&it, "it says so", |it| condition(it, "Ready")["status"] == "False").await?;
    assert_eq!(condition(&object, "Ready")["reason"], "CredentialsUnavailable");
    assert!(object["status"]["lastError"].as_str().unwrap_or_default().contains("IRSA"), "{object}");
    it.finish().await
}

#[tokio::test]
async fn it_stays_until_all_that_was_made_through_it_is_cleared() -> Result<()> {
    let it = scenario("in-use").await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    access_until(&it, "it is held", |it| finalizers(it) == ["integrations.port.io/in-use"]).await?;
    let before = it.state().await?;
    it.delete_access().await?;
    let leaving =
        access_until(&it, "it says what needs it", |it| condition(it, "Ready")["reason"] == "AccessInUse").await?;
    assert!(condition(&leaving, "Ready")["message"].as_str().unwrap_or_default().contains("delete them first"));
    // Nothing new is done by it, and nothing is undone.
    let object = it.until("aws-prod", "it is told", |it| condition(it, "Ready")["reason"] == "AccessNotFound").await?;
    assert!(condition(&object, "Ready")["message"].as_str().unwrap_or_default().contains("being deleted"));
    assert_eq!(it.state().await?, before);

    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    assert!(it.state().await?.role(ROLE).is_none());
    access_is_gone(&it).await?;
    it.finish().await
}

#[tokio::test]
async fn what_it_does_not_allow_does_not_hold_it() -> Result<()> {
    let it = Scenario::builder("unheld", OPERATOR)
        .access(|spec| spec["limits"]["organizationIds"] = json!(["org_Other"]))
        .start()
        .await?;
    it.integration("aws-prod", |_| ()).await?;
    it.until("aws-prod", "it is refused", |it| condition(it, "Ready")["reason"] == "NotAllowed").await?;
    let object = access_until(&it, "it has a status", |it| it["status"]["reach"]["integrations"] == 0).await?;
    assert_eq!(finalizers(&object), Vec::<&str>::new());
    it.delete_access().await?;
    access_is_gone(&it).await?;
    it.finish().await
}

#[tokio::test]
async fn a_change_of_it_reaches_every_account_without_anybody_asking() -> Result<()> {
    let edit = |spec: &mut Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": "PortAwsOperator"});
    };
    let it = Scenario::builder("changed-access", OPERATOR).access(edit).start().await?;
    let accounts: Vec<String> = (0..4).map(|_| unused_account()).collect();
    it.integration("aws-prod", |spec| {
        spec["accounts"] = json!(accounts);
        spec["interval"] = "24h".into();
    })
    .await?;
    it.ready("aws-prod").await?;
    let boundary = "arn:aws:iam::aws:policy/PowerUserAccess";
    it.patch_access(json!({"limits": {"permissionsBoundaryArn": boundary}})).await?;
    for account in &accounts {
        eventually("the boundary", SOON, async || {
            let state = it.world().backend().state(account).await?;
            let role = state.role(ROLE).expect("the role");
            Ok((role.permissions_boundary.as_deref() == Some(boundary)).then_some(()))
        })
        .await?;
    }

    // A limit that shuts the resource out takes effect before any further call.
    let seq = it.seq().await?;
    it.patch_access(json!({"limits": {"organizationIds": ["org_Other"]}})).await?;
    it.until("aws-prod", "it is refused", |it| condition(it, "Ready")["reason"] == "NotAllowed").await?;
    for account in &accounts {
        let calls = it.world().backend().calls(account, seq).await?;
        assert_eq!(calls.into_iter().filter(Call::is_by_operator).collect::<Vec<_>>(), vec![]);
    }

    // Another way in does too, and the accounts that had failed are looked at first.
    it.patch_access(json!({"limits": {"organizationIds": ["org_Test1"]}, "assumeRole": {"roleName": "Other"}})).await?;
    let object = it.ready("aws-prod").await?;
    assert!(accounts.iter().all(|account| entry(&object, account)["state"] == "Ready"));
    let other = |call: &Call| call.param("RoleArn").is_some_and(|arn| arn.ends_with(":role/Other"));
    eventually("the other role to be assumed", SOON, async || {
        let assumed = it.world().backend().calls(it.account(), seq).await?;
        Ok(assumed.iter().any(other).then_some(()))
    })
    .await?;
    it.finish().await
}

#[tokio::test]
async fn it_is_ready_by_what_its_present_spec_has_reached_and_not_by_what_an_older_one_did() -> Result<()> {
    let edit = |spec: &mut Value| {
        spec["accounts"] = json!(["*"]);
        spec["assumeRole"] = json!({"roleName": "PortAwsOperator"});
    };
    let mut it = Scenario::builder("by-generation", OPERATOR).access(edit).start().await?;
    let accounts = [unused_account(), unused_account()];
    it.integration("aws-prod", |spec| {
        spec["accounts"] = json!(accounts);
        spec["interval"] = "24h".into();
    })
    .await?;
    let all_reached = |it: &Value| condition(it, "Ready")["status"] == "True" && it["status"]["reach"]["reached"] == 2;
    access_until(&it, "all are reached", all_reached).await?;

    let held =
        it.world().backend().fault(Fault::hold_before().account(&accounts[1]).action("GetRole").count(1)).await?;
    it.patch_access(json!({"limits": {"maxSessionDuration": 7200}})).await?;
    let parked = it.world().backend().next_parked(&held, SOON).await?;
    let half = |it: &Value| {
        it["status"]["observedGeneration"] == it["metadata"]["generation"] && it["status"]["reach"]["reached"] == 1
    };
    let object = access_until(&it, "one is reached by the new spec", half).await?;
    let ready = condition(&object, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("Unknown"), &json!("Provisioning")));
    assert_eq!(condition(&object, "Reconciling")["status"], "True");
    it.world().backend().release(&parked.id, true, true).await?;
    let reached = access_until(&it, "all are reached again", all_reached).await?;
    assert!(condition(&reached, "Reconciling").is_null());

    // A new process believes the former, without a visit.
    it.restart_operator().await?;
    it.integration("aws-test", |spec| spec["accounts"] = json!(accounts[..1])).await?;
    it.ready("aws-test").await?;
    let both = access_until(&it, "both use it", |it| it["status"]["reach"]["integrations"] == 2).await?;
    let since = |object: &Value| condition(object, "Ready")["lastTransitionTime"].clone();
    assert!(all_reached(&both), "{}", both["status"]);
    assert_eq!(since(&both), since(&reached));
    it.finish().await
}
