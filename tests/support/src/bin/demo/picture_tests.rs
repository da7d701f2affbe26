use super::*;

fn line(after: u64, pieces: &[(Ink, &str)]) -> Line {
    let pieces = pieces.iter().map(|(ink, text)| (*ink, (*text).to_owned())).collect();
    Line { after: Duration::from_millis(after), pieces }
}

fn plain(after: u64, text: &str) -> Line {
    line(after, &[(Ink::Plain, text)])
}

#[test]
fn what_xml_would_read_is_escaped_and_colours_are_classes() {
    let row = line(0, &[(Ink::Plain, "  $ "), (Ink::Command, "a <b> && c"), (Ink::Plain, "  ")]);
    // The spaces of the text do not break.
    let expected = "<text x=\"16.8\" y=\"55\" textLength=\"100.8\" lengthAdjust=\"spacingAndGlyphs\">\
                    $~<tspan class=\"c\">a~&lt;b&gt;~&amp;&amp;~c</tspan></text>";
    assert_eq!(text(&row, 2), Some(expected.replace('~', "\u{a0}")));
    assert_eq!(text(&plain(0, "   "), 2), None);
    assert_eq!(escape("a\u{1b}[1m\tb"), "a[1mb");
    let inks = [Ink::Title, Ink::Command, Ink::Verified, Ink::Gone, Ink::New];
    for class in inks.map(|ink| class(ink).unwrap_or("none")) {
        assert!(STYLE.contains(&format!(".{class}{{")), "{class}");
    }
}

#[test]
fn pauses_are_kept_within_bounds() {
    let title = line(0, &[(Ink::Title, "== 1")]);
    let rows = [title.clone(), plain(0, "a"), plain(700, "b"), plain(60_000, "c"), title];
    let found = times(&rows);
    let gaps: Vec<_> = found.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    assert_eq!(found[0], SHORTEST);
    assert_eq!(gaps, [SHORTEST, Duration::from_millis(700), LONGEST, BEFORE_TITLE]);
}

#[test]
fn rows_come_up_one_by_one_and_the_end_is_what_stands_still() {
    let rows: Vec<_> = (0..40).map(|number| plain(0, &number.to_string())).collect();
    let motion = motion(&[Duration::from_secs(1), Duration::from_secs(3)], Duration::from_secs(10));
    assert!(motion.contains("0%{transform:translateY(520px)}10.00%{transform:translateY(500px)}30.00%"), "{motion}");
    assert!(motion.contains("animation:roll 10.0s step-end infinite"), "{motion}");
    let svg = picture(&rows, &[]).unwrap_or_default();
    assert!(svg.contains("transform=\"translate(0,-280)\""), "{svg}");
    assert!(svg.contains(">39</text>"), "{svg}");
    assert!(!svg.contains("<script") && !svg.contains("href"), "{svg}");
}

#[test]
fn a_line_that_is_too_long_goes_on_in_the_next_row() {
    let text = "x".repeat(COLUMNS);
    let found = rows(&[line(5, &[(Ink::Plain, "ab"), (Ink::New, &text)]), plain(0, "é")]);
    let widths = found.iter().map(|row| row.pieces.iter().map(|(_, text)| text.chars().count()).sum::<usize>());
    assert_eq!(widths.collect::<Vec<_>>(), [COLUMNS, 2, 1]);
    assert_eq!(found[1].pieces, [(Ink::New, "xx".to_owned())]);
}

#[test]
fn what_is_private_or_too_large_is_refused() {
    let lines = [plain(0, "see /home/me/file")];
    assert_eq!(picture(&lines, &["/home/me".to_owned()]), Err("the picture would show /home/me".to_owned()));
    let many: Vec<_> = (0..3000).map(|_| plain(0, &"x".repeat(60))).collect();
    assert!(picture(&many, &[]).is_err_and(|error| error.contains("more than 150000")));
    assert!(picture(&[], &[]).is_err());
}
