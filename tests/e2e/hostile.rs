//! Hostile integrations, drawn at random, against the schema and the limits: whatever a namespace
//! asks for, no plan goes beyond what the platform team allows.
//!
//! Each spec goes through the real API server, as a dry run, and what it accepts goes the controller's
//! way: the limits, then what is wanted in each account, then a plan for every state that the account
//! may be in. Nothing in [`invariants`] calls the code that it judges.
//!
//! `PROPTEST_RNG_SEED` and `PROPTEST_CASES` draw others, and more. A failure prints its seed and the
//! smallest spec.

mod invariants;
mod readings;
mod session;
mod specs;
mod tenants;
mod trust;
mod values;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use port_aws_operator::{
    api::{PortAwsAccessSpec, PortAwsIntegrationSpec},
    domain::{AccountId, Owner, Partition},
    plan::{Claim, Desired, Granted, plan},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner},
};
use serde_json::{Value, json};
use testkit::{
    Error, Result,
    fixture::{Scenario, access_resource, integration_resource},
};

use crate::OPERATOR;
use invariants::{Verdict, Wanted, broken};
use readings::readings;
use specs::Case;
use tenants::{ACCOUNTS, NAME_LABEL, Tenant, tenants};

/// How many integrations are drawn, and how many of them have to end in each way at least.
const CASES: u32 = 2000;
const FLOOR: u32 = CASES / 20;
/// The same for each rule of an access: breaking it alone has to be what an integration is refused for.
const RULE_FLOOR: u32 = CASES / 400;
const SEED: u64 = 1;

/// The rules of an access. The first is about which object it is, and the second about the accounts.
const RULES: [&str; 14] = [
    "accessRef",
    "accounts",
    "allowedNamespaces",
    "organizations",
    "limits.organizationIds",
    "limits.subjects",
    "limits.issuerUrls",
    "limits.clientIds",
    "limits.managedPolicyArns",
    "limits.roleNamePrefix",
    "limits.permissionsBoundaryArn",
    "limits.maxSessionDuration",
    "limits.tagKeys",
    "limits.adoption",
];

/// How the integrations have ended.
#[derive(Debug, Default)]
struct Tally {
    refused_by_schema: u32,
    refused_by_limits: u32,
    /// Those among them that break one rule and no other, by rule.
    by_one_rule: BTreeMap<&'static str, u32>,
    /// Accepted by the API server, and not readable: the controller says so and does nothing.
    unreadable: u32,
    planned: u32,
    /// Those among them with a hostile field that the limits have nothing against.
    planned_hostile: u32,
    /// The writes in all those plans.
    writes: usize,
    /// Refused by the schema, and planned if there were none.
    planned_without_schema: u32,
}

/// What comes of an integration that the API server has accepted.
enum Outcome {
    /// The rules of its access that it breaks.
    Refused(BTreeSet<&'static str>),
    /// The number of writes in all plans.
    Planned(usize),
}

/// What a case is judged against.
struct Court {
    namespace: String,
    integrations: Api<DynamicObject>,
    tenants: Vec<(Tenant, PortAwsAccessSpec)>,
    tally: RefCell<Tally>,
}

impl Court {
    async fn open(it: &Scenario) -> Result<Self> {
        let (accesses, namespace) = (it.accesses(), it.namespace().to_owned());
        let mut all = Vec::new();
        for tenant in tenants(&namespace) {
            let name = format!("{namespace}-{}", tenant.name);
            let made = ask(&accesses, &access_resource(), &name, &tenant.spec).await?;
            let spec = made.map_err(Error::Setup)?;
            let access = serde_json::from_value(spec.clone())?;
            all.push((Tenant { spec, ..tenant }, access));
        }
        Ok(Self { namespace, integrations: it.integrations().clone(), tenants: all, tally: RefCell::default() })
    }

    /// One integration, from the API server to the plans.
    async fn try_case(&self, case: &Case) -> Verdict {
        let asked = ask(&self.integrations, &integration_resource(), &case.name, &case.spec).await;
        let Ok(stored) = asked.map_err(|error| TestCaseError::fail(error.to_string()))? else {
            self.tally.borrow_mut().refused_by_schema += 1;
            // An older schema may have let it in; what is left to stop it are limits and types.
            if let Ok(spec) = serde_json::from_value::<PortAwsIntegrationSpec>(case.spec.clone())
                && let Outcome::Planned(1..) = self.judge(case, &spec, false)?
            {
                self.tally.borrow_mut().planned_without_schema += 1;
            }
            return Ok(());
        };
        let Ok(spec) = serde_json::from_value(stored) else {
            self.tally.borrow_mut().unreadable += 1;
            return Ok(());
        };
        let outcome = self.judge(case, &spec, true)?;
        let mut tally = self.tally.borrow_mut();
        match outcome {
            Outcome::Refused(rules) => {
                tally.refused_by_limits += 1;
                if let (1, Some(rule)) = (rules.len(), rules.first()) {
                    *tally.by_one_rule.entry(rule).or_default() += 1;
                }
            }
            Outcome::Planned(writes) => {
                tally.planned += 1;
                tally.planned_hostile += u32::from(!case.hostile.is_empty());
                tally.writes += writes;
            }
        }
        Ok(())
    }

