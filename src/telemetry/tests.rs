//! Dashboard, alerts and runbook speak of what there is.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{catalog, metrics::INTEGRATION_STATES};
use crate::api::{AccountState, Reason};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The alerts of the rules.
fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("deploy/prometheus/rules.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
}

/// All queries, of the alerts and of the dashboard.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    alerts().iter().map(|alert| text(&alert["expr"])).chain(targets.map(|target| text(&target["expr"]))).collect()
}

/// The series that a query names, with the text of each one's selector.
fn series(query: &str) -> Vec<(String, String)> {
    let starts = query.match_indices(catalog::PREFIX).map(|(at, _)| &query[at..]);
    let is_name = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
    let split = starts.map(|rest| rest.split_at(rest.find(|letter| !is_name(letter)).unwrap_or(rest.len())));
    let selector =
        |rest: &str| rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(it, _)| it.to_owned());
    split.map(|(name, rest)| (name.to_owned(), selector(rest).unwrap_or_default())).collect()
}

/// Whether a label of a metric may have a value.
fn is_known(metric: &str, label: &str, value: &str) -> bool {
    let reasons = [
        Reason::AccessDenied,
        Reason::CredentialsUnavailable,
        Reason::NotFoundInAccount,
        Reason::ServiceUnavailable,
        Reason::Throttled,
        Reason::UnexpectedAnswer,
        Reason::Unreachable,
    ];
    let described = || {
        let metric = catalog::ALL.iter().find(|it| it.name == metric).unwrap();
        metric.labels.iter().any(|(name, values)| *name == label && values.contains(&format!("`{value}`")))
    };
    match (metric, label) {
        ("accounts", "state") => AccountState::ALL.iter().any(|state| format!("{state:?}") == value),
        ("integrations", "state") => INTEGRATION_STATES.contains(&value),
        ("aws_calls", "outcome") => value == "Ok" || reasons.iter().any(|reason| reason.to_string() == value),
        _ => described(),
    }
}

#[test]
fn queries_name_only_what_there_is() {
    let queries = queries();
    assert!(queries.len() > 30, "{queries:#?}");
    let mut used = BTreeSet::new();
    for query in &queries {
        for (name, selector) in series(query) {
            let metric = catalog::ALL.iter().find(|metric| metric.series().contains(&name));
            let metric = metric.unwrap_or_else(|| panic!("there is no {name}: {query}"));
            used.insert(metric.name);
            for matcher in selector.split(',').filter(|it| !it.is_empty()) {
                let (label, value) = matcher.split_once(['=', '!']).unwrap();
                let value = value.trim_start_matches(['=', '~']).trim_matches('"');
                let known = label == "job" || metric.labels.iter().any(|(known, _)| *known == label);
                assert!(known, "{name} has no label {label}: {query}");
                let known = value.split('|').all(|value| label == "job" || is_known(metric.name, label, value));
                assert!(known, "{name} has no {label} {value}: {query}");
            }
        }
    }
    let unused: Vec<&str> = catalog::ALL.iter().map(|metric| metric.name).filter(|it| !used.contains(it)).collect();
    assert_eq!(unused, Vec::<&str>::new(), "neither the dashboard nor an alert has it");
}

#[test]
fn every_alert_says_what_to_do_and_is_tested() {
    let (runbook, tests) = (read("docs/runbook.md"), read("deploy/prometheus/tests.yaml"));
    let headings: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    let names: Vec<&str> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    assert_eq!(headings, names, "the runbook has an entry for each alert, in the same order");
    for (alert, name) in alerts.iter().zip(&names) {
        let annotations = &alert["annotations"];
        assert_eq!(annotations["runbook_url"], format!("docs/runbook.md#{}", name.to_lowercase()));
        for field in ["summary", "description"] {
            assert!(annotations[field].as_str().is_some_and(|text| text.len() > 10), "{name}: {field}");
        }
        assert!(["critical", "warning", "info"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
        let entry = runbook.split(&format!("## {name}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        for part in ["**It means**", "**Look**", "**Do**"] {
            assert!(entry.contains(part), "{name}: {part}");
        }
        assert!(tests.contains(&format!(r#"ALERTS{{alertname="{name}",alertstate="firing""#)), "{name} has no test");
    }
}

#[test]
fn links_in_the_runbook_lead_somewhere() {
    let runbook = read("docs/runbook.md");
    let anchors: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    for target in runbook.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        match target.strip_prefix('#') {
            Some(anchor) => assert!(anchors.contains(anchor), "{target}"),
            None => assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(target).exists(), "{target}"),
        }
    }
}
