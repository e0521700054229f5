//! One parallel look at the whole machine, before anything is changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use converge_model::resource::Observed;
use converge_model::{AnyResource, Clock, Error, Key, ResourceId, Result, System, parallel};
use foldhash::{HashSet, HashSetExt};

use crate::caught::caught;
use crate::item::Item;
use crate::keys::{KeyRef, Moment};
use crate::stop::Stop;

/// What was seen of one resource, and when. What is up to date keeps nothing.
pub(crate) struct Sighting {
    /// What was seen.
    pub(crate) seen: Seen,
    /// The moment at which it was seen.
    pub(crate) moment: Moment,
    /// How long that took, in microseconds.
    pub(crate) micros: u32,
}

/// What was seen of one resource.
pub(crate) enum Seen {
    /// Nobody looked yet.
    Nothing,
    /// Nothing differs.
    UpToDate,
    /// Something differs.
    Differs(Box<Observed>),
    /// It could not be told.
    Failed(Box<Error>),
}

impl Sighting {
    pub(crate) const NONE: Sighting = Sighting { seen: Seen::Nothing, moment: 0, micros: 0 };

    /// Looks at one resource.
    pub(crate) fn of(id: &ResourceId, resource: &dyn AnyResource, system: &dyn System, moment: Moment) -> Self {
        Self { seen: observe(id, resource, system).into(), moment, micros: 0 }
    }
}

impl From<Result<Observed>> for Seen {
    fn from(observed: Result<Observed>) -> Self {
        match observed {
            Ok(observed) if observed.changes.is_empty() => Seen::UpToDate,
            Ok(observed) => Seen::Differs(Box::new(observed)),
            Err(error) => Seen::Failed(Box::new(error)),
        }
    }
}

/// Observes, and compares with what is desired.
pub(crate) fn observe(id: &ResourceId, resource: &dyn AnyResource, system: &dyn System) -> Result<Observed> {
    caught("observe", id, || resource.observe(system))
}

/// Looks at all of them but those that will be looked at again anyway. Where the run is stopped meanwhile, the rest is not
/// looked at. What another process has to answer for comes last; before it, `meanwhile` is called with all other sightings.
pub(crate) fn sweep(
    items: &[Item<'_>],
    system: &dyn System,
    clock: &dyn Clock,
    stop: &Stop<'_>,
    meanwhile: impl FnOnce(&[Sighting]),
) -> Vec<Sighting> {
    system.prepare(&questions(items));
    let coming = Coming::default();
    let look = |position: usize| {
        let item = &items[position];
        let Some(resource) = item.converger().filter(|_| stop.asked().is_none()) else { return Sighting::NONE };
        if coming.leads_to(item) {
            return Sighting::NONE;
        }
        let begun = clock.monotonic_micros();
        let sighting = Sighting::of(&item.declared.id, resource, system, 0);
        let micros = clock.monotonic_micros().saturating_sub(begun);
        if matches!(sighting.seen, Seen::Differs(_)) {
            coming.add(item);
        }
        Sighting { micros: u32::try_from(micros).unwrap_or(u32::MAX), ..sighting }
    };
    let mut sightings = parallel::map(items.len(), |position| match is_answered_late(&items[position]) {
        true => Sighting::NONE,
        false => look(position),
    });
    meanwhile(&sightings);
    for position in (0..items.len()).filter(|position| is_answered_late(&items[*position])) {
        sightings[position] = look(position);
    }
    sightings
}

/// Whether another process, the service manager, has to answer for it: it does while all else is looked at.
pub(crate) fn is_answered_late(item: &Item<'_>) -> bool {
    matches!(item.footprint.gives[..], [Key::Unit(_)])
}

/// The paths that are about to be changed, as far as is known by now. What needs one of them is looked at in its turn:
/// whatever is seen there now would not count any more.
#[derive(Default)]
struct Coming<'a> {
    any: AtomicBool,
    paths: RwLock<HashSet<KeyRef<'a>>>,
}

impl<'a> Coming<'a> {
    /// Adds what `item` gives, which differs. Where guards may still skip it, nothing is known to come of it.
    fn add(&self, item: &'a Item<'_>) {
        if item.declared.guards.is_empty() && !item.declared.audit {
            let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
            paths.extend(item.footprint.gives.iter().filter_map(KeyRef::of).filter(KeyRef::is_path));
            self.any.store(true, Ordering::Release);
        }
    }

    /// Whether the item needs one of them, or a path below one.
    fn leads_to(&self, item: &Item<'_>) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        let needs = item.footprint.needs.iter().filter_map(KeyRef::of).filter(KeyRef::is_path);
        needs.flat_map(KeyRef::with_ancestors).any(|key| paths.contains(&key))
    }
}

/// What will be looked at and can be asked together. Paths cannot, and there are many.
fn questions(items: &[Item<'_>]) -> Vec<Key> {
    let mut asked = HashSet::new();
    let keys = items.iter().flat_map(|item| item.footprint.gives.iter().chain(&item.footprint.needs));
    keys.filter(|key| match KeyRef::of(key) {
        Some(KeyRef::Other(key)) => asked.insert(key),
        Some(KeyRef::Path(_)) | None => false,
    })
    .cloned()
    .collect()
}
