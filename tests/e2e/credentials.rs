//! The operator's own AWS credentials: where they come from, and what is wrong with them.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::{Call, Credentials, Fault, actions, by_operator, count_by_action},
    fixture::{Scenario, ScenarioBuilder, condition, operator_rights, unused_account},
    wait::eventually,
};

use crate::{
    OPERATOR, scenario,
    shared::{account, assert_discreet, says_ready},
};

const NAME: &str = "aws-prod";

fn builder(name: &str) -> ScenarioBuilder {
    Scenario::builder(name, OPERATOR)
}

/// One that logs all that it can be asked for, and finds its credentials by `env` alone.
async fn with_source(name: &str, env: impl FnOnce(&Scenario) -> Vec<(&'static str, String)>) -> Result<Scenario> {
    let mut it = builder(name).without_credentials().without_operator().args(["--log", "debug"]).start().await?;
    let env = env(&it).into_iter().map(|(name, value)| (name.to_owned(), value));
    let env: Vec<_> = env.collect();
    it.operator_options().env = env;
    it.start_operator().await?;
    Ok(it)
}

/// A file of the scenario's own.
fn file(it: &Scenario, name: &str, text: &str) -> String {
    let path: PathBuf = it.world().operator_logs().join(format!("{}.{name}", it.namespace()));
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Asserts that the credentials lead to a ready integration, that AWS is asked once whose they are,
/// and that the log has none of these words.
async fn assert_they_serve(it: &Scenario, secrets: &[&str]) -> Result<()> {
    let log = it.operator()?.log()?;
    assert!(log.contains("AWS credentials work"), "{log}");
    assert!(log.contains(it.account()), "{log}");
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    it.request_check(NAME).await?;
    let calls = it.operator_calls_since(0).await?;
    assert_eq!(count_by_action(&calls).get("GetCallerIdentity"), Some(&1), "{:?}", actions(&calls));
    let log = it.operator()?.log()?;
    assert!(log.contains("DEBUG aws") || log.contains("DEBUG hyper"), "the log has what other crates say");
    for secret in secrets.iter().chain(&["<SecretAccessKey>", "\"SecretAccessKey\""]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn credentials_from_the_environment_serve_and_stay_out_of_the_log() -> Result<()> {
    let mut it = builder("creds-env").args(["--log", "debug"]).start().await?;
    let given = it.operator_options().credentials.clone().expect("credentials");
    assert_they_serve(&it, &[&given.secret_access_key, &given.session_token]).await?;
    it.finish().await
}

#[tokio::test]
async fn credentials_from_a_profile_serve_and_stay_out_of_the_log() -> Result<()> {
    // Issued for an account that is known before the scenario is.
    let own = unused_account();
    let world = testkit::fixture::World::get().await?;
    let rights = operator_rights(OPERATOR).await?;
    let Credentials { access_key_id, secret_access_key, session_token } =
        world.backend().credentials_with(&own, "Operator", &rights).await?;
    let mut it = builder("creds-profile")
        .account(&own)
        .without_credentials()
        .without_operator()
        .args(["--log", "debug"])
        .start()
        .await?;
    let profiles = format!(
        "[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrong\n\
         [port]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n\
         aws_session_token = {session_token}\n"
    );
    let path = file(&it, "credentials", &profiles);
    it.operator_options().env =
        vec![("AWS_SHARED_CREDENTIALS_FILE".to_owned(), path), ("AWS_PROFILE".to_owned(), "port".to_owned())];
    it.start_operator().await?;
    assert_they_serve(&it, &[&secret_access_key, &session_token]).await?;
    it.finish().await
}

#[tokio::test]
async fn credentials_by_web_identity_serve_and_stay_out_of_the_log() -> Result<()> {
    let token = "eyJhbGciOiJSUzI1NiJ9.a-token-of-the-service-account";
    let it = with_source("creds-irsa", |it| {
        vec![
            ("AWS_ROLE_ARN", format!("arn:aws:iam::{}:role/PortAwsOperator", it.account())),
            ("AWS_ROLE_SESSION_NAME", "port-aws-operator".to_owned()),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", file(it, "token", token)),
        ]
    })
    .await?;
    assert_they_serve(&it, &[token]).await?;
    assert!(it.operator()?.log()?.contains("assumed-role/PortAwsOperator/port-aws-operator"));
    it.finish().await
}

/// A server of credentials as a container finds it, such as EKS Pod Identity's agent. The answer to
/// each request is the next of `answers`; the last one is given again.
fn serve_credentials(token: &'static str, answers: Vec<Value>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut answers = answers.into_iter().peekable();
        for stream in listener.incoming().filter_map(std::result::Result::ok) {
            let answer = answers.peek().cloned().unwrap_or_default();
            if respond(stream, token, &answer) && answers.len() > 1 {
                answers.next();
            }
        }
    });
    format!("http://{address}/v1/credentials")
}

/// Answers one request, and tells whether it had the token.
fn respond(stream: TcpStream, token: &str, answer: &Value) -> bool {
    let lines = BufReader::new(&stream).lines().map_while(std::result::Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let allowed = head.iter().any(|line| {
        let header = line.split_once(": ");
        header.is_some_and(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == token)
    });
    let (status, body) = if allowed { ("200 OK", answer.to_string()) } else { ("401 Unauthorized", String::new()) };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    let mut stream = stream;
    let written = write!(stream, "{head}Connection: close\r\n\r\n{body}");
    allowed && written.is_ok()
}

fn container_answer(credentials: &Credentials, life: Duration) -> Value {
    let end = Timestamp::try_from(SystemTime::now() + life).expect("a time");
    json!({
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "Expiration": end.to_string(),
    })
}

const AGENT_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.a-token-of-the-pod";

async fn with_agent(name: &str, lives: &[Duration]) -> Result<(Scenario, Vec<Credentials>)> {
    let own = unused_account();
    let world = testkit::fixture::World::get().await?;
    let rights = operator_rights(OPERATOR).await?;
    let (mut issued, mut answers) = (Vec::new(), Vec::new());
    for life in lives {
        let credentials = world.backend().credentials_with(&own, "Operator", &rights).await?;
        answers.push(container_answer(&credentials, *life));
        issued.push(credentials);
    }
    let settings = builder(name).account(&own).without_credentials().without_operator();
    let mut it = settings.args(["--log", "debug"]).start().await?;
    it.operator_options().env = vec![
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), serve_credentials(AGENT_TOKEN, answers)),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE".to_owned(), file(&it, "token", AGENT_TOKEN)),
    ];
    it.start_operator().await?;
    Ok((it, issued))
}

#[tokio::test]
async fn credentials_of_a_container_serve_and_stay_out_of_the_log() -> Result<()> {
    let (it, issued) = with_agent("creds-pod", &[Duration::from_secs(3600)]).await?;
    let Credentials { secret_access_key, session_token, .. } = &issued[0];
    assert_they_serve(&it, &[secret_access_key, session_token, AGENT_TOKEN]).await?;
    it.finish().await
}

#[tokio::test]
async fn credentials_are_replaced_before_they_end_and_asked_once_each_whose_they_are() -> Result<()> {
    // Credentials are replaced five minutes before their end.
    let lives = [Duration::from_secs(312), Duration::from_secs(3600)];
    let (it, issued) = with_agent("creds-rotate", &lives).await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    let uses = |calls: &[Call], key: &str, action: Option<&str>| {
        let of_key = calls.iter().filter(|call| call.access_key_id.as_deref() == Some(key));
        of_key.filter(|call| action.is_none_or(|action| call.action == action)).count()
    };
    eventually("the second credentials to be used", Duration::from_secs(60), async || {
        it.request_check(NAME).await?;
        let calls = it.operator_calls_since(0).await?;
        Ok((uses(&calls, &issued[1].access_key_id, None) > 0).then_some(()))
    })
    .await?;
    let seq = it.seq().await?;
    it.request_check(NAME).await?;
    assert_eq!(uses(&it.operator_calls_since(seq).await?, &issued[0].access_key_id, None), 0);
    let calls = it.operator_calls_since(0).await?;
    for credentials in &issued {
        assert!(uses(&calls, &credentials.access_key_id, None) > 1, "both were used");
        assert_eq!(uses(&calls, &credentials.access_key_id, Some("GetCallerIdentity")), 1);
    }
    it.finish().await
}

#[tokio::test]
async fn aws_is_asked_once_whose_the_credentials_are_over_many_passes() -> Result<()> {
    let it = scenario("creds-once").await?;
    it.integration(NAME, |_| ()).await?;
    it.ready(NAME).await?;
    for _ in 0..8 {
        it.request_check(NAME).await?;
    }
    let counts = count_by_action(&it.operator_calls_since(0).await?);
    assert_eq!(counts.get("GetCallerIdentity"), Some(&1), "{counts:?}");
    assert_eq!(counts.get("GetRole"), Some(&9), "{counts:?}");
    it.finish().await
}

/// The account's entry once the operator has given up for now, with nothing of ours on the object.
async fn denied(it: &Scenario, reason: &str) -> Result<String> {
    let object = it.until(NAME, "it is denied", |it| account(it)["state"] == "Denied").await?;
    assert_eq!(account(&object)["reason"], reason, "{object}");
    assert_eq!(condition(&object, "Ready")["reason"], reason);
    assert_eq!(condition(&object, "Reconciling")["reason"], "Retrying");
    assert_eq!(object["metadata"]["finalizers"], Value::Null);
    assert_eq!(account(&object)["claimed"], Value::Null);
    let event = it.event(NAME, reason).await?;
    assert_eq!((event.type_.as_str(), event.count), ("Warning", 1));
    Ok(account(&object)["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn credentials_of_another_account_are_named_and_never_used() -> Result<()> {
    let other = unused_account();
    let it = builder("creds-other").credentials_of(&other).start().await?;
    it.integration(NAME, |_| ()).await?;
    let message = denied(&it, "AccountMismatch").await?;
    assert_eq!(message, format!("the operator's AWS credentials belong to account {other}"));
    it.request_check(NAME).await?;
    assert_eq!(it.operator_calls_since(0).await?, vec![]);
    let calls = by_operator(it.world().backend().calls(&other, 0).await?);
    assert_eq!(actions(&calls), ["GetCallerIdentity"]);
    it.delete(NAME).await?;
    it.gone(NAME).await?;
    it.finish().await
}

#[tokio::test]
async fn without_credentials_it_says_so_in_plain_words_and_goes_on() -> Result<()> {
    let mut it = builder("creds-none").without_credentials().start().await?;
    let log = it.operator()?.log()?;
    let advice = "the operator has no AWS credentials: give its ServiceAccount an IAM role (IRSA or Pod Identity)";
    assert!(log.contains(&format!("AWS credentials do not work: {advice}")), "{log}");
    it.integration(NAME, |_| ()).await?;
    assert_eq!(denied(&it, "CredentialsUnavailable").await?, advice);
    it.operator()?.check_healthy()?;
    assert_eq!(it.operator_calls_since(0).await?, vec![]);
    let rights = operator_rights(OPERATOR).await?;
    let credentials = it.world().backend().credentials_with(it.account(), "Operator", &rights).await?;
    it.operator_options().credentials = Some(credentials);
    it.restart_operator().await?;
    it.ready(NAME).await?;
    it.finish().await
}

#[tokio::test]
async fn credentials_that_aws_does_not_take_for_a_while_are_asked_for_again() -> Result<()> {
    // Enough for the start, for two looks at the access object and for a pass, each with the SDK's own second attempt.
    for (action, fault, reason) in [
        ("GetRole", Fault::expired_token().count(3), "CredentialsUnavailable"),
        ("GetCallerIdentity", Fault::expired_token().count(5), "CredentialsUnavailable"),
        ("GetCallerIdentity", Fault::throttle().count(9), "Throttled"),
        ("GetCallerIdentity", Fault::error500().count(9), "ServiceUnavailable"),
    ] {
        let mut it = builder("creds-again").without_operator().start().await?;
        it.fault(fault.action(action)).await?;
        it.start_operator().await?;
        let told = it.operator()?.log()?.contains("AWS credentials do not work");
        assert_eq!(told, action == "GetCallerIdentity");
        it.integration(NAME, |_| ()).await?;
        it.ready(NAME).await?;
        let versions = it.watch()?.history(NAME);
        let shown = versions.iter().filter(|it| account(it)["state"] == "Denied" || account(it)["state"] == "Failed");
        let shown: Vec<&Value> = shown.map(|it| &account(it)["reason"]).collect();
        assert!(!shown.is_empty() && shown.iter().all(|it| **it == reason), "{action} {reason}: {shown:?}");
        let calls = it.operator_calls_since(0).await?;
        assert!(count_by_action(&calls)["GetCallerIdentity"] > 1, "{:?}", actions(&calls));
        if action == "GetRole" {
            assert_discreet(&mut it, NAME).await?;
        }
        it.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn credentials_that_aws_does_not_know_are_told_of_and_no_other_call_is_made() -> Result<()> {
    let mut it = builder("creds-unknown").without_operator().start().await?;
    let text = "The security token included in the request is invalid.";
    it.fault(Fault::error(403, "InvalidClientTokenId", text).action("GetCallerIdentity")).await?;
    it.start_operator().await?;
    it.integration(NAME, |_| ()).await?;
    assert_eq!(
        denied(&it, "CredentialsUnavailable").await?,
        "GetCallerIdentity: AWS does not take the operator's credentials"
    );
    let calls = it.operator_calls_since(0).await?;
    assert!(calls.iter().all(|call| call.action == "GetCallerIdentity"), "{:?}", actions(&calls));
    it.clear_faults().await?;
    it.request_check(NAME).await?;
    it.ready(NAME).await?;
    it.finish().await
}

#[tokio::test]
async fn a_silent_aws_does_not_keep_it_from_starting() -> Result<()> {
    let mut it = builder("creds-silent").without_operator().start().await?;
    it.fault(Fault::hang().action("GetCallerIdentity")).await?;
    it.start_operator().await?;
    assert!(it.operator()?.log()?.contains("AWS did not answer within 10 s"));
    it.integration(NAME, |_| ()).await?;
    it.clear_faults().await?;
    let object = it.ready(NAME).await?;
    assert!(says_ready(&object));
    it.finish().await
}
