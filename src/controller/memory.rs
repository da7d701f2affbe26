//! What this process remembers of resources. All of it can be lost: AWS's tags and the
//! resource's status bring it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::ResourceExt;

use super::{
    access_version::AccessVersion, account_memory::AccountMemory, discovery_memory::DiscoveryMemory, written::Written,
};
use crate::{
    api::{ABANDON, PortAwsAccessStatus, PortAwsIntegration, PortAwsIntegrationStatus, REQUESTED_AT},
    domain::AccountId,
    schedule::TokenBucket,
};

/// What this process has written of the status of an access object.
#[derive(Debug)]
pub(super) struct WrittenAccess {
    /// Paces the writes.
    pub(super) pace: TokenBucket,
    pub(super) status: Written<PortAwsAccessStatus>,
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
    /// The accounts that are no longer targets and may be cleared by now: nothing else is taken away from a
    /// resource that lives.
    pub(super) clearing: BTreeSet<AccountId>,
    /// The discovery, if the spec has one.
    pub(super) discovery: Option<DiscoveryMemory>,
    /// Name of the access object.
    pub(super) access_name: String,
    /// The access object that visits were last asked for with.
    pub(super) access_seen: Option<AccessVersion>,
    /// The word for removals that is used up.
    pub(super) removal_word: Option<String>,
    /// Accounts whose claim is in the stored status, with the finalizer on the object.
    pub(super) durable: BTreeSet<AccountId>,
    pub(super) written: Written<PortAwsIntegrationStatus>,
    /// The version of the object that the finalizer was last written to.
    pub(super) finalized: Option<String>,
    /// Whether the API server has taken the finalizer off. A watch that lags behind still shows it: nothing more is
    /// done for the object then, as it may be gone.
    pub(super) released: bool,
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
            clearing: BTreeSet::new(),
            discovery: None,
            access_name: String::new(),
            access_seen: None,
            removal_word: status.and_then(|status| status.last_handled_removal_word.clone()),
            durable: BTreeSet::new(),
            written: Written::default(),
            finalized: None,
            released: false,
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

    /// The status to compare with and build on.
    pub(super) fn former_status(&self, object: &PortAwsIntegration) -> PortAwsIntegrationStatus {
        self.written.former(&object.metadata, object.status.as_ref()).unwrap_or_default()
    }
}
