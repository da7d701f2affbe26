//! What a failed call means: one table from AWS's error codes to a reason and a disposition.
//!
//! Codes: <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html> and the Errors
//! section of each call.

use aws_sdk_iam::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::ConnectorError};

use crate::{api::Reason, policy::actions::DISCOVER, schedule::Disposition};

/// How a call failed, without AWS's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault<'a> {
    /// AWS answered with an error.
    Answer {
        /// The error code, if the body had one.
        code: Option<&'a str>,
        /// The HTTP status.
        status: u16,
    },
    /// There was no answer in time.
    Timeout,
    /// The connection failed.
    Connection,
    /// There were no credentials to sign with.
    NoCredentials,
    /// The answer could not be understood.
    Unreadable,
}

impl Fault<'_> {
    /// What an error of the HTTP client means.
    pub(super) fn of_connector(error: &ConnectorError) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // A connection that breaks under a request is "other" with a kind; no credentials, without.
        if error.is_io() || error.as_other().is_some() { Self::Connection } else { Self::NoCredentials }
    }
}

/// A failed call. `Display` names the call and the code, which is safe to show; AWS's own text and
/// the request ID are for the log alone.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} failed: {}", .code.as_deref().unwrap_or("no answer"))]
pub struct AwsError {
    /// The call.
    pub operation: &'static str,
    /// AWS's error code.
    pub code: Option<String>,
    /// Why it failed.
    pub reason: Reason,
    /// What to do about it.
    pub disposition: Disposition,
    /// AWS's text, for the log.
    pub detail: String,
    /// AWS's request ID, for the log.
    pub request_id: Option<String>,
}

impl AwsError {
    /// A failure that AWS did not report: we find the request or the answer wrong.
    pub(super) fn ours(operation: &'static str, reason: Reason, disposition: Disposition, detail: String) -> Self {
        Self { operation, code: None, reason, disposition, detail, request_id: None }
    }

    /// Whether AWS does not have what the call names.
    pub(super) fn is_not_found(&self) -> bool {
        self.reason == Reason::NotFoundInAccount
    }

    /// Classifies a failure of the SDK.
    pub(super) fn new<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answer = |raw: &HttpResponse, code| Fault::Answer { code, status: raw.status().as_u16() };
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        let detail = aws_smithy_types::error::display::DisplayErrorContext(error).to_string();
        let fault = match error {
            SdkError::ServiceError(context) => answer(context.raw(), code),
            SdkError::TimeoutError(_) => Fault::Timeout,
            SdkError::ResponseError(context) if context.raw().status().as_u16() >= 400 => answer(context.raw(), None),
            SdkError::ResponseError(_) => Fault::Unreadable,
            SdkError::DispatchFailure(failure) => {
                failure.as_connector_error().map_or(Fault::NoCredentials, Fault::of_connector)
            }
            SdkError::ConstructionFailure(_) => Fault::NoCredentials,
            _ => Fault::Connection,
        };
        let (reason, disposition) = classify(operation, fault);
        let request_id = error.request_id().map(ToOwned::to_owned);
        Self { operation, code: code.map(ToOwned::to_owned), reason, disposition, detail, request_id }
    }

    /// What somebody can do about it, in one sentence.
    #[must_use]
    pub fn advice(&self) -> String {
        let operation = self.operation;
        match self.reason {
            Reason::AccessDenied if DISCOVER.iter().any(|action| action.ends_with(operation)) => format!(
                "AWS refuses {operation}: spec.organizations of the PortAwsAccess has to lead to the management account or a delegated administrator, and its policy has to allow the call"
            ),
            Reason::NoOrganization => {
                "the account that spec.organizations of the PortAwsAccess leads to is in no AWS organization".to_owned()
            }
            Reason::ParentNotFound => {
                "AWS Organizations does not know one of discovery.organizationalUnitIds".to_owned()
            }
            Reason::AccessDenied => {
                format!("AWS refuses {operation}: check the operator's IAM policy and the SCPs of the account")
            }
            Reason::CredentialsUnavailable => format!("{operation}: AWS does not take the operator's credentials"),
            Reason::Throttled => format!("AWS throttles {operation}; it is tried again"),
            Reason::ServiceUnavailable => format!("AWS fails on {operation}; it is tried again"),
            Reason::Unreachable => format!("no answer from AWS to {operation}; it is tried again"),
            Reason::LimitExceeded => format!("{operation}: an IAM quota of the account is reached"),
            Reason::NotFoundInAccount => {
                format!("{operation}: IAM does not find what it names; does each policy exist in the account?")
            }
            Reason::ConcurrentChange => {
                format!("{operation}: something else changes the same at this time; it is read again")
            }
            Reason::DeletionBlocked => {
                format!("{operation}: something still hangs on the role, such as an instance profile")
            }
            Reason::InvalidRequest if self.code.as_deref() == Some("PackedPolicyTooLarge") => format!(
                "{operation}: the operator's own session brings so many session tags that the session policy has no room: have EKS Pod Identity send none (--disable-session-tags)"
            ),
            Reason::InvalidRequest => {
                let code = self.code.as_deref().unwrap_or("an error");
                format!("AWS refuses {operation} as malformed ({code}): check the spec")
            }
            _ => format!("{operation}: an answer that AWS does not document"),
        }
    }
}

