//! Waits for the kinds of the operator. Without them every watch would fail, in words that do not say what to do.

use std::{collections::BTreeSet, time::Duration};

use kube::{Client, CustomResourceExt};
use tokio::time::Instant;

use super::cluster_call::{CallError, bounded};
use crate::api::{PortAwsAccess, PortAwsIntegration};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a look may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often it says that it waits.
const REMINDER: Duration = Duration::from_secs(5 * 60);

/// Waits until the API server has all kinds. That it cannot be asked is no reason to wait: the watches say what
/// is wrong then.
pub(super) async fn wait(client: &Client) {
    let mut told: Option<(Vec<String>, Instant)> = None;
    loop {
        let missing = match served(client).await {
            Ok(served) => missing(&served),
            Err(error) => {
                tracing::debug!(%error, "the kinds of the API server cannot be listed");
                Vec::new()
            }
        };
        if missing.is_empty() {
            return;
        }
        if told.as_ref().is_none_or(|(before, at)| *before != missing || at.elapsed() >= REMINDER) {
            tracing::warn!("waiting for CustomResourceDefinition {}: apply crds/ first", missing.join(" and "));
            told = Some((missing, Instant::now()));
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The resources of the group that the API server has.
async fn served(client: &Client) -> Result<BTreeSet<String>, CallError> {
    let resource = PortAwsIntegration::api_resource();
    match bounded(TIMEOUT, client.list_api_group_resources(&resource.api_version)).await {
        Ok(list) => Ok(list.resources.into_iter().map(|resource| resource.name).collect()),
        // Without any of its kinds there is no such group.
        Err(error) if error.is_unknown_path() => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// The definitions without which a kind is not there.
fn missing(served: &BTreeSet<String>) -> Vec<String> {
    let kinds = [PortAwsIntegration::api_resource(), PortAwsAccess::api_resource()];
    let missing = kinds.into_iter().filter(|kind| !served.contains(&kind.plural));
    missing.map(|kind| format!("{}.{}", kind.plural, kind.group)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_as_kubectl_names_it() {
        let served = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let both = ["portawsintegrations.integrations.port.io", "portawsaccesses.integrations.port.io"];
        assert_eq!(missing(&served(&[])), both);
        assert_eq!(missing(&served(&["portawsintegrations/status", "portawsaccesses"])), both[..1]);
        assert_eq!(missing(&served(&["portawsintegrations", "portawsaccesses"])), [""; 0]);
    }
}
