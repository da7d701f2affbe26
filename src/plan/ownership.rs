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
    let origin = role.tags.get(tags::ORIGIN).map(String::as_str);
    match (cluster, owner) {
        (Some(cluster), _) if !claim.covers(cluster) => Ownership::OtherInstallation(cluster.clone()),
        (_, Some(owner)) if !claim.owns(owner) => Ownership::OtherResource(owner.clone()),
        (Some(_), Some(_)) => {
            let created = origin == Some(tags::ORIGIN_CREATED);
            Ownership::Ours(if created || made_by_us { Origin::Created } else { Origin::Adopted })
        }
        _ if made_by_us => Ownership::Ours(Origin::Created),
        // Whom it is taken over from made it, unless the tag says otherwise, and somebody took tags off since.
        _ if claim.predecessor.is_some() => {
            let adopted = origin == Some(tags::ORIGIN_ADOPTED);
            Ownership::Ours(if adopted { Origin::Adopted } else { Origin::Created })
        }
        _ => Ownership::Unclaimed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::{
        domain::{Owner, tags::Tags},
        policy::PolicyDocument,
    };

    fn role(tags: &[(&str, &str)]) -> ObservedRole {
        ObservedRole {
            name: "PortIntegrationRole-aws-prod".to_owned(),
            path: "/".to_owned(),
            role_id: "AROAEXAMPLE".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            description: None,
            max_session_duration: 3600,
            boundary: None,
            trust: PolicyDocument::parse("{}"),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Tags>(),
            last_used: None,
            attached: BTreeSet::new(),
            inline: BTreeSet::new(),
        }
    }

    fn claim(predecessor: Option<&str>) -> Claim {
        let owner = |name: &str| Owner { namespace: "ns".into(), name: name.into() };
        Claim {
            cluster: "here".parse().unwrap(),
            former: BTreeSet::new(),
            owner: owner("heir"),
            predecessor: predecessor.map(owner),
        }
    }

    #[test]
    fn a_role_whose_tags_were_taken_off_passes_from_who_made_it_to_the_heir() {
        let bare = role(&[]);
        assert_eq!(ownership(&bare, &claim(Some("maker")), None), Ownership::Ours(Origin::Created));
        let adopted = role(&[(tags::OWNER, "ns.maker"), (tags::ORIGIN, "Adopted")]);
        assert_eq!(ownership(&adopted, &claim(Some("maker")), None), Ownership::Ours(Origin::Adopted));
        assert_eq!(ownership(&bare, &claim(None), None), Ownership::Unclaimed);
        assert_eq!(ownership(&bare, &claim(None), Some("AROAEXAMPLE")), Ownership::Ours(Origin::Created));
        assert_eq!(ownership(&bare, &claim(None), Some("AROAOTHER")), Ownership::Unclaimed);
    }

    #[test]
    fn a_tag_that_says_something_else_outweighs_what_is_remembered() {
        let claim = claim(Some("maker"));
        let elsewhere = role(&[(tags::CLUSTER, "there")]);
        let another = role(&[(tags::CLUSTER, "here"), (tags::OWNER, "ns.another")]);
        let known = Some("AROAEXAMPLE");
        assert_eq!(ownership(&elsewhere, &claim, known), Ownership::OtherInstallation("there".to_owned()));
        assert_eq!(ownership(&another, &claim, known), Ownership::OtherResource("ns.another".to_owned()));
    }
}
