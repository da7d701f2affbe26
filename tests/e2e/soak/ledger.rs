//! Follows every call to AWS: counts faults, and judges writes.

mod entity;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use testkit::{Result, aws::Call, fixture::Scenario};

use crate::iam::ISSUER;
use entity::Entity;

const PERIOD: Duration = Duration::from_millis(500);
/// What is wrong is not shown more often.
const SHOWN: usize = 5;

pub struct Ledger<'a> {
    it: &'a Scenario,
    wanted: usize,
    closed: Cell<bool>,
    book: RefCell<Book>,
}

#[derive(Default)]
struct Book {
    /// All calls up to this one are judged.
    judged: u64,
    /// The roles of the integrations, each with its account.
    roles: BTreeSet<(String, String)>,
    faults: BTreeMap<String, usize>,
    /// Those of calls that are not judged yet.
    pending: usize,
    calls: usize,
    writes: usize,
    entities: BTreeMap<(String, String), Entity>,
    wrong: Vec<String>,
}

impl<'a> Ledger<'a> {
    /// Begins with the calls from now on. `roles` are all that the operator may ever write to.
    pub async fn open(it: &'a Scenario, roles: impl Iterator<Item = (String, String)>, wanted: usize) -> Result<Self> {
        let book = Book { judged: it.seq().await?, roles: roles.collect(), ..Book::default() };
        Ok(Self { it, wanted, closed: Cell::new(false), book: RefCell::new(book) })
    }

    /// One of the API server.
    pub fn add(&self, kind: &str) {
        *self.book.borrow_mut().faults.entry(kind.to_owned()).or_default() += 1;
    }

    pub fn faults(&self) -> usize {
        let book = self.book.borrow();
        book.faults.values().sum::<usize>() + book.pending
    }

    pub fn is_enough(&self) -> bool {
        self.faults() >= self.wanted
    }

    pub fn wanted(&self) -> usize {
        self.wanted
    }

    pub fn percent(&self) -> usize {
        (self.faults() * 100 / self.wanted.max(1)).min(100)
    }

    /// Says that nothing more is done.
    pub fn close(&self) {
        self.closed.set(true);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Judges what comes, until all is judged that came before the end.
    pub async fn follow(&self) -> Result<()> {
        loop {
            let last = self.closed.get().then_some(self.it.seq().await?);
            let since = self.book.borrow().judged;
            let calls = self.it.world().backend().all_calls(since).await?;
            self.book.borrow_mut().take(&calls);
            if last.is_some_and(|last| self.book.borrow().judged >= last) {
                return Ok(());
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    pub fn summary(&self) -> String {
        let book = self.book.borrow();
        let mut text = format!("{} calls, {} writes;", book.calls, book.writes);
        for (kind, count) in &book.faults {
            // Writing to a String does not fail.
            let _ = write!(text, " {kind} {count}");
        }
        text
    }

    /// No write was foreign, and none was made twice.
    pub fn check(&self) {
        let book = self.book.borrow();
        let shown = &book.wrong[..book.wrong.len().min(SHOWN)];
        assert!(shown.is_empty(), "{} writes are wrong: {shown:#?}", book.wrong.len());
    }
}

impl Book {
    /// In the order in which they came, up to the first that is still under way.
    fn take(&mut self, calls: &[Call]) {
        let ended = calls.iter().take_while(|call| call.end_time.is_some()).count();
        for call in &calls[..ended] {
            self.judged = call.seq;
            self.judge(call);
        }
        self.pending = calls[ended..].iter().filter(|call| call.is_by_operator() && call.fault.is_some()).count();
    }

    fn judge(&mut self, call: &Call) {
        if call.is_by_operator() {
            self.calls += 1;
            if let Some(fault) = &call.fault {
                *self.faults.entry(fault.kind.clone()).or_default() += 1;
            }
            if call.is_write() {
                self.writes += 1;
                if !self.is_ours(call) {
                    self.wrong.push(format!("foreign: {call:?}"));
                }
            }
        }
        let Some(name) = entity::of(call) else { return };
        let entity = self.entities.entry((call.account.clone(), name)).or_default();
        if let Some(wrong) = entity.take(call) {
            self.wrong.push(wrong);
        }
    }

    fn is_ours(&self, call: &Call) -> bool {
        if let Some(role) = call.param("RoleName") {
            return self.roles.contains(&(call.account.clone(), role.to_owned()));
        }
        let provider = call.param("OpenIDConnectProviderArn").or(call.param("Url")).unwrap_or_default();
        provider.ends_with(ISSUER)
    }
}
