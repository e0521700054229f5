//! Who owns what, over one run: what left the policy, what was made by this agent, what the next ledger says.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use converge_model::catalog::Orphans;
use converge_model::{
    Catalog, CatalogResource, Key, Kinds, NothingDeclared, Origin, Outcome, ResourceId, System, Value,
};

use crate::caught::caught;
use crate::item::{Item, build, spec};
use crate::keys::KeyRef;
use crate::ledger::{Ledger, LedgerStore, Owned, fingerprint};

/// What a run knows of ownership.
pub(crate) struct Ownership<'a> {
    catalog: &'a Catalog,
    kinds: &'a dyn Kinds,
    store: &'a dyn LedgerStore,
    fingerprint: u64,
    /// The ledger before the run, once it was needed; nothing where it could not be read.
    before: Option<Option<Ledger>>,
    /// What the journal knows this agent made, and the ledger may not.
    recovered: BTreeSet<ResourceId>,
    /// Positions of what this run made.
    created: HashSet<usize>,
    remarks: Vec<String>,
}

/// What becomes of the resources that left the policy.
#[derive(Debug, Default)]
pub(crate) struct Orphaned {
    /// What takes those away that go, last declared first.
    pub(crate) removals: Vec<CatalogResource>,
    /// Those that stay, and why.
    pub(crate) staying: Vec<(ResourceId, String)>,
    /// Those that are owned no more from now on.
    pub(crate) released: Vec<ResourceId>,
}

