//! Deciding about one account: what is wanted, computed from a spec, and the plan for what was read.

// Specs and names that are known to be valid.
#![allow(clippy::expect_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
};

use criterion::{Criterion, criterion_group, criterion_main};
use port_aws_operator::{
    api::{PortAwsAccessSpec, PortAwsIntegrationSpec},
    domain::{AccountId, Owner, Partition},
    plan::{Claim, Desired, Granted, Observed, ObservedProvider, ObservedRole, plan},
    policy::PolicyDocument,
};
use serde_json::json;

const ROLE_ID: &str = "AROAEXAMPLE";

struct Wanted {
    spec: PortAwsIntegrationSpec,
    access: PortAwsAccessSpec,
    account: AccountId,
    claim: Claim,
}

fn wanted() -> Wanted {
    let spec = json!({"organizationId": "org_1", "integrationIdentifier": "aws-prod", "accounts": ["111122223333"]});
    let access = json!({"allowedNamespaces": {}, "accounts": ["*"], "limits": {"organizationIds": ["org_1"]}});
    Wanted {
        spec: serde_json::from_value(spec).expect("a spec"),
        access: serde_json::from_value(access).expect("a spec of an access object"),
        account: "111122223333".parse().expect("an account ID"),
        claim: Claim {
            cluster: "here".parse().expect("a cluster ID"),
            former: BTreeSet::new(),
            owner: Owner { namespace: "ns".to_owned(), name: "name".to_owned() },
            predecessor: None,
        },
    }
}

fn desired(of: &Wanted) -> Desired {
    let granted = Granted::check(&of.spec, "ns", Some(&BTreeMap::new()), &of.access).expect("it is allowed");
    Desired::build(granted, &of.account, Partition::Aws, &of.claim).expect("what is wanted")
}

/// An account in which everything is as wanted.
fn settled(desired: &Desired) -> Observed {
    let role = &desired.role;
    Observed {
        provider: Some(ObservedProvider {
            client_ids: BTreeSet::from([desired.provider.client_id.clone()]),
            tags: desired.provider.tags.clone(),
        }),
        role: Some(ObservedRole {
            name: role.name.as_str().to_owned(),
            path: "/".to_owned(),
            role_id: ROLE_ID.to_owned(),
            created: k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            description: Some(role.description.clone()),
            max_session_duration: role.max_session_duration,
            boundary: None,
            trust: PolicyDocument::parse(&role.trust.to_json()),
            tags: role.tags.clone(),
            last_used: None,
            attached: role.policies.iter().map(|arn| arn.as_str().to_owned()).collect(),
            inline: BTreeSet::new(),
        }),
    }
}

fn plans(criterion: &mut Criterion) {
    let wanted = wanted();
    let desired_now = desired(&wanted);
    let settled = settled(&desired_now);
    assert_eq!(plan(&desired_now, &settled, Some(ROLE_ID)).steps, Vec::new(), "everything is as wanted");
    let mut drifted = settled.clone();
    if let Some(role) = &mut drifted.role {
        role.attached.insert("arn:aws:iam::aws:policy/AdministratorAccess".to_owned());
        role.trust = PolicyDocument::parse(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#,
        );
    }
    assert_eq!(plan(&desired_now, &drifted, Some(ROLE_ID)).steps.len(), 2);

    criterion.bench_function("what is wanted in an account", |bencher| bencher.iter(|| black_box(desired(&wanted))));
    for (name, observed) in [("nothing", Observed::default()), ("all as wanted", settled), ("an attack", drifted)] {
        criterion.bench_function(&format!("plan: {name}"), |bencher| {
            bencher.iter(|| black_box(plan(&desired_now, black_box(&observed), Some(ROLE_ID))));
        });
    }
}

criterion_group!(benches, plans);
criterion_main!(benches);
