use aws_sdk_iam::{
    error::{BuildError, ProvideErrorMetadata, SdkError},
    types::Tag,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{AccountApi, Turn, classify::AwsError};
use crate::{
    api::Reason,
    domain::tags::Tags,
    plan::{Action, DesiredRole, Target},
    schedule::Disposition,
};

impl AccountApi {
    /// Makes one write, whose turn has come. Creating a role gives IAM's ID of it.
    ///
    /// # Errors
    /// If AWS refuses it. A deletion of what is gone already has succeeded.
    pub async fn execute(&self, _: Turn, target: &Target, action: &Action) -> Result<Option<String>, AwsError> {
        let failed = |error: BuildError| unsendable(action.operation(), &error);
        match action {
            Action::CreateRole(role) => return self.create_role(role).await.map(Some),
            Action::CreateProvider { .. } | Action::AddClientId { .. } | Action::DeleteProvider => {
                self.write_provider(target, action).await?;
            }
            Action::TagRole { tags, .. } => {
                let call = self.iam.tag_role().role_name(target.role_name.as_str());
                sent(action, call.set_tags(Some(sdk_tags(tags).map_err(failed)?)).send().await)?;
            }
            Action::UntagRole { keys } => {
                let call = self.iam.untag_role().role_name(target.role_name.as_str());
                gone(sent(action, call.set_tag_keys(Some(keys.clone())).send().await))?;
            }
            Action::UpdateTrust { trust, .. } => {
                let call = self.iam.update_assume_role_policy().role_name(target.role_name.as_str());
                sent(action, call.policy_document(trust.to_json()).send().await)?;
            }
            Action::AttachPolicy(arn) => {
                let call = self.iam.attach_role_policy().role_name(target.role_name.as_str());
                sent(action, call.policy_arn(arn.as_str()).send().await)?;
            }
            Action::DetachPolicy(arn) => {
                let call = self.iam.detach_role_policy().role_name(target.role_name.as_str());
                gone(sent(action, call.policy_arn(arn).send().await))?;
            }
            Action::PutBoundary { arn, .. } => {
                let call = self.iam.put_role_permissions_boundary().role_name(target.role_name.as_str());
                sent(action, call.permissions_boundary(arn.as_str()).send().await)?;
            }
            Action::DeleteBoundary { .. } => {
                let call = self.iam.delete_role_permissions_boundary().role_name(target.role_name.as_str());
                gone(sent(action, call.send().await))?;
            }
            Action::UpdateRole { description, max_session_duration, .. } => {
                let call = self.iam.update_role().role_name(target.role_name.as_str());
                sent(action, call.description(description).max_session_duration(*max_session_duration).send().await)?;
            }
            Action::DeleteRole => {
                gone(sent(action, self.iam.delete_role().role_name(target.role_name.as_str()).send().await))?;
            }
        }
        Ok(None)
    }

    async fn write_provider(&self, target: &Target, action: &Action) -> Result<(), AwsError> {
        let arn = target.provider_arn.as_str();
        match action {
            Action::CreateProvider { client_id, tags } => {
                let tags = sdk_tags(tags).map_err(|error| unsendable(action.operation(), &error))?;
                let call = self.iam.create_open_id_connect_provider().url(target.issuer.as_str());
                sent(action, call.client_id_list(client_id).set_tags(Some(tags)).send().await)
            }
            Action::AddClientId { client_id } => {
                let call = self.iam.add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(arn);
                sent(action, call.client_id(client_id).send().await)
            }
            _ => {
                let call = self.iam.delete_open_id_connect_provider().open_id_connect_provider_arn(arn);
                gone(sent(action, call.send().await))
            }
        }
    }

    async fn create_role(&self, role: &DesiredRole) -> Result<String, AwsError> {
        const OPERATION: &str = "CreateRole";
        let tags = sdk_tags(&role.tags).map_err(|error| unsendable(OPERATION, &error))?;
        let call = self
            .iam
            .create_role()
            .path("/")
            .role_name(role.name.as_str())
            .description(&role.description)
            .max_session_duration(role.max_session_duration)
            .assume_role_policy_document(role.trust.to_json())
            .set_permissions_boundary(role.boundary.as_ref().map(ToString::to_string))
            .set_tags(Some(tags));
        let made = call.send().await.map_err(|error| AwsError::new(OPERATION, &error))?;
        Ok(made.role.map(|role| role.role_id).unwrap_or_default())
    }
}

fn sent<T, E>(action: &Action, result: Result<T, SdkError<E, HttpResponse>>) -> Result<(), AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    result.map(drop).map_err(|error| AwsError::new(action.operation(), &error))
}

/// What is to be gone and is not found is gone.
fn gone(result: Result<(), AwsError>) -> Result<(), AwsError> {
    result.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>, BuildError> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn unsendable(operation: &'static str, error: &BuildError) -> AwsError {
    AwsError::ours(operation, Reason::InvalidRequest, Disposition::Terminal, error.to_string())
}
