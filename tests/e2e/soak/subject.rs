//! One integration, to which something is done again and again.

use std::time::{Duration, Instant};

use aws_sdk_iam::Client;
use serde_json::{Value, json};
use testkit::{
    Error, Result,
    aws::{Fault, FaultId},
    fixture::{REQUESTED_AT, Scenario, is_ready},
    wait::eventually,
};

use super::chaos;
use crate::iam::{ADMIN, AUDIT, Does, POWER, READ_ONLY, Somebody};

pub const OPERATOR_ROLE: &str = "PortAwsOperator";
/// How long the test's own calls may take, whatever the API server does.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take until all is as wanted again. A change that undoes what the operator has just done is
/// not taken for one until a minute has passed.
const LONGEST: Duration = Duration::from_secs(180);
/// After which a check is asked for: as the operator waits for somebody, and in case that it does not.
const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(8);

/// What somebody attaches, each time another.
const EXTRAS: [&str; 4] = [ADMIN, AUDIT, POWER, VIEW];
const VIEW: &str = "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess";

pub enum Change {
    Create,
    Describe,
    Drift(Drift),
    Check,
    Delete,
}

pub enum Drift {
    Description,
    Trust,
    Attached,
    Tag,
}

pub struct Subject {
    name: String,
    account: String,
    iam: Client,
    there: bool,
    description: String,
    round: usize,
    /// How often somebody has attached a policy.
    attached: usize,
}

impl Change {
    /// The writes that it leads to.
    pub fn writes(&self) -> &'static [&'static str] {
        match self {
            Self::Create => &["CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy"],
            Self::Describe | Self::Drift(Drift::Description) => &["UpdateRole"],
            Self::Drift(Drift::Trust) => &["UpdateAssumeRolePolicy"],
            Self::Drift(Drift::Attached) => &["DetachRolePolicy"],
            Self::Drift(Drift::Tag) => &["TagRole"],
            Self::Check => &[],
            Self::Delete => &["DetachRolePolicy", "DeleteRole"],
        }
    }
}

