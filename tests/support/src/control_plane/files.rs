//! The control plane's folder: keys, tokens, kubeconfigs, logs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use super::audit;
use crate::{Error, Result};

const PREFIX: &str = "port-aws-operator-test-";
const LOCK: &str = "lock";

/// A folder, removed at the end unless the caller brought it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held as long as the folder is in use, see [`sweep`].
    _lock: File,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    /// The given folder, made if need be; without one a temporary folder.
    ///
    /// `TESTKIT_KEEP=1` in the environment keeps temporary folders, logs included.
    pub(super) fn new(given: Option<&Path>) -> Result<Self> {
        let keep = std::env::var_os("TESTKIT_KEEP").is_some();
        let (path, temporary) = if let Some(path) = given {
            (path.to_owned(), None)
        } else {
            let folder = temporary_folder(keep)?;
            (folder.path().to_owned(), Some(folder))
        };
        fs::create_dir_all(&path).map_err(Error::file("make", &path))?;
        let lock = File::create(path.join(LOCK)).map_err(Error::file("lock", &path))?;
        lock.try_lock().map_err(|error| {
            Error::Setup(format!("{} is in use elsewhere: {error}", path.display()))
        })?;
        if temporary.is_some() && keep {
            // Without its lock file a folder is never swept.
            fs::remove_file(path.join(LOCK)).map_err(Error::file("keep", &path))?;
        }
        Ok(Self {
            path,
            _lock: lock,
            _temporary: temporary,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.join(name);
        fs::write(&path, content).map_err(Error::file("write", &path))?;
        Ok(path)
    }

    /// A kubeconfig that uses a bearer token. JSON is YAML, so every reader takes it.
    pub(super) fn write_kubeconfig(
        &self,
        name: &str,
        server: &str,
        user: &str,
        token: &str,
    ) -> Result<PathBuf> {
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
    let tokens = Tokens {
        admin: random_token()?,
        controller_manager: random_token()?,
    };
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
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|error| Error::Setup(format!("no random numbers: {error}")))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn temporary_folder(keep: bool) -> Result<tempfile::TempDir> {
    let parent = std::env::temp_dir();
    sweep(&parent);
    tempfile::Builder::new()
        .prefix(PREFIX)
        .disable_cleanup(keep)
        .tempdir_in(&parent)
        .map_err(Error::file("make a folder in", &parent))
}

/// Removes temporary folders of tests that were killed: nobody holds their lock any more.
///
/// Only folders that have been there for a minute: a younger one may not have been locked yet.
/// Nothing depends on this, so errors are passed over.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &Path) -> bool {
    let Ok(lock) = File::open(folder.join(LOCK)) else {
        return false;
    };
    let age = lock.metadata().and_then(|data| data.modified());
    let old = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > Duration::from_mins(1)));
    old && lock.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn only_abandoned_folders_are_swept() -> TestResult {
        let parent = tempfile::tempdir()?;
        let make = |name: &str, old: bool| -> Result<File, Box<dyn std::error::Error>> {
            let folder = parent.path().join(name);
            fs::create_dir(&folder)?;
            let lock = File::create(folder.join(LOCK))?;
            if old {
                lock.set_modified(SystemTime::now() - Duration::from_mins(2))?;
            }
            Ok(lock)
        };
        let held = make(&format!("{PREFIX}held"), true)?;
        held.try_lock()?;
        drop(make(&format!("{PREFIX}dead"), true)?);
        drop(make(&format!("{PREFIX}new"), false)?);
        drop(make("foreign", true)?);
        sweep(parent.path());
        let mut left: Vec<_> = fs::read_dir(parent.path())?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "foreign".to_owned(),
                format!("{PREFIX}held"),
                format!("{PREFIX}new")
            ]
        );
        Ok(())
    }

    #[test]
    fn a_temporary_folder_goes_with_its_owner() -> TestResult {
        let folder = Folder::new(None)?;
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        assert!(Folder::new(Some(&path)).is_err(), "one user at a time");
        drop(folder);
        assert!(!path.exists() || std::env::var_os("TESTKIT_KEEP").is_some());
        Ok(())
    }
}
