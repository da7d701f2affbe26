//! What may be in the account when the plan is made.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use port_aws_operator::{
    plan::{Observed, ObservedProvider, ObservedRole},
    policy::PolicyDocument,
};
use serde_json::{Value, json};

use super::{
    invariants::Wanted,
    tenants::{ADMIN, FORMER},
};

const OPEN_TRUST: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;

/// A reading of an account, and whether the operator may write there at all.
pub struct Reading {
    pub what: &'static str,
    pub observed: Observed,
    pub may_write: bool,
}

/// All of them, for what is wanted.
pub fn readings(wanted: &Wanted) -> Vec<Reading> {
    let claim = wanted.claim();
    let tag = |key: &str, value: &str| [(key.to_owned(), value.to_owned())];
    let role = |what, may_write, change: &dyn Fn(&mut ObservedRole)| {
        let mut role = foreign(wanted);
        change(&mut role);
        let provider = ObservedProvider { client_ids: BTreeSet::from(["other".into()]), tags: [].into() };
        Reading { what, may_write, observed: Observed { provider: Some(provider), role: Some(role) } }
    };
    let adoptable = |role: &mut ObservedRole| {
        role.attached.clone_from(&wanted.policies);
        role.boundary.clone_from(&wanted.boundary);
        role.trust = PolicyDocument::parse(&trust_of_another(wanted).to_string());
    };
    vec![
        Reading { what: "nothing", may_write: true, observed: Observed::default() },
        role("somebody's role", false, &|_| ()),
        role("another resource's role", false, &|role| {
            role.tags = claim.clone();
            role.tags.extend(tag("port-aws-operator/owner", "another-team.production"));
        }),
        role("another installation's role", false, &|role| {
            role.tags = claim.clone();
            role.tags.extend(tag("port-aws-operator/cluster", "elsewhere"));
        }),
        role("a former installation's role", wanted.takes_over, &|role| {
            role.tags = claim.clone();
            role.tags.extend(tag("port-aws-operator/cluster", FORMER));
        }),
        role("an adoptable role", wanted.adopts, &adoptable),
        role("one with half of our tags", wanted.adopts, &|role| {
            adoptable(role);
            role.tags.extend(tag("port-aws-operator/owner", &claim["port-aws-operator/owner"]));
        }),
        role("one at another path", false, &|role| {
            adoptable(role);
            role.path = "/team/".into();
        }),
        role("one with an inline policy", false, &|role| {
            adoptable(role);
            role.inline = BTreeSet::from(["admin".into()]);
        }),
        role("one with another policy", false, &|role| {
            adoptable(role);
            role.attached.insert(ADMIN.into());
        }),
        role("our own role, drifted", true, &|role| {
            role.tags = claim.clone();
            role.boundary = Some("arn:aws:iam::aws:policy/PowerUserAccess".into());
        }),
        role("our own role, held", false, &|role| {
            role.tags = claim.clone();
            role.tags.extend(tag("port-aws-operator/hold", "yes"));
        }),
    ]
}

/// A role of the name, as wide as can be.
fn foreign(wanted: &Wanted) -> ObservedRole {
    ObservedRole {
        name: wanted.role_name.clone(),
        path: "/".into(),
        role_id: "AROAEXAMPLE".into(),
        created: Timestamp::UNIX_EPOCH,
        description: Some("somebody's".into()),
        max_session_duration: 43199,
        boundary: None,
        trust: PolicyDocument::parse(OPEN_TRUST),
        tags: [].into(),
        last_used: None,
        attached: BTreeSet::from([ADMIN.into()]),
        inline: BTreeSet::new(),
    }
}

/// A trust policy that is allowed to be taken over, for another organization.
fn trust_of_another(wanted: &Wanted) -> Value {
    let mut trust = wanted.trust();
    let equals = &mut trust["Statement"][0]["Condition"]["StringEquals"];
    equals[format!("{}:sub", wanted.issuer)] = json!("system:serviceaccount:org-org_Theirs-port-oidc-sa");
    trust
}
