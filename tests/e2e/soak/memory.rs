//! Whether the operator's memory stays as it is after the first part of the faults.

use std::{cell::RefCell, time::Duration};

use testkit::{Result, usage::Usage};

use super::ledger::Ledger;

const PERIOD: Duration = Duration::from_millis(200);
/// Of all faults, in percent, between which it is warm; the last ones are held against that.
const WARM: (usize, usize) = (20, 40);
const LAST: (usize, usize) = (80, 100);
/// How much more there may be in the end: a fifth, and what an allocator may keep.
const MORE_PERCENT: u64 = 20;
const MORE_KIB: u64 = 4 * 1024;

pub struct Memory {
    pid: u32,
    /// Percent of the faults that had been, and KiB resident.
    samples: RefCell<Vec<(usize, u64)>>,
}

impl Memory {
    pub fn of(pid: u32) -> Self {
        Self { pid, samples: RefCell::default() }
    }

    /// Looks at it until the ledger is closed.
    pub async fn follow(&self, ledger: &Ledger<'_>) -> Result<()> {
        while !ledger.is_closed() {
            let sample = (ledger.percent(), Usage::of(self.pid)?.resident_kib);
            self.samples.borrow_mut().push(sample);
            tokio::time::sleep(PERIOD).await;
        }
        Ok(())
    }

    /// The median while the percentage was in a range.
    fn median(&self, (from, to): (usize, usize)) -> u64 {
        let samples = self.samples.borrow();
        let mut inside: Vec<u64> =
            samples.iter().filter(|(percent, _)| (from..=to).contains(percent)).map(|(_, kib)| *kib).collect();
        inside.sort_unstable();
        assert!(!inside.is_empty(), "no sample between {from} and {to} %");
        inside[inside.len() / 2]
    }

    pub fn summary(&self) -> String {
        let steps: Vec<String> = (0..5).map(|n| self.median((n * 20, n * 20 + 20)).to_string()).collect();
        format!("KiB resident, the median of each fifth of the faults: {}", steps.join(", "))
    }

    pub fn check(&self) {
        let (warm, last) = (self.median(WARM), self.median(LAST));
        let most = warm * (100 + MORE_PERCENT) / 100 + MORE_KIB;
        assert!(last <= most, "{last} KiB are resident in the end, and were {warm} when it was warm");
    }
}
