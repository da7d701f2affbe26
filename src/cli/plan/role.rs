//! The role of `--from-role`, read with the caller's own credentials.

use crate::{
    api::OidcProviderSpec,
    aws::{Aws, CredentialsError},
    domain::{AccountId, InvalidValue, IssuerUrl, Partition, RoleName, oidc_provider_arn, role_arn},
    plan::Target,
    preview::{takeover, trusted_issuer},
};

/// A resource that takes the role over, as YAML.
pub(super) async fn read(aws: &Aws, arn: &str) -> Result<String, String> {
    let (account, name) = parts(arn)?;
    let reading = |error: &dyn std::fmt::Display| format!("{arn} cannot be read: {error}");
    let api = aws.own_account(&account).await.map_err(|error| match error {
        CredentialsError::Account { caller, .. } => {
            reading(&format!("the credentials are of account {caller}; use some of account {account}"))
        }
        error => reading(&error.advice()),
    })?;
    let issuer: IssuerUrl = OidcProviderSpec::default().url.parse().map_err(|error: InvalidValue| error.to_string())?;
    let target = |issuer: IssuerUrl| Target {
        account: account.clone(),
        provider_arn: oidc_provider_arn(Partition::Aws, &account, &issuer),
        role_arn: role_arn(Partition::Aws, &account, &name),
        role_name: name.clone(),
        issuer,
    };
    let found = api.observe_role(&target(issuer)).await.map_err(|error| reading(&error.advice()))?;
    let role = found.ok_or_else(|| reading(&"there is no such role"))?;
    let refused = |why: String| format!("{arn} cannot be taken over: {why}");
    let issuer = trusted_issuer(&account, &role).map_err(refused)?;
    let issuer = issuer.parse().map_err(|error: InvalidValue| refused(error.to_string()))?;
    let provider = api.observe_provider(&target(issuer)).await.map_err(|error| reading(&error.advice()))?;
    takeover(&account, &role, provider.is_some()).map_err(refused)
}

/// Account and name of a role's ARN.
fn parts(arn: &str) -> Result<(AccountId, RoleName), String> {
    let wrong = || format!("--from-role: {arn:?} is no ARN of a role, as arn:aws:iam::123456789012:role/NAME");
    Partition::of_arn(arn).map_err(|error| format!("--from-role: {error}"))?;
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam", "", account, resource] = fields[..] else { return Err(wrong()) };
    let name = resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next()).ok_or_else(wrong)?;
    Ok((account.parse().map_err(|_| wrong())?, name.parse().map_err(|_| wrong())?))
}
