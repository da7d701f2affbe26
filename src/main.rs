//! `port-aws-operator`: connects AWS accounts to Port from Kubernetes.

use std::process::ExitCode;

use clap::Parser;
use port_aws_operator::cli::{Cli, Command};

fn main() -> ExitCode {
    // One TLS implementation for Kubernetes and AWS alike. It fails only if one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = |()| ExitCode::SUCCESS;
    let result = match Cli::parse().command {
        Command::Run(args) => args.run().map(done),
        Command::Plan(args) => args.run(),
        Command::RoleArns(args) => args.run().map(done),
        Command::Crds(args) => args.run().map(done),
        Command::Policies(args) => args.run().map(done),
        Command::Probe(args) => args.run().map(done),
        Command::MetricsDoc(args) => args.run().map(done),
        Command::ReferenceDoc(args) => args.run().map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            // The log may not be set up yet, or may be switched off.
            #[allow(clippy::print_stderr)]
            {
                eprintln!("port-aws-operator: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
