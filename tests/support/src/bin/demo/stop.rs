//! When the demo has to end before, or in place of, its own end.

use std::os::unix::process::parent_id;
use std::time::Duration;

use testkit::process::Signal as Number;
use testkit::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// Why it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ctrl-C.
    Interrupt,
    /// As `kill` does.
    Terminate,
    /// Whoever started it was killed, as make may be.
    Orphaned,
}

impl Stop {
    /// The code that shells give to a program that ended so.
    pub(crate) fn exit_code(self) -> u8 {
        let number = match self {
            Self::Interrupt => Number::INT,
            Self::Terminate | Self::Orphaned => Number::TERM,
        };
        u8::try_from(128 + number.as_raw()).unwrap_or(1)
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Interrupt => "Interrupted: everything is being ended.",
            Self::Terminate => "Asked to end: everything is being ended.",
            Self::Orphaned => "Whoever started the demo is gone: everything is being ended.",
        }
    }
}

/// Waits for a reason to end.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    parent: u32,
}

impl StopSignals {
    pub(crate) fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|source| Error::Io { what: "cannot receive signals".to_owned(), source });
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            parent: parent_id(),
        })
    }

    /// The next reason to end.
    pub(crate) async fn next(&mut self) -> Stop {
        let parent = self.parent;
        let orphaned = async {
            // Nothing tells of a parent's end on every system, so it is looked for.
            while parent_id() == parent {
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
            () = orphaned => Stop::Orphaned,
        }
    }
}
