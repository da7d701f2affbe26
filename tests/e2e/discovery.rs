//! Accounts that AWS Organizations tells of.

mod leaving;

use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{Call, Fault, MemberState, Organization, OrganizationSetup},
    fixture::{Scenario, condition, unused_account},
};

use crate::{OPERATOR, many::entry, shared::ROLE};

/// The role by which Organizations is asked.
const ORGANIZATIONS_ROLE: &str = "PortAwsOrganizations";

/// An organization: unit `workloads` has the first account, `prod` below it the second and third; the
/// fourth is in neither.
struct Organized {
    it: Scenario,
    management: String,
    accounts: Vec<String>,
}

impl Organized {
    async fn start(name: &str) -> Result<(Self, Organization<'static>)> {
        let management = unused_account();
        let role_arn = format!("arn:aws:iam::{management}:role/{ORGANIZATIONS_ROLE}");
        Self::start_with(name, management, role_arn, |setup| setup).await
    }

    async fn start_with(
        name: &str,
        management: String,
        role_arn: String,
        edit: impl FnOnce(OrganizationSetup) -> OrganizationSetup,
    ) -> Result<(Self, Organization<'static>)> {
        let access = move |spec: &mut Value| {
            spec["accounts"] = json!(["*"]);
            spec["assumeRole"] = json!({"roleName": "PortAwsOperator", "externalId": "example-external-id"});
            spec["organizations"] = json!({"roleArn": role_arn, "externalId": "organizations-id"});
        };
        let it = Scenario::builder(name, OPERATOR).access(access).start().await?;
        let accounts: Vec<String> = (0..4).map(|_| unused_account()).collect();
        let setup = OrganizationSetup::new(&management)
            .unit("workloads", None)
            .unit("prod", Some("workloads"))
            .account(&accounts[0], Some("workloads"))
            .account(&accounts[1], Some("prod"))
            .account(&accounts[2], Some("prod"))
            .account(&accounts[3], None)
            .empty_pages();
        let organization = it.world().backend().organization(&edit(setup)).await?;
        Ok((Self { it, management, accounts }, organization))
    }

    /// Makes the integration `aws-prod` over the unit `workloads`.
    async fn integrate(&self, organization: &Organization<'_>, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let unit = organization.unit_id("workloads")?.to_owned();
        self.it
            .integration("aws-prod", |spec| {
                spec.as_object_mut().expect("fields").remove("accounts");
                spec["discovery"] = json!({"organizationalUnitIds": [unit]});
                edit(spec);
            })
            .await
    }

    async fn has_role(&self, account: &str) -> Result<bool> {
        Ok(self.it.world().backend().state(account).await?.role(ROLE).is_some())
    }

    /// The operator's calls of an action, whichever account they are recorded in.
    async fn calls(&self, seq: u64, action: &str) -> Result<Vec<Call>> {
        let mut found = Vec::new();
        for account in self.accounts.iter().map(String::as_str).chain([self.it.account(), &self.management]) {
            let calls = self.it.world().backend().calls(account, seq).await?;
            found.extend(calls.into_iter().filter(|call| call.action == action && call.is_by_operator()));
        }
        Ok(found)
    }
}

fn counts(object: &Value) -> [i64; 4] {
    ["total", "ready", "failed", "skipped"].map(|key| object["status"]["accountCounts"][key].as_i64().unwrap_or(-1))
}

fn resolved(object: &Value) -> &Value {
    condition(object, "AccountsResolved")
}

