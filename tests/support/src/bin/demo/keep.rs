//! `--keep`: what is left running, and how to look at it.

use std::time::Duration;

use testkit::fixture::{REQUESTED_AT, is_ready};
use testkit::{Error, Result};

use crate::stage::{ACCOUNT, NAME, NAMESPACE, ROLE, Stage, ensure, failed};

const YEAR: Duration = Duration::from_hours(365 * 24);

/// Puts the resource back, so that there is something to look at.
pub(crate) async fn connect_again(stage: &Stage) -> Result<()> {
    stage.screen.title("11. Connect the account again, and leave everything running")?;
    stage.kubectl(&["apply", "-f", "deploy/samples/integration.yaml"]).await?;
    stage.kubectl(&["wait", "pai", NAME, "-n", NAMESPACE, "--for=condition=Ready", "--timeout=30s"]).await?;
    let object = stage.integration().await?;
    ensure(is_ready(&object), "the resource is Ready again", || object["status"].to_string())
}

/// Prints how to look at what runs.
pub(crate) async fn explain(stage: &Stage) -> Result<()> {
    let credentials = stage.backend.credentials(ACCOUNT).await?;
    let screen = &stage.screen;
    // No comments among the lines: not every shell takes them when they are pasted.
    let block = |lines: &[String]| {
        screen.plain("")?;
        lines.iter().try_for_each(|line| screen.plain(line))?;
        screen.plain("")
    };
    screen.say(
        "Paste this into another terminal. The last line is for kubectl, if you have none. The \
         credentials are made up and worth nothing elsewhere.",
    )?;
    block(&[
        format!("export KUBECONFIG={}", stage.plane.admin_kubeconfig().display()),
        format!("export AWS_ENDPOINT_URL={}", stage.backend.url()),
        format!("export AWS_ACCESS_KEY_ID={}", credentials.access_key_id),
        format!("export AWS_SECRET_ACCESS_KEY={}", credentials.secret_access_key),
        format!("export AWS_SESSION_TOKEN={}", credentials.session_token),
        "export AWS_DEFAULT_REGION=eu-west-1".to_owned(),
        format!("export PATH=\"$PATH:{}\"", stage.plane.tools().display()),
    ])?;
    screen.say("Look at Kubernetes:")?;
    block(&[
        "kubectl get pai -A -o wide".to_owned(),
        format!("kubectl describe pai {NAME} -n {NAMESPACE}"),
        format!("kubectl get events -n {NAMESPACE} --sort-by=.eventTime"),
        "kubectl explain portawsintegration.spec --recursive".to_owned(),
    ])?;
    screen.say("Look at AWS, with the AWS CLI (2.13 or 1.29, or newer); the last line needs curl alone:")?;
    block(&[
        format!("aws iam get-role --role-name {ROLE}"),
        format!("aws iam list-attached-role-policies --role-name {ROLE}"),
        format!("curl -s \"$AWS_ENDPOINT_URL/_control/state?account={ACCOUNT}\""),
    ])?;
    screen.say("Break it, with the AWS CLI or with curl:")?;
    let administrator = "arn:aws:iam::aws:policy/AdministratorAccess";
    block(&[
        format!("aws iam attach-role-policy --role-name {ROLE} --policy-arn {administrator}"),
        String::new(),
        format!("curl -s -H 'x-moto-account-id: {ACCOUNT}' \"$AWS_ENDPOINT_URL\" -d Version=2010-05-08 \\"),
        format!("  -d Action=AttachRolePolicy -d RoleName={ROLE} -d PolicyArn={administrator}"),
    ])?;
    screen.say("And have the operator look now, rather than within 30 minutes:")?;
    block(&[format!("kubectl annotate pai {NAME} -n {NAMESPACE} --overwrite {REQUESTED_AT}=\"$(date +%s)\"")])?;
    screen.say(&format!("The operator's log is {}", stage.operator_log().display()))?;
    screen.say("Ctrl-C in this terminal ends everything and removes its files.")
}

/// Waits until something that should go on running has ended.
pub(crate) async fn until_it_breaks(stage: &Stage) -> Error {
    match stage.operator() {
        Err(error) => error,
        Ok(operator) => {
            let code = operator.wait(YEAR).await;
            failed(format!("the operator has ended on its own, with exit code {code:?}"))
        }
    }
}