impl Subject {
    pub async fn new(it: &Scenario, name: String, account: &str) -> Result<Self> {
        let iam = it.world().backend().iam(account).await?;
        let (account, description) = (account.to_owned(), String::new());
        Ok(Self { name, account, iam, there: false, description, round: 0, attached: 0 })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn account(&self) -> &str {
        &self.account
    }

    pub fn role(&self) -> String {
        format!("PortIntegrationRole-{}", self.name)
    }

    pub fn role_in(&self) -> (String, String) {
        (self.account.clone(), self.role())
    }

    pub fn is_there(&self) -> bool {
        self.there
    }

    fn draw(&self, rng: &mut fastrand::Rng) -> Change {
        match rng.u32(0..10) {
            _ if !self.there => Change::Create,
            0..=2 => Change::Describe,
            3 => Change::Drift(Drift::Description),
            4 => Change::Drift(Drift::Trust),
            5 => Change::Drift(Drift::Attached),
            6 => Change::Drift(Drift::Tag),
            7..=8 => Change::Check,
            _ => Change::Delete,
        }
    }

    /// Something changes, calls go wrong, and in the end all is as wanted.
    pub async fn round(&mut self, it: &Scenario, rng: &mut fastrand::Rng) -> Result<()> {
        self.round += 1;
        let change = self.draw(rng);
        if let Change::Drift(drift) = &change {
            self.drift(drift).await?;
        }
        let mut waits = false;
        let mut rules = Vec::new();
        for _ in 0..rng.usize(1..4) {
            let (fault, waiting) = chaos::draw(rng, &change, &self.role());
            waits |= waiting;
            rules.push(it.fault(fault.account(&self.account)).await?);
        }
        if matches!(change, Change::Create | Change::Delete) && rng.u32(0..3) == 0 {
            rules.push(self.fault_of_session(it, rng).await?);
        }
        let asks = self.begin(it, &change).await?;
        self.converge(it, asks, if waits { SOON } else { LATER }).await?;
        self.end(it, &rules).await
    }

    /// AWS has calls of STS in the caller's account.
    async fn fault_of_session(&self, it: &Scenario, rng: &mut fastrand::Rng) -> Result<FaultId> {
        let role = format!("arn:aws:iam::{}:role/{OPERATOR_ROLE}", self.account);
        let fault = if rng.bool() { Fault::throttle() } else { Fault::cut_before() };
        it.fault(fault.action("AssumeRole").param("RoleArn", &role).count(rng.u32(1..4))).await
    }

    async fn drift(&mut self, drift: &Drift) -> Result<()> {
        let text = format!("by somebody, {}", self.round);
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Sid": format!("Round{}", self.round),
            "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
        let does = match drift {
            Drift::Description => Does::Update(&text, 3600),
            Drift::Trust => Does::Trust(trust),
            Drift::Attached => {
                self.attached += 1;
                Does::Attach(EXTRAS[self.attached % EXTRAS.len()])
            }
            Drift::Tag => Does::Tag("port:integration", &text),
        };
        Somebody::of(self.iam.clone(), &self.role()).does(&[does]).await
    }

    /// Does what is done in the cluster, and says whether a check has to be asked for.
    async fn begin(&mut self, it: &Scenario, change: &Change) -> Result<bool> {
        let description = format!("round {}", self.round);
        let role = json!({"description": description});
        match change {
            Change::Create => {
                surely(&self.name, async || {
                    // An answer that was lost leaves it there.
                    if it.integrations().get_opt(&self.name).await?.is_none() {
                        let edit = |spec: &mut Value| {
                            spec["accounts"] = json!([self.account]);
                            spec["role"] = role.clone();
                        };
                        it.integration(&self.name, edit).await?;
                    }
                    Ok(())
                })
                .await?;
                (self.there, self.description) = (true, description);
            }
            Change::Describe => {
                surely(&self.name, async || it.patch_spec(&self.name, json!({"role": role})).await.map(drop)).await?;
                self.description = description;
            }
            Change::Delete => {
                surely(&self.name, async || {
                    let object = it.integrations().get_opt(&self.name).await?;
                    if object.is_some_and(|object| object.metadata.deletion_timestamp.is_none()) {
                        it.delete(&self.name).await?;
                    }
                    Ok(())
                })
                .await?;
                self.there = false;
            }
            Change::Drift(_) | Change::Check => return Ok(true),
        }
        Ok(false)
    }

    async fn converge(&self, it: &Scenario, mut asks: bool, patience: Duration) -> Result<()> {
        let end = Instant::now() + LONGEST;
        for turn in 0.. {
            let value = format!("{}-{turn}", self.round);
            if asks {
                self.ask(it, &value).await?;
            }
            let wanted = |object: &Value| {
                if !self.there {
                    return object.is_null();
                }
                let told = object["spec"]["role"]["description"] == self.description
                    && (!asks || object["status"]["lastHandledReconcileAt"] == value);
                told && is_ready(object)
            };
            match it.watch()?.until(&self.name, "it is as wanted", patience, wanted).await {
                Ok(_) => break,
                Err(error) if Instant::now() > end => {
                    return Err(Error::Setup(format!("in {}: {error}", self.account)));
                }
                Err(_) => asks = true,
            }
        }
        Ok(())
    }

    async fn ask(&self, it: &Scenario, value: &str) -> Result<()> {
        surely(&self.name, async || {
            if it.integrations().get_opt(&self.name).await?.is_some() {
                it.annotate(&self.name, REQUESTED_AT, value).await?;
            }
            Ok(())
        })
        .await
    }

    /// What is left of the rules goes, and what the status says is true.
    async fn end(&self, it: &Scenario, rules: &[FaultId]) -> Result<()> {
        let backend = it.world().backend();
        for rule in rules {
            backend.delete_fault(rule).await?;
        }
        let state = backend.state(&self.account).await?;
        let role = state.role(&self.role());
        if !self.there {
            assert_eq!(role, None, "it is gone, and its role is not");
            return Ok(());
        }
        let role = role.ok_or_else(|| Error::Setup(format!("{} is ready without a role", self.name)))?;
        assert_eq!(role.description, self.description, "{role:#?}");
        assert!(role.attached_policies.iter().eq([READ_ONLY]), "{role:#?}");
        let principal = &role.trust_policy["Statement"][0]["Principal"];
        assert!(principal["Federated"].is_string(), "{role:#?}");
        assert_eq!(role.tags.get("port:integration"), Some(&self.name), "{role:#?}");
        Ok(())
    }
}

/// Does it, and again if the API server was away.
async fn surely(name: &str, mut call: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    eventually(&format!("a call about {name} to succeed"), PATIENCE, async || call().await.map(Some)).await
}
