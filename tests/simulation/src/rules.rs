//! The rules that hold at every moment, whatever goes wrong, and what is noted to judge by them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    aws::{Account, Role, trust_policy},
    cluster::{INTEGRATIONS, Key},
    contention::{self, Contention},
    world::{Params, State},
};

/// The installation, in tags.
pub const CLUSTER: &str = "simulation";
/// A role that is nobody's business here.
pub const FOREIGN_ROLE: &str = "PortIntegrationRole-foreign";
pub const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const CLUSTER_TAG: &str = "port-aws-operator/cluster";
const OWNER_TAG: &str = "port-aws-operator/owner";
const ORIGIN_TAG: &str = "port-aws-operator/origin";
const ISSUER: &str = "https://oidc.eks.eu-west-1.amazonaws.com/id/56E5F51C07138118A9183ECEAA68FAF4";
const CLIENT: &str = "sts.amazonaws.com";
/// How old a spec may be that the operator still acts by: a watch may be interrupted, and it does not see it.
const SLACK: Duration = Duration::from_mins(5);

/// What is noted.
#[derive(Debug, Default)]
pub struct Record {
    /// Every request, in order.
    pub log: Vec<String>,
    /// The rules that were broken.
    pub broken: Vec<String>,
    counts: BTreeMap<String, u64>,
    /// Calls to AWS and writes to the cluster in each hour.
    hours: BTreeMap<u64, u64>,
    /// Who holds the Lease; nobody before it exists, and after it was released.
    holder: Option<String>,
    pub contention: Contention,
    /// The IDs of the roles that the operator made.
    made: BTreeSet<String>,
    /// Since when the access object allows all, or not all. The latest last.
    allowed: Vec<(Duration, bool)>,
    /// The versions of each integration, with the time from which it was current. None means that there is none.
    versions: BTreeMap<String, Vec<(Duration, Option<Value>)>>,
}

impl Record {
    pub fn count(&mut self, now: Duration, service: &str, action: &str) {
        *self.counts.entry(format!("{service} {action}")).or_default() += 1;
        *self.hours.entry(now.as_secs() / 3600).or_default() += 1;
    }

    /// How many calls to AWS and writes to the cluster there were in the hour that had the most.
    pub fn busiest_hour(&self) -> u64 {
        self.hours.values().copied().max().unwrap_or_default()
    }

    /// How many calls there were with such names, which are of the service and of the action.
    pub fn counted(&self, are: impl Fn(&str) -> bool) -> u64 {
        self.counts.iter().filter(|(name, _)| are(name)).map(|(_, count)| count).sum()
    }

    /// The versions of each integration, with the time from which it was current. None means that there is none.
    pub fn versions(&self) -> &BTreeMap<String, Vec<(Duration, Option<Value>)>> {
        &self.versions
    }

    fn breaks(&mut self, now: Duration, text: &str) {
        self.broken.push(format!("{:>10} {text}", now.as_millis()));
    }
}

/// A write to IAM.
pub struct Write<'a> {
    pub instance: &'a str,
    pub started: Duration,
    pub account: &'a str,
    pub params: &'a Params,
}

/// What a version of an integration asks for.
pub struct Wanted<'a>(pub &'a Value);

impl Wanted<'_> {
    pub fn role_name(&self) -> String {
        if let Some(name) = self.0["spec"]["role"]["name"].as_str() {
            return name.to_owned();
        }
        let identifier = self.0["spec"]["integrationIdentifier"].as_str().unwrap_or_default();
        format!("PortIntegrationRole-{identifier}")
    }

    pub fn trust(&self, account: &str) -> Value {
        let organization = self.0["spec"]["organizationId"].as_str().unwrap_or_default();
        trust_policy(account, ISSUER, CLIENT, &format!("system:serviceaccount:org-{organization}-port-oidc-sa"))
    }

    pub fn policies(&self) -> BTreeSet<String> {
        let listed = self.0["spec"]["role"]["managedPolicyArns"].as_array();
        let listed: BTreeSet<String> =
            listed.into_iter().flatten().filter_map(|arn| arn.as_str().map(str::to_owned)).collect();
        if listed.is_empty() { BTreeSet::from([READ_ONLY.to_owned()]) } else { listed }
    }

    pub fn is_leaving(&self) -> bool {
        !self.0["metadata"]["deletionTimestamp"].is_null()
    }

    /// Whether it is to have its role in an account. One that discovers its accounts is not asked.
    fn wants(&self, account: &str) -> bool {
        let spec = &self.0["spec"];
        let listed = spec["accounts"].as_array().is_some_and(|all| all.contains(&json!(account)));
        listed && !self.is_leaving() && spec["mode"] != "Observe" && spec["suspend"] != true
    }

    /// Whether its role in an account may be taken away.
    fn gives_up(&self, account: &str) -> bool {
        let spec = &self.0["spec"];
        if self.is_leaving() {
            let listed = spec["accounts"].as_array().is_none_or(|all| all.contains(&json!(account)));
            let had_left = !listed && spec["accountRemovalPolicy"] != "Delete";
            return spec["deletionPolicy"] != "Retain" && spec["mode"] != "Observe" && !had_left;
        }
        spec["accountRemovalPolicy"] == "Delete" && !self.wants(account)
    }

    fn adopts(&self) -> bool {
        self.0["spec"]["role"]["adoption"] == "Adopt"
    }

    fn claims(&self, account: &str) -> bool {
        let finalizers = self.0["metadata"]["finalizers"].as_array();
        let held = finalizers.is_some_and(|all| all.contains(&json!("integrations.port.io/cleanup")));
        let entries = self.0["status"]["accounts"].as_array();
        held && entries.into_iter().flatten().any(|entry| entry["id"] == account && entry["claimed"] == true)
    }
}

