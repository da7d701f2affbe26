//! The documentation: links lead somewhere, and each reason has its entry.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        ["README.md", "deploy/README.md", "charts/port-aws-operator/README.md", "benches/README.md"]
            .map(PathBuf::from)
            .into();
    for dir in ["docs", "docs/adr"] {
        let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|it| it == "md")));
    }
    pages
}

/// As a forge makes them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let slug = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.chars().filter(|it| it.is_alphanumeric() || "-_ ".contains(*it)).collect::<String>().replace(' ', "-")
    };
    text.lines().filter(|line| line.starts_with('#')).map(slug).collect()
}

#[test]
fn each_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.parent().unwrap_or(Path::new(""));
            let target = if path.is_empty() { page.clone() } else { folder.join(path) };
            let there = target.exists()
                && (anchor.is_empty() || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor));
            if !there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn each_reason_has_an_entry_and_no_entry_is_of_none() {
    let source = fs::read_to_string("src/api/reason.rs").unwrap();
    let body = source.split("pub enum Reason {").nth(1).unwrap().split("\n}").next().unwrap();
    let reasons: BTreeSet<&str> = body.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    let page = fs::read_to_string("docs/troubleshooting.md").unwrap();
    let entries: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert!(!reasons.is_empty());
    assert_eq!(reasons, entries);
}
