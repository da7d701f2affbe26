use std::{fs, io::Write as _, path::PathBuf};

use crate::manifest::reference;

/// `port-aws-operator reference-doc`.
#[derive(Debug, clap::Args)]
pub struct ReferenceDocArgs {
    /// Write it to this file, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl ReferenceDocArgs {
    /// Prints or writes the reference of the kinds.
    ///
    /// # Errors
    /// If writing fails.
    pub fn run(&self) -> Result<(), String> {
        let text = reference();
        match &self.output {
            Some(path) => fs::write(path, text).map_err(|error| format!("writing {} failed: {error}", path.display())),
            None => std::io::stdout()
                .write_all(text.as_bytes())
                .map_err(|error| format!("writing to standard output failed: {error}")),
        }
    }
}
