//! What the control plane's folder holds before its first start: keys, tokens, kubeconfigs.

use std::path::PathBuf;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use super::audit;
use crate::folder::Folder;
use crate::{Error, Result};

impl Folder {
    /// A kubeconfig that uses a bearer token. JSON is YAML, so every reader takes it.
    pub(super) fn write_kubeconfig(&self, name: &str, server: &str, user: &str, token: &str) -> Result<PathBuf> {
        let cluster = json!({
            "server": server,
            "certificate-authority": self.join("pki/apiserver.crt"),
        });
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        });
        self.write(name, &config.to_string())
    }
}

/// The tokens of the users that exist without any object in the API.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) admin: String,
    pub(super) controller_manager: String,
}

/// Writes what the servers read at start, unless an earlier start left it.
pub(super) fn prepare(folder: &Folder) -> Result<Tokens> {
    let tokens = Tokens { admin: random_token()?, controller_manager: random_token()? };
    // The controller manager is a user of its own, so that the audit log tells it from the admin.
    let csv = format!(
        "{},admin,admin,\"system:masters\"\n{},controller-manager,controller-manager,\"system:masters\"\n",
        tokens.admin, tokens.controller_manager
    );
    folder.write("tokens.csv", &csv)?;
    folder.write("audit-policy.json", &audit::policy().to_string())?;
    if !folder.join("sa.key").exists() {
        folder.write("sa.key", &service_account_key()?)?;
    }
    Ok(tokens)
}

/// The key that signs service-account tokens: P-256, in the SEC 1 form that the API server reads
/// both as a private and as a public key.
fn service_account_key() -> Result<String> {
    let failed = |error| Error::Setup(format!("cannot make a key: {error}"));
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
    let der = pair.private_key().as_der().map_err(failed)?;
    Ok(pem::encode(&pem::Pem::new("EC PRIVATE KEY", der.as_ref())))
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|error| Error::Setup(format!("no random numbers: {error}")))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
