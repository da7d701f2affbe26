//! `make demo`: one account goes to Ready, is attacked, heals, and is cleaned up, and then a whole
//! organization is connected, on a real Kubernetes API server and an AWS backend of this machine. What it
//! claims it has looked up.

mod account;
mod diff;
mod keep;
mod organization;
mod picture;
mod screen;
mod stage;
mod steps;
mod stop;
mod tape;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use testkit::process::process_exists;
use testkit::{Error, Result};

use screen::Screen;
use stage::{OPERATOR, Stage};
use stop::{Stop, StopSignals};

const USAGE: &str = "\
Shows the operator at work on a Kubernetes API server and an AWS backend that it starts.

Usage: demo [--keep] [--record FILE]

  --keep          leave everything running at the end, and print how to look at it; Ctrl-C ends it
  --record FILE   draw the part from connecting to healing as an animated SVG
";

/// Lines of the operator's log that a failure shows.
const TAIL: usize = 40;

/// What it is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    keep: bool,
    /// The file of the picture, from the repository's root.
    record: Option<PathBuf>,
    help: bool,
}

impl Wishes {
    /// `None` if there is something that it does not know.
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut wishes = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--keep" => wishes.keep = true,
                "--record" => wishes.record = Some(arguments.next()?.into()),
                "--help" | "-h" => wishes.help = true,
                _ => return None,
            }
        }
        Some(wishes)
    }
}

fn main() -> ExitCode {
    let wishes = match Wishes::read(std::env::args().skip(1)) {
        Some(Wishes { help: true, .. }) => return write(&mut std::io::stdout(), USAGE, ExitCode::SUCCESS),
        Some(wishes) => wishes,
        None => return complain(USAGE, 2),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("The demo cannot start: {error}\n"), 1),
    };
    runtime.block_on(async {
        match run(&wishes).await {
            Ok(code) => ExitCode::from(code),
            Err(text) => complain(&format!("\nThe demo failed: {text}\n"), 1),
        }
    })
}

/// Gives the exit code, or the text of a failure.
async fn run(wishes: &Wishes) -> Result<u8, String> {
    let text = |error: testkit::Error| error.to_string();
    // Commands are shown with paths from here.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::set_current_dir(&root).map_err(|error| format!("cannot go to {}: {error}", root.display()))?;
    let mut signals = StopSignals::new().map_err(text)?;
    let mut stage = None;
    let mut stop = tokio::select! {
        biased;
        stop = signals.next() => Some(stop),
        outcome = play(&mut stage, wishes) => match outcome {
            Ok(()) => None,
            Err(error) => return Err(explain(&error, stage.as_ref())),
        }
    };
    let mut code = stop.map_or(0, Stop::exit_code);
    if let (None, true, Some(stage)) = (stop, wishes.keep, &stage) {
        let asked = tokio::select! {
            biased;
            asked = signals.next() => asked,
            error = keep::until_it_breaks(stage) => return Err(explain(&error, Some(stage))),
        };
        stop = Some(asked);
        // That is how it is meant to end.
        code = 0;
    }
    end(stage, stop).map_err(text)?;
    Ok(code)
}

async fn play(place: &mut Option<Stage>, wishes: &Wishes) -> Result<()> {
    let keep = wishes.keep;
    let screen = Screen::new();
    steps::introduce(&screen)?;
    let stage = place.insert(Stage::start(screen, keep).await?);
    steps::install(stage).await?;
    steps::start_operator(stage).await?;
    stage.screen.tape().roll(true);
    steps::connect(stage).await?;
    let before = steps::show_account(stage).await?;
    let attacked = steps::attack(stage, &before).await?;
    steps::heal(stage, &before, &attacked).await?;
    stage.screen.tape().roll(false);
    if let Some(file) = &wishes.record {
        record(&stage.screen, file)?;
    }
    steps::delete(stage).await?;
    let organization = organization::connect(stage).await?;
    organization::grow(stage, &organization).await?;
    if keep {
        keep::connect_again(stage).await?;
        return keep::explain(stage).await;
    }
    organization::disconnect(stage).await
}

/// Draws what was recorded.
fn record(screen: &Screen, file: &Path) -> Result<()> {
    let io = |what: &str| {
        let what = format!("cannot {what}");
        move |source| Error::Io { what, source }
    };
    let here = std::env::current_dir().and_then(|root| root.canonicalize()).map_err(io("find the repository"))?;
    let home = std::env::var("HOME").unwrap_or_default();
    let private = [here.display().to_string(), home, std::env::temp_dir().display().to_string()];
    // A home of one letter is the root, with which every path begins.
    let private: Vec<String> = private.into_iter().filter(|path| path.len() > 1).collect();
    let svg = picture::picture(screen.tape().lines(), &private).map_err(stage::failed)?;
    std::fs::write(file, svg).map_err(io(&format!("write {}", file.display())))
}

/// Ends everything, and says so once it is so.
fn end(stage: Option<Stage>, stop: Option<Stop>) -> Result<()> {
    let screen = Screen::new();
    if let Some(stop) = stop {
        screen.plain("")?;
        screen.say(stop.text())?;
    }
    let Some(stage) = stage else { return Ok(()) };
    let (pids, folder) = (stage.pids(), stage.plane.data_dir().to_owned());
    drop(stage);
    let left: Vec<u32> = pids.into_iter().filter(|pid| process_exists(*pid)).collect();
    stage::ensure(left.is_empty(), "every process has ended", || format!("{left:?}"))?;
    if folder.exists() {
        return screen.verified(&format!("every process has ended; files are kept in {}", folder.display()));
    }
    screen.verified("every process that the demo started has ended, and its files are removed")?;
    if stop.is_none() {
        screen.say("To look around yourself: 'make demo KEEP=1' leaves everything running.")?;
    }
    Ok(())
}

fn explain(error: &testkit::Error, stage: Option<&Stage>) -> String {
    // An error about the operator's process has the end of its log already.
    let has_log = matches!(error, testkit::Error::Process { name, .. } if name == OPERATOR);
    match stage.and_then(|stage| stage.operator_log_tail(TAIL)) {
        Some(tail) if !has_log => format!("{error}\n\n--- end of the operator's log ---\n{tail}"),
        _ => error.to_string(),
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    write(&mut std::io::stderr(), text, ExitCode::from(code))
}

fn write(to: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    // There is nobody to tell that nobody listens.
    let _ = to.write_all(text.as_bytes());
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Wishes> {
        Wishes::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn wishes_are_read_or_refused() {
        assert_eq!(read(""), Some(Wishes::default()));
        let both = Wishes { keep: true, record: Some("a.svg".into()), help: false };
        assert_eq!(read("--record a.svg --keep"), Some(both));
        assert_eq!(read("--record"), None);
        assert_eq!(read("--keep now"), None);
    }
}
