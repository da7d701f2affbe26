//! What the demo prints: plain text that reads well without colour, and in colour on a terminal. A tape
//! keeps what is to be shown elsewhere.

use std::ffi::OsStr;
use std::io::{IsTerminal, Stdout, Write, stdout};
use std::sync::{Mutex, MutexGuard, PoisonError};

use testkit::{Error, Result};

use crate::diff::{Line, diff};
use crate::tape::{Ink, Tape};

/// Text is broken into lines of at most this many characters; what programs print is not.
const WIDTH: usize = 96;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    colour: bool,
    out: Stdout,
    tape: Mutex<Tape>,
}

impl Screen {
    /// In colour only on a terminal, and not if `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) fn new() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == OsStr::new("dumb"));
        let out = stdout();
        Self { colour: out.is_terminal() && !is_set("NO_COLOR") && !dumb, out, tape: Mutex::new(Tape::new()) }
    }

    /// The tape, of which nothing is kept until it rolls.
    pub(crate) fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The beginning of a step.
    pub(crate) fn title(&self, text: &str) -> Result<()> {
        self.print(&[])?;
        self.print(&[(Ink::Title, &format!("== {text}"))])
    }

    /// What happens, and why it matters.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        self.paragraph("", text, Ink::Plain)
    }

    /// A command, as a user would type it.
    pub(crate) fn command(&self, line: &str) -> Result<()> {
        self.print(&[(Ink::Plain, "  $ "), (Ink::Command, line)])
    }

    /// What a program printed.
    pub(crate) fn output(&self, text: &str) -> Result<()> {
        text.lines().try_for_each(|line| self.print(&[(Ink::Plain, format!("    {line}").trim_end())]))
    }

    /// A line that can be copied as it is.
    pub(crate) fn plain(&self, line: &str) -> Result<()> {
        self.print(&[(Ink::Plain, line)])
    }

    /// Something that has been looked up and found to be so.
    pub(crate) fn verified(&self, text: &str) -> Result<()> {
        self.paragraph("  ok: ", text, Ink::Verified)
    }

    /// What a program printed, with what has come and gone since the former time.
    pub(crate) fn changes(&self, former: &str, text: &str) -> Result<()> {
        diff(former, text).into_iter().try_for_each(|line| match line {
            Line::Same(line) => self.output(line),
            Line::Gone(line) => self.print(&[(Ink::Gone, &format!("  - {line}"))]),
            Line::New(line) => self.print(&[(Ink::New, &format!("  + {line}"))]),
        })
    }

    fn paragraph(&self, mark: &str, text: &str, ink: Ink) -> Result<()> {
        let indent = " ".repeat(mark.len());
        for (number, line) in wrapped(text, WIDTH - mark.len()).into_iter().enumerate() {
            let start = if number == 0 { mark } else { &indent };
            self.print(&[(ink, &format!("{start}{line}"))])?;
        }
        Ok(())
    }

    /// Prints a line. Whoever reads may have gone away, as `head` does: that ends the demo in order.
    fn print(&self, pieces: &[(Ink, &str)]) -> Result<()> {
        self.tape().add(pieces);
        let painted = pieces.iter().map(|(ink, text)| self.paint(*ink, text));
        let text = painted.collect::<String>() + "\n";
        let written = self.out.lock().write_all(text.as_bytes());
        written.map_err(|source| Error::Io { what: "cannot write to standard output".to_owned(), source })
    }

    fn paint(&self, ink: Ink, text: &str) -> String {
        let colour = colour(ink).filter(|_| self.colour);
        colour.map_or_else(|| text.to_owned(), |colour| format!("\x1b[{colour}m{text}\x1b[0m"))
    }
}

/// As terminals call it.
fn colour(ink: Ink) -> Option<&'static str> {
    match ink {
        Ink::Plain => None,
        Ink::Title => Some("1;36"),
        Ink::Command => Some("1"),
        Ink::Gone => Some("31"),
        Ink::Verified | Ink::New => Some("32"),
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// A command line that a shell reads as these words.
pub(crate) fn command_line(words: &[&str]) -> String {
    let quoted = words.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@,%+-".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            (*word).to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("a bb  ccc\n dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrapped("abcdefgh i", 4), ["abcdefgh", "i"]);
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(command_line(&["kubectl", "get", "pai", "-n=a"]), "kubectl get pai -n=a");
        assert_eq!(command_line(&["--for=jsonpath={.a}=1", "it's", ""]), r"'--for=jsonpath={.a}=1' 'it'\''s' ''");
    }

    #[test]
    fn colour_is_around_the_text_or_absent() {
        let screen = |colour| Screen { colour, out: stdout(), tape: Mutex::new(Tape::new()) };
        assert_eq!(screen(true).paint(Ink::Command, "x"), "\x1b[1mx\x1b[0m");
        assert_eq!(screen(true).paint(Ink::Plain, "x"), "x");
        assert_eq!(screen(false).paint(Ink::Command, "x"), "x");
    }
}
