//! The steps of the demo. Each says what happens and why it matters, does it, and looks it up.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use testkit::aws::{AccountState, Role, actions, by_operator, writes};
use testkit::fixture::{REQUESTED_AT, condition, is_ready, wait_until_served};
use testkit::{Error, Result};

use crate::account::{describe, describe_role};
use crate::screen::Screen;
use crate::stage::{ACCOUNT, NAME, NAMESPACE, OPERATOR, ROLE, Stage, ensure, failed};

const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
/// An account that has no business in ours.
const STRANGER: &str = "arn:aws:iam::444455556666:root";
const GET_EVENTS: [&str; 5] = ["get", "events", "-n", NAMESPACE, "--sort-by=.eventTime"];

pub(crate) fn introduce(screen: &Screen) -> Result<()> {
    screen.plain("")?;
    screen.say(
        "This demo connects an AWS account to Port, attacks it behind the operator's back, has it \
         healed, and disconnects it; then it connects a whole organization. Lines that begin with $ are commands as you would type them, \
         below each is what it printed. Lines that begin with ok: say what the demo has looked up \
         itself; if it were not so, the demo would fail.",
    )?;
    screen.title("1. Start Kubernetes and AWS")?;
    screen.say(
        "A real Kubernetes API server (without nodes: the operator runs beside it as a process) and, \
         in place of AWS, a program on this machine that answers the calls of IAM, STS and \
         Organizations. Nothing leaves this machine.",
    )
}

pub(crate) async fn install(stage: &Stage) -> Result<()> {
    stage.screen.title("2. Install the operator's kinds and rights")?;
    stage.screen.say(
        "crds/ has the two kinds that people write. deploy/ has a ServiceAccount for the operator and \
         all that it may do in the cluster. (In this demo kubectl acts as an administrator.)",
    )?;
    stage.kubectl(&["apply", "--server-side", "-f", "crds"]).await?;
    stage.kubectl(&["apply", "--server-side", "-k", "deploy"]).await?;
    stage.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", "crds"]).await?;
    wait_until_served(&stage.plane).await?;
    let who = format!("--as=system:serviceaccount:{OPERATOR}:{OPERATOR}");
    let denied = async |verb: &str, what: &str| -> Result<bool> {
        let answer = stage.plane.kubectl(&["auth", "can-i", verb, what, "-A", &who]).await?;
        Ok(String::from_utf8_lossy(&answer.stdout).trim() == "no")
    };
    let harmless = denied("get", "secrets").await? && denied("create", "pods").await?;
    let claim = "the operator's ServiceAccount may neither read Secrets nor create Pods";
    ensure(harmless, claim, || "kubectl auth can-i does not say no".to_owned())?;
    stage.screen.verified(claim)
}

pub(crate) async fn start_operator(stage: &mut Stage) -> Result<()> {
    stage.screen.title("3. Start the operator")?;
    stage.screen.say(&format!(
        "In the cluster it is that ServiceAccount; in AWS it has credentials of account {ACCOUNT}, with \
         the rights that 'port-aws-operator policies' prints and no others. The \
         cluster ID becomes part of the tags of all that it makes in AWS. At the start its log says \
         whether the credentials work:",
    ))?;
    stage.start_operator().await?;
    let log = stage.operator()?.log()?;
    let words = "AWS credentials work";
    let line = log.lines().find_map(|line| line.find(words).map(|at| &line[at..]));
    let line = line.ok_or_else(|| failed(format!("the operator's log does not say {words:?}")))?;
    stage.screen.output(line)?;
    ensure(line.contains(ACCOUNT), "the credentials are those of the account", || line.to_owned())?;
    stage.screen.verified("the operator watches the cluster")
}

