//! `port-aws-operator plan`: what it foretells is what the operator then does, and it writes nothing.

mod run;

use kube::api::{DynamicObject, PostParams};
use run::{ASSUMED, Job, access, integration};
use serde_json::{Value, json};
use testkit::{
    Result,
    fixture::{Scenario, condition},
};

use crate::{
    OPERATOR,
    iam::{ADMIN, CLIENT_ID, Does, ISSUER, Made, NAME, READ_ONLY, ROLE, Somebody, foreign_trust, web_trust, writes},
    scenario,
};

const SUBJECT: &str = "system:serviceaccount:org-org_Test1-port-oidc-sa";

fn nothing(_: &mut Value) {}

/// The operations that a plan in JSON has for its only account.
fn operations(plan: &Value) -> Vec<&str> {
    let changes = plan["resources"][0]["accounts"][0]["changes"].as_array().expect("changes");
    changes.iter().map(|change| change["operation"].as_str().expect("an operation")).collect()
}

/// The fields of one change, each with both sides.
fn fields<'a>(plan: &'a Value, operation: &str) -> Vec<(&'a str, &'a Value, &'a Value)> {
    let changes = plan["resources"][0]["accounts"][0]["changes"].as_array().expect("changes");
    let change = changes.iter().find(|change| change["operation"] == operation).expect("the change");
    let fields = change["fields"].as_array().expect("fields").iter();
    fields.map(|field| (field["field"].as_str().expect("a name"), &field["observed"], &field["wanted"])).collect()
}

#[tokio::test]
async fn a_plan_foretells_what_is_then_done_and_writes_nothing() -> Result<()> {
    let it = scenario("plan").await?;
    let files = [access(&it, nothing), integration(&it, NAME, nothing)];
    let args = ["--cluster-id", it.namespace()];
    let json = [&args[..], &["-o", "json"]].concat();
    let job = Job::of(&it);
    let seq = it.seq().await?;

    let outcome = job.plan(&files, &json).await?;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let plan: Value = serde_json::from_str(&outcome.out)?;
    assert_eq!(plan["formatVersion"], 1);
    assert_eq!(plan["summary"], json!({"change": 1, "unchanged": 0, "failed": 0, "skipped": 0}));
    let foretold: Vec<String> = operations(&plan).iter().map(ToString::to_string).collect();
    assert_eq!(foretold, ["CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy"]);
    let created = fields(&plan, "CreateRole");
    assert!(created.iter().any(|(field, observed, wanted)| *field == "trust.Condition.StringEquals.sub"
        && observed.is_null()
        && *wanted == SUBJECT));
    assert!(it.state().await?.is_empty());
    let none: [&str; 0] = [];
    assert_eq!(writes(&it, seq).await?, none);

    // The operator does just that, and then there is nothing to do.
    it.integration(NAME, nothing).await?;
    it.ready(NAME).await?;
    let done: Vec<String> = it.operator_writes_since(seq).await?.into_iter().map(|call| call.action).collect();
    assert_eq!(done, foretold);
    let outcome = job.plan(&files, &args).await?;
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    assert!(outcome.out.ends_with("0 to change, 1 unchanged, 0 failed\n"), "{}", outcome.out);
    assert!(!outcome.out.contains('\x1b'), "colours are for terminals: {}", outcome.out);

    // Drift is shown field by field.
    it.patch_spec(NAME, json!({"suspend": true})).await?;
    it.until(NAME, "it stands still", |object| condition(object, "Ready")["reason"] == "Suspended").await?;
    let other = web_trust(it.account(), ISSUER, "system:serviceaccount:org-other-port-oidc-sa");
    Somebody::on(&it, ROLE).await?.does(&[Does::Attach(ADMIN), Does::Trust(other)]).await?;
    let seq = it.seq().await?;
    let outcome = job.plan(&files, &json).await?;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let plan: Value = serde_json::from_str(&outcome.out)?;
    assert_eq!(operations(&plan), ["DetachRolePolicy", "UpdateAssumeRolePolicy"]);
    let drift =
        [("trust.Condition.StringEquals.sub", &json!("system:serviceaccount:org-other-port-oidc-sa"), &json!(SUBJECT))];
    assert_eq!(fields(&plan, "UpdateAssumeRolePolicy"), drift);
    assert_eq!(fields(&plan, "DetachRolePolicy"), [("managedPolicies", &json!(ADMIN), &Value::Null)]);
    let text = job.plan(&files, &args).await?.out;
    for line in [
        format!("- managedPolicies: {ADMIN}"),
        "- trust.Condition.StringEquals.sub: system:serviceaccount:org-other-port-oidc-sa".to_owned(),
        format!("+ trust.Condition.StringEquals.sub: {SUBJECT}"),
        "1 to change, 0 unchanged, 0 failed".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert_eq!(writes(&it, seq).await?, none);
    it.patch_spec(NAME, json!({"suspend": false})).await?;
    it.ready(NAME).await?;
    it.finish().await
}

#[tokio::test]
async fn what_would_be_refused_fails_with_the_words_of_status() -> Result<()> {
    let it = Scenario::builder("plan-refused", OPERATOR).without_operator().start().await?;
    let job = Job::of(&it);
    let role = Made { attached: vec![READ_ONLY], ..Made::trusting(foreign_trust()) };
    Somebody::on(&it, ROLE).await?.makes(&role).await?;
    let elsewhere = |spec: &mut Value| spec["accounts"] = json!(["111122223333"]);
    let rich = |spec: &mut Value| spec["role"] = json!({"managedPolicyArns": [ADMIN]});
    for (files, words) in [
        ([access(&it, nothing), integration(&it, NAME, nothing)], "Conflict, RoleNameTaken: a role"),
        ([access(&it, elsewhere), integration(&it, NAME, nothing)], "NotAllowed: PortAwsAccess"),
        ([access(&it, nothing), integration(&it, NAME, rich)], "NotAllowed: PortAwsAccess"),
    ] {
        let outcome = job.plan(&files, &[]).await?;
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.out.contains(words), "{words}\n{}", outcome.out);
        assert!(outcome.out.ends_with("0 to change, 0 unchanged, 1 failed\n"), "{}", outcome.out);
    }
    // Without its access object nothing can be said of it.
    let outcome = job.plan(&[integration(&it, NAME, nothing)], &[]).await?;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("is not in the files, and no cluster is configured: add it to -f"), "{}", outcome.out);
    it.finish().await
}

