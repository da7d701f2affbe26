use super::{desired::Claim, observed::ObservedRole};
use crate::domain::tags;

/// How a role came to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// We made it, and may delete it.
    Created,
    /// It was there before, and is never deleted.
    Adopted,
}

impl Origin {
    /// The value of the tag.
    #[must_use]
    pub fn tag_value(self) -> &'static str {
        match self {
            Self::Created => tags::ORIGIN_CREATED,
            Self::Adopted => tags::ORIGIN_ADOPTED,
        }
    }
}

/// Whose a role is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// This resource's.
    Ours(Origin),
    /// Another resource's of this installation, by `<namespace>.<name>`.
    OtherResource(String),
    /// Another installation's, by its cluster id.
    OtherInstallation(String),
    /// Nobody's that we know of.
    Unclaimed,
}

/// Whose a role is, by its tags. If somebody took tags off, IAM's ID of the role that we made, which
/// status keeps, still tells it; it never overrules a tag that says something else. A role without
/// the tag of its origin counts as adopted, so that it is not deleted by mistake.
#[must_use]
pub fn ownership(role: &ObservedRole, claim: &Claim, known_role_id: Option<&str>) -> Ownership {
    let made_by_us = known_role_id == Some(role.role_id.as_str());
    let cluster = role.tags.get(tags::CLUSTER);
    let owner = role.tags.get(tags::OWNER);
    match (cluster, owner) {
        (Some(cluster), _) if !claim.covers(cluster) => Ownership::OtherInstallation(cluster.clone()),
        (_, Some(owner)) if !claim.owns(owner) => Ownership::OtherResource(owner.clone()),
        (Some(_), Some(_)) => {
            let created = role.tags.get(tags::ORIGIN).is_some_and(|origin| origin == tags::ORIGIN_CREATED);
            Ownership::Ours(if created || made_by_us { Origin::Created } else { Origin::Adopted })
        }
        // Whom it is taken over from made it, and somebody took the tags off since.
        _ if made_by_us || claim.predecessor.is_some() => Ownership::Ours(Origin::Created),
        _ => Ownership::Unclaimed,
    }
}
