//! What can go wrong in the test support, with enough text to act on.

use std::path::Path;
use std::time::Duration;

/// Result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the test support.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path if there is one.
        what: String,
        /// The refusal.
        source: std::io::Error,
    },
    /// A child process did not start, ended early or failed.
    #[error("{name}: {what}\n--- end of its log ---\n{log}")]
    Process {
        /// Name of the process.
        name: String,
        /// What went wrong.
        what: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// Something that was waited for did not come.
    #[error("gave up waiting for {what} after {after:.1?}; last seen: {last}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// The last observation.
        last: String,
    },
    /// Not there yet, with what was seen instead: for use inside [`crate::wait::eventually`].
    #[error("{0}")]
    NotYet(String),
    /// The Kubernetes API answered with an error.
    #[error("Kubernetes API: {0}")]
    Kube(Box<kube::Error>),
    /// The AWS backend did not answer, or with an error.
    #[error("AWS backend: {0}")]
    Backend(String),
    /// JSON that could not be read or written.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Rules that watched objects broke.
    #[error("{} broken rule(s):\n{}", .0.len(), .0.join("\n"))]
    Violations(Vec<String>),
    /// The surroundings lack something.
    #[error("{0}")]
    Setup(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// For `map_err` after an operation on a file.
    pub(crate) fn file(verb: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let what = format!("cannot {verb} {}", path.display());
        move |source| Self::Io { what, source }
    }

    /// An observation that falls short, for [`crate::wait::eventually`].
    pub fn not_yet(seen: impl Into<String>) -> Self {
        Self::NotYet(seen.into())
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}
