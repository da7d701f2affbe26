//! Properties of the planner, over random readings of an account.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::{
    api::{PortAwsAccessSpec, PortAwsIntegrationSpec},
    domain::{
        Owner, Partition,
        tags::{self, Tags},
    },
    policy::{MalformedPolicy, PolicyDocument, TrustPolicy, covers},
};

const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
const AUDIT: &str = "arn:aws:iam::aws:policy/SecurityAudit";
const DENY_ALL: &str = "arn:aws:iam::aws:policy/AWSDenyAll";
const BOUNDARY: &str = "arn:aws:iam::111122223333:policy/Boundary";
const ROLE_ID: &str = "AROAEXAMPLE";

fn claim() -> Claim {
    let owner = Owner { namespace: "ns".into(), name: "name".into() };
    let former = BTreeSet::from(["before".parse().unwrap()]);
    Claim { cluster: "here".parse().unwrap(), former, owner, predecessor: None }
}

fn spec(change: impl FnOnce(&mut serde_json::Value)) -> PortAwsIntegrationSpec {
    let mut value = serde_json::json!({
        "organizationId": "org_1", "integrationIdentifier": "aws-prod", "accounts": ["111122223333"],
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn access() -> PortAwsAccessSpec {
    serde_json::from_value(serde_json::json!({
        "allowedNamespaces": {}, "accounts": ["*"],
        "limits": {"organizationIds": ["org_1"], "adoption": "Adopt", "managedPolicyArns": [READ_ONLY, AUDIT], "tagKeys": ["team"]},
    }))
    .unwrap()
}

fn desired_of(spec: &PortAwsIntegrationSpec) -> Desired {
    let access = access();
    let granted = Granted::check(spec, "ns", Some(&std::collections::BTreeMap::new()), &access).unwrap();
    Desired::build(granted, &"111122223333".parse().unwrap(), Partition::Aws, &claim()).unwrap()
}

fn any_desired() -> impl Strategy<Value = Desired> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 3600..=3602i32).prop_map(
        |(boundary, report, adopt, existing, tag, session)| {
            let mut access_spec = access();
            access_spec.limits.max_session_duration = 43200;
            let spec = spec(|value| {
                value["role"] = serde_json::json!({"maxSessionDuration": session});
                if boundary {
                    value["role"]["permissionsBoundaryArn"] = "arn:aws:iam::${accountId}:policy/Boundary".into();
                }
                if report {
                    value["role"]["extraPolicies"] = "Report".into();
                }
                if adopt {
                    value["role"]["adoption"] = "Adopt".into();
                }
                if tag {
                    value["role"]["tags"] = serde_json::json!({"team": "a"});
                }
                if existing {
                    value["oidcProvider"] = serde_json::json!({"management": "UseExisting"});
                }
            });
            let granted = Granted::check(&spec, "ns", Some(&std::collections::BTreeMap::new()), &access_spec).unwrap();
            Desired::build(granted, &"111122223333".parse().unwrap(), Partition::Aws, &claim()).unwrap()
        },
    )
}

/// Trust policies near the wanted one: itself, wider, narrower, foreign, unreadable.
fn any_trust() -> impl Strategy<Value = Result<PolicyDocument, MalformedPolicy>> {
    let wanted = desired_of(&spec(|_| ())).role.trust.to_json();
    let edit = |from: &'static str, to: &'static str| wanted.replace(from, to);
    let texts = vec![
        wanted.clone(),
        edit("org-org_1", "org-org_2"),
        edit("\"sts.amazonaws.com\"", "[\"sts.amazonaws.com\",\"other\"]"),
        edit("StringEquals", "StringLike"),
        edit("Allow", "Deny"),
        edit("sts:AssumeRoleWithWebIdentity", "sts:*"),
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#.into(),
        "not a policy".into(),
    ];
    proptest::sample::select(texts).prop_map(|text| PolicyDocument::parse(&text))
}

fn any_tags() -> impl Strategy<Value = Tags> {
    let all = vec![
        (tags::CLUSTER, "here"),
        (tags::OWNER, "ns.name"),
        (tags::ORIGIN, "Created"),
        (tags::INTEGRATION, "aws-prod"),
        (tags::HOLD, "yes"),
        ("foreign", "x"),
        ("team", "b"),
    ];
    let some = subsequence(all.clone(), 0..=7);
    let other = prop_oneof![
        Just(None),
        Just(Some((tags::CLUSTER, "there"))),
        Just(Some((tags::CLUSTER, "before"))),
        Just(Some((tags::OWNER, "ns.other")))
    ];
    let full = Just(all[..4].to_vec());
    (prop_oneof![full, some], other).prop_map(|(base, other)| {
        base.into_iter().chain(other).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    })
}

fn any_role() -> impl Strategy<Value = ObservedRole> {
    let attached = subsequence(vec![READ_ONLY, ADMIN, AUDIT, DENY_ALL], 0..=4);
    let inline = subsequence(vec!["own", "AWSRevokeOlderSessions"], 0..=2);
    let boundary = prop_oneof![Just(None), Just(Some(BOUNDARY)), Just(Some(ADMIN)), Just(Some(DENY_ALL))];
    let description = prop_oneof![Just(None), Just(Some("other".to_owned()))];
    (any_trust(), any_tags(), attached, inline, boundary, description, 3600..=3602i32, any::<bool>()).prop_map(
        |(trust, tags, attached, inline, boundary, description, max_session_duration, root)| ObservedRole {
            name: "PortIntegrationRole-aws-prod".into(),
            path: if root { "/".into() } else { "/other/".into() },
            role_id: ROLE_ID.into(),
            created: Timestamp::UNIX_EPOCH,
            description,
            max_session_duration,
            boundary: boundary.map(ToOwned::to_owned),
            trust,
            tags,
            last_used: None,
            attached: attached.into_iter().map(ToOwned::to_owned).collect(),
            inline: inline.into_iter().map(ToOwned::to_owned).collect(),
        },
    )
}

fn any_observed() -> impl Strategy<Value = Observed> {
    let ids = subsequence(vec!["sts.amazonaws.com", "other"], 0..=2);
    let provider = (ids, any_tags()).prop_map(|(ids, tags)| ObservedProvider {
        client_ids: ids.into_iter().map(ToOwned::to_owned).collect(),
        tags,
    });
    (proptest::option::of(provider), proptest::option::of(any_role()))
        .prop_map(|(provider, role)| Observed { provider, role })
}

fn any_known_id() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some(ROLE_ID)), Just(Some("AROAOTHER"))]
}

