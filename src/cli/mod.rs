//! The command line.

mod crds;
mod metrics_doc;
mod plan;
mod policies;
mod probe;
mod reference_doc;
mod role_arns;
mod run;

pub use crds::CrdsArgs;
pub use metrics_doc::MetricsDocArgs;
pub use plan::PlanArgs;
pub use policies::PoliciesArgs;
pub use probe::ProbeArgs;
pub use reference_doc::ReferenceDocArgs;
pub use role_arns::RoleArnsArgs;
pub use run::RunArgs;

/// Connects AWS accounts to Port from Kubernetes.
#[derive(Debug, clap::Parser)]
#[command(name = "port-aws-operator", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Watch the cluster and keep AWS as its `PortAwsIntegration` resources say
    Run(RunArgs),
    /// Print what the operator would change in AWS, and change nothing
    Plan(PlanArgs),
    /// Print the ARNs of the roles, for the field accountRoleArns of Port
    RoleArns(RoleArnsArgs),
    /// Print the `CustomResourceDefinitions` as YAML
    Crds(CrdsArgs),
    /// Print the IAM policies that the operator works with
    Policies(PoliciesArgs),
    /// Ask a running operator over HTTP whether it is well; exit with 1 if it is not
    Probe(ProbeArgs),
    /// Print the list of metrics as Markdown
    #[command(hide = true)]
    MetricsDoc(MetricsDocArgs),
    /// Print the reference of the kinds as Markdown
    #[command(hide = true)]
    ReferenceDoc(ReferenceDocArgs),
}
