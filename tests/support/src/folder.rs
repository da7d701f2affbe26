//! Folders for the state and logs of what is started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Result};

const PREFIX: &str = "port-aws-operator-test-";
const LOCK: &str = "lock";

/// A folder, removed at the end unless the caller brought it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held as long as the folder is in use, see [`sweep`].
    _lock: File,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    /// The given folder, made if need be; without one a temporary folder.
    ///
    /// `TESTKIT_KEEP=1` in the environment keeps temporary folders, logs included.
    pub(crate) fn new(given: Option<&Path>) -> Result<Self> {
        let keep = std::env::var_os("TESTKIT_KEEP").is_some();
        let (path, temporary) = if let Some(path) = given {
            (path.to_owned(), None)
        } else {
            let folder = temporary_folder(keep)?;
            (folder.path().to_owned(), Some(folder))
        };
        fs::create_dir_all(&path).map_err(Error::file("make", &path))?;
        let lock = File::create(path.join(LOCK)).map_err(Error::file("lock", &path))?;
        lock.try_lock().map_err(|error| Error::Setup(format!("{} is in use elsewhere: {error}", path.display())))?;
        if temporary.is_some() && keep {
            // Without its lock file a folder is never swept.
            fs::remove_file(path.join(LOCK)).map_err(Error::file("keep", &path))?;
        }
        Ok(Self { path, _lock: lock, _temporary: temporary })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.join(name);
        fs::write(&path, content).map_err(Error::file("write", &path))?;
        Ok(path)
    }
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
        assert_eq!(left, ["foreign".to_owned(), format!("{PREFIX}held"), format!("{PREFIX}new")]);
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
