//! A tape as an SVG that plays like a terminal, by CSS alone: forges show it within a page. What does not play it, and
//! who asked for less motion, sees the end.

use std::fmt::Write;
use std::time::Duration;

use crate::tape::{Ink, Line};

const COLUMNS: usize = 100;
const ROWS: usize = 26;
/// In pixels, for the size of the font below.
const COLUMN: f64 = 8.4;
const ROW: usize = 20;
const WIDTH: usize = COLUMNS * 84 / 10;
const MARGIN: usize = 18;
const BAR: usize = 36;
/// A line stays at least so long before the next, so that it can be read ...
const SHORTEST: Duration = Duration::from_millis(140);
/// ... and a pause takes at most so long.
const LONGEST: Duration = Duration::from_millis(1500);
/// Before a title, and at the end, there is time to look.
const BEFORE_TITLE: Duration = Duration::from_millis(2500);
const AT_END: Duration = Duration::from_secs(8);
/// Forges show larger ones, but people wait for them.
const MAX_BYTES: usize = 150_000;

const STYLE: &str = "\
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#c9d1d9}\
.t{fill:#56d4dd;font-weight:bold}.c{fill:#fff;font-weight:bold}.v{fill:#7ee787}.g{fill:#ff7b72}.n{fill:#e3b341}";

/// The picture of what is on a tape. `private` is what must not be in it, such as the paths of this machine.
pub(crate) fn picture(lines: &[Line], private: &[String]) -> Result<String, String> {
    let rows = rows(lines);
    if rows.is_empty() {
        return Err("nothing was recorded".to_owned());
    }
    let times = times(&rows);
    let svg = draw(&rows, &times);
    if let Some(found) = private.iter().find(|it| svg.contains(it.as_str())) {
        return Err(format!("the picture would show {found}"));
    }
    if svg.len() > MAX_BYTES {
        return Err(format!("the picture has {} bytes, more than {MAX_BYTES}", svg.len()));
    }
    Ok(svg)
}

/// Lines as a terminal shows them: what is too long goes on in the next row, at once.
fn rows(lines: &[Line]) -> Vec<Line> {
    let mut rows = Vec::new();
    for line in lines {
        let mut row = Line { after: line.after, pieces: Vec::new() };
        let mut used = 0;
        for (ink, text) in &line.pieces {
            let mut rest: &str = text;
            while used + rest.chars().count() > COLUMNS {
                let at = rest.char_indices().nth(COLUMNS - used).map_or(rest.len(), |(at, _)| at);
                row.pieces.push((*ink, rest[..at].to_owned()));
                rows.push(std::mem::replace(&mut row, Line { after: Duration::ZERO, pieces: Vec::new() }));
                (rest, used) = (&rest[at..], 0);
            }
            used += rest.chars().count();
            row.pieces.push((*ink, rest.to_owned()));
        }
        rows.push(row);
    }
    rows
}

/// When each row appears. Pauses are as they were, within what can be read and what does not bore.
fn times(rows: &[Line]) -> Vec<Duration> {
    let mut now = Duration::ZERO;
    let mut times = Vec::new();
    for row in rows {
        let is_title = row.pieces.first().is_some_and(|(ink, _)| *ink == Ink::Title);
        let least = if is_title && times.len() > 1 { BEFORE_TITLE } else { SHORTEST };
        now += row.after.clamp(least, LONGEST.max(least));
        times.push(now);
    }
    times
}

