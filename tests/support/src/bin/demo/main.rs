//! `make demo`: one account goes to Ready, is attacked, heals, and is cleaned up, and then a whole
//! organization is connected, on a real Kubernetes API server and an AWS backend of this machine. What it
//! claims it has looked up.

mod account;
mod diff;
mod keep;
mod organization;
mod screen;
mod stage;
mod steps;
mod stop;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use testkit::Result;
use testkit::process::process_exists;

use screen::Screen;
use stage::{OPERATOR, Stage};
use stop::{Stop, StopSignals};

const USAGE: &str = "\
Shows the operator at work on a Kubernetes API server and an AWS backend that it starts.

Usage: demo [--keep]

  --keep   leave everything running at the end, and print how to look at it; Ctrl-C ends it
";

/// Lines of the operator's log that a failure shows.
const TAIL: usize = 40;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--keep"] => true,
        ["--help" | "-h"] => return write(&mut std::io::stdout(), USAGE, ExitCode::SUCCESS),
        _ => return complain(USAGE, 2),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("The demo cannot start: {error}\n"), 1),
    };
    runtime.block_on(async {
        match run(keep).await {
            Ok(code) => ExitCode::from(code),
            Err(text) => complain(&format!("\nThe demo failed: {text}\n"), 1),
        }
    })
}

/// Gives the exit code, or the text of a failure.
async fn run(keep: bool) -> Result<u8, String> {
    let text = |error: testkit::Error| error.to_string();
    // Commands are shown with paths from here.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::set_current_dir(&root).map_err(|error| format!("cannot go to {}: {error}", root.display()))?;
    let mut signals = StopSignals::new().map_err(text)?;
    let mut stage = None;
    let mut stop = tokio::select! {
        biased;
        stop = signals.next() => Some(stop),
        outcome = play(&mut stage, keep) => match outcome {
            Ok(()) => None,
            Err(error) => return Err(explain(&error, stage.as_ref())),
        }
    };
    let mut code = stop.map_or(0, Stop::exit_code);
    if let (None, true, Some(stage)) = (stop, keep, &stage) {
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

async fn play(place: &mut Option<Stage>, keep: bool) -> Result<()> {
    let screen = Screen::new();
    steps::introduce(&screen)?;
    let stage = place.insert(Stage::start(screen, keep).await?);
    steps::install(stage).await?;
    steps::start_operator(stage).await?;
    steps::connect(stage).await?;
    let before = steps::show_account(stage).await?;
    let attacked = steps::attack(stage, &before).await?;
    steps::heal(stage, &before, &attacked).await?;
    steps::delete(stage).await?;
    let organization = organization::connect(stage).await?;
    organization::grow(stage, &organization).await?;
    if keep {
        keep::connect_again(stage).await?;
        return keep::explain(stage).await;
    }
    organization::disconnect(stage).await
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
