//! What the manifests tell the operator, against what it understands.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};
use port_aws_operator::cli::{Cli, Command, RunArgs};
use testkit::Result;

use crate::{
    helm::{Helm, VALUE_SETS},
    objects::{arguments, parse, the},
};

/// The operator reads its arguments: it knows each, and takes its value.
pub(crate) fn understand(arguments: &[String]) -> RunArgs {
    let line = ["port-aws-operator".to_owned()].into_iter().chain(arguments.iter().cloned());
    match Cli::try_parse_from(line).map(|cli| cli.command) {
        Ok(Command::Run(run)) => run,
        Ok(other) => panic!("{other:?}"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_operator_understands_what_it_is_told() -> Result<()> {
    let helm = Helm::new(4).await?;
    for set in VALUE_SETS {
        understand(&arguments(&parse(&helm.template(set, &[]).await?)));
    }
    let told = understand(&arguments(&parse(&helm.template("namespaced", &[]).await?)));
    assert_eq!(told.watch_namespaces, ["team-a", "team-b"]);
    assert_eq!(told.watch_label_selector.as_deref(), Some("shard in (one, two),!paused"));
    assert_eq!(told.election.lease_name, "release-port-aws-operator");
    let told = understand(&arguments(&parse(&helm.template("everything", &[]).await?)));
    assert_eq!((told.metrics_addr.as_str(), told.health_addr.as_str()), ("[::]:9080", "[::]:9081"));
    assert_eq!((told.max_passes, told.max_assume_role_rate, told.max_deletions), (64, 20, 0));
    assert_eq!(told.log, "port_aws_operator=debug,info");
    let told = understand(&arguments(&parse(&helm.template("single", &[]).await?)));
    assert!(told.election.no_leader_election);
    let told = understand(&arguments(&parse(&helm.template("one-account", &[]).await?)));
    assert_eq!(told.cluster_id.map(|id| id.to_string()).as_deref(), Some("production-eu"));
    Ok(())
}

#[tokio::test]
async fn without_values_the_operator_has_its_own_defaults() -> Result<()> {
    let told = understand(&arguments(&parse(&Helm::new(4).await?.template("default", &[]).await?)));
    let own = understand(&["run".to_owned()]);
    let facts = |run: &RunArgs| {
        let numbers = (run.max_passes, run.max_assume_role_rate, run.max_deletions, run.election.lease_duration);
        (numbers, run.metrics_addr.clone(), run.health_addr.clone(), run.log.clone(), format!("{:?}", run.log_format))
    };
    assert_eq!(facts(&told), facts(&own));
    Ok(())
}

#[tokio::test]
async fn every_option_of_the_operator_has_a_value() -> Result<()> {
    let helm = Helm::new(4).await?;
    let mut told = BTreeSet::new();
    for set in VALUE_SETS {
        for argument in arguments(&parse(&helm.template(set, &[]).await?)) {
            let name = argument.strip_prefix("--").and_then(|it| it.split('=').next().map(str::to_owned));
            told.extend(name);
        }
    }
    let cli = Cli::command();
    let run = cli.find_subcommand("run").expect("run");
    let own: BTreeSet<_> = run.get_arguments().filter_map(|it| it.get_long().map(str::to_owned)).collect();
    // It is that of the Pod.
    let missing: Vec<_> = own.difference(&told).filter(|name| *name != "lease-namespace").collect();
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn the_test_pod_asks_what_the_operator_answers() -> Result<()> {
    let objects = parse(&Helm::new(4).await?.template("everything", &[]).await?);
    let container = &the(&objects, "Pod")["spec"]["containers"][0];
    let line = ["port-aws-operator".to_owned()].into_iter().chain(crate::objects::strings(&container["args"]));
    let Ok(Command::Probe(probe)) = Cli::try_parse_from(line).map(|cli| cli.command) else {
        panic!("{container}");
    };
    assert_eq!(probe.url, "http://connector:9081/readyz");
    let service = the(&objects, "Service");
    assert_eq!(service["metadata"]["name"], "connector");
    assert!(service["spec"]["ports"].to_string().contains("9081"), "{service}");
    Ok(())
}