#[tokio::test]
async fn accounts_of_nested_units_and_the_management_account_are_connected_and_new_ones_join() -> Result<()> {
    let (org, organization) = Organized::start("discovery").await?;
    let it = &org.it;
    let seq = it.seq().await?;
    org.integrate(&organization, |_| ()).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(counts(&object), [4, 4, 0, 0]);
    assert_eq!(resolved(&object)["status"], "True");
    for account in org.accounts[..3].iter().chain([&org.management]) {
        assert!(org.has_role(account).await?, "{account}");
    }
    assert!(!org.has_role(&org.accounts[3]).await?);
    assert!(entry(&object, &org.accounts[3]).is_null());

    let assumed = org.calls(seq, "AssumeRole").await?;
    let role = format!("arn:aws:iam::{}:role/{ORGANIZATIONS_ROLE}", org.management);
    let asked: Vec<&Call> = assumed.iter().filter(|call| call.param("RoleArn") == Some(&role)).collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].param("ExternalId"), Some("organizations-id"));
    let policy: Value = serde_json::from_str(asked[0].param("Policy").unwrap_or_default()).expect("a session policy");
    let actions = policy["Statement"][0]["Action"].as_array().expect("actions");
    assert!(
        actions.iter().all(|action| action.as_str().is_some_and(|it| it.starts_with("organizations:"))),
        "{policy}"
    );

    let joining = unused_account();
    organization.add_account(&joining, Some("prod")).await?;
    let seq = it.seq().await?;
    it.request_check("aws-prod").await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(counts(&object), [5, 5, 0, 0]);
    assert!(org.has_role(&joining).await?);
    // What was open stays open: only the new account takes a session.
    assert_eq!(org.calls(seq, "AssumeRole").await?.len(), 1);

    it.delete("aws-prod").await?;
    it.gone("aws-prod").await?;
    for account in org.accounts[..3].iter().chain([&org.management, &joining]) {
        assert!(!org.has_role(account).await?, "{account}");
    }
    org.it.finish().await
}

#[tokio::test]
async fn a_scope_chooses_among_what_is_found() -> Result<()> {
    let (org, organization) = Organized::start("scopes").await?;
    let it = &org.it;
    org.integrate(&organization, |spec| {
        spec["discovery"]["scope"] = "Intersection".into();
        spec["discovery"]["accountIds"] = json!([org.accounts[1], org.accounts[3]]);
    })
    .await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(counts(&object), [2, 2, 0, 0]);
    assert!(org.has_role(&org.accounts[1]).await? && org.has_role(&org.management).await?);
    assert!(!org.has_role(&org.accounts[0]).await? && !org.has_role(&org.accounts[3]).await?);

    let difference = json!({"discovery": {"scope": "Difference", "accountIds": [org.accounts[2], org.management]}});
    it.patch_spec("aws-prod", difference).await?;
    let object = it.until("aws-prod", "the others join", |it| counts(it)[1] == 3).await?;
    assert!(org.has_role(&org.accounts[0]).await? && !org.has_role(&org.accounts[2]).await?);
    // The management account is excluded now, but one answer alone takes nobody out.
    assert_eq!(entry(&object, &org.management)["state"], "Ready");
    it.request_check("aws-prod").await?;
    let object = it.until("aws-prod", "it is left", |it| counts(it)[0] == 2).await?;
    assert_eq!(entry(&object, &org.management)["state"], "Removed");
    assert!(org.has_role(&org.management).await?, "Retain is the default");
    org.it.finish().await
}

#[tokio::test]
async fn one_account_that_is_denied_is_named_and_recovers_by_itself() -> Result<()> {
    let (org, organization) = Organized::start("one-denied").await?;
    let it = &org.it;
    let denied = &org.accounts[1];
    let role = format!("arn:aws:iam::{denied}:role/PortAwsOperator");
    it.fault(Fault::access_denied().action("AssumeRole").param("RoleArn", &role)).await?;
    org.integrate(&organization, |_| ()).await?;
    let object = it.until("aws-prod", "three are ready and one is denied", |it| counts(it) == [4, 3, 1, 0]).await?;
    assert_eq!(entry(&object, denied)["state"], "Denied");
    let message = condition(&object, "Ready")["message"].as_str().unwrap_or_default();
    assert!(message.contains(denied.as_str()) && message.contains("external ID"), "{message}");
    it.clear_faults().await?;
    // Nobody asks: a permission is looked at again after a minute.
    let patience = std::time::Duration::from_secs(120);
    it.watch()?.until("aws-prod", "it recovers", patience, |it| counts(it) == [4, 4, 0, 0]).await?;
    it.ready("aws-prod").await?;
    org.it.finish().await
}

#[tokio::test]
async fn a_delegated_administrator_tells_of_the_management_account_too_once_it_is_one() -> Result<()> {
    let (management, delegate) = (unused_account(), unused_account());
    let role_arn = format!("arn:aws:iam::{delegate}:role/{ORGANIZATIONS_ROLE}");
    let (org, organization) =
        Organized::start_with("delegated", management, role_arn, |setup| setup.account(&delegate, None)).await?;
    let it = &org.it;
    let seq = it.seq().await?;
    org.integrate(&organization, |_| ()).await?;
    let object = it.until("aws-prod", "it is refused", |it| resolved(it)["reason"] == "AccessDenied").await?;
    let ready = condition(&object, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("AccessDenied")));
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("delegated administrator") && message.contains("ListAccountsForParent"), "{message}");
    assert!(it.event("aws-prod", "AccessDenied").await?.note.starts_with("discovery: "));
    assert_eq!(org.calls(seq, "CreateRole").await?, vec![]);

    organization.set_delegated(&delegate, true).await?;
    it.request_check("aws-prod").await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(counts(&object), [4, 4, 0, 0]);
    assert_eq!(entry(&object, &org.management)["state"], "Ready");
    org.it.finish().await
}

