//! What was measured, for people and for programs.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;
use testkit::usage::Usage;

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Accounts in all.
    pub accounts: usize,
    /// Resources in all.
    pub resources: usize,
    /// From the first resource created to the last one Ready.
    pub seconds_to_ready: f64,
    /// From the start of a second operator until it watches.
    pub restart_seconds: f64,
    /// The operator's calls to AWS.
    pub aws_calls: BTreeMap<String, usize>,
    /// The operator's writes to Kubernetes, by resource.
    pub kubernetes_writes: BTreeMap<String, usize>,
    /// Of the largest object as JSON, `managedFields` included.
    pub largest_object_bytes: usize,
    /// Of its `managedFields` alone.
    pub managed_fields_bytes: usize,
    /// The most memory that was ever resident.
    pub peak_kib: u64,
    /// What was resident at the end.
    pub resident_kib: u64,
    /// What of it is data, and not code.
    pub anonymous_kib: u64,
    /// What is resident after a restart with everything Ready.
    pub restarted_kib: u64,
    /// Threads at the end.
    pub threads: u64,
    /// Processor time in the operator's own code.
    pub user_seconds: f64,
    /// Processor time in the kernel.
    pub system_seconds: f64,
    /// Of the operator's binary.
    pub binary_bytes: u64,
}

impl Figures {
    /// Takes over what the operator has used.
    pub fn used(&mut self, usage: Usage) {
        (self.peak_kib, self.resident_kib) = (usage.peak_kib, usage.resident_kib);
        (self.anonymous_kib, self.threads) = (usage.anonymous_kib, usage.threads);
        (self.user_seconds, self.system_seconds) = (usage.user.as_secs_f64(), usage.system.as_secs_f64());
    }

    /// One JSON object on a line.
    pub fn json(&self) -> String {
        // It fails only for maps whose keys are no text.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// A table.
    pub fn text(&self) -> String {
        let mut text =
            format!("{} accounts in {} resource(s), none of which had anything\n\n", self.accounts, self.resources);
        let mut line = |what: &str, value: String| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{what:<44}{value:>14}");
        };
        line("time to Ready", format!("{:.1} s", self.seconds_to_ready));
        line("operator: peak RSS", mib(self.peak_kib));
        line("operator: RSS at the end", mib(self.resident_kib));
        line("  of which data", mib(self.anonymous_kib));
        line("operator: RSS after a restart", mib(self.restarted_kib));
        line("operator: threads", self.threads.to_string());
        line("operator: user time", format!("{:.1} s", self.user_seconds));
        line("operator: system time", format!("{:.1} s", self.system_seconds));
        line("operator: restart until it watches", format!("{:.2} s", self.restart_seconds));
        line("operator: binary", mib(self.binary_bytes / 1024));
        line("largest object", kib(self.largest_object_bytes));
        line("  of which managedFields", kib(self.managed_fields_bytes));
        for (resource, number) in &self.kubernetes_writes {
            line(&format!("writes of {resource}"), number.to_string());
        }
        for (action, number) in &self.aws_calls {
            line(&format!("calls of {action}"), number.to_string());
        }
        text
    }
}

#[allow(clippy::cast_precision_loss)]
fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

#[allow(clippy::cast_precision_loss)]
fn kib(bytes: usize) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}
