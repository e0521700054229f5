//! What left the policy: what takes it away, or why it stays.

use std::collections::{BTreeSet, HashMap, HashSet};

use converge_model::catalog::Orphans;
use converge_model::order::order;
use converge_model::{ByName, CatalogResource, Key, Kinds, NothingDeclared, Origin, ResourceId};

use crate::caught::caught;
use crate::item::{Item, build};
use crate::keys::KeyRef;
use crate::ledger::{Ledger, Owned};

/// What becomes of the resources that left the policy.
#[derive(Debug, Default)]
pub(crate) struct Orphaned {
    /// What takes those away that go, last declared first, what is within a directory before the directory.
    pub(crate) removals: Vec<CatalogResource>,
    /// Those that stay, and why.
    pub(crate) staying: Vec<(ResourceId, String)>,
    /// Those that are owned no more from now on.
    pub(crate) released: Vec<ResourceId>,
}

impl Orphaned {
    /// Those of `ledger` that are not among `items`, the resources of the catalog. Only what this agent made is ever
    /// taken away, and only where the `policy` says so and nothing in the catalog gives or needs the same.
    pub(crate) fn of(ledger: &Ledger, items: &[Item<'_>], policy: Orphans, kinds: &dyn Kinds) -> Self {
        let mut orphaned = Self::default();
        let declared: HashSet<&ResourceId> = items.iter().map(|item| &item.declared.id).collect();
        let mut left: Vec<_> = ledger.resources.iter().filter(|(id, _)| !declared.contains(id)).collect();
        left.sort_by_key(|(_, owned)| std::cmp::Reverse(owned.position));
        let uses = if left.is_empty() { Uses::default() } else { Uses::of(items) };
        let mut going = Vec::new();
        for (id, owned) in left {
            let removal = removal_of(id, owned);
            let gives = given_by(&removal, kinds);
            let reason = if !owned.created {
                orphaned.released.push(id.clone());
                "left the policy; it was on the node before, and stays".to_owned()
            } else if policy == Orphans::Report {
                "left the policy, and stays; `orphans = \"remove\"` in the policy would take it away".to_owned()
            } else if let Some(user) = uses.user_of(&gives) {
                format!("left the policy; it stays while {} needs it", items[user].declared.id)
            } else {
                going.push((removal, gives));
                continue;
            };
            orphaned.staying.push((id.clone(), reason));
        }
        orphaned.removals = innermost_first(going);
        orphaned
    }
}

/// What the resources of a catalog give and need, asked before something is taken away.
#[derive(Default)]
struct Uses<'a>(HashMap<KeyRef<'a>, usize>);

impl<'a> Uses<'a> {
    fn of(items: &'a [Item<'_>]) -> Self {
        let mut uses = HashMap::new();
        for (position, item) in items.iter().enumerate() {
            for key in item.footprint.gives.iter().chain(&item.footprint.needs).filter_map(KeyRef::of) {
                key.with_ancestors().for_each(|key| {
                    uses.entry(key).or_insert(position);
                });
            }
        }
        Self(uses)
    }

    /// Who uses one of `gives`, or something below it.
    fn user_of(&self, gives: &[Key]) -> Option<usize> {
        gives.iter().filter_map(KeyRef::of).find_map(|key| self.0.get(&key).copied())
    }
}

/// What a resource gives; nothing where it cannot be built.
fn given_by(removal: &CatalogResource, kinds: &dyn Kinds) -> Vec<Key> {
    caught("use", &removal.id, || Ok(build(removal, kinds, &NothingDeclared)?.footprint().gives)).unwrap_or_default()
}

/// The removals in the order given, but what is within a path before the path.
fn innermost_first(going: Vec<(CatalogResource, Vec<Key>)>) -> Vec<CatalogResource> {
    let mut givers: HashMap<KeyRef<'_>, usize> = HashMap::new();
    for (position, (_, gives)) in going.iter().enumerate() {
        givers.extend(gives.iter().filter_map(KeyRef::of).map(|key| (key, position)));
    }
    let mut edges = Vec::new();
    for (position, (_, gives)) in going.iter().enumerate() {
        for key in gives.iter().filter_map(KeyRef::of) {
            let outer = key.with_ancestors().skip(1).find_map(|key| givers.get(&key).copied());
            edges.extend(outer.filter(|outer| *outer != position).map(|outer| (position, outer)));
        }
    }
    let ordered = order(going.len(), &edges).unwrap_or_else(|_| (0..going.len()).collect());
    let mut removals: Vec<_> = going.into_iter().map(|(removal, _)| Some(removal)).collect();
    ordered.into_iter().filter_map(|position| removals[position].take()).collect()
}

fn removal_of(id: &ResourceId, owned: &Owned) -> CatalogResource {
    CatalogResource { properties: owned.removal.clone(), sensitive: owned.sensitive, ..undeclared(id) }
}

/// A resource that no recipe declares, without properties.
pub(crate) fn undeclared(id: &ResourceId) -> CatalogResource {
    CatalogResource {
        id: id.clone(),
        properties: ByName::new(),
        secret: BTreeSet::new(),
        skipped: None,
        guards: Vec::new(),
        requires: Vec::new(),
        notifies: Vec::new(),
        timeout: None,
        retries: None,
        ignore_failure: false,
        sensitive: false,
        audit: false,
        origin: Origin::default(),
    }
}