impl<'a> Ownership<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        kinds: &'a dyn Kinds,
        store: &'a dyn LedgerStore,
        recovered: BTreeSet<ResourceId>,
    ) -> Self {
        Self {
            catalog,
            kinds,
            store,
            fingerprint: fingerprint(catalog),
            before: None,
            recovered,
            created: HashSet::new(),
            remarks: Vec::new(),
        }
    }

    /// What an operator should know; once.
    pub(crate) fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn before(&mut self) -> Option<&Ledger> {
        let (store, remarks) = (self.store, &mut self.remarks);
        let loaded = self.before.get_or_insert_with(|| {
            let note = |error: converge_model::Error| {
                remarks.push(format!("{error}; what left the policy is not noticed by this run"));
            };
            store.load().map_err(note).ok()
        });
        loaded.as_ref()
    }

    fn is_settled(&self) -> bool {
        self.recovered.is_empty() && self.store.catalog() == Some(self.fingerprint)
    }

    /// What left the policy, and what becomes of it. `items` are those of the catalog.
    pub(crate) fn orphaned(&mut self, items: &[Item<'_>]) -> Orphaned {
        let mut orphaned = Orphaned::default();
        if self.is_settled() {
            return orphaned;
        }
        let declared: HashSet<&ResourceId> = items.iter().map(|item| &item.declared.id).collect();
        let (catalog, kinds, recovered) = (self.catalog, self.kinds, self.recovered.clone());
        let Some(ledger) = self.before() else { return orphaned };
        let mut left: Vec<_> = ledger.resources.iter().filter(|(id, _)| !declared.contains(id)).collect();
        left.sort_by_key(|(_, owned)| std::cmp::Reverse(owned.position));
        let uses = if left.is_empty() { Uses::default() } else { Uses::of(items) };
        for (id, owned) in left {
            let removal = removal_of(id, owned);
            if !owned.created && !recovered.contains(id) {
                orphaned.released.push(id.clone());
                orphaned.staying.push((id.clone(), "left the policy; it was on the node before, and stays".to_owned()));
            } else if catalog.orphans == Orphans::Report {
                let reason = "left the policy, and stays; `orphans = \"remove\"` in the policy would take it away";
                orphaned.staying.push((id.clone(), reason.to_owned()));
            } else if let Some(user) = uses.user_of(&removal, kinds) {
                let user = &items[user].declared.id;
                orphaned.staying.push((id.clone(), format!("left the policy; it stays while {user} needs it")));
            } else {
                orphaned.removals.push(removal);
            }
        }
        orphaned
    }

    /// Whether nothing of the resource at `position`, which is about to be changed for the first time in this run, is on
    /// the node: whether what takes it away would find nothing to do. Where that cannot be told it was not made here.
    pub(crate) fn creates(&mut self, position: usize, declared: &CatalogResource, system: &dyn System) -> bool {
        if self.before().is_none_or(|ledger| ledger.resources.get(&declared.id).is_some_and(|owned| owned.created)) {
            return false;
        }
        let kinds = self.kinds;
        let nothing_there = caught("observe", &declared.id, || {
            let Some(kind) = kinds.kind(declared.id.kind()) else { return Ok(false) };
            let Some(properties) = (kind.removal)(&spec(declared)) else { return Ok(false) };
            let removal = CatalogResource { properties, ..undeclared(&declared.id) };
            let resource = build(&removal, kinds, &NothingDeclared)?;
            Ok(resource.observe(system)?.changes.is_empty())
        });
        let created = nothing_there.unwrap_or(false);
        if created {
            self.created.insert(position);
        }
        created
    }

    /// The ledger after a run in which the resource at each position of `items` ended as `outcomes` says; nothing where
    /// it is as it was. `touched` says whether the run tried to change anything.
    pub(crate) fn after(
        &mut self,
        items: &[Item<'_>],
        outcomes: &[Option<Outcome>],
        released: &[ResourceId],
        touched: bool,
    ) -> Option<Ledger> {
        if !touched && self.is_settled() {
            return None;
        }
        let before = self.before()?.clone();
        let mut after = before.clone();
        let mut whole = true;
        for id in released {
            after.resources.remove(id);
        }
        for (position, (item, outcome)) in items.iter().zip(outcomes).enumerate() {
            let converged = matches!(outcome, Some(Outcome::UpToDate | Outcome::Updated));
            let id = &item.declared.id;
            if item.orphan {
                if converged {
                    after.resources.remove(id);
                }
            } else if item.declared.skipped.is_none() && !item.declared.audit {
                let created = self.created.contains(&position) || self.recovered.contains(id);
                if converged || created {
                    self.own(&mut after.resources, position, item.declared, created);
                }
                whole &= converged || *outcome == Some(Outcome::Skipped);
            }
        }
        let declared: HashMap<&ResourceId, &Item<'_>> =
            items.iter().filter(|item| !item.orphan).map(|item| (&item.declared.id, item)).collect();
        let ownable = |id| declared.get(id).is_some_and(|item| item.declared.skipped.is_none() && !item.declared.audit);
        whole &= after.resources.keys().all(ownable);
        after.catalog = whole.then_some(self.fingerprint);
        (after != before || !self.recovered.is_empty()).then_some(after)
    }

    fn own(&self, owned: &mut BTreeMap<ResourceId, Owned>, position: usize, declared: &CatalogResource, created: bool) {
        let removal = self.kinds.kind(declared.id.kind()).and_then(|kind| {
            caught("remove", &declared.id, || Ok((kind.removal)(&spec(declared)))).unwrap_or_default()
        });
        let asked_for = |removal: &BTreeMap<String, Value>| {
            removal.iter().all(|(property, value)| declared.properties.get(property) == Some(value))
        };
        // What is declared to be gone leaves nothing behind that could be taken away.
        let Some(mut removal) = removal.filter(|removal| !asked_for(removal)) else {
            owned.remove(&declared.id);
            return;
        };
        removal.retain(|property, _| !declared.secret.contains(property));
        let created = created || owned.get(&declared.id).is_some_and(|owned| owned.created);
        let sensitive = declared.sensitive || !declared.secret.is_empty();
        owned.insert(declared.id.clone(), Owned { position: position as u64, created, sensitive, removal });
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

    /// Who uses what `removal` takes away, or something below it.
    fn user_of(&self, removal: &CatalogResource, kinds: &dyn Kinds) -> Option<usize> {
        let footprint =
            caught("use", &removal.id, || Ok(build(removal, kinds, &NothingDeclared)?.footprint())).unwrap_or_default();
        let mut gives = footprint.gives.iter().filter(|key| **key != Key::Everything).filter_map(KeyRef::of);
        gives.find_map(|key| self.0.get(&key).copied())
    }
}

fn removal_of(id: &ResourceId, owned: &Owned) -> CatalogResource {
    CatalogResource { properties: owned.removal.clone(), sensitive: owned.sensitive, ..undeclared(id) }
}

/// A resource that no recipe declares.
fn undeclared(id: &ResourceId) -> CatalogResource {
    CatalogResource {
        id: id.clone(),
        properties: BTreeMap::new(),
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
