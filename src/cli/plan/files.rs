//! Files and folders of `-f`.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::manifest::Documents;

/// Reads all documents. What is wrong in them is among them.
pub(super) fn read(paths: &[PathBuf], namespace: &str) -> Result<Documents, String> {
    let mut documents = Documents::default();
    for path in paths {
        if path == Path::new("-") {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| format!("reading standard input failed: {error}"))?;
            documents.read("standard input", &text, namespace);
            continue;
        }
        let failed = |error| format!("reading {} failed: {error}", path.display());
        let files = if path.is_dir() { in_folder(path).map_err(failed)? } else { vec![path.clone()] };
        for file in files {
            let text = fs::read_to_string(&file);
            let text = text.map_err(|error| format!("reading {} failed: {error}", file.display()))?;
            documents.read(&file.display().to_string(), &text, namespace);
        }
    }
    Ok(documents)
}

fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_yaml = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|it| it == "yaml" || it == "yml");
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    Ok(files)
}
