//! The AWS backend and its client, before anything is tested with them.

use std::time::Duration;

use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::Tag;
use testkit::aws::{Backend, Fault, actions, by_operator, count_by_action, writes};
use testkit::fixture::unused_account;
use testkit::process::process_exists;

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

const SOON: Duration = Duration::from_secs(20);
const ROLE: &str = "Reader";
const POLICY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;

async fn make_role(iam: &aws_sdk_iam::Client) -> TestResult {
    iam.create_role()
        .role_name(ROLE)
        .assume_role_policy_document(TRUST)
        .tags(Tag::builder().key("team").value("a").build()?)
        .send()
        .await?;
    Ok(())
}

fn code<T, E: ProvideErrorMetadata>(outcome: Result<T, E>) -> String {
    let error = outcome.err();
    let code = error.as_ref().and_then(ProvideErrorMetadata::code);
    code.unwrap_or_default().to_owned()
}

/// One backend for all: its accounts are apart from each other.
#[tokio::test]
async fn the_backend_serves_and_can_be_steered() -> TestResult {
    testkit::install_crypto_provider();
    let backend = Backend::start().await?;
    accounts_are_apart_and_can_be_looked_into(&backend).await?;
    calls_are_recorded(&backend).await?;
    faults_are_met_and_deleted(&backend).await?;
    a_call_is_parked_and_released(&backend).await?;
    times_and_orders_are_set(&backend).await?;
    Ok(())
}

async fn accounts_are_apart_and_can_be_looked_into(backend: &Backend) -> TestResult {
    let (account, other) = (unused_account(), unused_account());
    let iam = backend.iam(&account).await?;
    make_role(&iam).await?;
    let policy = iam.attach_role_policy().role_name(ROLE).policy_arn(POLICY);
    policy.send().await?;
    iam.create_open_id_connect_provider()
        .url("https://oidc.example.org/id/A")
        .client_id_list("sts.amazonaws.com")
        .send()
        .await?;

    let state = backend.state(&account).await?;
    let role = state.role(ROLE).ok_or("no role")?;
    assert_eq!(role.arn, format!("arn:aws:iam::{account}:role/{ROLE}"));
    assert_eq!((role.path.as_str(), role.max_session_duration), ("/", 3600));
    assert!(role.attached_policies.contains(POLICY), "{role:?}");
    assert_eq!(role.tags["team"], "a");
    let statement = &role.trust_policy["Statement"][0];
    assert_eq!(statement["Action"], "sts:AssumeRole");
    let provider = state.provider().ok_or("no provider")?;
    assert_eq!(provider.url, "oidc.example.org/id/A");
    assert_eq!(provider.client_ids, ["sts.amazonaws.com"]);

    assert!(backend.state(&other).await?.is_empty());
    assert_eq!(backend.state(&account).await?, state);
    backend.reset_account(&account).await?;
    assert!(backend.state(&account).await?.is_empty());
    // The credentials of before still work.
    make_role(&iam).await
}

async fn calls_are_recorded(backend: &Backend) -> TestResult {
    let account = unused_account();
    let iam = backend.iam(&account).await?;
    let start = backend.last_seq().await?;
    make_role(&iam).await?;
    iam.get_role().role_name(ROLE).send().await?;
    let absent = iam.get_role().role_name("Absent").send().await;
    assert_eq!(code(absent), "NoSuchEntity");

    let calls = backend.calls(&account, start).await?;
    assert_eq!(actions(&calls), ["CreateRole", "GetRole", "GetRole"]);
    assert_eq!(count_by_action(&calls)["GetRole"], 2);
    assert_eq!(calls[0].param("RoleName"), Some(ROLE));
    assert_eq!(calls[2].error_code.as_deref(), Some("NoSuchEntity"));
    assert!(calls.iter().all(|call| call.end_time.is_some()));
    assert_eq!(backend.calls(&account, calls[1].seq).await?, calls[2..]);
    assert!(backend.calls(&unused_account(), 0).await?.is_empty());
    assert_eq!(actions(&writes(calls.clone())), ["CreateRole"]);
    assert!(by_operator(calls).is_empty(), "these were the test's own");
    Ok(())
}

