//! Many deletions at once wait for a word of confirmation.

use kube::api::{DeleteParams, ListParams};
use testkit::Result;

use super::blocked;
use crate::scenario;

const CONFIRM: &str = "integrations.port.io/confirm-deletion";

#[tokio::test]
async fn more_than_ten_deletions_within_a_minute_wait_until_their_number_is_confirmed() -> Result<()> {
    let it = scenario("bulk").await?;
    let names: Vec<String> = (1..=11).map(|number| format!("aws-{number:02}")).collect();
    for name in &names {
        it.integration(name, |_| ()).await?;
    }
    for name in &names {
        it.ready(name).await?;
    }
    let (seq, before) = (it.seq().await?, it.state().await?);
    assert_eq!(before.roles.len(), 11);
    it.integrations().delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    for name in &names {
        let message = blocked(&it, name, "ManyDeletions: 11 deletions were asked for within a minute").await?;
        assert!(message.contains("annotate integrations.port.io/confirm-deletion=\"11\""), "{message}");
        let event = it.event(name, "DeletionBlocked").await?;
        assert!(event.note.contains("ManyDeletions"), "{}", event.note);
    }
    assert_eq!(it.operator_writes_since(seq).await?, vec![]);
    assert_eq!(it.state().await?, before);

    // A number that is too small confirms nothing, and one confirmation is for one.
    it.annotate(&names[0], CONFIRM, "10").await?;
    it.annotate(&names[1], CONFIRM, "11").await?;
    it.gone(&names[1]).await?;
    blocked(&it, &names[0], "ManyDeletions").await?;
    let wanted: Vec<_> = before.roles.iter().filter(|role| !role.name.ends_with(&names[1])).cloned().collect();
    assert_eq!(it.state().await?.roles, wanted);
    for name in &names[2..] {
        blocked(&it, name, "ManyDeletions").await?;
    }
    for name in names.iter().filter(|name| **name != names[1]) {
        it.annotate(name, CONFIRM, "11").await?;
    }
    for name in &names {
        it.gone(name).await?;
    }
    let state = it.state().await?;
    assert_eq!(state.roles, vec![]);
    assert_eq!(state.oidc_providers, before.oidc_providers);
    it.finish().await
}

#[tokio::test]
async fn ten_deletions_at_once_need_no_confirmation() -> Result<()> {
    let it = scenario("ten").await?;
    let names: Vec<String> = (1..=10).map(|number| format!("aws-{number:02}")).collect();
    for name in &names {
        it.integration(name, |_| ()).await?;
    }
    for name in &names {
        it.ready(name).await?;
    }
    it.integrations().delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    for name in &names {
        it.gone(name).await?;
    }
    assert_eq!(it.state().await?.roles, vec![]);
    it.finish().await
}
