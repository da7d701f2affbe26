//! Simulations: the operator's own code on models of AWS and of the Kubernetes API server. Time stands still
//! while anything works, and one seed decides all that is left to chance, so that a seed that fails fails again.

mod aws;
mod cluster;
mod contention;
mod entropy;
mod mutation;
mod operator;
mod rules;
mod script;
mod suite;
mod world;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use mutation::Mutation;
use world::World;

#[derive(Debug, Parser)]
#[command(about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One seed in this process
    One {
        seed: u64,
        #[arg(long, value_enum)]
        mutation: Option<Mutation>,
        /// Print every request
        #[arg(long)]
        log: bool,
    },
    /// Many seeds, each in a process of its own
    Many {
        #[arg(long, default_value_t = 0)]
        first: u64,
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
    },
    /// Each seed twice: the requests have to be the same, byte by byte
    Twice {
        #[arg(long, default_value_t = 200)]
        seeds: u64,
    },
    /// Each built-in defect has to be noticed by its rule
    Mutations {
        /// Seeds that are tried with each until one notices it
        #[arg(long, default_value_t = 400)]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::One { seed, mutation, log } => one(seed, mutation, log),
        Command::Many { first, seeds } => suite::many(first, seeds),
        Command::Twice { seeds } => suite::twice(seeds),
        Command::Mutations { seeds } => suite::mutations(seeds),
    }
}

/// Runs a seed, and prints what was broken, or a line that tells it from every other.
fn one(seed: u64, mutation: Option<Mutation>, log: bool) -> ExitCode {
    entropy::begin(seed);
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (world, minutes) = runtime.block_on(async {
        let world = World::new(seed, mutation);
        script::run(&world).await;
        let minutes = world.now().as_secs() / 60;
        (world, minutes)
    });
    let state = world.state();
    let mut hasher = DefaultHasher::new();
    state.record.log.hash(&mut hasher);
    if log {
        state.record.log.iter().for_each(|line| println!("{line}"));
    }
    for broken in &state.record.broken {
        println!("seed {seed}: {broken}");
    }
    let (requests, busiest) = (state.record.log.len(), state.record.busiest_hour());
    println!("seed {seed}: {requests} requests, {minutes} minutes, busiest hour {busiest}, {:016x}", hasher.finish());
    if state.record.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