pub(crate) async fn connect(stage: &Stage) -> Result<()> {
    stage.operator()?;
    stage.screen.title("4. Connect the account")?;
    stage.screen.say(
        "The platform team allows a namespace to connect an account (PortAwsAccess); the team that \
         owns the account connects it (PortAwsIntegration):",
    )?;
    let samples = ["deploy/samples/access.yaml", "deploy/samples/integration.yaml"];
    stage.screen.command(&format!("cat {}", samples.join(" ")))?;
    for sample in samples {
        let read = std::fs::read_to_string(sample);
        stage.screen.output(&read.map_err(|source| Error::Io { what: format!("cannot read {sample}"), source })?)?;
    }
    stage.kubectl(&["create", "namespace", NAMESPACE]).await?;
    stage
        .watch_until_ready(async || {
            stage.kubectl(&["apply", "-f", samples[0], "-f", samples[1]]).await?;
            stage.screen.say(
                "Meanwhile, in a second terminal, kubectl has been watching. It prints a line for each \
                 change, also of what is not in its columns:",
            )
        })
        .await?;
    let object = stage.integration().await?;
    ensure(is_ready(&object), "the resource is Ready", || object["status"].to_string())?;
    stage.screen.verified(&format!("Ready: {}", condition(&object, "Ready")["message"].as_str().unwrap_or_default()))
}

pub(crate) async fn show_account(stage: &Stage) -> Result<AccountState> {
    stage.screen.title("5. Look at what the operator has made")?;
    stage.screen.say(
        "Each change in AWS is an event on the resource, so that its owner sees it without access to \
         AWS or to the operator's log:",
    )?;
    stage.kubectl(&GET_EVENTS).await?;
    let events = stage.events().await?;
    let told = events.iter().map(|(reason, _)| reason.as_str());
    ensure(told.eq(["ProviderCreated", "RoleCreated"]), "the events tell of both", || format!("{events:?}"))?;
    stage.screen.say(
        "And this is in AWS. The tags say to whom the role belongs, so that the operator never touches \
         what it has not made. The trust policy lets in nobody but Port's service account of this one \
         organization (sub), and only with tokens made for AWS (aud):",
    )?;
    let found = stage.account().await?;
    stage.screen.output(&describe(&found)?)?;
    let role = the_role(&found)?;
    let only_reads = role.attached_policies.iter().eq([READ_ONLY]) && role.inline_policies.is_empty();
    ensure(only_reads, "the role has ReadOnlyAccess alone", || format!("{role:?}"))?;
    let provider = found.provider().ok_or_else(|| failed(format!("there is no OIDC provider: {found:?}")))?;
    let issuer = &provider.url;
    let (audience, subject) = (format!("{issuer}:aud"), format!("{issuer}:sub"));
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": provider.arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {
            audience: "sts.amazonaws.com",
            subject: "system:serviceaccount:org-org_BneDtWovPqXaA2VZ-port-oidc-sa",
        }},
    }]});
    ensure(role.trust_policy == trust, "the role trusts Port alone", || role.trust_policy.to_string())?;
    stage.screen.verified("the role can read and nothing else, and only Port can assume it")?;
    let object = stage.integration().await?;
    ensure(object["status"]["roleArns"] == json!([role.arn]), "status names the role", || {
        object["status"].to_string()
    })?;
    stage.screen.verified("status.roleArns of the resource holds its ARN, which is what Port asks for")?;
    Ok(found)
}

fn the_role(found: &AccountState) -> Result<&Role> {
    found.role(ROLE).ok_or_else(|| failed(format!("there is no role {ROLE}: {found:?}")))
}

pub(crate) async fn attack(stage: &Stage, before: &AccountState) -> Result<AccountState> {
    stage.screen.title("6. Break it behind the operator's back")?;
    stage.screen.say(&format!(
        "Somebody with access to the account attaches AdministratorAccess to the role, and rewrites \
         its trust policy so that a strange account can assume it ({STRANGER}). That account could now \
         do anything in yours, and Port is locked out. This is the role now; + and - \
         show what differs from step 5:",
    ))?;
    let iam = stage.backend.iam(ACCOUNT).await?;
    let attach = iam.attach_role_policy().role_name(ROLE).policy_arn(ADMINISTRATOR).send().await;
    attach.map_err(|error| failed(format!("AttachRolePolicy: {:?}", error.into_service_error())))?;
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": STRANGER}, "Action": "sts:AssumeRole",
    }]});
    let update = iam.update_assume_role_policy().role_name(ROLE).policy_document(trust.to_string()).send().await;
    update.map_err(|error| failed(format!("UpdateAssumeRolePolicy: {:?}", error.into_service_error())))?;
    let found = stage.account().await?;
    let role = the_role(&found)?;
    let broken = role.trust_policy == trust && role.attached_policies.iter().eq([ADMINISTRATOR, READ_ONLY]);
    ensure(broken, "the role is broken", || format!("{role:?}"))?;
    stage.screen.changes(&describe_role(the_role(before)?)?, &describe_role(role)?)?;
    stage.screen.verified("the role is broken")?;
    Ok(found)
}

