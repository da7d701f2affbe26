//! Clients whose calls are measured. All calls of the operator go through one of them; those that the SDK
//! makes on its own to find credentials do not.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use aws_config::SdkConfig;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef, Error,
                FinalizerInterceptorContextRef,
            },
        },
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};

use super::{
    classify::{Fault, classify},
    unanswered::Unanswered,
};
use crate::telemetry::metrics::{Metrics, Word};

/// IAM. Writes that have no answer are noted.
pub(super) fn iam(config: &SdkConfig, metrics: &Metrics, unanswered: &Unanswered) -> aws_sdk_iam::Client {
    let config = aws_sdk_iam::config::Builder::from(config).interceptor(Measure(metrics.clone()));
    let config = config.interceptor(unanswered.clone());
    aws_sdk_iam::Client::from_conf(config.build())
}

/// STS.
pub(super) fn sts(config: &SdkConfig, metrics: &Metrics) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::config::Builder::from(config).interceptor(Measure(metrics.clone()));
    aws_sdk_sts::Client::from_conf(config.build())
}

/// AWS Organizations.
pub(super) fn organizations(config: &SdkConfig, metrics: &Metrics) -> aws_sdk_organizations::Client {
    let config = aws_sdk_organizations::config::Builder::from(config).interceptor(Measure(metrics.clone()));
    aws_sdk_organizations::Client::from_conf(config.build())
}

/// Names the operations with the types of their errors: the SDK erases the type before an interceptor
/// sees it.
macro_rules! operations {
    ($($name:literal $error:path,)*) => {
        const OPERATIONS: &[&str] = &[$($name),*];

        fn code(error: &Error) -> Option<&str> {
            None$(.or_else(|| error.downcast_ref::<$error>().and_then(ProvideErrorMetadata::code)))*
        }
    };
}

operations! {
    "AddClientIDToOpenIDConnectProvider" aws_sdk_iam::operation::add_client_id_to_open_id_connect_provider::AddClientIDToOpenIDConnectProviderError,
    "AttachRolePolicy" aws_sdk_iam::operation::attach_role_policy::AttachRolePolicyError,
    "CreateOpenIDConnectProvider" aws_sdk_iam::operation::create_open_id_connect_provider::CreateOpenIDConnectProviderError,
    "CreateRole" aws_sdk_iam::operation::create_role::CreateRoleError,
    "DeleteOpenIDConnectProvider" aws_sdk_iam::operation::delete_open_id_connect_provider::DeleteOpenIDConnectProviderError,
    "DeleteRole" aws_sdk_iam::operation::delete_role::DeleteRoleError,
    "DeleteRolePermissionsBoundary" aws_sdk_iam::operation::delete_role_permissions_boundary::DeleteRolePermissionsBoundaryError,
    "DetachRolePolicy" aws_sdk_iam::operation::detach_role_policy::DetachRolePolicyError,
    "GetOpenIDConnectProvider" aws_sdk_iam::operation::get_open_id_connect_provider::GetOpenIDConnectProviderError,
    "GetRole" aws_sdk_iam::operation::get_role::GetRoleError,
    "ListAttachedRolePolicies" aws_sdk_iam::operation::list_attached_role_policies::ListAttachedRolePoliciesError,
    "ListRolePolicies" aws_sdk_iam::operation::list_role_policies::ListRolePoliciesError,
    "ListRoles" aws_sdk_iam::operation::list_roles::ListRolesError,
    "PutRolePermissionsBoundary" aws_sdk_iam::operation::put_role_permissions_boundary::PutRolePermissionsBoundaryError,
    "TagRole" aws_sdk_iam::operation::tag_role::TagRoleError,
    "UntagRole" aws_sdk_iam::operation::untag_role::UntagRoleError,
    "UpdateAssumeRolePolicy" aws_sdk_iam::operation::update_assume_role_policy::UpdateAssumeRolePolicyError,
    "UpdateRole" aws_sdk_iam::operation::update_role::UpdateRoleError,
    "AssumeRole" aws_sdk_sts::operation::assume_role::AssumeRoleError,
    "GetCallerIdentity" aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError,
    "DescribeOrganization" aws_sdk_organizations::operation::describe_organization::DescribeOrganizationError,
    "ListAccountsForParent" aws_sdk_organizations::operation::list_accounts_for_parent::ListAccountsForParentError,
    "ListOrganizationalUnitsForParent" aws_sdk_organizations::operation::list_organizational_units_for_parent::ListOrganizationalUnitsForParentError,
}

const SERVICES: [&str; 3] = ["IAM", "STS", "Organizations"];
/// What a label says of a call that is not listed above.
const OTHER: &str = "Other";

/// Service and operation of a call, as labels have them.
fn names(cfg: &ConfigBag) -> (&'static str, &'static str) {
    let metadata = cfg.load::<Metadata>();
    let of = |known: &[&'static str], name: Option<&str>| {
        known.iter().copied().find(|it| Some(*it) == name).unwrap_or(OTHER)
    };
    (of(&SERVICES, metadata.map(Metadata::service)), of(OPERATIONS, metadata.map(Metadata::name)))
}

