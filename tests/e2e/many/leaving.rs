//! Accounts that are no longer targets, and are to be cleared.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{
    Result,
    aws::Fault,
    fixture::{SOON, Scenario, is_ready},
    wait::eventually,
};

use super::{ROLE, accounts, calls_in, entry, scenario};

const WORD: &str = "integrations.port.io/confirm-removal";

async fn has_role(it: &Scenario, account: &str) -> Result<bool> {
    Ok(it.world().backend().state(account).await?.role(ROLE).is_some())
}

/// Connects accounts, which are cleared when they leave.
async fn connect(it: &Scenario, accounts: &[String]) -> Result<()> {
    it.integration("aws-prod", |spec| {
        spec["accounts"] = json!(accounts);
        spec["accountRemovalPolicy"] = "Delete".into();
    })
    .await?;
    it.ready("aws-prod").await?;
    Ok(())
}

/// Waits until a number of accounts is waiting for the word to clear them, and gives the message.
async fn waits(it: &Scenario, account: &str) -> Result<String> {
    let object = it.until("aws-prod", "it waits", |it| entry(it, account)["reason"] == "ManyRemovals").await?;
    Ok(entry(&object, account)["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn many_accounts_that_leave_at_once_wait_for_a_word_that_counts_once() -> Result<()> {
    let mut it = scenario("bulk").await?;
    let accounts = accounts(4);
    connect(&it, &accounts).await?;
    // A word of deletions is none of removals.
    it.annotate("aws-prod", "integrations.port.io/confirm-deletion", "3").await?;
    let cut = json!({"accounts": accounts[3..]});
    it.patch_spec("aws-prod", cut.clone()).await?;
    assert!(waits(&it, &accounts[0]).await?.ends_with(&format!("{WORD}=\"3\"")));
    for account in &accounts {
        assert!(has_role(&it, account).await?);
    }
    it.annotate("aws-prod", WORD, "3").await?;
    let cleared = |it: &Value| {
        it["status"]["accounts"].as_array().is_some_and(|all| all.len() == 1)
            && it["status"]["lastHandledRemovalWord"] == it["metadata"]["annotations"][WORD]
    };
    it.until("aws-prod", "they are cleared", cleared).await?;
    for account in &accounts[..3] {
        assert!(!has_role(&it, account).await?);
    }

    // The word stays where it is, as it does in Git; the next mistake waits all the same, also in a new
    // process.
    it.patch_spec("aws-prod", json!({"accounts": accounts})).await?;
    it.ready("aws-prod").await?;
    it.restart_operator().await?;
    it.patch_spec("aws-prod", cut).await?;
    assert!(waits(&it, &accounts[0]).await?.ends_with(&format!("{WORD}=\"3-2\"")));
    assert!(has_role(&it, &accounts[0]).await? && has_role(&it, &accounts[3]).await?);
    it.annotate("aws-prod", WORD, "3-2").await?;
    it.until("aws-prod", "they are cleared", cleared).await?;
    assert!(!has_role(&it, &accounts[0]).await? && has_role(&it, &accounts[3]).await?);
    it.finish().await
}

#[tokio::test]
async fn a_word_is_not_for_those_that_leave_while_some_of_its_accounts_cannot_be_cleared() -> Result<()> {
    let mut it = scenario("word").await?;
    let accounts = accounts(6);
    let stuck = &accounts[0];
    connect(&it, &accounts).await?;
    let fault = it.world().backend().fault(Fault::access_denied().account(stuck).action("DeleteRole")).await?;
    it.annotate("aws-prod", WORD, "3").await?;
    it.until("aws-prod", "the word is used up, as nobody leaves", |it| it["status"]["lastHandledRemovalWord"] == "3")
        .await?;
    it.patch_spec("aws-prod", json!({"accounts": accounts[3..]})).await?;
    assert!(waits(&it, stuck).await?.ends_with(&format!("{WORD}=\"3-2\"")));
    it.annotate("aws-prod", WORD, "3-2").await?;
    let one_is_left = |it: &Value| entry(it, stuck)["reason"] == "AccessDenied" && entry(it, &accounts[1]).is_null();
    it.until("aws-prod", "one of them cannot be cleared", one_is_left).await?;

    // The next ones ask for a word of their own, also in a new process, and what has one goes on.
    it.patch_spec("aws-prod", json!({"accounts": accounts[5..]})).await?;
    assert!(waits(&it, &accounts[3]).await?.ends_with(&format!("{WORD}=\"2\"")));
    it.restart_operator().await?;
    it.world().backend().delete_fault(&fault).await?;
    it.annotate("aws-prod", "integrations.port.io/requestedAt", "now").await?;
    it.until("aws-prod", "it is cleared", |it| entry(it, stuck).is_null()).await?;
    assert!(!has_role(&it, stuck).await?);
    for account in &accounts[3..] {
        assert!(has_role(&it, account).await?);
    }
    it.finish().await
}

/// Makes every write of status in a namespace take two seconds: a webhook that never answers is asked.
struct SlowStatus {
    api: Api<ValidatingWebhookConfiguration>,
    name: String,
    asked: Arc<AtomicUsize>,
}

impl SlowStatus {
    async fn begin(it: &Scenario) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for connection in listener.incoming() {
                held.push(connection);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let name = it.namespace().to_owned();
        let webhook = serde_json::from_value(json!({
            "metadata": {"name": name},
            "webhooks": [{
                "name": "slow.example.org",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://127.0.0.1:{port}/")},
                "failurePolicy": "Ignore",
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "rules": [{
                    "apiGroups": ["integrations.port.io"], "apiVersions": ["*"],
                    "operations": ["UPDATE"], "resources": ["portawsintegrations/status"],
                }],
                "sideEffects": "None",
                "timeoutSeconds": 2,
            }],
        }))?;
        let api = Api::all(it.world().plane().admin_client()?);
        api.create(&PostParams::default(), &webhook).await?;
        let slow = Self { api, name, asked };
        eventually("the webhook to be asked", SOON, async || {
            let params = PatchParams { dry_run: true, ..PatchParams::default() };
            let patch = Patch::Merge(json!({"status": {"observedGeneration": 0}}));
            it.integrations().patch_status("aws-prod", &params, &patch).await?;
            Ok((slow.asked() > 0).then_some(()))
        })
        .await?;
        Ok(slow)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn end(self) -> Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_pass_under_way_does_not_clear_an_account_whose_removal_nobody_has_decided() -> Result<()> {
    let it = scenario("undecided").await?;
    let accounts = accounts(4);
    let leaving = &accounts[0];
    connect(&it, &accounts).await?;
    let iam = it.world().backend().iam(leaving).await?;
    let policy = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    iam.detach_role_policy().role_name(ROLE).policy_arn(policy).send().await.expect("detached");
    iam.update_role().role_name(ROLE).description("of somebody").send().await.expect("updated");
    let held =
        it.world().backend().fault(Fault::hold_before().account(leaving).action("AttachRolePolicy").count(1)).await?;
    it.annotate("aws-prod", "integrations.port.io/requestedAt", "now").await?;
    let parked = it.world().backend().next_parked(&held, SOON).await?;

    // While the reconcile that could say that nothing is to be cleared hangs, the pass finds that the account
    // is no target any more, and is tried again.
    let slow = SlowStatus::begin(&it).await?;
    let before = slow.asked();
    let seq = it.seq().await?;
    it.patch_spec("aws-prod", json!({"accounts": accounts[3..]})).await?;
    eventually("a status to be on its way", SOON, async || Ok((slow.asked() > before).then_some(()))).await?;
    it.world().backend().release(&parked.id, true, true).await?;
    waits(&it, leaving).await?;
    slow.end().await?;
    it.until("aws-prod", "it is told", is_ready).await?;
    for account in &accounts {
        assert_eq!(calls_in(&it, account, seq, "DeleteRole").await?, vec![]);
        assert!(has_role(&it, account).await?);
    }
    assert_eq!(calls_in(&it, leaving, seq, "UpdateRole").await?, vec![]);
    it.finish().await
}