fn owner(key: &Key) -> String {
    format!("{}.{}", key.1, key.2)
}

/// Notes the present version of an integration.
pub fn note_version(state: &mut State, key: &Key, now: Duration) {
    let object = state.cluster.get(key).cloned();
    state.record.versions.entry(owner(key)).or_default().push((now, object));
}

/// The versions of each integration whose role has a name, as far as the operator may still act by them.
fn versions<'a>(record: &'a Record, role: &str, since: Duration) -> Vec<Vec<Option<&'a Value>>> {
    let named = |object: &Value| Wanted(object).role_name() == role;
    let all = record.versions.values();
    let those = all.filter(|versions| versions.iter().filter_map(|(_, object)| object.as_ref()).any(named));
    let recent = |versions: &'a Vec<(Duration, Option<Value>)>| {
        let each = versions.iter().enumerate().filter(|(index, _)| {
            let replaced = versions.get(index + 1).map(|(at, _)| *at);
            replaced.is_none_or(|at| at + SLACK >= since)
        });
        each.map(|(_, (_, object))| object.as_ref()).collect()
    };
    those.map(recent).collect()
}

/// Notes whether the access object allows all from now on.
pub fn note_allowed(state: &mut State, now: Duration, all: bool) {
    state.record.allowed.push((now, all));
}

/// Whether the access object has allowed all for as long as the operator may not have seen otherwise.
fn allows_all(record: &Record, since: Duration) -> bool {
    let replaced = record.allowed.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
    record.allowed.iter().zip(replaced).all(|((_, all), at)| *all || at.is_some_and(|at| at + SLACK < since))
}

/// Whether a role may be taken away: somebody has given it up, and nobody else wants it, and may have it, all
/// the time.
fn may_go(record: &Record, versions: &[Vec<Option<&Value>>], account: &str, since: Duration) -> bool {
    let gives_up = |version: Option<&Value>| version.is_none_or(|object| Wanted(object).gives_up(account));
    let wants = |version: Option<&Value>| version.is_some_and(|object| Wanted(object).wants(account));
    let wanted = allows_all(record, since) && versions.iter().any(|all| all.iter().copied().all(wants));
    !wanted && versions.iter().any(|all| all.iter().copied().any(gives_up))
}

/// A write to IAM begins: only who holds the Lease may begin one.
pub fn at_start(state: &mut State, instance: &str, now: Duration, action: &str) {
    if state.record.holder.as_deref() != Some(instance) {
        let holder = state.record.holder.clone();
        state.record.breaks(now, &format!("lease: {instance} begins {action} while {holder:?} holds it"));
    }
}

