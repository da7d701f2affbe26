//! What this process remembers of resources and accounts. All of it can be lost: AWS's tags and the
//! resource's status bring it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::ResourceExt;

use super::discovery::DiscoveryMemory;
use crate::{
    api::{
        ABANDON, AccountState, AccountStatus, PortAwsIntegration, PortAwsIntegrationStatus, REQUESTED_AT, Reason, Use,
    },
    domain::AccountId,
    plan::Settling,
    schedule::{Disposition, TokenBucket},
};

/// How a part (provider or role) of an account is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// Not visited yet.
    #[default]
    Unknown,
    /// As wanted.
    Good,
    /// Not as wanted.
    Bad(Reason, String),
}

/// One account of one resource.
// Each flag stands for itself: no two of them make up one state.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub(super) struct AccountMemory {
    pub(super) state: AccountState,
    pub(super) reason: Reason,
    pub(super) message: Option<String>,
    /// Something of ours may be in the account. Written to status before the first write to AWS.
    pub(super) claimed: bool,
    /// IAM's ID of the role that we made.
    pub(super) role_id: Option<String>,
    pub(super) used: Option<Use>,
    pub(super) provider: Part,
    pub(super) role: Part,
    /// The generation of spec that the account was last brought to.
    pub(super) generation: Option<i64>,
    /// The value of `requestedAt` that was last answered.
    pub(super) answered: Option<String>,
    /// Whether this process has visited it.
    pub(super) visited: bool,
    pub(super) failures: u32,
    pub(super) failing: Option<Disposition>,
    /// The wait that was chosen after the last visit.
    pub(super) delay: Duration,
    pub(super) settling: Settling,
    /// Since when IAM says that a role exists which it does not show.
    pub(super) hidden_since: Option<Duration>,
    /// Observe: what Enforce would change.
    pub(super) pending: Vec<String>,
    /// Deletion: nothing of ours is left, or it was abandoned.
    pub(super) gone: bool,
    /// Discovery found it, and it is not visited: it does not count.
    pub(super) skipped: bool,
    /// Whether the last visit did not get into the account.
    pub(super) unreached: bool,
}

impl AccountMemory {
    pub(super) fn new() -> Self {
        Self {
            state: AccountState::Pending,
            reason: Reason::Pending,
            message: None,
            claimed: false,
            role_id: None,
            used: None,
            provider: Part::Unknown,
            role: Part::Unknown,
            generation: None,
            answered: None,
            visited: false,
            failures: 0,
            failing: None,
            delay: Duration::ZERO,
            settling: Settling::default(),
            hidden_since: None,
            pending: Vec::new(),
            gone: false,
            skipped: false,
            unreached: false,
        }
    }

    /// What a former process wrote down. Its reason stays text, so only Ready is believed.
    fn from_status(entry: &AccountStatus, status: &PortAwsIntegrationStatus) -> Self {
        let mut memory = Self::new();
        memory.claimed = entry.claimed;
        memory.role_id.clone_from(&entry.role_id);
        memory.used = entry.used;
        if entry.state == AccountState::Ready {
            (memory.state, memory.reason) = (AccountState::Ready, Reason::Ready);
            (memory.provider, memory.role) = (Part::Good, Part::Good);
            memory.generation = status.observed_generation;
            memory.answered.clone_from(&status.last_handled_reconcile_at);
            memory.message.clone_from(&entry.message);
            if entry.message.is_some() {
                // A note on a role that is ready; the next visit finds it again.
                memory.reason = Reason::ForeignInlinePolicy;
            }
        } else if entry.state == AccountState::Removed {
            (memory.state, memory.reason) = (AccountState::Removed, Reason::NoLongerTarget);
        } else if entry.state == AccountState::AccountSuspended {
            (memory.state, memory.reason) = (AccountState::AccountSuspended, Reason::AccountSuspended);
            memory.message.clone_from(&entry.message);
        }
        memory
    }

    /// Forgets all but what may be in AWS: the account is a target anew.
    pub(super) fn begin_anew(&mut self) {
        let (claimed, role_id) = (self.claimed, self.role_id.take());
        *self = Self { claimed, role_id, ..Self::new() };
    }

    /// It is not visited, and why is known without a visit. One that discovery found does not count.
    pub(super) fn leave_alone(&mut self, state: AccountState, message: String, discovered: bool, asked: &Asked) {
        let reason = if state == AccountState::NotAllowed { Reason::NotAllowed } else { Reason::AccountSuspended };
        (self.state, self.reason, self.message) = (state, reason, Some(message));
        self.failing = Some(Disposition::Waiting);
        self.delay = Duration::MAX;
        self.visited = true;
        self.skipped = discovered;
        self.answered.clone_from(&asked.requested_at);
    }

    /// Forgets the failures: what is wanted, or who may do it, has changed.
    pub(super) fn start_afresh(&mut self) {
        self.failures = 0;
        self.hidden_since = None;
        self.settling.clear();
    }
}

/// A status that this process has written.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) status: PortAwsIntegrationStatus,
    pub(super) resource_version: String,
}

