//! The rule that no two operators want different values of one field: who writes after another one knows at least
//! as much of what is wanted.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    aws::Role,
    rules::{Record, Wanted},
};

/// What was last written to each field, by whom, and when.
#[derive(Debug, Default)]
pub struct Contention {
    fields: BTreeMap<(String, String), (String, String, Duration)>,
}

/// A role was made or changed. Gives what is wrong with it.
pub fn role_written(
    record: &mut Record,
    instance: &str,
    account: &str,
    name: &str,
    change: (Option<&Role>, &Role),
    now: Duration,
) -> Vec<String> {
    let (before, after) = change;
    let mut broken = Vec::new();
    if before.is_none_or(|before| before.trust != after.trust) {
        let replaced = replaced(record, name, |wanted| wanted.trust(account) == after.trust);
        broken.extend(note(record, instance, (account, name), &after.trust.to_string(), (replaced, now)));
    }
    broken
}

/// When the last version that wants something was replaced; none if it is the present one, or there was never any.
fn replaced(record: &Record, role: &str, wants: impl Fn(&Wanted<'_>) -> bool) -> Option<Duration> {
    let mut last = None;
    for versions in record.versions().values() {
        for (index, (_, object)) in versions.iter().enumerate() {
            let wanted = object.as_ref().map(|object: &Value| Wanted(object));
            if wanted.is_some_and(|wanted| wanted.role_name() == role && wants(&wanted)) {
                let (end, _) = versions.get(index + 1)?;
                last = last.max(Some(*end));
            }
        }
    }
    last
}

fn note(
    record: &mut Record,
    instance: &str,
    (account, role): (&str, &str),
    value: &str,
    (replaced, now): (Option<Duration>, Duration),
) -> Option<String> {
    let field = (account.to_owned(), role.to_owned());
    let former = record.contention.fields.insert(field, (instance.to_owned(), value.to_owned(), now));
    let (other, theirs, at) = former?;
    let is_older = other != instance && theirs != value && replaced.is_some_and(|replaced| replaced < at);
    is_older.then(|| {
        format!("contention: {instance} makes the trust of {role} in {account} {value}, and {other} knew better before")
    })
}
