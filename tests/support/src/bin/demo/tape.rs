//! What was printed, when, and in which colours.

use std::time::{Duration, Instant};

/// What a piece of text is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Title,
    Command,
    Verified,
    Gone,
    New,
}

/// A line, and how long after the former one it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) after: Duration,
    pub(crate) pieces: Vec<(Ink, String)>,
}

/// A record of lines.
#[derive(Debug)]
pub(crate) struct Tape {
    last: Instant,
    rolls: bool,
    lines: Vec<Line>,
}

impl Tape {
    pub(crate) fn new() -> Self {
        Self { last: Instant::now(), rolls: false, lines: Vec::new() }
    }

    /// From here on lines are kept, or not.
    pub(crate) fn roll(&mut self, rolls: bool) {
        self.last = Instant::now();
        self.rolls = rolls;
    }

    pub(crate) fn add(&mut self, pieces: &[(Ink, &str)]) {
        if self.rolls {
            let now = Instant::now();
            let after = now.duration_since(self.last);
            self.last = now;
            let pieces = pieces.iter().map(|(ink, text)| (*ink, (*text).to_owned())).collect();
            self.lines.push(Line { after, pieces });
        }
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_printed_while_it_rolls_is_kept() {
        let mut tape = Tape::new();
        tape.add(&[(Ink::Plain, "before")]);
        tape.roll(true);
        tape.add(&[(Ink::Plain, "$ "), (Ink::Command, "ls")]);
        tape.roll(false);
        tape.add(&[(Ink::Plain, "after")]);
        let kept: Vec<_> = tape.lines().iter().map(|line| line.pieces.clone()).collect();
        assert_eq!(kept, [[(Ink::Plain, "$ ".to_owned()), (Ink::Command, "ls".to_owned())]]);
    }
}