/// A write to IAM has taken effect.
pub fn at_effect(state: &mut State, write: &Write<'_>, before: &Account, now: Duration) {
    let after = state.aws.account(write.account);
    let action = write.params.get("Action").cloned().unwrap_or_default();
    let mut broken = Vec::new();
    let where_ = format!("{action} by {} in {}", write.instance, write.account);
    if before.roles.get(FOREIGN_ROLE) != after.roles.get(FOREIGN_ROLE) {
        broken.push(format!("foreign: {where_} changes {FOREIGN_ROLE}"));
    }
    if state.record.holder.as_deref() != Some(write.instance) {
        broken.push(format!("lease: {where_} takes effect while {:?} holds it", state.record.holder));
    }
    for (name, role) in &before.roles {
        let versions = versions(&state.record, name, write.started);
        let adopted = || versions.iter().flatten().flatten().any(|object| Wanted(object).adopts());
        let made = state.record.made.contains(&role.id);
        match after.roles.get(name) {
            None if !made => broken.push(format!("missing: {where_} takes {name} away, which was there before")),
            Some(now) if now != role && !made && !adopted() => {
                broken.push(format!("foreign: {where_} changes {name}, which was there before"));
            }
            None if !may_go(&state.record, &versions, write.account, write.started) => {
                broken.push(format!("missing: {where_} takes {name} away"));
            }
            Some(now) if now != role => broken.extend(widened(Some(role), now, &versions, write.account, &where_)),
            _ => {}
        }
    }
    for (name, role) in after.roles.iter().filter(|(name, _)| !before.roles.contains_key(*name)) {
        let versions = versions(&state.record, name, write.started);
        broken.extend(widened(None, role, &versions, write.account, &where_));
        let tag = |key: &str| role.tags.get(key).map(String::as_str);
        if tag(CLUSTER_TAG) != Some(CLUSTER) || tag(OWNER_TAG).is_none() || tag(ORIGIN_TAG) != Some("Created") {
            broken.push(format!("write-ahead: {where_} makes {name} without our tags"));
        }
    }
    for arn in before.providers.keys().filter(|arn| !after.providers.contains_key(*arn)) {
        let in_use = |(name, role): (&String, &Role)| {
            let versions = versions(&state.record, name, write.started);
            let wants = |version: Option<&Value>| version.is_some_and(|object| Wanted(object).wants(write.account));
            allows_all(&state.record, write.started)
                && role.trust.to_string().contains(arn.as_str())
                && versions.iter().any(|all| all.iter().copied().all(wants))
        };
        if after.roles.iter().any(in_use) {
            broken.push(format!("missing: {where_} takes {arn} away, which a role trusts"));
        }
    }
    if before != &after && !is_claimed(state, write) {
        broken.push(format!("write-ahead: {where_}, and nothing in the cluster says so"));
    }
    for (name, role) in after.roles.iter().filter(|(name, role)| before.roles.get(*name) != Some(*role)) {
        let change = (before.roles.get(name), role);
        broken.extend(contention::role_written(&mut state.record, write.instance, write.account, name, change, now));
    }
    let made = after.roles.iter().filter(|(name, _)| !before.roles.contains_key(*name));
    state.record.made.extend(made.map(|(_, role)| role.id.clone()));
    for text in &broken {
        state.record.breaks(now, text);
    }
}

/// In what a role has more than before and than is wanted.
fn widened(
    before: Option<&Role>,
    after: &Role,
    versions: &[Vec<Option<&Value>>],
    account: &str,
    what: &str,
) -> Vec<String> {
    let mut broken = Vec::new();
    let wanted = || versions.iter().flatten().flatten().map(|object| Wanted(object));
    let same = before.is_some_and(|before| before.trust == after.trust);
    if !same && !wanted().any(|wanted| wanted.trust(account) == after.trust) {
        broken.push(format!("trust: {what} makes it {}", after.trust));
    }
    for arn in &after.attached {
        let had = before.is_some_and(|before| before.attached.contains(arn));
        if !had && !wanted().any(|wanted| wanted.policies().contains(arn)) {
            broken.push(format!("policy: {what} attaches {arn}"));
        }
    }
    broken
}

/// Whether the cluster says that something may be in the account.
fn is_claimed(state: &State, write: &Write<'_>) -> bool {
    let named = |object: &Value| match write.params.get("RoleName") {
        Some(name) => name == FOREIGN_ROLE || Wanted(object).role_name() == *name,
        None => true,
    };
    let mut objects = state.cluster.list(INTEGRATIONS).map(|(_, object)| object);
    objects.any(|object| named(object) && Wanted(object).claims(write.account))
}

/// The Lease was written.
pub fn lease_written(state: &mut State, lease: &Value, _now: Duration) {
    state.record.holder = lease["spec"]["holderIdentity"].as_str().map(str::to_owned);
}

/// A status was written, which was so long under way.
pub fn status_written(state: &mut State, before: &Value, after: &Value, took: Duration) {
    let mut broken = testkit::kstatus::check(after);
    broken.extend(testkit::kstatus::check_late_transition(before, after, testkit::kstatus::USUAL + took));
    state.record.broken.extend(broken.into_iter().map(|text| format!("status: {text}: {}", after["status"])));
}

