//! What users do meanwhile: integrations come, change and go.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;
use testkit::{
    Error, Result,
    fixture::{SOON, Scenario},
    wait::eventually,
};

use crate::shared::effective;

/// What there is from the beginning on.
const FIRST: usize = 3;

pub struct Work<'a> {
    it: &'a Scenario,
    rng: RefCell<fastrand::Rng>,
    ended: Cell<bool>,
}

/// What there has to be in the end.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The integrations that are there, with the description of each one's role.
    there: BTreeMap<String, String>,
    deleted: BTreeSet<String>,
}

impl<'a> Work<'a> {
    pub fn new(it: &'a Scenario, rng: fastrand::Rng) -> Self {
        Self { it, rng: rng.into(), ended: Cell::new(false) }
    }

    /// What is begun is brought to its end, and nothing else is begun.
    pub fn end(&self) {
        self.ended.set(true);
    }

    fn draw(&self, below: usize) -> usize {
        self.rng.borrow_mut().usize(0..below)
    }

    pub async fn run(&self) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        for turn in 0.. {
            if self.ended.get() {
                break;
            }
            let names: Vec<String> = outcome.there.keys().cloned().collect();
            match self.draw(8) {
                0 if names.len() > FIRST => {
                    let name = &names[self.draw(names.len())];
                    self.delete(name).await?;
                    outcome.there.remove(name);
                    outcome.deleted.insert(name.clone());
                }
                1 | 2 if names.len() < 2 * FIRST => self.create(&mut outcome, turn).await?,
                _ if names.len() < FIRST => self.create(&mut outcome, turn).await?,
                _ => {
                    let (name, description) = (&names[self.draw(names.len())], format!("turn {turn}"));
                    self.describe(name, &description).await?;
                    outcome.there.insert(name.clone(), description);
                }
            }
            let pause = Duration::from_millis(self.rng.borrow_mut().u64(200..1200));
            tokio::time::sleep(pause).await;
        }
        Ok(outcome)
    }

    async fn create(&self, outcome: &mut Outcome, turn: usize) -> Result<()> {
        let (name, description) = (format!("aws-{turn}"), format!("turn {turn}"));
        eventually(&format!("{name} to be created"), SOON, async || {
            // An answer that was lost leaves it there.
            if self.it.integrations().get_opt(&name).await?.is_none() {
                self.it.integration(&name, |spec| spec["role"] = json!({"description": description})).await?;
            }
            Ok(Some(()))
        })
        .await?;
        outcome.there.insert(name, description);
        Ok(())
    }

    async fn describe(&self, name: &str, description: &str) -> Result<()> {
        eventually(&format!("{name} to be changed"), SOON, async || {
            self.it.patch_spec(name, json!({"role": {"description": description}})).await.map(Some)
        })
        .await
        .map(drop)
    }

    async fn delete(&self, name: &str) -> Result<()> {
        eventually(&format!("{name} to be deleted"), SOON, async || {
            if self.it.integrations().get_opt(name).await?.is_some_and(|it| it.metadata.deletion_timestamp.is_none()) {
                self.it.delete(name).await?;
            }
            Ok(Some(()))
        })
        .await
    }
}

impl Outcome {
    /// Waits until everything is as wanted, and holds it against what was done.
    pub async fn check(&self, it: &Scenario) -> Result<()> {
        for name in self.there.keys() {
            it.ready(name).await?;
        }
        for name in &self.deleted {
            it.gone(name).await?;
        }
        let role = |name: &str| format!("PortIntegrationRole-{name}");
        let state = it.state().await?;
        let found: BTreeMap<_, _> = state.roles.iter().map(|it| (it.name.clone(), it.description.clone())).collect();
        let wanted: BTreeMap<_, _> = self.there.iter().map(|(name, text)| (role(name), text.clone())).collect();
        assert_eq!(found, wanted);
        assert!(state.provider().is_some(), "{:?}", state.oidc_providers);
        let calls = it.operator_calls_since(0).await?;
        let of =
            |role: &str| calls.iter().filter(|call| call.param("RoleName") == Some(role)).cloned().collect::<Vec<_>>();
        for (name, deletions) in self.there.keys().map(|it| (it, 0)).chain(self.deleted.iter().map(|it| (it, 1))) {
            let calls = of(&role(name));
            let made = effective(&calls, "CreateRole");
            // One may have gone before its turn came.
            let never = deletions == 1 && made == 0;
            let counts = (made, effective(&calls, "DeleteRole"));
            assert!(never || counts == (1, deletions), "{name} was made and deleted {counts:?} times");
        }
        if self.there.is_empty() { Err(Error::Setup("nothing was done".to_owned())) } else { Ok(()) }
    }
}
