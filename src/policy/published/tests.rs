use std::collections::BTreeSet;

use super::*;
use crate::policy::session::{self, Scope};

const HOLD: &str = "aws:ResourceTag/port-aws-operator/hold";

pub(crate) fn defaults() -> Settings {
    Settings::within(&Limits::default()).unwrap()
}

fn settings(edit: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = defaults();
    edit(&mut settings);
    settings
}

fn bounded() -> Settings {
    settings(|it| it.permissions_boundary_arn = Some("arn:aws:iam::${accountId}:policy/team/Bound".into()))
}

/// The one statement that allows an action.
fn statement(settings: &Settings, action: &str) -> Value {
    let policy = Published::Target.policy(settings);
    let mut found = policy.statement.iter().filter(|statement| statement.action.contains(&action));
    let one = found.next().unwrap_or_else(|| panic!("{action} is not allowed"));
    assert_eq!(found.next(), None, "{action} is allowed twice, which would make each condition an alternative");
    json!(one)
}

#[test]
fn every_action_but_the_search_ends_at_the_roles_and_providers_of_the_settings() {
    let settings = settings(|it| it.account = "111122223333".into());
    let issuer = settings.issuers[0].host_and_path();
    let roles = json!(["arn:aws:iam::111122223333:role/PortIntegrationRole-*"]);
    let providers = json!([format!("arn:aws:iam::111122223333:oidc-provider/{issuer}")]);
    for action in Published::Target.actions(&settings) {
        let expected = match action {
            "iam:ListRoles" => json!(["*"]),
            "iam:GetRole" | "iam:ListAttachedRolePolicies" | "iam:ListRolePolicies" => {
                json!([roles[0], "arn:aws:iam::111122223333:role/*/PortIntegrationRole-*"])
            }
            action if action.contains("OpenIDConnectProvider") => providers.clone(),
            _ => roles.clone(),
        };
        assert_eq!(statement(&settings, action)["Resource"], expected, "{action}");
    }
}

#[test]
fn nothing_is_made_without_our_tags() {
    for action in ["iam:CreateRole", "iam:CreateOpenIDConnectProvider", "iam:TagOpenIDConnectProvider"] {
        let condition = &statement(&defaults(), action)["Condition"];
        assert_eq!(condition["StringEquals"]["aws:RequestTag/port-aws-operator/origin"], "Created", "{action}");
        assert_eq!(condition["Null"]["aws:RequestTag/port-aws-operator/cluster"], "false", "{action}");
    }
}

#[test]
fn the_stop_switch_stops_every_write_and_is_out_of_reach() {
    for settings in [defaults(), bounded()] {
        for action in Published::Target.actions(&settings) {
            let reads = action.starts_with("iam:Get") || action.starts_with("iam:List");
            let makes = action == "iam:CreateRole";
            let expected = if reads || makes { Value::Null } else { json!("true") };
            assert_eq!(statement(&settings, action)["Condition"]["Null"][HOLD], expected, "{action}");
        }
    }
    let settings = settings(|it| it.tag_keys = vec!["team".into()]);
    for (action, further) in [("iam:TagRole", true), ("iam:UntagRole", false), ("iam:TagOpenIDConnectProvider", false)]
    {
        let keys = statement(&settings, action)["Condition"]["ForAllValues:StringEquals"]["aws:TagKeys"].to_string();
        assert!(keys.contains("port-aws-operator/cluster") && !keys.contains("hold"), "{keys}");
        assert_eq!(keys.contains("\"team\""), further, "{keys}");
    }
}

#[test]
fn policies_are_attached_by_name_and_all_come_off_but_those_that_answer_an_incident() {
    let settings = settings(|it| {
        it.managed_policy_arns =
            vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".into(), "arn:aws:iam::${accountId}:policy/Own".into()];
    });
    let attach = statement(&settings, "iam:AttachRolePolicy");
    let wanted = json!(["arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::*:policy/Own"]);
    assert_eq!(attach["Condition"]["ArnLike"], json!({"iam:PolicyARN": wanted}));
    let detach = statement(&settings, "iam:DetachRolePolicy");
    assert_eq!(detach["Condition"]["ArnNotLike"], json!({"iam:PolicyARN": INCIDENT_POLICIES}));
}