/// One resource.
#[derive(Debug)]
pub(super) struct ResourceMemory {
    pub(super) uid: String,
    /// When this process first saw it.
    pub(super) since: Duration,
    pub(super) accounts: BTreeMap<AccountId, AccountMemory>,
    /// The target accounts, those included that are left out.
    pub(super) targets: BTreeSet<AccountId>,
    /// The discovery, if the spec has one.
    pub(super) discovery: Option<DiscoveryMemory>,
    /// Name of the access object.
    pub(super) access_name: String,
    /// UID and generation of the access object that visits were last asked for with.
    pub(super) access_seen: Option<(String, i64)>,
    /// Accounts whose claim is in the stored status, with the finalizer on the object.
    pub(super) durable: BTreeSet<AccountId>,
    pub(super) published: Option<Published>,
    /// The version of the object that the finalizer was last written to.
    pub(super) finalized: Option<String>,
    /// What visits were last asked for.
    pub(super) asked: Option<Asked>,
    /// Since when the access object is missing.
    pub(super) access_missing_since: Option<Duration>,
    /// Paces the writes of status.
    pub(super) pace: TokenBucket,
    /// When status was last written.
    pub(super) written_at: Option<Duration>,
    /// The error of an object that cannot be read, once it was told.
    pub(super) told_invalid: Option<String>,
}

/// What visits were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) generation: i64,
    pub(super) requested_at: Option<String>,
    pub(super) abandon: bool,
}

impl Asked {
    /// What an object asks for.
    pub(super) fn of(object: &PortAwsIntegration) -> Self {
        let annotation = |key: &str| object.annotations().get(key).cloned();
        Self {
            generation: object.metadata.generation.unwrap_or_default(),
            requested_at: annotation(REQUESTED_AT),
            abandon: annotation(ABANDON).is_some_and(|value| value == "true"),
        }
    }
}

/// Writes of status: some at once, then one in two seconds.
const STATUS_BURST: u32 = 6;
const STATUS_PER_SECOND: f64 = 0.5;
/// A status of this many bytes is written more rarely.
const LARGE_STATUS: usize = 100 * 1024;
const LARGE_STATUS_GAP: Duration = Duration::from_secs(15);
/// Claims of many accounts are gathered for this long, so that one write stores those of many passes.
const CLAIMS_GAP: Duration = Duration::from_millis(250);
const CLAIMS_GAP_OF_MANY: Duration = Duration::from_secs(1);
const FEW_ACCOUNTS: usize = 10;
const MANY_ACCOUNTS: usize = 200;

impl ResourceMemory {
    pub(super) fn new(uid: &str, status: Option<&PortAwsIntegrationStatus>, now: Duration) -> Self {
        let mut accounts = BTreeMap::new();
        for entry in status.iter().flat_map(|status| &status.accounts) {
            if let (Ok(id), Some(status)) = (entry.id.parse::<AccountId>(), status) {
                accounts.insert(id, AccountMemory::from_status(entry, status));
            }
        }
        Self {
            uid: uid.to_owned(),
            since: now,
            accounts,
            targets: BTreeSet::new(),
            discovery: None,
            access_name: String::new(),
            access_seen: None,
            durable: BTreeSet::new(),
            published: None,
            finalized: None,
            asked: None,
            access_missing_since: None,
            pace: TokenBucket::new(STATUS_BURST, STATUS_PER_SECOND),
            written_at: None,
            told_invalid: None,
        }
    }

    /// Whether discovery found that an account is not ACTIVE.
    pub(super) fn is_left_out(&self, account: &AccountId) -> bool {
        self.discovery.as_ref().is_some_and(|discovery| discovery.members.left_out().contains_key(account))
    }

    /// How long a status has to wait before it is written: passes wait for one that stores claims.
    pub(super) fn status_wait(
        &self,
        status: &PortAwsIntegrationStatus,
        stores_claims: bool,
        now: Duration,
    ) -> Duration {
        let gap = |gap: Duration| self.written_at.map_or(Duration::ZERO, |at| (at + gap).saturating_sub(now));
        let few = status.accounts.len() <= FEW_ACCOUNTS;
        match (stores_claims, few) {
            (true, true) => Duration::ZERO,
            (true, false) if status.accounts.len() <= MANY_ACCOUNTS => gap(CLAIMS_GAP),
            (true, false) => gap(CLAIMS_GAP_OF_MANY),
            (false, true) => self.pace.wait(now),
            (false, false) => {
                let large = serde_json::to_vec(status).is_ok_and(|text| text.len() > LARGE_STATUS);
                if large { gap(LARGE_STATUS_GAP) } else { self.pace.wait(now) }
            }
        }
    }

    /// The status to compare with and build on: the one in the object, unless the object is older
    /// than our own last write.
    pub(super) fn former_status(&self, object: &PortAwsIntegration) -> PortAwsIntegrationStatus {
        match &self.published {
            Some(published) if self.is_ahead_of(object) => published.status.clone(),
            _ => object.status.clone().unwrap_or_default(),
        }
    }

    /// Whether the object is older than our own last write of status.
    pub(super) fn is_ahead_of(&self, object: &PortAwsIntegration) -> bool {
        let version = object.metadata.resource_version.as_deref();
        self.published.as_ref().is_some_and(|published| is_older(version, &published.resource_version))
    }
}

/// Whether a version of an object was stored before another. Kubernetes documents resource versions
/// of one object as comparable decimals; text that is none is taken for new.
fn is_older(version: Option<&str>, than: &str) -> bool {
    let parse = |text: &str| text.parse::<u128>().ok();
    match (version.and_then(parse), parse(than)) {
        (Some(version), Some(than)) => version < than,
        _ => false,
    }
}
