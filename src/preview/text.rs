//! A preview as a person reads it.

use std::fmt::Write as _;

use super::{
    AccountPreview, Change, Outcome, Preview, ResourcePreview, Trouble,
    change::{FieldChange, Object},
};
use crate::api::Mode;

/// Up to this many accounts in which nothing changes are named.
const NAMED: usize = 5;

/// How text is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether signs have colours.
    pub colour: bool,
}

/// Colours by their numbers in ECMA-48.
#[derive(Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Grey = 90,
}

impl Style {
    fn paint(self, colour: Colour, text: &str) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }
}

impl Preview {
    /// All of it, as text.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        let mut out = String::new();
        for resource in &self.resources {
            of_resource(&mut out, resource, style);
        }
        for warning in &self.warnings {
            line(&mut out, 0, &format!("{} {}", style.paint(Colour::Yellow, "note:"), clean(warning)));
        }
        let counts = self.summary;
        let skipped = if counts.skipped == 0 { String::new() } else { format!(", {} skipped", counts.skipped) };
        let text =
            format!("{} to change, {} unchanged, {} failed{skipped}", counts.change, counts.unchanged, counts.failed);
        line(&mut out, 0, &text);
        out
    }
}

fn of_resource(out: &mut String, resource: &ResourcePreview, style: Style) {
    let place = style.paint(Colour::Grey, &format!("({})", clean(&resource.source)));
    line(out, 0, &format!("{}/{} {place}", resource.namespace, resource.name));
    if let Some(problem) = &resource.problem {
        trouble(out, 1, problem, style);
    }
    if resource.mode == Mode::Observe {
        line(out, 1, "mode is Observe: the operator reports changes, and makes none");
    }
    for note in &resource.notes {
        line(out, 1, &clean(note));
    }
    for account in
        resource.accounts.iter().filter(|account| account.result != Outcome::Unchanged || !account.notes.is_empty())
    {
        of_account(out, account, style);
    }
    let unchanged: Vec<&str> = resource
        .accounts
        .iter()
        .filter(|account| account.result == Outcome::Unchanged && account.notes.is_empty())
        .map(|account| account.account.as_str())
        .collect();
    match unchanged.len() {
        0 => {}
        1..=NAMED => unchanged.iter().for_each(|account| line(out, 1, &format!("account {account}: unchanged"))),
        many => line(out, 1, &format!("{many} accounts: unchanged")),
    }
    out.push('\n');
}

fn of_account(out: &mut String, account: &AccountPreview, style: Style) {
    let result = match account.result {
        Outcome::Unchanged => "unchanged".to_owned(),
        Outcome::Change => style.paint(Colour::Yellow, "to change"),
        Outcome::Failed => style.paint(Colour::Red, "failed"),
        Outcome::Skipped => "skipped".to_owned(),
    };
    line(out, 1, &format!("account {}: {result}", account.account));
    account.problems.iter().for_each(|problem| trouble(out, 2, problem, style));
    for note in &account.notes {
        line(out, 2, &format!("{}: {}", note.reason, clean(&note.message)));
    }
    for object in [Object::Provider, Object::Role] {
        let changes: Vec<&Change> = account.changes.iter().filter(|change| change.object == object).collect();
        of_object(out, object, &changes, style);
    }
}

/// All that changes of one object under one heading.
fn of_object(out: &mut String, object: Object, changes: &[&Change], style: Style) {
    let Some(first) = changes.first() else { return };
    let does = |verb: &str| changes.iter().any(|change| change.operation.starts_with(verb));
    let sign = if does("Create") {
        style.paint(Colour::Green, "+")
    } else if does("DeleteRole") && !does("DeleteRolePermissionsBoundary") || does("DeleteOpen") {
        style.paint(Colour::Red, "-")
    } else {
        style.paint(Colour::Yellow, "~")
    };
    let what = match object {
        Object::Provider => "OIDC provider",
        Object::Role => "role",
    };
    line(out, 2, &format!("{sign} {what} {}", first.arn));
    let takes = changes.iter().filter(|change| change.summary.starts_with("take "));
    takes.for_each(|change| line(out, 4, &clean(&change.summary)));
    for field in changes.iter().flat_map(|change| &change.fields) {
        of_field(out, field, style);
    }
}

fn of_field(out: &mut String, field: &FieldChange, style: Style) {
    let name = clean(&field.field);
    let mut side = |sign: &str, colour, value: &Option<String>| {
        if let Some(value) = value {
            line(out, 4, &style.paint(colour, &format!("{sign} {name}: {}", clean(value))));
        }
    };
    side("-", Colour::Red, &field.observed);
    side("+", Colour::Green, &field.wanted);
}

fn trouble(out: &mut String, indent: usize, trouble: &Trouble, style: Style) {
    let state = format!("{:?}", trouble.state);
    let word = if state == trouble.reason { state } else { format!("{state}, {}", trouble.reason) };
    line(out, indent, &format!("{}: {}", style.paint(Colour::Red, &word), clean(&trouble.message)));
}

fn line(out: &mut String, indent: usize, text: &str) {
    // Writing into a String does not fail.
    let _ = writeln!(out, "{:width$}{text}", "", width = indent * 2);
}

/// What others wrote into an account, without what would move the cursor of a terminal.
fn clean(text: &str) -> String {
    let each = |char: char| if char.is_control() { char.escape_default().to_string() } else { char.to_string() };
    text.chars().map(each).collect()
}
