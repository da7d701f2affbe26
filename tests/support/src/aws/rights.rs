//! What a key may do.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Backend, Credentials};
use crate::Result;

/// IAM policies of a key.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rights {
    /// Those of the key itself.
    pub policies: Vec<Value>,
    /// Those of each role that does not exist, by its name, in a session that begins with the key.
    pub assumed: BTreeMap<String, Vec<Value>>,
}

impl Rights {
    /// Takes an action out of every policy.
    pub fn forbid(&mut self, action: &str) {
        for policy in self.policies.iter_mut().chain(self.assumed.values_mut().flatten()) {
            for statement in policy["Statement"].as_array_mut().into_iter().flatten() {
                if let Some(actions) = statement["Action"].as_array_mut() {
                    actions.retain(|entry| entry != action);
                }
            }
        }
    }
}

impl Backend {
    /// Credentials of a role in an account, which need not exist, with nothing but these rights.
    pub async fn credentials_with(&self, account: &str, role: &str, rights: &Rights) -> Result<Credentials> {
        let body = json!({"account": account, "role": role, "policies": rights.policies, "assumed": rights.assumed});
        self.post("credentials", body).await
    }

    /// Gives further rights to credentials that were made with some.
    pub async fn grant(&self, credentials: &Credentials, rights: &Rights) -> Result<()> {
        let key = &credentials.access_key_id;
        let body = json!({"accessKeyId": key, "policies": rights.policies, "assumed": rights.assumed});
        self.order("grant", body).await
    }

    /// Says whether a role in the account has to exist to be assumed, as it has to in AWS.
    pub async fn strict_assume_role(&self, account: &str, strict: bool) -> Result<()> {
        self.order("strict-assume-role", json!({"account": account, "strict": strict})).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_action_is_in_no_policy() {
        let policy = || json!({"Statement": [{"Action": ["a", "b"]}, {"Action": ["a"]}, {"Action": "a*"}]});
        let assumed = BTreeMap::from([("Role".to_owned(), vec![policy()])]);
        let mut rights = Rights { policies: vec![policy()], assumed };
        rights.forbid("a");
        let left = json!({"Statement": [{"Action": ["b"]}, {"Action": []}, {"Action": "a*"}]});
        assert_eq!((&rights.policies[0], &rights.assumed["Role"][0]), (&left, &left));
    }
}