#[test]
fn with_a_boundary_no_role_is_made_without_it_or_loses_it() {
    let boundary = json!({"iam:PermissionsBoundary": "arn:aws:iam::*:policy/team/Bound"});
    for action in ["iam:CreateRole", "iam:PutRolePermissionsBoundary"] {
        assert_eq!(statement(&bounded(), action)["Condition"]["ArnLike"], boundary, "{action}");
    }
    let actions = Published::Target.actions(&bounded());
    assert!(!actions.contains(&"iam:DeleteRolePermissionsBoundary"));
    assert!(Published::Target.actions(&defaults()).contains(&"iam:DeleteRolePermissionsBoundary"));
}

#[test]
fn the_provider_goes_only_if_we_made_it() {
    let delete = statement(&defaults(), "iam:DeleteOpenIDConnectProvider");
    assert_eq!(delete["Condition"]["StringEquals"], json!({"aws:ResourceTag/port-aws-operator/origin": "Created"}));
}

#[test]
fn the_hub_assumes_two_roles_and_the_organization_is_only_read() {
    let arn = "arn:aws:iam::999988887777:role/Finder";
    let policy = json!(Published::Hub.policy(&settings(|it| it.organizations_role_arn = Some(arn.into()))));
    let statements = policy["Statement"].as_array().unwrap();
    let resources: Vec<_> = statements.iter().map(|it| (it["Action"].clone(), it["Resource"].clone())).collect();
    let assume = json!(["sts:AssumeRole"]);
    assert_eq!(resources, [(assume.clone(), json!(["arn:aws:iam::*:role/PortAwsOperator"])), (assume, json!([arn]))]);
    assert_eq!(Published::Hub.policy(&defaults()).statement.len(), 1);
    for action in Published::Organizations.actions(&defaults()) {
        let name = action.strip_prefix("organizations:").unwrap();
        assert!(name.starts_with("Describe") || name.starts_with("List"), "{action}");
    }
}

#[test]
fn sessions_ask_for_nothing_that_is_not_published() {
    let scope = Scope { role_arn: "r", provider_arn: "p" };
    for (text, settings) in [
        (session::manage(scope, ["a"], None), defaults()),
        (session::manage(scope, ["a"], Some("b")), bounded()),
        (session::remove(scope), bounded()),
    ] {
        let published: BTreeSet<_> = Published::Target.actions(&settings).into_iter().collect();
        let session: Value = serde_json::from_str(&text).unwrap();
        let actions = session["Statement"].as_array().unwrap().iter().flat_map(|it| it["Action"].as_array().unwrap());
        let missing: Vec<_> = actions.filter(|action| !published.contains(action.as_str().unwrap())).collect();
        assert_eq!(missing, Vec::<&Value>::new());
    }
}

#[test]
fn they_fit_into_a_role_and_the_usual_ones_into_a_managed_policy() {
    const MANAGED_POLICY_CHARACTERS: usize = 6144;
    for which in Published::ALL {
        for settings in [defaults(), bounded()] {
            let characters = which.policy(&settings).characters();
            assert!(characters <= MANAGED_POLICY_CHARACTERS, "{which:?}: {characters}");
        }
    }
    let long = settings(|it| {
        it.account = "111122223333".into();
        it.role_name_prefix = "r".repeat(64);
        it.issuers = (0..4).map(|n| format!("https://i.example/{n}{}", "x".repeat(109)).parse().unwrap()).collect();
        it.managed_policy_arns =
            (0..20).map(|n| format!("arn:aws:iam::aws:policy/{n:02}{}", "x".repeat(134))).collect();
        it.permissions_boundary_arn = Some(format!("arn:aws:iam::aws:policy/{}", "x".repeat(136)));
    });
    let characters = Published::Target.policy(&long).characters();
    assert!(characters <= INLINE_POLICY_CHARACTERS, "{characters}");
}
