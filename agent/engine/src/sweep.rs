//! One parallel look at the whole machine, before anything is changed.

use std::collections::HashSet;

use converge_model::resource::Observed;
use converge_model::{AnyResource, Clock, Error, Key, ResourceId, Result, System, parallel};

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

/// Looks at all of them. Where the run is stopped meanwhile, the rest is not looked at.
pub(crate) fn sweep(items: &[Item<'_>], system: &dyn System, clock: &dyn Clock, stop: &Stop<'_>) -> Vec<Sighting> {
    system.prepare(&questions(items));
    parallel::map(items.len(), |position| {
        let item = &items[position];
        let Some(resource) = item.converger().filter(|_| stop.asked().is_none()) else { return Sighting::NONE };
        let begun = clock.monotonic_micros();
        let sighting = Sighting::of(&item.declared.id, resource, system, 0);
        let micros = clock.monotonic_micros().saturating_sub(begun);
        Sighting { micros: u32::try_from(micros).unwrap_or(u32::MAX), ..sighting }
    })
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