    /// The limits, and what comes of a spec that keeps to them.
    fn judge(&self, case: &Case, spec: &PortAwsIntegrationSpec, accepted: bool) -> Result<Outcome, TestCaseError> {
        let name = &spec.access_ref.name;
        let Some((tenant, access)) = self.tenants.iter().find(|(tenant, _)| tenant.name == name) else {
            return Ok(Outcome::Refused(["accessRef"].into()));
        };
        let labels = BTreeMap::from([(NAME_LABEL.to_owned(), self.namespace.clone())]);
        let value = serde_json::to_value(spec).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let rules = broken(&value, tenant, &self.namespace);
        let granted = match Granted::check(spec, &self.namespace, Some(&labels), access) {
            Ok(granted) => granted,
            Err(violations) => {
                prop_assert_eq!(&rules, &violations.iter().map(|violation| violation.rule).collect());
                return Ok(Outcome::Refused(rules));
            }
        };
        prop_assert!(rules.is_empty(), "let in: {:?}", rules);
        // AWS Organizations may tell of any account.
        let discovered = ACCOUNTS.into_iter().chain(["999999999999"]).filter(|_| spec.discovery.is_some());
        let accounts = spec.accounts.iter().map(String::as_str).chain(discovered);
        let accounts: Result<Vec<AccountId>, _> = accounts.map(str::parse).collect();
        prop_assert!(accounts.is_ok() || !accepted, "{:?}", spec.accounts);
        let allowed =
            accounts.unwrap_or_default().into_iter().filter(|account| access.allows_account(account.as_str()));
        let (mut any, mut writes) = (false, 0);
        for account in allowed {
            let wanted = Wanted::new(&value, tenant, account.as_str(), (&self.namespace, &case.name), accepted);
            writes += self.plan_all(granted, access, &account, &wanted, accepted)?;
            any = true;
        }
        Ok(if any { Outcome::Planned(writes) } else { Outcome::Refused(["accounts"].into()) })
    }

    /// Every plan for one account, and how many writes are in them.
    fn plan_all(
        &self,
        granted: Granted<'_>,
        access: &PortAwsAccessSpec,
        account: &AccountId,
        wanted: &Wanted<'_>,
        accepted: bool,
    ) -> Result<usize, TestCaseError> {
        let former = access.take_over.iter().filter_map(|former| former.cluster_id.parse().ok()).collect();
        let cluster = self.namespace.parse().map_err(|_| TestCaseError::fail("no cluster id"))?;
        let owner = Owner { namespace: self.namespace.clone(), name: wanted.name.clone() };
        let claim = Claim { cluster, former, owner, predecessor: None };
        let desired = match Desired::build(granted, account, Partition::Aws, &claim) {
            Ok(desired) => desired,
            // The schema lets nothing through that the types refuse.
            Err(error) if accepted => return Err(TestCaseError::fail(error.to_string())),
            Err(_) => return Ok(0),
        };
        wanted.check_bounds()?;
        wanted.check_desired(&desired)?;
        let mut writes = 0;
        for reading in readings(wanted) {
            let plan = plan(&desired, &reading.observed, None);
            prop_assert!(reading.may_write || plan.steps.is_empty(), "{}: {:?}", reading.what, plan.steps);
            for step in &plan.steps {
                wanted.check_step(step)?;
            }
            writes += plan.steps.len();
        }
        Ok(writes)
    }
}

/// Asks the API server to create an object, without effect; the spec as it would be stored, or the
/// text of the refusal.
async fn ask(
    api: &Api<DynamicObject>,
    resource: &kube::core::ApiResource,
    name: &str,
    spec: &Value,
) -> Result<Result<Value, String>> {
    let (version, kind) = (&resource.api_version, &resource.kind);
    let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&params, &serde_json::from_value(object)?).await {
        Ok(made) => Ok(Ok(made.data["spec"].clone())),
        Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => Ok(Err(status.message)),
        Err(other) => Err(other.into()),
    }
}

/// It fails, as it has been seen to, when one of these is taken away: any check in `plan/limits.rs`,
/// the accounts and the namespaces of an access, the reserved tag keys in `plan/desired.rs`, the
/// condition on attaching in a session policy, and in the schema any pattern of a name, an ARN, an
/// account or a part of the trust, the least session, and the rule on tags.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hostile_integration_gets_more_than_its_access_allows() -> Result<()> {
    let it = Scenario::builder("hostile", OPERATOR).without_operator().start().await?;
    let court = Court::open(&it).await?;
    let mut config = Config { failure_persistence: None, max_shrink_iters: 1000, ..Config::default() };
    config.cases = config.cases.max(CASES);
    if matches!(config.rng_seed, RngSeed::Random) {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    let seed = config.rng_seed;
    let outcome = tokio::task::block_in_place(|| {
        let handle = tokio::runtime::Handle::current();
        let cases = specs::any_case(court.tenants.iter().map(|(tenant, _)| tenant));
        TestRunner::new(config).run(&cases, |case| handle.block_on(court.try_case(&case)))
    });
    match outcome {
        Err(TestError::Fail(reason, case)) => panic!("seed {seed}: {reason}\n{case:#?}"),
        Err(TestError::Abort(reason)) => panic!("seed {seed}: {reason}"),
        Ok(()) => {}
    }
    let tally = court.tally.take();
    tell(seed, &tally);
    for count in [tally.refused_by_schema, tally.refused_by_limits, tally.planned, tally.planned_hostile] {
        assert!(count >= FLOOR, "{tally:?}");
    }
    for rule in RULES {
        assert!(tally.by_one_rule.get(rule) >= Some(&RULE_FLOOR), "{rule}: {tally:?}");
    }
    it.finish().await
}

#[allow(clippy::print_stderr)]
fn tell(seed: RngSeed, tally: &Tally) {
    eprintln!("seed {seed}: {tally:?}");
}