/// The table. `operation` matters only where one code means different things.
#[must_use]
pub fn classify(operation: &str, fault: Fault<'_>) -> (Reason, Disposition) {
    use Disposition::{Conflict, Terminal, Transient, Waiting};
    let (code, status) = match fault {
        Fault::Answer { code, status } => (code.unwrap_or_default(), status),
        Fault::Timeout | Fault::Connection => return (Reason::Unreachable, Transient),
        Fault::NoCredentials => return (Reason::CredentialsUnavailable, Waiting),
        Fault::Unreadable => return (Reason::UnexpectedAnswer, Transient),
    };
    match code {
        "AWSOrganizationsNotInUseException" => (Reason::NoOrganization, Waiting),
        "ParentNotFoundException" => (Reason::ParentNotFound, Waiting),
        "NoSuchEntity" => (Reason::NotFoundInAccount, Transient),
        "EntityAlreadyExists" => (Reason::ConcurrentChange, Conflict),
        "ConcurrentModification" | "EntityTemporarilyUnmodifiable" => (Reason::ConcurrentChange, Transient),
        "DeleteConflict" => (Reason::DeletionBlocked, Waiting),
        "LimitExceeded" => (Reason::LimitExceeded, Waiting),
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => (Reason::CredentialsUnavailable, Transient),
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "OptInRequired" => (Reason::CredentialsUnavailable, Waiting),
        // A principal that was made seconds ago may still be unknown to IAM.
        "MalformedPolicyDocument" if matches!(operation, "CreateRole" | "UpdateAssumeRolePolicy") => {
            (Reason::InvalidRequest, Transient)
        }
        "PackedPolicyTooLarge" => (Reason::InvalidRequest, Waiting),
        "InvalidInput"
        | "ValidationError"
        | "ValidationException"
        | "InvalidInputException"
        | "MalformedPolicyDocument"
        | "UnmodifiableEntity"
        | "PolicyNotAttachable" => (Reason::InvalidRequest, Terminal),
        code if code.contains("Throttl") || code == "RequestLimitExceeded" || code.starts_with("TooManyRequests") => {
            (Reason::Throttled, Transient)
        }
        code if code.starts_with("AccessDenied") || code == "UnauthorizedOperation" => (Reason::AccessDenied, Waiting),
        _ if status == 429 => (Reason::Throttled, Transient),
        "ServiceException" => (Reason::ServiceUnavailable, Transient),
        _ if status >= 500 => (Reason::ServiceUnavailable, Transient),
        _ if status == 401 || status == 403 => (Reason::AccessDenied, Waiting),
        _ => (Reason::UnexpectedAnswer, Transient),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_meaning() {
        use Disposition::{Conflict, Terminal, Transient, Waiting};
        for (operation, code, status, reason, disposition) in [
            ("GetRole", "Throttling", 400, Reason::Throttled, Transient),
            ("GetRole", "ThrottlingException", 400, Reason::Throttled, Transient),
            ("GetRole", "", 429, Reason::Throttled, Transient),
            ("GetRole", "InternalFailure", 500, Reason::ServiceUnavailable, Transient),
            ("GetRole", "", 503, Reason::ServiceUnavailable, Transient),
            ("GetRole", "AccessDenied", 403, Reason::AccessDenied, Waiting),
            ("GetRole", "AccessDeniedException", 400, Reason::AccessDenied, Waiting),
            ("GetRole", "", 403, Reason::AccessDenied, Waiting),
            ("GetRole", "InvalidClientTokenId", 403, Reason::CredentialsUnavailable, Waiting),
            ("GetRole", "ExpiredToken", 403, Reason::CredentialsUnavailable, Transient),
            ("CreateRole", "EntityAlreadyExists", 409, Reason::ConcurrentChange, Conflict),
            ("CreateRole", "MalformedPolicyDocument", 400, Reason::InvalidRequest, Transient),
            ("PutRolePolicy", "MalformedPolicyDocument", 400, Reason::InvalidRequest, Terminal),
            ("CreateRole", "LimitExceeded", 409, Reason::LimitExceeded, Waiting),
            ("DeleteRole", "DeleteConflict", 409, Reason::DeletionBlocked, Waiting),
            ("AssumeRole", "PackedPolicyTooLarge", 400, Reason::InvalidRequest, Waiting),
            ("TagRole", "InvalidInput", 400, Reason::InvalidRequest, Terminal),
            ("AttachRolePolicy", "NoSuchEntity", 404, Reason::NotFoundInAccount, Transient),
            ("ListAccountsForParent", "TooManyRequestsException", 400, Reason::Throttled, Transient),
            ("ListAccountsForParent", "AccessDeniedException", 400, Reason::AccessDenied, Waiting),
            ("ListAccountsForParent", "ParentNotFoundException", 400, Reason::ParentNotFound, Waiting),
            ("ListAccountsForParent", "InvalidInputException", 400, Reason::InvalidRequest, Terminal),
            ("ListAccountsForParent", "ServiceException", 400, Reason::ServiceUnavailable, Transient),
            ("DescribeOrganization", "AWSOrganizationsNotInUseException", 400, Reason::NoOrganization, Waiting),
            ("GetRole", "SomethingNew", 400, Reason::UnexpectedAnswer, Transient),
        ] {
            let code = Some(code).filter(|code| !code.is_empty());
            assert_eq!(
                classify(operation, Fault::Answer { code, status }),
                (reason, disposition),
                "{operation} {code:?} {status}"
            );
        }
        assert_eq!(classify("GetRole", Fault::NoCredentials), (Reason::CredentialsUnavailable, Waiting));
        assert_eq!(classify("GetRole", Fault::Timeout), (Reason::Unreachable, Transient));
    }

    #[test]
    fn a_broken_connection_is_told_from_missing_credentials() {
        use aws_sdk_iam::operation::get_role::GetRoleError;
        use aws_smithy_types::retry::ErrorKind;
        for (error, reason) in [
            (ConnectorError::io("reset".into()), Reason::Unreachable),
            (ConnectorError::timeout("slow".into()), Reason::Unreachable),
            (ConnectorError::other("cut".into(), Some(ErrorKind::TransientError)), Reason::Unreachable),
            (ConnectorError::other("no identity".into(), None), Reason::CredentialsUnavailable),
        ] {
            let error = SdkError::<GetRoleError, _>::dispatch_failure(error);
            assert_eq!(AwsError::new("GetRole", &error).reason, reason, "{error:?}");
        }
    }
}