#[tokio::test]
async fn a_suspended_account_is_left_out_with_the_reason_and_joins_when_it_is_active() -> Result<()> {
    let (org, organization) = Organized::start("suspended").await?;
    let it = &org.it;
    let suspended = &org.accounts[2];
    organization.set_state(suspended, MemberState::Suspended).await?;
    let seq = it.seq().await?;
    org.integrate(&organization, |_| ()).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(counts(&object), [3, 3, 0, 1]);
    let left_out = entry(&object, suspended);
    assert_eq!((&left_out["state"], &left_out["reason"]), (&json!("AccountSuspended"), &json!("AccountSuspended")));
    assert!(left_out["message"].as_str().unwrap_or_default().contains("SUSPENDED"), "{left_out}");
    assert!(
        org.calls(seq, "AssumeRole")
            .await?
            .iter()
            .all(|call| !call.param("RoleArn").unwrap_or_default().contains(suspended.as_str()))
    );

    organization.set_state(suspended, MemberState::Active).await?;
    it.request_check("aws-prod").await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(counts(&object), [4, 4, 0, 0]);
    // One that was connected and is suspended now keeps its claim, and nothing is tried there.
    organization.set_state(suspended, MemberState::PendingClosure).await?;
    it.request_check("aws-prod").await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!((counts(&object), &entry(&object, suspended)["claimed"]), ([3, 3, 0, 1], &json!(true)));
    org.it.finish().await
}

#[tokio::test]
async fn a_discovered_account_outside_the_access_is_skipped_and_the_others_go_on() -> Result<()> {
    let (org, organization) = Organized::start("outside").await?;
    let it = &org.it;
    let allowed = [&org.accounts[0], &org.accounts[1]];
    it.patch_access(json!({"accounts": allowed})).await?;
    let seq = it.seq().await?;
    org.integrate(&organization, |_| ()).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(counts(&object), [2, 2, 0, 2]);
    for outside in [&org.accounts[2], &org.management] {
        assert_eq!(entry(&object, outside)["state"], "NotAllowed");
        assert!(!org.has_role(outside).await?);
    }
    assert_eq!(org.calls(seq, "CreateRole").await?.len(), 2);
    assert!(condition(&object, "Ready")["message"].as_str().unwrap_or_default().contains("2 skipped"));

    // With none of them allowed there is nothing to be ready.
    it.patch_access(json!({"accounts": [it.account()]})).await?;
    let object = it.until("aws-prod", "all are skipped", |it| condition(it, "Stalled")["status"] == "True").await?;
    assert_eq!(condition(&object, "Ready")["reason"], "AllSkipped");
    let object = it.request_check("aws-prod").await?;
    assert_eq!(condition(&object, "Ready")["reason"], "AllSkipped");
    it.patch_access(json!({"accounts": ["*"]})).await?;
    let object = it.ready("aws-prod").await?;
    assert_eq!(counts(&object), [4, 4, 0, 0]);
    org.it.finish().await
}

#[tokio::test]
async fn without_organizations_in_the_access_nothing_is_discovered() -> Result<()> {
    let (org, organization) = Organized::start("undiscovered").await?;
    let it = &org.it;
    it.patch_access(json!({"organizations": null})).await?;
    let seq = it.seq().await?;
    org.integrate(&organization, |_| ()).await?;
    let object = it.until("aws-prod", "it is refused", |it| condition(it, "Stalled")["status"] == "True").await?;
    assert_eq!(condition(&object, "Ready")["reason"], "NotAllowed");
    assert!(condition(&object, "Ready")["message"].as_str().unwrap_or_default().contains("(organizations)"));
    for account in [it.account(), &org.management] {
        let calls = it.world().backend().calls(account, seq).await?;
        assert_eq!(calls.into_iter().filter(Call::is_by_operator).collect::<Vec<_>>(), vec![]);
    }
    org.it.finish().await
}
