//! What this process has written of the status of one object, so that the next status builds on what is stored,
//! and not on what the watch shows, which may be older.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::cluster_call::CallError;

/// The writes of one object's status.
#[derive(Debug)]
pub(super) struct Written<S> {
    last: Option<(String, S)>,
    /// Sent, without an answer that says whether it is stored.
    doubtful: Option<S>,
}

impl<S> Default for Written<S> {
    fn default() -> Self {
        Self { last: None, doubtful: None }
    }
}

impl<S: Clone + PartialEq> Written<S> {
    /// Notes what became of a write; `metadata` is that of the object that it gave.
    pub(super) fn note(&mut self, status: S, outcome: Result<&ObjectMeta, &CallError>) {
        match outcome {
            Ok(metadata) => self.last = Some((metadata.resource_version.clone().unwrap_or_default(), status)),
            Err(error) if error.may_have_been_stored() => self.doubtful = Some(status),
            Err(_) => {}
        }
    }

    /// Whether the object has to be read before the next status is made.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubtful.is_some()
    }

    /// Ends the doubt by what is stored.
    pub(super) fn settle(&mut self, metadata: &ObjectMeta, stored: Option<&S>) {
        if let Some(status) = self.doubtful.take().filter(|status| stored == Some(status)) {
            self.last = Some((metadata.resource_version.clone().unwrap_or_default(), status));
        }
    }

    /// Whether this process is not known to have written any.
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Whether an object is older than the last write.
    pub(super) fn is_ahead_of(&self, metadata: &ObjectMeta) -> bool {
        self.last.as_ref().is_some_and(|(version, _)| is_older(metadata.resource_version.as_deref(), version))
    }

    /// The version that the next write is against: that of the last write, if the object is older.
    pub(super) fn version(&self, metadata: &ObjectMeta) -> Option<String> {
        match &self.last {
            Some((version, _)) if self.is_ahead_of(metadata) => Some(version.clone()),
            _ => metadata.resource_version.clone(),
        }
    }

    /// The status to compare with and build on: the one in the object, unless the object is older than our own
    /// last write.
    pub(super) fn former(&self, metadata: &ObjectMeta, shown: Option<&S>) -> Option<S> {
        match &self.last {
            Some((_, status)) if self.is_ahead_of(metadata) => Some(status.clone()),
            _ => shown.cloned(),
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn version(version: &str) -> ObjectMeta {
        ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() }
    }

    #[test]
    fn an_older_object_gives_way_to_the_last_write() {
        let mut written = Written::default();
        assert_eq!(written.former(&version("9"), Some(&"shown")), Some("shown"));
        written.note("ours", Ok(&version("10")));
        assert_eq!(written.former(&version("9"), Some(&"shown")), Some("ours"));
        assert_eq!(written.version(&version("9")).as_deref(), Some("10"));
        assert_eq!(written.version(&version("11")).as_deref(), Some("11"));
        assert_eq!(written.former(&version("10"), Some(&"shown")), Some("shown"));
        assert_eq!(written.former(&version("none"), Some(&"shown")), Some("shown"));
    }

    #[test]
    fn a_write_without_an_answer_counts_once_it_is_seen_to_be_stored() {
        let lost = CallError::Timeout(Duration::from_secs(1));
        for (stored, former) in [("ours", "ours"), ("another", "shown")] {
            let mut written = Written::default();
            written.note("ours", Err(&lost));
            assert!(written.is_in_doubt() && written.is_empty());
            written.settle(&version("10"), Some(&stored));
            assert!(!written.is_in_doubt());
            assert_eq!(written.former(&version("9"), Some(&"shown")), Some(former));
        }
    }

    #[test]
    fn a_write_that_never_left_leaves_no_doubt() {
        let mut written = Written::default();
        written.note("ours", Err(&CallError::NotLeading));
        assert!(!written.is_in_doubt());
    }
}
