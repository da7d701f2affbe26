use std::io::Write as _;

use kube::{Api, Client};

use crate::api::PortAwsIntegration;

/// `port-aws-operator role-arns`: any number of them, where status lists 50 at most.
#[derive(Debug, clap::Args)]
pub struct RoleArnsArgs {
    /// Name of the `PortAwsIntegration`
    pub name: String,

    /// Its namespace. The default is that of the kubeconfig's context
    #[arg(short, long)]
    pub namespace: Option<String>,

    /// One ARN a line, or a JSON list
    #[arg(short, long, value_enum, default_value_t = Output::Lines)]
    pub output: Output,
}

/// How the ARNs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// One a line
    Lines,
    /// A JSON list, as Port's accountRoleArns takes it
    Json,
}

impl RoleArnsArgs {
    /// Prints the ARNs of the roles that Port is to know, and says if some are still missing.
    ///
    /// # Errors
    /// If the resource cannot be read, or has no status yet.
    pub fn run(&self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let object = runtime.map_err(|error| format!("the runtime cannot start: {error}"))?.block_on(self.read())?;
        let arns =
            role_arns(&object).ok_or_else(|| format!("{} has no status yet: is the operator running?", self.name))?;
        let total = object.status.as_ref().and_then(|status| status.account_counts).map_or(0, |counts| counts.total);
        let missing = usize::try_from(total).unwrap_or_default().saturating_sub(arns.len());
        if missing > 0 {
            warn(&format!("{missing} of {total} accounts have no role yet, and are left out"));
        }
        let text = match self.output {
            Output::Lines => arns.join("\n") + "\n",
            Output::Json => format!("{}\n", serde_json::json!(arns)),
        };
        let written = std::io::stdout().write_all(text.as_bytes());
        written.map_err(|error| format!("writing to standard output failed: {error}"))
    }

    async fn read(&self) -> Result<PortAwsIntegration, String> {
        let client = Client::try_default().await.map_err(|error| format!("no way to the cluster: {error}"))?;
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let api = Api::<PortAwsIntegration>::namespaced(client, &namespace);
        api.get(&self.name).await.map_err(|error| match error {
            // Its words, without the rest of the answer.
            kube::Error::Api(status) => status.message,
            other => format!("{namespace}/{} cannot be read: {other}", self.name),
        })
    }
}

/// Beside the list, which a program may read.
#[allow(clippy::print_stderr)]
fn warn(text: &str) {
    eprintln!("warning: {text}");
}

fn role_arns(object: &PortAwsIntegration) -> Option<Vec<String>> {
    let status = object.status.as_ref()?;
    let format = status.role_arn_format.as_ref()?;
    let connected = status.accounts.iter().filter(|account| account.is_connected());
    Some(connected.map(|account| format.replace("${accountId}", &account.id)).collect())
}
