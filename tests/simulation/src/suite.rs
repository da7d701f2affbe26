//! Many simulations, each in a process of its own: some of what the libraries keep is kept for the process.

use std::{
    collections::BTreeMap,
    process::{Command, ExitCode, Output},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::ValueEnum;

use crate::mutation::Mutation;

/// Seeds that fail and are printed.
const SHOWN: usize = 10;

/// Runs a seed in a process of its own.
fn child(seed: u64, more: &[&str]) -> Result<Output, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program is not to be found: {error}"))?;
    let child = Command::new(program).arg("one").arg(seed.to_string()).args(more).output();
    child.map_err(|error| format!("seed {seed} does not start: {error}"))
}

/// Runs something for each of some seeds, as many at once as there are processors.
fn each<T: Send>(seeds: impl Iterator<Item = u64>, work: impl Fn(u64) -> T + Sync) -> BTreeMap<u64, T> {
    let seeds: Vec<u64> = seeds.collect();
    let next = AtomicU64::new(0);
    let results = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(seed) =
                    usize::try_from(next.fetch_add(1, Ordering::SeqCst)).ok().and_then(|index| seeds.get(index))
                {
                    let result = work(*seed);
                    results.lock().unwrap_or_else(PoisonError::into_inner).insert(*seed, result);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What a run says of its busiest hour.
fn busiest_hour(text: &str) -> u64 {
    let number = text.split_once("busiest hour ").and_then(|(_, rest)| rest.split(',').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// What is wrong with a seed, in words; none if nothing is.
fn failure(seed: u64, output: Result<Output, String>) -> Option<String> {
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            Some(format!("{out}{err}"))
        }
        Err(error) => Some(format!("seed {seed}: {error}")),
    }
}

fn verdict(what: &str, began: Instant, failed: &[String]) -> ExitCode {
    for text in failed.iter().take(SHOWN) {
        println!("{text}");
    }
    println!("{what}: {} failed, in {:.0} s", failed.len(), began.elapsed().as_secs_f64());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub fn many(first: u64, seeds: u64) -> ExitCode {
    let began = Instant::now();
    let busiest = AtomicU64::new(0);
    let run = |seed| {
        let output = child(seed, &[]);
        if let Ok(output) = &output {
            busiest.fetch_max(busiest_hour(&String::from_utf8_lossy(&output.stdout)), Ordering::Relaxed);
        }
        failure(seed, output)
    };
    let failed: Vec<String> = each(first..first + seeds, run).into_values().flatten().collect();
    println!("calls in the busiest hour of all: {}", busiest.into_inner());
    verdict(&format!("{seeds} seeds from {first}"), began, &failed)
}

pub fn twice(seeds: u64) -> ExitCode {
    let began = Instant::now();
    let differs = |seed| match (child(seed, &["--log"]), child(seed, &["--log"])) {
        (Ok(one), Ok(other)) if one.stdout == other.stdout => None,
        (Ok(one), Ok(other)) => {
            let (one, other) = (String::from_utf8_lossy(&one.stdout), String::from_utf8_lossy(&other.stdout));
            let line = one.lines().zip(other.lines()).find(|(one, other)| one != other).unwrap_or_default();
            Some(format!("seed {seed} differs:\n{}\n{}", line.0, line.1))
        }
        (Err(error), _) | (_, Err(error)) => Some(error),
    };
    let failed: Vec<String> = each(0..seeds, differs).into_values().flatten().collect();
    verdict(&format!("{seeds} seeds twice"), began, &failed)
}

pub fn mutations(seeds: u64) -> ExitCode {
    let began = Instant::now();
    let mut failed = Vec::new();
    for mutation in Mutation::value_variants() {
        let name = mutation.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let word = format!(" {}:", mutation.noticed_by());
        let notices =
            |seed: &u64| failure(*seed, child(*seed, &["--mutation", &name])).is_some_and(|text| text.contains(&word));
        match (0..seeds).find(notices) {
            Some(seed) => println!("{name}: seed {seed} notices it"),
            None => failed.push(format!("nothing notices {name}")),
        }
    }
    verdict("mutations", began, &failed)
}