/// A model of IAM: what an account has after a write.
fn apply(observed: &mut Observed, action: &Action) {
    if let Action::CreateRole(role) = action {
        assert!(observed.role.is_none(), "a role is created over another");
        observed.role = Some(ObservedRole {
            name: role.name.to_string(),
            path: "/".into(),
            role_id: "AROANEW".into(),
            created: Timestamp::UNIX_EPOCH,
            description: Some(role.description.clone()),
            max_session_duration: role.max_session_duration,
            boundary: role.boundary.as_ref().map(ToString::to_string),
            trust: Ok(role.trust.document()),
            tags: role.tags.clone(),
            last_used: None,
            attached: BTreeSet::new(),
            inline: BTreeSet::new(),
        });
        return;
    }
    match action {
        Action::CreateProvider { client_id, tags } => {
            assert!(observed.provider.is_none(), "a provider is created over another");
            observed.provider = Some(ObservedProvider { client_ids: [client_id.clone()].into(), tags: tags.clone() });
        }
        Action::AddClientId { client_id } => {
            observed.provider.as_mut().unwrap().client_ids.insert(client_id.clone());
        }
        Action::DeleteProvider => observed.provider = None,
        Action::DeleteRole => {
            let role = observed.role.take().unwrap();
            assert!(role.attached.is_empty() && role.inline.is_empty(), "IAM would answer DeleteConflict");
        }
        other => apply_to_role(observed.role.as_mut().unwrap(), other),
    }
}

