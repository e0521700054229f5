//! Who owns what, over one run: what left the policy, what was made by this agent, what the next ledger says.

use std::collections::{BTreeMap, HashMap};

use converge_model::{ByName, Catalog, CatalogResource, Kinds, NothingDeclared, Outcome, ResourceId, System, Value};

use crate::caught::caught;
use crate::item::{Item, build, spec};
use crate::ledger::{Ledger, LedgerStore, Owned, fingerprint};
use crate::orphan::{Orphaned, undeclared};

/// What a run knows of ownership.
pub(crate) struct Ownership<'a> {
    catalog: &'a Catalog,
    kinds: &'a dyn Kinds,
    store: &'a dyn LedgerStore,
    fingerprint: u64,
    /// The ledger before the run, once it was needed; nothing where it could not be read.
    before: Option<Option<Ledger>>,
    /// Whether the ledger is that of this catalog, and the journal knows of nothing more.
    is_settled: bool,
    /// What the journal knows this agent made, and the ledger may not.
    recovered: BTreeMap<ResourceId, Owned>,
    /// What this run made, by position.
    created: HashMap<usize, Owned>,
    remarks: Vec<String>,
}

impl<'a> Ownership<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        kinds: &'a dyn Kinds,
        store: &'a dyn LedgerStore,
        recovered: BTreeMap<ResourceId, Owned>,
    ) -> Self {
        let fingerprint = fingerprint(catalog);
        Self {
            catalog,
            kinds,
            store,
            fingerprint,
            before: None,
            is_settled: recovered.is_empty() && store.catalog() == Some(fingerprint),
            recovered,
            created: HashMap::new(),
            remarks: Vec::new(),
        }
    }

    /// What an operator should know; once.
    pub(crate) fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn before(&mut self) -> Option<&Ledger> {
        let (store, remarks, recovered) = (self.store, &mut self.remarks, &self.recovered);
        let loaded = self.before.get_or_insert_with(|| {
            let note = |error: converge_model::Error| {
                remarks.push(format!("{error}; what left the policy is not noticed by this run"));
            };
            let mut ledger = store.load().map_err(note).ok()?;
            for (id, made) in recovered {
                match ledger.resources.get_mut(id) {
                    Some(owned) => owned.created = true,
                    // Of a sensitive resource the journal does not know what takes it away.
                    None if made.removal.is_empty() => {}
                    None => drop(ledger.resources.insert(id.clone(), made.clone())),
                }
            }
            Some(ledger)
        });
        loaded.as_ref()
    }

    /// What left the policy, and what becomes of it. `items` are those of the catalog.
    pub(crate) fn orphaned(&mut self, items: &[Item<'_>]) -> Orphaned {
        if self.is_settled {
            return Orphaned::default();
        }
        let (policy, kinds) = (self.catalog.orphans, self.kinds);
        self.before().map(|ledger| Orphaned::of(ledger, items, policy, kinds)).unwrap_or_default()
    }

    /// What is owned from now on, where nothing of the resource at `position`, which is about to be changed for the first
    /// time in this run, is on the node: where what takes it away would find nothing to do. Where that cannot be told it
    /// was not made here.
    pub(crate) fn creates(
        &mut self,
        position: usize,
        declared: &CatalogResource,
        absent: Option<bool>,
        system: &dyn System,
    ) -> Option<Owned> {
        if self.before().is_none_or(|ledger| ledger.resources.get(&declared.id).is_some_and(|owned| owned.created)) {
            return None;
        }
        let kinds = self.kinds;
        let look = || {
            caught("observe", &declared.id, || {
                let Some(kind) = kinds.kind(declared.id.kind()) else { return Ok(false) };
                let Some(properties) = (kind.removal)(&spec(declared)) else { return Ok(false) };
                let removal = CatalogResource { properties, ..undeclared(&declared.id) };
                let resource = build(&removal, kinds, &NothingDeclared)?;
                Ok(resource.observe(system)?.changes.is_empty())
            })
        };
        if !absent.unwrap_or_else(|| look().unwrap_or(false)) {
            return None;
        }
        let owned = self.owned(position, declared, true)?;
        self.created.insert(position, owned.clone());
        // The journal holds no value that must be hidden.
        let removal = if owned.sensitive { ByName::new() } else { owned.removal };
        Some(Owned { removal, ..owned })
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
        if !touched && self.is_settled {
            return None;
        }
        let before = self.before()?.clone();
        let mut after = before.clone();
        let mut made = Vec::new();
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
                if let Some(owned) = self.created.remove(&position) {
                    made.push((id.clone(), owned));
                } else if converged || self.recovered.contains_key(id) {
                    self.own(&mut after.resources, position, item.declared);
                }
                whole &= converged || *outcome == Some(Outcome::Skipped);
            }
        }
        after.resources.append(&mut made.into_iter().collect());
        let declared: HashMap<&ResourceId, &Item<'_>> =
            items.iter().filter(|item| !item.orphan).map(|item| (&item.declared.id, item)).collect();
        let ownable = |id| declared.get(id).is_some_and(|item| item.declared.skipped.is_none() && !item.declared.audit);
        whole &= after.resources.keys().all(ownable);
        after.catalog = whole.then_some(self.fingerprint);
        (after != before || !self.recovered.is_empty()).then_some(after)
    }

    fn own(&self, owned: &mut BTreeMap<ResourceId, Owned>, position: usize, declared: &CatalogResource) {
        let created =
            self.recovered.contains_key(&declared.id) || owned.get(&declared.id).is_some_and(|owned| owned.created);
        match self.owned(position, declared, created) {
            Some(entry) => owned.insert(declared.id.clone(), entry),
            None => owned.remove(&declared.id),
        };
    }

    /// The entry of a resource in a ledger; nothing where there is nothing to take away.
    fn owned(&self, position: usize, declared: &CatalogResource, created: bool) -> Option<Owned> {
        let kind = self.kinds.kind(declared.id.kind())?;
        let removal = caught("remove", &declared.id, || Ok((kind.removal)(&spec(declared))));
        let asked_for = |removal: &ByName<Value>| {
            removal.iter().all(|(property, value)| declared.properties.get(property) == Some(value))
        };
        // What is declared to be gone leaves nothing behind that could be taken away.
        let mut removal = removal.unwrap_or_default().filter(|removal| !asked_for(removal))?;
        removal.retain(|property, _| !declared.secret.contains(property));
        let sensitive = declared.sensitive || !declared.secret.is_empty();
        Some(Owned { position: position as u64, created, sensitive, removal })
    }
}
