//! Measures the operator with many accounts: in one resource, or in a resource each. See `benches/README.md`.

mod figures;
mod load;

use std::{io::Write, path::PathBuf, process::ExitCode};

use load::{Mode, Run};

const HELP: &str = "\
Measures the operator with many accounts, on a Kubernetes API server and an AWS backend that it starts.

Usage: scale accounts|resources [COUNT] [OPTIONS]

  accounts                     one resource with COUNT accounts (2,000)
  resources                    COUNT resources (1,000) with an account each

  --operator PATH              the operator (target/release/port-aws-operator)
  --max-assume-role-rate N     calls to AssumeRole a second; as the operator has it if not given
  --max-passes N               passes at once; as the operator has it if not given
  --malloc-arenas N            MALLOC_ARENA_MAX of the operator
  --json                       prints one JSON object
";

/// What the command line says.
struct Arguments {
    run: Run,
    json: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return write(&mut std::io::stdout(), HELP, ExitCode::SUCCESS);
    }
    let Some(Arguments { run, json }) = parse(arguments.into_iter()) else {
        return write(&mut std::io::stderr(), HELP, ExitCode::from(2));
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(load::measure(&run)) {
        Ok(figures) => {
            let text = if json { figures.json() } else { figures.text() };
            write(&mut std::io::stdout(), &text, ExitCode::SUCCESS)
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let (mode, usual) = match arguments.next()?.as_str() {
        "accounts" => (Mode::Accounts, 2000),
        "resources" => (Mode::Resources, 1000),
        _ => return None,
    };
    let operator = PathBuf::from("target/release/port-aws-operator");
    let mut run = Run { mode, count: usual, operator, arguments: Vec::new(), environment: Vec::new() };
    let mut json = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--operator" => run.operator = arguments.next()?.into(),
            "--max-assume-role-rate" | "--max-passes" => run.arguments.extend([argument, arguments.next()?]),
            "--malloc-arenas" => run.environment.push(("MALLOC_ARENA_MAX".to_owned(), arguments.next()?)),
            count => run.count = count.parse().ok().filter(|count| *count > 0)?,
        }
    }
    Some(Arguments { run, json })
}

fn fail(text: &str) -> ExitCode {
    write(&mut std::io::stderr(), &format!("scale: {text}\n"), ExitCode::FAILURE)
}

/// Nobody is left to tell if it fails.
fn write(to: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    let _ = to.write_all(text.as_bytes());
    code
}