fn apply_to_role(role: &mut ObservedRole, action: &Action) {
    match action {
        Action::TagRole { tags, .. } => role.tags.extend(tags.clone()),
        Action::UntagRole { keys } => role.tags.retain(|key, _| !keys.contains(key)),
        Action::UpdateTrust { trust, .. } => role.trust = Ok(trust.document()),
        Action::AttachPolicy(arn) => drop(role.attached.insert(arn.to_string())),
        Action::DetachPolicy(arn) => assert!(role.attached.remove(arn)),
        Action::PutBoundary { arn, .. } => role.boundary = Some(arn.to_string()),
        Action::DeleteBoundary { .. } => role.boundary = None,
        Action::UpdateRole { description, max_session_duration, .. } => {
            role.description = Some(description.clone());
            role.max_session_duration = *max_session_duration;
        }
        other => panic!("{other:?} does not write to a role"),
    }
}

fn trusts_more(trust: &Result<PolicyDocument, MalformedPolicy>, wanted: &TrustPolicy) -> bool {
    trust.as_ref().is_ok_and(|trust| *trust != wanted.document())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(desired in any_desired(), observed in any_observed(), known in any_known_id()) {
        let first = plan(&desired, &observed, known);
        let mut after = observed.clone();
        first.steps.iter().for_each(|step| apply(&mut after, &step.action));
        let known = after.role.as_ref().map(|role| role.role_id.clone()).filter(|id| known == Some(id) || observed.role.is_none());
        let second = plan(&desired, &after, known.as_deref());
        prop_assert_eq!(&second.steps, &vec![], "first plan: {:?}", first.steps);
        prop_assert_eq!(&second.role, &first.role);
    }

    #[test]
    fn nothing_foreign_is_ever_in_a_plan(desired in any_desired(), observed in any_observed(), known in any_known_id()) {
        let plan = plan(&desired, &observed, known);
        if let Some(provider) = &observed.provider {
            let mut after = observed.clone();
            plan.steps.iter().for_each(|step| apply(&mut after, &step.action));
            let left = after.provider.unwrap();
            prop_assert!(provider.client_ids.is_subset(&left.client_ids));
            prop_assert_eq!(&provider.tags, &left.tags);
            if provider.tags.contains_key(tags::HOLD) || !desired.provider.managed {
                prop_assert_eq!(&provider.client_ids, &left.client_ids);
            }
        }
        let Some(role) = &observed.role else { return Ok(()) };
        let on_role: Vec<&Step> = plan.steps.iter().filter(|step| step.phase != Phase::Provider).collect();
        let whose = ownership(role, &desired.claim, known);
        let adoptable = desired.adoption.is_some() && whose == Ownership::Unclaimed;
        if role.tags.contains_key(tags::HOLD) || !(matches!(whose, Ownership::Ours(_)) || adoptable) {
            prop_assert_eq!(on_role, Vec::<&Step>::new());
            return Ok(());
        }
        if adoptable && !on_role.is_empty() {
            prop_assert!(role.inline.is_empty() && !role.attached.contains(ADMIN) && role.path == "/");
            let claims = matches!(&on_role[0].action, Action::TagRole { adopts: true, .. });
            prop_assert!(claims, "taken over without being claimed first: {:?}", on_role);
        }
        let mut after = role.clone();
        for step in &on_role {
            apply_to_role(&mut after, &step.action);
        }
        prop_assert_eq!(&after.inline, &role.inline);
        prop_assert_eq!(after.attached.contains(DENY_ALL), role.attached.contains(DENY_ALL));
        prop_assert!(role.boundary.as_deref() != Some(DENY_ALL) || after.boundary == role.boundary);
        prop_assert_eq!(after.tags.get("foreign"), role.tags.get("foreign"));
    }

    #[test]
    fn no_prefix_of_a_plan_is_wider_than_both_before_and_wanted(desired in any_desired(), observed in any_observed(), known in any_known_id()) {
        let plan = plan(&desired, &observed, known);
        let Some(before) = observed.role.clone() else { return Ok(()) };
        let wanted: BTreeSet<String> = desired.role.policies.iter().map(ToString::to_string).collect();
        let extra = |role: &ObservedRole| role.attached.iter().any(|arn| !wanted.contains(arn));
        let foreign = before.inline.iter().any(|name| name != "AWSRevokeOlderSessions");
        let mut now = Observed { role: Some(before.clone()), ..observed };
        for step in &plan.steps {
            apply(&mut now, &step.action);
            let role = now.role.as_ref().unwrap();
            prop_assert!(role.attached.is_subset(&before.attached.union(&wanted).cloned().collect()));
            let opened = role.trust.as_ref().ok() == Some(&desired.role.trust.document())
                && !before.trust.as_ref().is_ok_and(|trust| covers(trust, &desired.role.trust.document()));
            let allowed: BTreeSet<String> = desired.role.allowed_policies.iter().map(ToString::to_string).collect();
            let reported = desired.role.extra_policies == crate::api::ExtraPolicies::Report
                && role.attached.iter().all(|arn| wanted.contains(arn) || allowed.contains(arn));
            prop_assert!(!(opened && foreign), "opened with foreign inline policies");
            prop_assert!(!(opened && extra(role) && !reported), "opened while it has more than is wanted");
            prop_assert!(!trusts_more(&role.trust, &desired.role.trust) || role.trust == before.trust);
            if !role.trust.as_ref().is_ok_and(|trust| covers(&desired.role.trust.document(), trust)) {
                prop_assert!(role.attached.is_subset(&before.attached), "attached while others are trusted");
                prop_assert!(role.boundary.is_some() || before.boundary.is_none(), "unbound while others are trusted");
            }
        }
    }

    #[test]
    fn removal_touches_only_what_is_ours(observed in any_observed(), known in any_known_id(), retain in any::<bool>()) {
        let policy = if retain { crate::api::DeletionPolicy::Retain } else { crate::api::DeletionPolicy::Delete };
        let removal = plan_removal(observed.role.as_ref(), &claim(), known, policy);
        let Some(role) = &observed.role else {
            prop_assert_eq!(removal, RemovalPlan::default());
            return Ok(());
        };
        let whose = ownership(role, &claim(), known);
        let ours = matches!(whose, Ownership::Ours(_));
        prop_assert!(ours || removal == RemovalPlan::default());
        if role.tags.contains_key(tags::HOLD) {
            prop_assert!(removal.actions.is_empty());
        }
        let mut after = observed.clone();
        removal.actions.iter().for_each(|action| apply(&mut after, action));
        let deleted = after.role.is_none();
        prop_assert!(!deleted || (whose == Ownership::Ours(Origin::Created) && !retain));
        if let (Some(left), None, true) = (&after.role, &removal.blocked, ours) {
            prop_assert!(tags::CLAIM.iter().all(|key| !left.tags.contains_key(*key)));
            prop_assert_eq!(&left.attached, &role.attached);
        }
    }

    #[test]
    fn a_write_that_is_not_visible_yet_is_not_repeated(desired in any_desired(), observed in any_observed(), known in any_known_id()) {
        let at = std::time::Duration::from_secs;
        let first = plan(&desired, &observed, known);
        let mut settling = Settling::default();
        first.steps.iter().for_each(|step| settling.wrote(&step.action, at(100)));
        let mut again = plan(&desired, &observed, known).steps;
        let wait = settling.hold_back(&mut again, at(110));
        prop_assert_eq!(again, vec![]);
        prop_assert_eq!(wait.is_some(), !first.steps.is_empty());
        let mut later = first.steps.clone();
        prop_assert_eq!(settling.hold_back(&mut later, at(160)), None);
        prop_assert_eq!(later, first.steps);
    }
}

