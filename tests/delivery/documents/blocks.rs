//! The blocks of code in a page, with what a comment above each says of it.

use std::{fs, path::PathBuf};

/// Where pages are.
const FOLDERS: [&str; 9] = [
    ".",
    "benches",
    "charts/port-aws-operator",
    "deploy",
    "deploy/aws/terraform",
    "docs",
    "docs/adr",
    "tests/aws-backend",
    "tests/simulation",
];
/// A comment above a block of commands that no test runs, with the reason.
const NOT_RUN: &str = "<!-- not run: ";
/// A comment above a command that goes on until it is stopped, with what it says once it is well.
const UNTIL: &str = "<!-- run until: ";

/// All pages, by their paths from the repository's root, where tests run.
pub(crate) fn pages() -> Vec<PathBuf> {
    let files = FOLDERS.iter().flat_map(|folder| fs::read_dir(folder).expect(folder));
    let paths = files.map(|file| file.expect("a file").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|it| it == "md"));
    pages.map(|path| path.strip_prefix(".").map(PathBuf::from).unwrap_or(path)).collect()
}

/// A block between fences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of its first fence.
    pub(crate) line: usize,
    /// The heading that it is under; empty before the first.
    pub(crate) heading: String,
    pub(crate) language: String,
    /// Its lines, as a reader would copy them out of a list.
    pub(crate) body: String,
    pub(crate) not_run: Option<String>,
    pub(crate) until: Option<String>,
}

/// The blocks of a page, in order.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let (mut heading, mut above) = (String::new(), "");
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let start = line.trim_start();
        if let Some(language) = start.strip_prefix("```") {
            let indent = line.len() - start.len();
            let inner = lines.by_ref().map(|(_, line)| line).take_while(|line| !line.trim_start().starts_with("```"));
            let body: Vec<_> = inner.map(|line| line.get(indent..).unwrap_or_default()).collect();
            let mark = |mark: &str| Some(above.strip_prefix(mark)?.strip_suffix("-->")?.trim().to_owned());
            found.push(Block {
                line: number + 1,
                heading: heading.clone(),
                language: language.to_owned(),
                body: body.join("\n"),
                not_run: mark(NOT_RUN),
                until: mark(UNTIL),
            });
        } else if line.starts_with('#') {
            line.trim_start_matches('#').trim().clone_into(&mut heading);
        }
        above = start;
    }
    found
}

/// The blocks of commands for a shell.
pub(crate) fn commands(text: &str) -> Vec<Block> {
    blocks(text).into_iter().filter(|block| block.language == "sh").collect()
}

#[test]
fn blocks_are_found_with_their_marks() {
    let first = "a\n```sh\n# one\ntwo\n```\n## Heading\n1. item\n\n";
    let text = first.to_owned()
        + "   <!-- not run: why -->\n   ```sh\n   three\n     four\n   ```\n```yaml\nx: 1\n```\n"
        + "<!-- run until: ready -->\n```sh\nfive\n```\n";
    let found = commands(&text);
    let facts = |block: &Block| (block.line, block.heading.clone(), block.body.clone());
    let text = |text: &str| text.to_owned();
    assert_eq!(
        found.iter().map(facts).collect::<Vec<_>>(),
        [
            (2, text(""), text("# one\ntwo")),
            (10, text("Heading"), text("three\n  four")),
            (18, text("Heading"), text("five")),
        ]
    );
    assert_eq!(found.iter().map(|it| it.not_run.as_deref()).collect::<Vec<_>>(), [None, Some("why"), None]);
    assert_eq!(found.iter().map(|it| it.until.as_deref()).collect::<Vec<_>>(), [None, None, Some("ready")]);
}
