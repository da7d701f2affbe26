//! The status of a `PortAwsAccess`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far the access reaches, as the operator last saw it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortAwsAccessStatus {
    /// The generation of spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling and Stalled as kstatus defines them. Ready is True if AWS takes the operator's
    /// credentials, every account was reached by this generation, and every discovery was answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// Whom the operator acts as, as GetCallerIdentity says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_arn: Option<String>,

    /// What uses the access, and how far it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<ReachStatus>,

    /// Why something is not reached, in plain words: the first account in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What uses an access, and how far it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachStatus {
    /// The PortAwsIntegrations that use it.
    pub integrations: i32,
    /// The accounts that they connect, each counted once.
    pub accounts: i32,
    /// Those of them that were reached at the last try.
    pub reached: i32,
    /// Those of them that could not be reached at the last try.
    pub unreached: i32,
}
