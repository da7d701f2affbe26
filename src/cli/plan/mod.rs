//! `port-aws-operator plan`: what the operator would do, before anything is applied.

mod accounts;
mod cluster;
mod files;
mod gather;
mod role;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use cluster::Cluster;

use crate::{
    aws::{Ambient, Aws},
    clock::Clock,
    domain::ClusterId,
    preview::{Preview, Style, Summary},
};

/// Calls to `AssumeRole` a second, in all.
const ASSUME_ROLE_RATE: f64 = 10.0;
/// Bound of a call to AWS with its retries.
const AWS_CALL: Duration = Duration::from_secs(15);
/// The exit code that says that something would be changed.
const CHANGES: u8 = 2;

/// `port-aws-operator plan`: checks files as the API server would, reads AWS, and prints what the operator
/// would change. It writes nothing, neither to AWS nor to the cluster.
///
/// AWS is read with the credentials that the AWS SDK finds, through the role of the `PortAwsAccess` if it
/// names one, with a session policy that allows to read alone. A cluster is not needed: what the files do not
/// have is looked up in that of the current kubeconfig, if there is one.
///
/// Exit codes: 0 nothing to change, 2 something to change, 1 an error, or an account that would not be ready.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PlanArgs {
    /// Files with `PortAwsIntegration` objects, and the `PortAwsAccess` and Namespace objects that they need; a folder
    /// stands for its *.yaml and *.yml, and - for standard input
    #[arg(short, long = "filename", value_name = "FILE", num_args = 1.., required_unless_present = "from_role")]
    pub files: Vec<PathBuf>,

    /// How it is printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Namespace of documents that name none. The default is that of the kubeconfig's context
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Names the installation in the tags of what it makes in AWS, as for `run`. The default is the UID of the
    /// cluster's namespace kube-system; without either, whose a role is cannot be compared
    #[arg(long, env = "PORT_AWS_OPERATOR_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<ClusterId>,

    /// Print a `PortAwsIntegration` that takes over this role, as Port's `CloudFormation` stack made it
    #[arg(long, value_name = "ARN", conflicts_with_all = ["files", "output", "cluster_id"])]
    pub from_role: Option<String>,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

impl PlanArgs {
    /// Prints what would be changed.
    ///
    /// # Errors
    /// If the files are not valid, or nothing can be read.
    pub fn run(self) -> Result<ExitCode, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| format!("the runtime cannot start: {error}"))?.block_on(self.print())
    }

    async fn print(self) -> Result<ExitCode, String> {
        if let Some(arn) = &self.from_role {
            write(&role::read(&aws().await, arn).await?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let preview = self.preview().await?;
        let text = match self.output {
            Output::Text => preview.text(Style { colour: is_coloured() }),
            Output::Json => serde_json::to_string_pretty(&preview).map_err(|error| error.to_string())? + "\n",
        };
        write(&text)?;
        Ok(exit_code(preview.summary()))
    }

    async fn preview(&self) -> Result<Preview, String> {
        let cluster = Cluster::configured().await;
        let namespace = match (&self.namespace, &cluster) {
            (Some(namespace), _) => namespace.clone(),
            (None, Some(cluster)) => cluster.namespace(),
            (None, None) => "default".to_owned(),
        };
        let documents = files::read(&self.files, &namespace)?;
        if !documents.errors.is_empty() {
            return Err(format!("not valid:\n{}", documents.errors.join("\n")));
        }
        let gathered = gather::gather(documents, cluster, self.cluster_id.clone()).await;
        accounts::examine(&aws().await, gathered).await
    }
}

async fn aws() -> Aws {
    let clock = Clock::system();
    Aws::new(Ambient::load(clock, AWS_CALL).await, clock, ASSUME_ROLE_RATE)
}

fn exit_code(summary: Summary) -> ExitCode {
    match summary {
        Summary { failed: 1.., .. } => ExitCode::FAILURE,
        Summary { change: 1.., .. } => ExitCode::from(CHANGES),
        _ => ExitCode::SUCCESS,
    }
}

/// Colours are for terminals whose user does not refuse them (<https://no-color.org>).
fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn write(text: &str) -> Result<(), String> {
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(|error| format!("writing to standard output failed: {error}"))
}