/// Objects that the API server refuses, and a part of what it says.
fn refused(it: &Scenario) -> Vec<(Value, &'static str)> {
    let with = |edit: &dyn Fn(&mut Value)| integration(it, NAME, edit);
    vec![
        (with(&|spec| spec["mode"] = json!("Sometimes")), "spec.mode: Unsupported value: \"Sometimes\""),
        (with(&|spec| spec["accounts"] = json!(["1"])), "spec.accounts[0]: Invalid value: \"1\""),
        (with(&|spec| spec["accounts"] = json!([])), "spec.accounts: Invalid value: 0: "),
        (with(&|spec| spec["accounts"] = json!([it.account(), it.account()])), "spec.accounts[1]: Duplicate value:"),
        (with(&|spec| spec["interval"] = json!("1m")), "interval must be from 5m to 24h"),
        (
            with(&|spec| spec["discovery"] = json!({"organizationalUnitIds": ["r-ab12"]})),
            "set either accounts or discovery",
        ),
        (
            with(&|spec| spec["role"] = json!({"maxSessionDuration": 60})),
            "spec.role.maxSessionDuration: Invalid value: 60",
        ),
        (with(&|spec| spec["role"] = json!({"tags": {"aws:x": "y"}})), "role.tags may not use keys"),
        (with(&|spec| spec["role"] = json!({"tags": {"a*": "y"}})), "role.tags may have keys of"),
        (
            with(&|spec| _ = spec.as_object_mut().map(|it| it.remove("organizationId"))),
            "spec.organizationId: Required value",
        ),
        (with(&|spec| spec["organisation"] = json!("x")), "unknown field"),
    ]
}

#[tokio::test]
async fn a_bad_file_is_refused_as_the_api_server_refuses_it() -> Result<()> {
    let it = Scenario::builder("plan-invalid", OPERATOR).without_operator().start().await?;
    let dry = PostParams { dry_run: true, field_manager: None };
    for (object, words) in refused(&it) {
        let outcome = Job::of(&it).plan(&[access(&it, nothing), object.clone()], &[]).await?;
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.err.contains(words), "{words}\n{}", outcome.err);
        assert!(outcome.out.is_empty(), "{}", outcome.out);
        if words == "unknown field" {
            // The API server refuses these only if it is asked to be strict, as kubectl asks it.
            continue;
        }
        let object: DynamicObject = serde_json::from_value(object)?;
        let answer = it.integrations().create(&dry, &object).await.expect_err("a refusal").to_string();
        assert!(answer.contains(words), "{words}\n{answer}");
    }
    it.finish().await
}