/// The operator asks the API server for what its roles do not allow.
pub fn not_allowed(state: &mut State, now: Duration, verb: &str, resource: &str) {
    state.record.breaks(now, &format!("rights: {verb} {resource} is not allowed"));
}

/// An integration is gone: nothing of it may be left.
pub fn object_gone(state: &mut State, object: &Value, now: Duration) {
    let (namespace, name) = (object["metadata"]["namespace"].as_str(), object["metadata"]["name"].as_str());
    let key = (INTEGRATIONS, namespace.unwrap_or_default().to_owned(), name.unwrap_or_default().to_owned());
    note_version(state, &key, now);
    for id in state.aws.ids() {
        let account = state.aws.account(&id);
        let left = account.roles.iter().filter(|(_, role)| {
            let tag = |key: &str| role.tags.get(key).map(String::as_str);
            tag("port-aws-operator/cluster") == Some(CLUSTER) && tag("port-aws-operator/owner") == Some(&owner(&key))
        });
        let left: Vec<&String> = left.map(|(name, _)| name).collect();
        if !left.is_empty() {
            state.record.breaks(now, &format!("left behind: {} is gone, and {left:?} in {id} is not", owner(&key)));
        }
    }
}

/// Whether all that is not ready waits for somebody: a role has the name that is not ours, or another
/// resource's, or all accounts were moved away from where they are looked for.
fn says_what_blocks(state: &State, key: &Key, wanted: &Wanted<'_>, status: &Value) -> bool {
    let conditions = status["conditions"].as_array();
    let says = |kind: &str, field: &str, value: &str| {
        conditions.into_iter().flatten().any(|it| it["type"] == kind && it[field] == value)
    };
    if says("Ready", "reason", "NothingDiscovered") {
        let mut units = wanted.0["spec"]["discovery"]["organizationalUnitIds"].as_array().into_iter().flatten();
        return units.all(|unit| state.aws.organization.accounts.values().all(|(in_unit, _)| unit != in_unit));
    }
    let stalled = says("Stalled", "status", "True");
    let left = |entry: &&Value| entry["state"] != "Ready" && entry["state"] != "Removed";
    let mut entries = status["accounts"].as_array().into_iter().flatten().filter(left).peekable();
    let taken = |entry: &Value| {
        let account = state.aws.account(entry["id"].as_str().unwrap_or_default());
        let Some(role) = account.roles.get(&wanted.role_name()) else { return false };
        match role.tags.get(OWNER_TAG) {
            None => entry["reason"] == "RoleNameTaken" || entry["reason"] == "RoleTooBroad",
            Some(other) => entry["reason"] == "OwnedByOther" && *other != owner(key),
        }
    };
    stalled && entries.peek().is_some() && entries.all(taken)
}

/// What is not yet as it has to be once nothing disturbs any more.
pub fn unsettled(state: &State) -> Vec<String> {
    let mut open = Vec::new();
    for (key, object) in state.cluster.list(INTEGRATIONS) {
        let wanted = Wanted(object);
        let status = &object["status"];
        let ready = status["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == "Ready");
        let ready = ready.cloned().unwrap_or_default();
        let name = owner(key);
        if object["spec"]["suspend"] == true {
            if ready["reason"] != "Suspended" && ready["reason"] != "DeletionBlocked" {
                open.push(format!("{name} is suspended, and says {ready}"));
            }
            continue;
        }
        if wanted.is_leaving() {
            open.push(format!("{name} is to be deleted, and says {ready}"));
            continue;
        }
        if status["observedGeneration"] != object["metadata"]["generation"] {
            open.push(format!("{name} was not looked at"));
            continue;
        }
        if object["spec"]["mode"] == "Observe" {
            continue;
        }
        if ready["status"] != "True" && !says_what_blocks(state, key, &wanted, status) {
            open.push(format!("{name} says {ready}"));
        }
        let entries = status["accounts"].as_array().into_iter().flatten().filter(|entry| entry["state"] == "Ready");
        for id in entries.filter_map(|entry| entry["id"].as_str()) {
            let account = state.aws.account(id);
            let right = account
                .roles
                .get(&wanted.role_name())
                .is_some_and(|role| role.trust == wanted.trust(id) && role.attached == wanted.policies());
            let has_provider = account.providers.values().any(|provider| provider.clients.contains(CLIENT));
            if !right || !has_provider {
                open.push(format!("{name} says that {id} is ready, and it is not"));
            }
        }
    }
    open
}
