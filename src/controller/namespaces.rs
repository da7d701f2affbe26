//! One watch out of several: some namespaces, each watched by itself, as one stream of events.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
};

use futures::{Stream, StreamExt, stream::SelectAll};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::watcher,
};

use super::{context::Guarded, watches::follow};

pub(super) type Events = Pin<Box<dyn Stream<Item = watcher::Result<watcher::Event<Guarded>>> + Send>>;

/// Watches integrations in some namespaces, or in all if none is named; with a selector, those that it
/// matches. One that it no longer matches counts as gone, and is another process's from then on.
pub(super) fn watch(client: &Client, namespaces: &[String], selector: Option<&str>) -> Events {
    if namespaces.is_empty() {
        return follow(Api::<Guarded>::all(client.clone()), selector).boxed();
    }
    let mut merge = Merge::new(namespaces.iter().cloned());
    let each = namespaces.iter().cloned().map(|namespace| {
        let events = follow(Api::<Guarded>::namespaced(client.clone(), &namespace), selector);
        events.map(move |event| (namespace.clone(), event)).boxed()
    });
    let merged = each.collect::<SelectAll<_>>().map(move |(namespace, event)| match event {
        Ok(event) => merge.take(&namespace, event).into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    merged.flat_map(futures::stream::iter).boxed()
}

/// A list in one namespace begins and ends for that namespace alone, while whoever reads the merged
/// stream takes a list for the whole. So the first lists make up one, and later ones become what
/// they say in sum: objects that are there, and objects that are gone.
struct Merge {
    missing: BTreeSet<String>,
    begun: bool,
    known: BTreeMap<String, BTreeMap<String, ObjectMeta>>,
    listing: BTreeMap<String, BTreeMap<String, ObjectMeta>>,
}

impl Merge {
    fn new(namespaces: impl Iterator<Item = String>) -> Self {
        Self { missing: namespaces.collect(), begun: false, known: BTreeMap::new(), listing: BTreeMap::new() }
    }

    fn take(&mut self, namespace: &str, event: watcher::Event<Guarded>) -> Vec<watcher::Event<Guarded>> {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let first = !self.missing.is_empty();
        match event {
            Init => {
                self.listing.insert(namespace.to_owned(), BTreeMap::new());
                let begins = first && !std::mem::replace(&mut self.begun, true);
                if begins { vec![Init] } else { Vec::new() }
            }
            InitApply(object) => {
                let (name, key) = key(&object);
                self.listing.entry(namespace.to_owned()).or_default().insert(name, key);
                vec![if first { InitApply(object) } else { Apply(object) }]
            }
            InitDone => {
                let listed = self.listing.remove(namespace).unwrap_or_default();
                let former = self.known.insert(namespace.to_owned(), listed.clone()).unwrap_or_default();
                if self.missing.remove(namespace) && self.missing.is_empty() {
                    return vec![InitDone];
                }
                let gone = former.into_iter().filter(|(name, _)| !first && !listed.contains_key(name));
                gone.map(|(_, key)| Delete(tombstone(key))).collect()
            }
            Apply(object) => {
                let (name, key) = key(&object);
                self.known.entry(namespace.to_owned()).or_default().insert(name, key);
                vec![if first { InitApply(object) } else { Apply(object) }]
            }
            Delete(object) => {
                let (name, _) = key(&object);
                self.known.entry(namespace.to_owned()).or_default().remove(&name);
                // While the first lists go on, the store is not in use, and a deletion has no place in them.
                if first { Vec::new() } else { vec![Delete(object)] }
            }
        }
    }
}

/// What it takes to say that an object is gone.
fn key(object: &Guarded) -> (String, ObjectMeta) {
    let meta = object.meta();
    let key = ObjectMeta {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        ..ObjectMeta::default()
    };
    (meta.name.clone().unwrap_or_default(), key)
}

fn tombstone(metadata: ObjectMeta) -> Guarded {
    DeserializeGuard(Err(InvalidObject { error: "the object is gone".to_owned(), metadata }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};

    fn object(namespace: &str, name: &str) -> Guarded {
        let (name, namespace) = (Some(name.to_owned()), Some(namespace.to_owned()));
        tombstone(ObjectMeta { name, namespace, ..ObjectMeta::default() })
    }

    fn words(events: Vec<watcher::Event<Guarded>>) -> Vec<String> {
        let name = |object: Guarded| object.meta().name.clone().unwrap_or_default();
        let word = |event| match event {
            Init => "init".to_owned(),
            InitApply(object) => format!("list {}", name(object)),
            InitDone => "listed".to_owned(),
            Apply(object) => format!("apply {}", name(object)),
            Delete(object) => format!("delete {}", name(object)),
        };
        events.into_iter().map(word).collect()
    }

    #[test]
    fn the_first_lists_make_up_one_and_a_later_one_only_adds_and_removes() {
        let mut merge = Merge::new(["a".to_owned(), "b".to_owned()].into_iter());
        let mut feed = |namespace: &str, event| words(merge.take(namespace, event));
        assert_eq!(feed("a", Init), ["init"]);
        assert_eq!(feed("b", Init), Vec::<String>::new());
        assert_eq!(feed("a", InitApply(object("a", "x"))), ["list x"]);
        assert_eq!(feed("a", InitApply(object("a", "y"))), ["list y"]);
        assert_eq!(feed("a", InitDone), Vec::<String>::new());
        assert_eq!(feed("b", InitApply(object("b", "z"))), ["list z"]);
        assert_eq!(feed("b", InitDone), ["listed"]);
        assert_eq!(feed("b", Apply(object("b", "w"))), ["apply w"]);
        assert_eq!(feed("a", Init), Vec::<String>::new());
        assert_eq!(feed("a", InitApply(object("a", "y"))), ["apply y"]);
        assert_eq!(feed("a", InitDone), ["delete x"]);
        assert_eq!(feed("b", Delete(object("b", "w"))), ["delete w"]);
    }
}
