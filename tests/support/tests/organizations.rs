//! Organizations that tests make in the AWS backend.

use serde_json::{Value, json};
use testkit::aws::{Backend, Fault, MemberState, OrganizationSetup, actions};
use testkit::fixture::unused_account;

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Calls Organizations as an account, and gives the answer, or an error's code.
async fn call(backend: &Backend, account: &str, action: &str, params: Value) -> TestResult<Result<Value, String>> {
    let request = http::Request::post(backend.url())
        .header("x-amz-target", format!("AWSOrganizationsV20161128.{action}"))
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-moto-account-id", account)
        .body(params.to_string())?;
    let asked = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let mut answer = ureq::Agent::from(config.build()).run(request)?;
        let body: Value = answer.body_mut().read_json()?;
        Ok::<_, ureq::Error>((answer.status().is_success(), body))
    });
    let (fine, body) = asked.await??;
    let code = body["__type"].as_str().unwrap_or_default().to_owned();
    Ok(if fine { Ok(body) } else { Err(code) })
}

/// Id and state of the accounts in a unit or the root.
async fn accounts(backend: &Backend, caller: &str, parent: &str) -> TestResult<Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let answer = call(backend, caller, "ListAccountsForParent", json!({"ParentId": parent})).await??;
    let accounts = answer["Accounts"].as_array().ok_or("no accounts")?;
    Ok(accounts.iter().map(|account| (text(&account["Id"]), text(&account["State"]))).collect())
}

fn active(account: &str) -> (String, String) {
    (account.to_owned(), "ACTIVE".to_owned())
}

#[tokio::test]
async fn organizations_are_made_and_changed() -> TestResult {
    let backend = Backend::start().await?;
    members_come_and_go(&backend).await?;
    callers_are_told_apart(&backend).await?;
    pages_may_be_empty(&backend).await
}

async fn members_come_and_go(backend: &Backend) -> TestResult {
    let (management, account, other) = (unused_account(), unused_account(), unused_account());
    let setup = OrganizationSetup::new(&management)
        .unit("workloads", None)
        .unit("prod", Some("workloads"))
        .account_in_state(&account, Some("prod"), MemberState::PendingActivation);
    let mut organization = backend.organization(&setup).await?;
    assert!(organization.id.starts_with("o-"), "{organization:?}");
    let prod = organization.unit_id("prod")?.to_owned();
    let there = accounts(backend, &management, &prod).await?;
    assert_eq!(there, [(account.clone(), "PENDING_ACTIVATION".to_owned())]);
    let root = accounts(backend, &management, &organization.root_id).await?;
    assert_eq!(root, [active(&management)]);
    assert!(backend.state(&account).await?.is_empty());

    organization.set_state(&account, MemberState::Active).await?;
    organization.add_account(&other, Some("workloads")).await?;
    organization.move_account(&other, Some("prod")).await?;
    let mut both = [active(&account), active(&other)];
    both.sort();
    assert_eq!(accounts(backend, &management, &prod).await?, both);
    organization.remove_account(&account).await?;
    assert_eq!(accounts(backend, &management, &prod).await?, [active(&other)]);

    assert!(organization.remove_unit("prod").await.is_err(), "it is not empty");
    organization.move_account(&other, None).await?;
    organization.remove_unit("prod").await?;
    let gone = call(backend, &management, "ListAccountsForParent", json!({"ParentId": prod})).await?;
    assert_eq!(gone, Err("ParentNotFoundException".to_owned()));
    assert!(organization.unit_id("prod").is_err());
    let new = organization.add_unit("prod", None).await?;
    assert_eq!(organization.unit_id("prod")?, new);
    assert!(backend.organization(&setup).await.is_err(), "there is one already");
    Ok(())
}

async fn callers_are_told_apart(backend: &Backend) -> TestResult {
    let (management, delegated, member) = (unused_account(), unused_account(), unused_account());
    let setup = OrganizationSetup::new(&management).accounts([delegated.as_str(), &member], None).delegated(&delegated);
    let organization = backend.organization(&setup).await?;
    let list = async |caller: &str| call(backend, caller, "ListAccounts", json!({})).await;
    assert!(list(&delegated).await?.is_ok());
    assert_eq!(list(&member).await?, Err("AccessDeniedException".to_owned()));
    assert_eq!(list(&unused_account()).await?, Err("AWSOrganizationsNotInUseException".to_owned()));
    let described = call(backend, &member, "DescribeOrganization", json!({})).await??;
    assert_eq!(described["Organization"]["Id"], organization.id.as_str());
    organization.set_delegated(&delegated, false).await?;
    assert_eq!(list(&delegated).await?, Err("AccessDeniedException".to_owned()));

    backend.fault(Fault::throttle().account(&management).service("organizations")).await?;
    assert_eq!(list(&management).await?, Err("TooManyRequestsException".to_owned()));
    let calls = backend.calls(&management, 0).await?;
    assert_eq!(actions(&calls), ["ListAccounts"]);
    Ok(())
}

async fn pages_may_be_empty(backend: &Backend) -> TestResult {
    let management = unused_account();
    let organization = backend.organization(&OrganizationSetup::new(&management).empty_pages()).await?;
    assert_eq!(accounts(backend, &management, &organization.root_id).await?, []);
    organization.set_empty_pages(false).await?;
    assert_eq!(accounts(backend, &management, &organization.root_id).await?, [active(&management)]);
    Ok(())
}