#[test]
fn a_fresh_account_takes_three_writes() {
    let plan = plan(&desired_of(&spec(|_| ())), &Observed::default(), None);
    let operations: Vec<_> = plan.steps.iter().map(|step| step.action.operation()).collect();
    assert_eq!(operations, ["CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy"]);
}

/// Tags that say only half of whose a role is make it nobody's: taking it over is told as that.
#[test]
fn a_role_with_half_a_claim_is_adopted_and_told_as_adopted() {
    let desired = desired_of(&spec(|value| value["role"] = serde_json::json!({"adoption": "Adopt"})));
    for cluster in ["here", "before"] {
        let mut observed = Observed::default();
        plan(&desired, &observed, None).steps.iter().for_each(|step| apply(&mut observed, &step.action));
        let role = observed.role.as_mut().unwrap();
        role.tags = Tags::from([(tags::CLUSTER.to_owned(), cluster.to_owned())]);
        let steps = plan(&desired, &observed, None).steps;
        let told: Vec<_> = steps.iter().map(|step| (step.phase, step.action.event_reason())).collect();
        assert_eq!(told, [(Phase::Claim, Reason::RoleAdopted)], "{cluster}");
    }
}

#[test]
fn an_attack_on_the_role_is_undone_by_detaching_before_opening() {
    let desired = desired_of(&spec(|_| ()));
    let mut observed = Observed::default();
    plan(&desired, &observed, None).steps.iter().for_each(|step| apply(&mut observed, &step.action));
    let role = observed.role.as_mut().unwrap();
    role.attached.insert(ADMIN.into());
    role.trust = PolicyDocument::parse(
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":"sts:AssumeRole"}}"#,
    );
    let steps = plan(&desired, &observed, Some("AROANEW")).steps;
    let order: Vec<_> = steps.iter().map(|step| (step.phase, step.action.operation())).collect();
    assert_eq!(order, [(Phase::Narrow, "DetachRolePolicy"), (Phase::Widen, "UpdateAssumeRolePolicy")]);
}