/// A call that is under way. It is dropped with the call, also when nobody waits for that any more.
#[derive(Debug)]
struct Running {
    metrics: Metrics,
    service: &'static str,
    operation: &'static str,
    began: Instant,
    ended: AtomicBool,
}

impl Storable for Running {
    type Storer = StoreReplace<Self>;
}

impl Running {
    fn end(&self, outcome: Word) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            self.metrics.called(self.service, self.operation, outcome, self.began.elapsed());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end("Cancelled".into());
    }
}

/// Measures the calls of a client.
#[derive(Debug)]
struct Measure(Metrics);

impl Intercept for Measure {
    fn name(&self) -> &'static str {
        "Measure"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (service, operation) = names(cfg);
        let (metrics, ended) = (self.0.clone(), AtomicBool::new(false));
        cfg.interceptor_state().store_put(Running { metrics, service, operation, began: Instant::now(), ended });
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (service, operation) = names(cfg);
        self.0.attempted(service, operation);
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(running) = cfg.load::<Running>() {
            let outcome = outcome(running.operation, context);
            tracing::debug!(
                service = running.service,
                operation = running.operation,
                %outcome,
                request_id = context.response().and_then(|answer| answer.headers().get("x-amzn-requestid")),
                "a call to AWS ends"
            );
            running.end(outcome);
        }
        Ok(())
    }
}

fn outcome(operation: &str, context: &FinalizerInterceptorContextRef<'_>) -> Word {
    let error = match context.output_or_error() {
        Some(Ok(_)) => return Word::OK,
        Some(Err(error)) => error,
        None => return "Cancelled".into(),
    };
    let status = context.response().map(|answer| answer.status().as_u16());
    let fault = match (error.as_operation_error(), error.as_connector_error(), status) {
        (Some(error), _, Some(status)) => Fault::Answer { code: code(error), status },
        _ if error.is_timeout_error() => Fault::Timeout,
        (_, Some(error), _) => Fault::of_connector(error),
        (_, _, Some(status)) if status >= 400 => Fault::Answer { code: None, status },
        (_, _, Some(_)) => Fault::Unreadable,
        (_, _, None) => Fault::NoCredentials,
    };
    classify(operation, fault).0.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        api::Reason,
        aws::canned::{Canned, config},
        clock::Clock,
        policy::published::{Published, tests::defaults},
    };

    #[test]
    fn every_operation_is_known() {
        let published = Published::ALL.iter().flat_map(|which| which.actions(&defaults()));
        let mut published: BTreeSet<String> =
            published.map(|action| action.split(':').nth(1).unwrap_or_default().to_owned()).collect();
        assert!(published.remove("TagOpenIDConnectProvider"), "IAM asks for it, and no call is named so");
        published.insert("GetCallerIdentity".to_owned());
        assert_eq!(published, OPERATIONS.iter().map(|name| (*name).to_owned()).collect());
    }

    fn unanswered() -> Unanswered {
        Unanswered::new(Clock::system())
    }

    fn has(metrics: &Metrics, operation: &str, outcome: &str, count: u32) -> bool {
        let line = format!(r#"operation="{operation}",outcome="{outcome}"}} {count}"#);
        metrics.render().contains(&line)
    }

    #[tokio::test]
    async fn a_failure_has_the_operators_own_reason() {
        const XML: &str = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>m</Message></Error></ErrorResponse>";
        const JSON: &str = r#"{"__type":"AWSOrganizationsNotInUseException","message":"m"}"#;
        let metrics = Metrics::default();
        let denied =
            iam(&config(Canned(Some(403), XML)), &metrics, &unanswered()).get_role().role_name("a").send().await;
        assert!(denied.is_err());
        assert!(has(&metrics, "GetRole", &Reason::AccessDenied.to_string(), 1), "{}", metrics.render());
        let denied = sts(&config(Canned(Some(403), XML)), &metrics).get_caller_identity().send().await;
        assert!(denied.is_err());
        assert!(has(&metrics, "GetCallerIdentity", &Reason::AccessDenied.to_string(), 1), "{}", metrics.render());
        let none = organizations(&config(Canned(Some(400), JSON)), &metrics).describe_organization().send().await;
        assert!(none.is_err());
        assert!(has(&metrics, "DescribeOrganization", &Reason::NoOrganization.to_string(), 1), "{}", metrics.render());
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_any_more_is_counted_too() {
        let metrics = Metrics::default();
        let client = iam(&config(Canned(None, "")), &metrics, &unanswered());
        let mut call = Box::pin(client.get_role().role_name("a").send());
        assert!(futures::poll!(call.as_mut()).is_pending());
        assert!(!has(&metrics, "GetRole", "Cancelled", 1), "{}", metrics.render());
        drop(call);
        assert!(has(&metrics, "GetRole", "Cancelled", 1), "{}", metrics.render());
    }
}