#[tokio::test]
async fn a_role_of_ports_own_stack_becomes_a_resource_that_changes_only_tags() -> Result<()> {
    let it = Scenario::builder("plan-from-role", OPERATOR).without_operator().start().await?;
    let somebody = Somebody::on(&it, ROLE).await?;
    let job = Job::of(&it);
    let arn = format!("arn:aws:iam::{}:role/{ROLE}", it.account());

    let outcome = job.run(&["--from-role", &arn], "").await?;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.err.contains(&format!("{arn} cannot be read: there is no such role")), "{}", outcome.err);

    somebody.makes_provider(&[CLIENT_ID]).await?;
    let role = Made { attached: vec![READ_ONLY], ..Made::trusting(foreign_trust()) };
    somebody.makes(&role).await?;
    let outcome = job.run(&["--from-role", &arn], "").await?;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.err.contains(&format!("{arn} cannot be taken over: its trust policy")), "{}", outcome.err);

    somebody.does(&[Does::Trust(web_trust(it.account(), ISSUER, SUBJECT)), Does::Update("Port reads", 3600)]).await?;
    let outcome = job.run(&["--from-role", &arn], "").await?;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let adopting = access(&it, |spec| spec["limits"]["adoption"] = json!("Adopt"));
    let text = format!("{adopting}\n---\n{}", outcome.out);
    let args = ["-f", "-", "--cluster-id", it.namespace(), "--namespace", it.namespace(), "-o", "json"];
    let outcome = job
        .run(&args, &text.replace("spec:\n", &format!("spec:\n  accessRef:\n    name: {}\n", it.namespace())))
        .await?;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let plan: Value = serde_json::from_str(&outcome.out)?;
    assert_eq!(operations(&plan), ["TagRole"]);
    it.finish().await
}

#[tokio::test]
async fn many_accounts_are_looked_at_through_their_roles() -> Result<()> {
    const ACCOUNTS: u64 = 60;
    let it = Scenario::builder("plan-many", OPERATOR).without_operator().start().await?;
    let ids: Vec<String> = (0..ACCOUNTS).map(|number| (700_000_000_000 + number).to_string()).collect();
    let through =
        access(&it, |spec| spec["assumeRole"] = json!({"roleName": ASSUMED, "externalId": "example-external-id"}));
    let all = integration(&it, NAME, |spec| spec["accounts"] = json!(ids));
    let outcome = Job::of(&it).plan(&[through, all], &["-o", "json"]).await?;
    let plan: Value = serde_json::from_str(&outcome.out)?;
    assert_eq!((outcome.code, &plan["summary"]["change"]), (Some(2), &json!(ACCOUNTS)), "{}", outcome.err);
    let accounts = plan["resources"][0]["accounts"].as_array().expect("accounts");
    let named: Vec<&str> = accounts.iter().filter_map(|account| account["account"].as_str()).collect();
    assert_eq!(named, ids, "each once, in order");
    it.finish().await
}

#[tokio::test]
async fn what_the_files_lack_is_looked_up_in_the_cluster() -> Result<()> {
    let it = scenario("plan-cluster").await?;
    it.integration(NAME, nothing).await?;
    it.ready(NAME).await?;
    let job = Job { kubeconfig: Some(&it.world().plane().admin_kubeconfig()), ..Job::of(&it) };
    let args = ["--cluster-id", it.namespace()];
    let outcome = job.plan(&[integration(&it, NAME, nothing)], &args).await?;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    // Rules about a change are asked, too.
    let renamed = integration(&it, NAME, |spec| spec["integrationIdentifier"] = json!("aws-other"));
    let outcome = job.plan(&[renamed], &args).await?;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("integrationIdentifier cannot be changed"), "{}", outcome.out);
    // An account that leaves the list is told, and what becomes of it.
    let gone = |spec: &mut Value| {
        spec["accounts"] = json!(["111122223333"]);
        spec["accountRemovalPolicy"] = json!("Delete");
    };
    let outcome = job.plan(&[access(&it, nothing), integration(&it, NAME, gone)], &args).await?;
    for words in ["no target any more (accountRemovalPolicy Delete)", "- role arn:aws:iam::"] {
        assert!(outcome.out.contains(words), "{words}\n{}", outcome.out);
    }
    it.finish().await
}