#[test]
fn every_limit_refuses_what_it_bounds() {
    let access = access();
    for (rule, change) in [
        ("limits.organizationIds", serde_json::json!({"organizationId": "org_2"})),
        ("limits.subjects", serde_json::json!({"oidcProvider": {"subject": "system:serviceaccount:a:b"}})),
        ("limits.issuerUrls", serde_json::json!({"oidcProvider": {"url": "https://evil.example"}})),
        ("limits.clientIds", serde_json::json!({"oidcProvider": {"clientId": "other"}})),
        ("limits.managedPolicyArns", serde_json::json!({"role": {"managedPolicyArns": [ADMIN]}})),
        ("limits.roleNamePrefix", serde_json::json!({"role": {"name": "OrganizationAccountAccessRole"}})),
        ("limits.maxSessionDuration", serde_json::json!({"role": {"maxSessionDuration": 7200}})),
        ("limits.tagKeys", serde_json::json!({"role": {"tags": {"admin": "yes"}}})),
    ] {
        let spec = spec(|value| value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone()));
        let violations = Granted::check(&spec, "ns", Some(&std::collections::BTreeMap::new()), &access).unwrap_err();
        assert_eq!(violations.iter().map(|violation| violation.rule).collect::<Vec<_>>(), [rule]);
    }
    let mut forced = access.clone();
    forced.limits.permissions_boundary_arn = Some("arn:aws:iam::${accountId}:policy/Forced".into());
    forced.limits.adoption = crate::api::AdoptionLimit::Refuse;
    forced.allowed_namespaces = None;
    let role = serde_json::json!({"permissionsBoundaryArn": BOUNDARY, "adoption": "Adopt"});
    let spec = spec(|value| value["role"] = role);
    let violations = Granted::check(&spec, "ns", Some(&std::collections::BTreeMap::new()), &forced).unwrap_err();
    let rules: Vec<_> = violations.iter().map(|violation| violation.rule).collect();
    assert_eq!(rules, ["allowedNamespaces", "limits.permissionsBoundaryArn", "limits.adoption"]);
}