async fn faults_are_met_and_deleted(backend: &Backend) -> TestResult {
    let account = unused_account();
    let iam = backend.iam(&account).await?;
    make_role(&iam).await?;
    let start = backend.last_seq().await?;
    let get = || iam.get_role().role_name(ROLE).send();

    let once = Fault::throttle().account(&account).action("GetRole");
    backend.fault(once.skip(1).count(1)).await?;
    get().await?;
    assert_eq!(code(get().await), "Throttling");
    get().await?;
    let calls = backend.calls(&account, start).await?;
    let kinds = calls.iter().map(|call| call.fault.as_ref());
    let kinds: Vec<_> = kinds.map(|fault| fault.map(|it| it.kind.as_str())).collect();
    assert_eq!(kinds, [None, Some("throttle"), None]);

    let fault = Fault::error(409, "Busy", "try later").account(&account);
    let named = backend.fault(fault.id("my/rule")).await?;
    assert_eq!(code(get().await), "Busy");
    backend.delete_fault(&named).await?;
    get().await?;
    backend.fault(Fault::cut_before().account(&account)).await?;
    assert!(get().await.is_err());
    backend.clear_faults(&account).await?;
    get().await?;

    let text = match backend.release("parked-0", true, true).await {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("no such parked call"), "{text}");
    Ok(())
}

async fn a_call_is_parked_and_released(backend: &Backend) -> TestResult {
    let account = unused_account();
    let iam = backend.iam(&account).await?;
    make_role(&iam).await?;
    let fault = Fault::hold_before().account(&account).action("DeleteRole");
    let rule = backend.fault(fault).await?;
    assert!(backend.parked(&rule, Duration::ZERO).await?.is_empty());
    let none = backend.next_parked(&rule, Duration::ZERO).await;
    assert!(none.is_err(), "{none:?}");

    let delete = tokio::spawn(iam.delete_role().role_name(ROLE).send());
    let parked = backend.next_parked(&rule, SOON).await?;
    assert_eq!(parked.action, "DeleteRole");
    assert_eq!(parked.params["RoleName"], ROLE);
    assert!(backend.state(&account).await?.role(ROLE).is_some());
    backend.release(&parked.id, false, true).await?;
    assert!(delete.await?.is_err(), "the connection is cut");
    assert!(backend.state(&account).await?.role(ROLE).is_some());

    let delete = tokio::spawn(iam.delete_role().role_name(ROLE).send());
    let parked = backend.next_parked(&rule, SOON).await?;
    backend.release(&parked.id, true, true).await?;
    delete.await??;
    assert!(backend.state(&account).await?.is_empty());
    Ok(())
}

async fn times_and_orders_are_set(backend: &Backend) -> TestResult {
    let account = unused_account();
    let iam = backend.iam(&account).await?;
    make_role(&iam).await?;
    let then = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    backend.role_create_date(&account, ROLE, then).await?;
    backend.role_last_used(&account, ROLE, Some(then)).await?;
    backend.permute(&account, Some(7)).await?;
    let answer = iam.get_role().role_name(ROLE).send().await?;
    let role = answer.role.ok_or("no role")?;
    assert_eq!(role.create_date.secs(), 1_700_000_000);
    let used = role.role_last_used.and_then(|used| used.last_used_date);
    assert_eq!(used.map(|date| date.secs()), Some(1_700_000_000));
    backend.permute(&account, None).await?;
    backend.role_last_used(&account, ROLE, None).await?;
    let absent = backend.role_last_used(&account, "Absent", None).await;
    assert!(absent.is_err(), "{absent:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_after_a_drop() -> TestResult {
    let backend = Backend::start().await?;
    let pid = backend.pid();
    assert!(process_exists(pid));
    drop(backend);
    assert!(!process_exists(pid));
    Ok(())
}
