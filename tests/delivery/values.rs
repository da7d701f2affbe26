//! What the chart refuses, with a reason, before anything reaches the cluster.

use testkit::Result;

use crate::helm::{CHART, Helm};

/// An option of helm, and what it has to complain of.
const REFUSED: [(&str, &str); 22] = [
    ("replica=2", "replica"),
    ("image.tagg=1", "tagg"),
    ("replicas=-1", "replicas"),
    ("replicas=many", "replicas"),
    ("image.digest=0123", "digest"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
    ("image.repository=", "repository"),
    ("log.format=xml", "format"),
    ("clusterId=a b", "clusterId"),
    ("watchNamespaces={Team}", "watchNamespaces"),
    ("rates.maxPasses=0", "maxPasses"),
    ("rates.maxAssumeRoleRate=1001", "maxAssumeRoleRate"),
    ("leaderElection.leaseDuration=49", "leaseDuration"),
    ("leaderElection.enabled=false", "set replicas to 1"),
    ("terminationGracePeriodSeconds=30", "terminationGracePeriodSeconds"),
    ("aws.roleArn=port-aws-operator", "roleArn"),
    ("access.create=true", "needs access.accounts"),
    ("access.accounts={111122223333}", "accounts"),
    ("metrics.port=70000", "port"),
    ("extraArgs={run}", "extraArgs"),
    ("podDisruptionBudget.maxUnavailable=half", "maxUnavailable"),
    ("serviceAccount.annotations.a=1", "annotations"),
];

#[tokio::test]
async fn mistakes_are_refused_with_their_name() -> Result<()> {
    for major in [3, 4] {
        let helm = Helm::new(major).await?;
        for (option, complaint) in REFUSED {
            let said = helm.fail(&["template", "release", CHART, "--set", option]).await?;
            assert!(said.contains(complaint), "helm{major} --set {option}: {said}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn contradictions_are_refused() -> Result<()> {
    let helm = Helm::new(4).await?;
    let access = [
        "--set-string",
        "access.accounts={111122223333}",
        "--set",
        "access.create=true,access.organizationIds={org_1}",
    ];
    for (option, complaint) in
        [("access.externalId=x", "access.roleName"), ("accesses.default.accounts={}", "which accesses has too")]
    {
        let args = [&["template", "release", CHART][..], &access, &["--set", option]].concat();
        let said = helm.fail(&args).await?;
        assert!(said.contains(complaint), "{option}: {said}");
    }
    helm.succeed(&[&["template", "release", CHART][..], &access].concat()).await?;
    Ok(())
}

#[tokio::test]
async fn a_parent_chart_may_hand_down_globals() -> Result<()> {
    Helm::new(4).await?.succeed(&["template", "release", CHART, "--set", "global.region=eu"]).await?;
    Ok(())
}
