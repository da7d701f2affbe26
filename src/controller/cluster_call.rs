//! A call to the API server: as whom, for how long, and how it fails.

use std::time::Duration;

/// The field manager of everything that the operator writes to the cluster.
pub(super) const MANAGER: &str = "port-aws-operator";

/// A failed call to the API server; the controller tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The API server refused it, or could not be reached.
    #[error("a call to the API server failed: {0}")]
    Kubernetes(#[from] Box<kube::Error>),
    /// The lease does not last for a write.
    #[error("the lease is not held for long enough to write to the cluster")]
    NotLeading,
    /// The API server did not answer in time.
    #[error("no answer from the API server in {0:?}")]
    Timeout(Duration),
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(Box::new(error))
    }
}

impl CallError {
    /// Whether the API server has nothing at that path. Of a kind that it does not know it gives no reason.
    pub(super) fn is_unknown_path(&self) -> bool {
        let Self::Kubernetes(cause) = self else { return false };
        matches!(&**cause, kube::Error::Api(status) if status.code == 404)
    }

    /// Whether the API server may have stored what was to be written. What it answers is its word; no answer,
    /// and its own trouble, are none.
    pub(super) fn may_have_been_stored(&self) -> bool {
        match self {
            Self::Kubernetes(cause) => !matches!(&**cause, kube::Error::Api(status) if status.code < 500),
            Self::NotLeading => false,
            Self::Timeout(_) => true,
        }
    }

    /// Whether the write was refused because somebody else wrote at the same time.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Kubernetes(cause) = self else { return false };
        matches!(&**cause, kube::Error::Api(status) if status.code == 409)
    }

    /// Whether the API server says that there is no such object. A proxy's 404 does not say it.
    pub(super) fn is_not_found(&self) -> bool {
        let Self::Kubernetes(cause) = self else { return false };
        matches!(&**cause, kube::Error::Api(status) if status.reason == "NotFound")
    }

    /// Whether the write was refused because the object is another by now.
    pub(super) fn is_outdated(&self) -> bool {
        let Self::Kubernetes(cause) = self else { return false };
        matches!(&**cause, kube::Error::Api(status) if status.is_conflict() || status.is_not_found())
    }
}

/// Bounds a call to the API server in time; the client itself does not.
pub(super) async fn bounded<T>(limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(CallError::from),
        Err(_) => Err(CallError::Timeout(limit)),
    }
}
