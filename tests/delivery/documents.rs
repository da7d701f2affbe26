//! The commands of the documentation, run as they are written: on a real API server, against the AWS backend, by the
//! programs that they name. Only nodes are stood in for. A command that is not run says why in its page.

mod blocks;
mod node;
mod stage;
mod stories;

use std::collections::BTreeSet;

use testkit::Result;

use blocks::{commands, pages};
use stories::{STORIES, of_page, prepare};

const OPERATOR: &str = env!("CARGO_BIN_EXE_port-aws-operator");
/// The account of the samples, and the operator's own.
const ACCOUNT: &str = "111122223333";

/// What a reader expects to see: page, a part of the command, and a part of what it prints.
const SHOWN: [(&str, &str, &str); 16] = [
    ("README.md", "target/release/port-aws-operator run", "AWS credentials work"),
    ("README.md", "kubectl get portawsintegrations", "True"),
    ("README.md", "policies target", "policy/Boundary"),
    ("docs/first-integration.md", "{.status.roleArns}", "arn:aws:iam::111122223333:role/PortIntegrationRole-aws-prod"),
    ("docs/incident-response.md", "reason=DriftCorrected", "detached arn:aws:iam::aws:policy/AdministratorAccess"),
    ("docs/install.md", "overlays/irsa", "deployment.apps/port-aws-operator serverside-applied"),
    ("docs/migrate-from-cloudformation.md", "aws iam get-role", "the-subject-of-the-role"),
    ("docs/migrate-from-cloudformation.md", "{.status.pendingChanges}", "tag"),
    ("docs/migrate-from-cloudformation.md", "kubectl wait", "condition met"),
    ("docs/moving-clusters.md", "kubectl scale", "deployment.apps/port-aws-operator scaled"),
    ("docs/multi-account.md", "role-arns", "arn:aws:iam::444455556666:role/PortIntegrationRole-aws-all-prod"),
    ("docs/plan.md", "-f access.yaml", "1 unchanged"),
    ("docs/plan.md", "-f deploy/port", "1 unchanged"),
    ("docs/runbook.md", "state!=", "111122223333 Held IncidentPolicy: "),
    ("docs/troubleshooting.md", "kubectl describe", "IncidentPolicy"),
    ("docs/uninstall.md", "delete portawsintegrations", "\"production\" deleted"),
];

async fn run(page: &str) -> Result<()> {
    for (start, blocks) in of_page(page) {
        let mut stage = prepare(page, start).await?;
        for block in blocks {
            let shown = stage.run(page, &block).await?;
            for (_, part, wanted) in SHOWN.iter().filter(|it| it.0 == page && block.body.contains(it.1)) {
                assert!(
                    shown.contains(wanted),
                    "{page}:{}: {part} does not show {wanted:?}, but:\n{shown}",
                    block.line
                );
            }
        }
    }
    Ok(())
}

/// One test for each page, so that they run beside each other.
macro_rules! run_pages {
    ($($name:ident: $page:literal,)*) => {
        const RUN: &[&str] = &[$($page),*];
        $(
            #[tokio::test]
            async fn $name() -> Result<()> {
                run($page).await
            }
        )*
    };
}

run_pages! {
    commands_of_the_readme: "README.md",
    commands_of_the_chart: "charts/port-aws-operator/README.md",
    commands_without_helm: "deploy/README.md",
    commands_of_the_first_integration: "docs/first-integration.md",
    commands_of_incidents: "docs/incident-response.md",
    commands_of_installing: "docs/install.md",
    commands_of_migrating: "docs/migrate-from-cloudformation.md",
    commands_of_moving: "docs/moving-clusters.md",
    commands_of_many_accounts: "docs/multi-account.md",
    commands_of_planning: "docs/plan.md",
    commands_of_the_runbook: "docs/runbook.md",
    commands_of_troubleshooting: "docs/troubleshooting.md",
    commands_of_uninstalling: "docs/uninstall.md",
}

#[test]
fn each_command_is_run_or_says_why_not() {
    let mut expected = BTreeSet::new();
    let mut begun = 0;
    for page in pages() {
        let page = page.to_string_lossy().into_owned();
        let stories = of_page(&page);
        begun += stories.len();
        if !stories.is_empty() {
            expected.insert(page);
        }
    }
    assert_eq!(RUN.iter().map(|page| (*page).to_owned()).collect::<BTreeSet<_>>(), expected);
    assert_eq!(begun, STORIES.len(), "a story begins at no command");
    for (page, part, _) in SHOWN {
        let found = commands(&crate::read(page)).iter().any(|it| it.not_run.is_none() && it.body.contains(part));
        assert!(found, "{page} has no command with {part:?}");
    }
}
