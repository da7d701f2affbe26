//! What a process has used so far, as `/proc` has it.

use std::{fs, path::PathBuf, time::Duration};

use crate::{Error, Result};

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// The most memory that it ever had resident, in KiB.
    pub peak_kib: u64,
    /// The memory that it has resident, in KiB.
    pub resident_kib: u64,
    /// What of it is the program's own data, in KiB; nearly all the rest is code, which the kernel may drop.
    pub anonymous_kib: u64,
    /// Its threads.
    pub threads: u64,
    /// Time of processors in its own code.
    pub user: Duration,
    /// Time of processors in the kernel.
    pub system: Duration,
}

impl Usage {
    /// Reads it.
    pub fn of(pid: u32) -> Result<Self> {
        let status = read(pid, "status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|text| text.parse().ok());
            number.ok_or_else(|| Error::Setup(format!("/proc/{pid}/status has no {name}")))
        };
        let stat = read(pid, "stat")?;
        // The name of the program, which comes second, may hold anything but ends with the last bracket.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = rustix::param::clock_ticks_per_second();
        let time = |index: usize| {
            let number: Option<u64> = fields.get(index).and_then(|text| text.parse().ok());
            let missing = || Error::Setup(format!("/proc/{pid}/stat cannot be read"));
            number.ok_or_else(missing).map(|number| Duration::from_millis(number * 1000 / ticks.max(1)))
        };
        Ok(Self {
            peak_kib: field("VmHWM")?,
            resident_kib: field("VmRSS")?,
            anonymous_kib: field("RssAnon")?,
            threads: field("Threads")?,
            user: time(11)?,
            system: time(12)?,
        })
    }
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    fs::read_to_string(&path).map_err(|error| Error::Setup(format!("{} cannot be read: {error}", path.display())))
}