fn draw(rows: &[Line], times: &[Duration]) -> String {
    let whole = times.last().copied().unwrap_or_default() + AT_END;
    let width = 2 * MARGIN + WIDTH;
    let height = BAR + ROWS * ROW + MARGIN;
    let mut svg = String::new();
    let mut add = |text: &str| {
        svg.push_str(text);
        svg.push('\n');
    };
    add(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">"
    ));
    add("<title>make demo: an account is connected, attacked, and healed</title>");
    add(&format!("<style>{STYLE}\n{}</style>", motion(times, whole)));
    add(&format!(
        "<rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"#0d1117\" stroke=\"#6e7681\"/>",
        width - 1,
        height - 1
    ));
    for (number, colour) in ["#ff5f56", "#ffbd2e", "#27c93f"].iter().enumerate() {
        add(&format!("<circle cx=\"{}\" cy=\"18\" r=\"5\" fill=\"{colour}\"/>", 20 + 18 * number));
    }
    add(&format!("<text x=\"{}\" y=\"23\" text-anchor=\"middle\">make demo</text>", width / 2));
    add(&format!("<svg x=\"{MARGIN}\" y=\"{BAR}\" width=\"{}\" height=\"{}\">", WIDTH + MARGIN, ROWS * ROW));
    add(&format!("<g id=\"roll\" transform=\"translate(0,{})\">", offset(rows.len())));
    for (number, row) in rows.iter().enumerate() {
        if let Some(text) = text(row, number) {
            add(&text);
        }
    }
    add("</g>\n</svg>\n</svg>");
    svg
}

/// Where the rows are once so many are shown: the last one is at the bottom.
fn offset(shown: usize) -> i64 {
    let [shown, rows, height] = [shown, ROWS, ROW].map(|it| i64::try_from(it).unwrap_or_default());
    (rows - shown) * height
}

/// The steps by which rows come up.
fn motion(times: &[Duration], whole: Duration) -> String {
    let mut steps = String::new();
    // Rows that come at the same moment come by one step.
    let shown = times.iter().enumerate().filter(|(number, time)| times.get(number + 1) != Some(time));
    for (number, time) in shown {
        let percent = 100.0 * time.as_secs_f64() / whole.as_secs_f64();
        let _ = write!(steps, "{percent:.2}%{{transform:translateY({}px)}}", offset(number + 1));
    }
    format!(
        "#roll{{animation:roll {:.1}s step-end infinite}}\n@keyframes roll{{0%{{transform:translateY({}px)}}{steps}}}\n\
         @media(prefers-reduced-motion:reduce){{#roll{{animation:none}}}}",
        whole.as_secs_f64(),
        offset(0)
    )
}

/// A row, if there is anything in it. Its length is given, so that columns meet in every font.
fn text(row: &Line, number: usize) -> Option<String> {
    let whole: String = row.pieces.iter().map(|(_, text)| text.as_str()).collect();
    let blank = whole.chars().take_while(|it| *it == ' ').count();
    let length = whole.trim_end().chars().count().checked_sub(blank).filter(|length| *length > 0)?;
    let (mut skip, mut keep) = (blank, length);
    let mut inner = String::new();
    for (ink, text) in &row.pieces {
        let part: String = text.chars().skip(skip).take(keep).collect();
        skip = skip.saturating_sub(text.chars().count());
        keep -= part.chars().count();
        match class(*ink) {
            _ if part.is_empty() => {}
            Some(class) => {
                let _ = write!(inner, "<tspan class=\"{class}\">{}</tspan>", escape(&part));
            }
            None => inner += &escape(&part),
        }
    }
    let pixels = |columns: usize| COLUMN * f64::from(u32::try_from(columns).unwrap_or_default());
    let (x, y, length) = (pixels(blank), number * ROW + 15, pixels(length));
    Some(format!(
        "<text x=\"{x:.1}\" y=\"{y}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\">{inner}</text>"
    ))
}

fn class(ink: Ink) -> Option<&'static str> {
    match ink {
        Ink::Plain => None,
        Ink::Title => Some("t"),
        Ink::Command => Some("c"),
        Ink::Verified => Some("v"),
        Ink::Gone => Some("g"),
        Ink::New => Some("n"),
    }
}

/// As XML takes it: control characters cannot be in it at all. Of several spaces browsers show one, unless they are of
/// those that do not break.
fn escape(text: &str) -> String {
    let kept = text.chars().filter(|it| !it.is_control());
    kept.fold(String::new(), |mut all, letter| {
        match letter {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            ' ' => all.push('\u{a0}'),
            _ => all.push(letter),
        }
        all
    })
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