pub(crate) async fn heal(stage: &Stage, before: &AccountState, attacked: &AccountState) -> Result<()> {
    stage.operator()?;
    stage.screen.title("7. Heal it")?;
    stage.screen.say(
        "The operator checks each account every 30 minutes (spec.interval) and would find this on its \
         own. An annotation has it check now; status echoes its value when the check is done:",
    )?;
    let object = stage.integration().await?;
    ensure(object["spec"]["interval"] == "30m", "the interval is 30 minutes", || object["spec"].to_string())?;
    let seq = stage.backend.last_seq().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
    let annotation = format!("{REQUESTED_AT}={now}");
    stage.kubectl(&["annotate", "pai", NAME, "-n", NAMESPACE, &annotation]).await?;
    let echo = format!("--for=jsonpath={{.status.lastHandledReconcileAt}}={now}");
    stage.kubectl(&["wait", "pai", NAME, "-n", NAMESPACE, &echo, "--timeout=30s"]).await?;
    let found = stage.account_until("the account to be healed", |found| found == before).await?;
    let role = the_role(&found)?;
    stage.screen.say("This is the role now; + and - show what differs from step 6:")?;
    stage.screen.changes(&describe_role(the_role(attacked)?)?, &describe_role(role)?)?;
    stage.screen.verified("all of the account is as it was before the attack")?;
    let id = &role.id;
    // Part of the equality above; this is what the claim below rests on.
    ensure(the_role(before)?.id == *id, "the role is the same", || id.clone())?;
    stage.screen.verified(&format!(
        "the role still has the ID {id}: it was repaired, not deleted and made again, which would have \
         cut Port off meanwhile",
    ))?;
    stage.screen.say(
        "The operator takes rights away before it gives any: first the policy goes, then the role is \
         opened to Port again. The events name what had changed:",
    )?;
    let reason = "--field-selector=reason=DriftCorrected";
    stage.kubectl(&[&GET_EVENTS[..], &[reason]].concat()).await?;
    let calls = by_operator(stage.backend.calls(ACCOUNT, seq).await?);
    let reads_and_writes = actions(&calls).join(", ");
    let written = writes(calls);
    let order = ["DetachRolePolicy", "UpdateAssumeRolePolicy"];
    ensure(actions(&written) == order, "the policy went first", || reads_and_writes.clone())?;
    let events = stage.events().await?;
    let told: Vec<&str> =
        events.iter().filter(|(reason, _)| reason == "DriftCorrected").map(|(_, note)| note.as_str()).collect();
    let in_order =
        matches!(told[..], [first, second] if first.contains(ADMINISTRATOR) && second.contains("set the trust policy"));
    ensure(in_order, "the events tell of both repairs, in order", || format!("{told:?}"))?;
    stage.screen.verified(&format!("the check took these calls to AWS, in this order: {reads_and_writes}"))?;
    let object = stage.integration().await?;
    ensure(is_ready(&object), "the resource is Ready again", || object["status"].to_string())
}

pub(crate) async fn delete(stage: &Stage) -> Result<()> {
    stage.operator()?;
    stage.screen.title("8. Disconnect the account")?;
    stage.screen.say("A finalizer keeps the resource until the operator has removed the role from AWS:")?;
    stage.kubectl(&["delete", "pai", NAME, "-n", NAMESPACE]).await?;
    let object = stage.integration().await?;
    ensure(object.is_null(), "the resource is gone", || object.to_string())?;
    let found = stage.account().await?;
    stage.screen.output(&describe(&found)?)?;
    ensure(found.roles.is_empty(), "the role is gone", || format!("{found:?}"))?;
    ensure(found.provider().is_some(), "the provider stays", || format!("{found:?}"))?;
    stage.operator()?;
    stage.screen.verified("the resource and the role are gone; the OIDC provider is still there")?;
    stage.screen.say(
        "The provider stays by default: all integrations of an account share it, and without a role \
         it lets nobody in and costs nothing. oidcProvider.deletionPolicy: DeleteIfUnused removes it \
         with its last user.",
    )
}
