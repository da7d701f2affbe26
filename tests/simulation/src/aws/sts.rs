//! STS: whose a key is, and roles that are assumed. Trust and external ID are enforced.

use std::time::Duration;

use super::{
    Aws, Refusal,
    xml::{element, moment},
};
use crate::world::Params;

/// The role that the operator assumes in each account, and the external ID that the role demands.
pub const ROLE: &str = "PortAwsOperator";
pub const EXTERNAL_ID: &str = "example-external-id";

impl Aws {
    /// Answers a call by an account. `wall` is the moment, in seconds since 1970.
    pub fn sts(&mut self, caller: &str, params: &Params, now: Duration, wall: i64) -> Result<String, Refusal> {
        let text = |key: &str| params.get(key).map(String::as_str).unwrap_or_default();
        match text("Action") {
            "GetCallerIdentity" => Ok([
                element("Arn", &format!("arn:aws:sts::{caller}:assumed-role/Operator/simulation")),
                element("UserId", "AROA:simulation"),
                element("Account", caller),
            ]
            .concat()),
            "AssumeRole" => {
                let fields: Vec<&str> = text("RoleArn").split(':').collect();
                let (account, role) = (fields.get(4).copied().unwrap_or_default(), fields.get(5).copied());
                if role != Some(&format!("role/{ROLE}")) || text("ExternalId") != EXTERNAL_ID {
                    return Err(Refusal::new(403, "AccessDenied"));
                }
                let seconds: u64 = text("DurationSeconds").parse().unwrap_or(3600);
                let key = self.give_key(account, Some(now + Duration::from_secs(seconds)));
                let until = wall.saturating_add(i64::try_from(seconds).unwrap_or_default());
                let credentials = [
                    element("AccessKeyId", &key),
                    element("SecretAccessKey", "secret"),
                    element("SessionToken", "token"),
                    element("Expiration", &moment(until)),
                ];
                let arn = format!("arn:aws:sts::{account}:assumed-role/{ROLE}/{}", text("RoleSessionName"));
                let user = element("Arn", &arn) + &element("AssumedRoleId", "AROA:session");
                Ok(element("Credentials", &credentials.concat()) + &element("AssumedRoleUser", &user))
            }
            _ => Err(Refusal::new(400, "InvalidAction")),
        }
    }
}
