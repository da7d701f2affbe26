//! The documentation: links lead somewhere, and each reason has its entry.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "delivery/documents/blocks.rs"]
mod blocks;

use blocks::pages;
use port_aws_operator::manifest::Documents;
use std::{collections::BTreeSet, fs, path::Path};

/// As a forge makes them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let slug = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.chars().filter(|it| it.is_alphanumeric() || "-_ ".contains(*it)).collect::<String>().replace(' ', "-")
    };
    text.lines().filter(|line| line.starts_with('#')).map(slug).collect()
}

/// What is in backticks is no link, even if it looks like one.
fn without_code(text: &str) -> String {
    text.lines().map(|line| line.split('`').step_by(2).collect::<String>() + "\n").collect()
}

#[test]
fn each_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = without_code(&fs::read_to_string(&page).unwrap());
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

/// Each resource that a page or a sample shows is one that the API server would take, by schema and rules.
#[test]
fn each_resource_of_ours_is_valid() {
    let mut found = Documents::default();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in blocks::blocks(&text).into_iter().filter(|block| block.language == "yaml") {
            // Pages may show the same resource at several stages.
            let mut one = Documents::default();
            if block.body.contains("integrations.port.io/v1alpha1") {
                one.read(&format!("{}:{}", page.display(), block.line), &block.body, "demo");
            }
            found.errors.extend(one.errors);
            found.integrations.extend(one.integrations);
        }
    }
    assert!(found.errors.is_empty(), "{:#?}", found.errors);
    assert!(found.integrations.len() >= 4, "the pages show {} integrations", found.integrations.len());
}

/// Forges show no picture with a script, and people wait for a large one. The recorded one is of somebody's machine.
#[test]
fn pictures_are_small_and_tell_of_no_machine() {
    for picture in fs::read_dir("docs/images").unwrap() {
        let picture = picture.unwrap().path();
        let text = fs::read_to_string(&picture).unwrap();
        assert!(text.len() <= 150_000, "{}: {} bytes", picture.display(), text.len());
        for bad in ["<script", "href=", "/home/", "/root/", "/tmp/", "/Users/"] {
            assert!(!text.contains(bad), "{}: {bad}", picture.display());
        }
    }
}

/// A command that no test runs has a mark that says why, so that nobody takes it for tried. Tests of the delivery run
/// the others.
#[test]
fn each_command_that_is_not_run_says_why() {
    let mut reasons = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in blocks::commands(&text) {
            let place = format!("{}:{}", page.display(), block.line);
            assert!(!(block.not_run.is_some() && block.until.is_some()), "{place}: two marks");
            reasons.extend(block.not_run.map(|reason| (place, reason)));
        }
        let marks = text.matches("<!-- not run").count() + text.matches("<!-- run").count();
        let read = blocks::commands(&text).iter().filter(|it| it.not_run.is_some() || it.until.is_some()).count();
        assert_eq!(marks, read, "{}: a mark is above no block of commands, or not understood", page.display());
    }
    let bare: Vec<_> = reasons.iter().filter(|(_, reason)| reason.split_whitespace().count() < 3).collect();
    assert!(bare.is_empty(), "{bare:#?}");
    assert!(!reasons.is_empty());
}
