//! Neighbouring package resources as one transaction, and who is to blame when it fails.

use converge_model::system::packages::Transaction;
use converge_model::{Changes, Result, Timing};

use crate::caught::caught;
use crate::converge::Before;
use crate::images::Keeping;
use crate::notification::Announced;
use crate::run::Run;
use crate::sweep::Seen;

/// Resources that follow one another and are changed together.
pub(crate) struct Joined {
    /// Their positions, in order; among them, up-to-date ones of the same kind that are looked at again afterwards.
    pub(crate) members: Vec<usize>,
    transaction: Transaction,
}

/// What one resource adds to a joined transaction.
enum Part {
    /// Nothing: it is up to date.
    Nothing,
    /// These changes.
    Changes(Transaction),
}

impl Run<'_> {
    /// The resources at the beginning of `rest` that can be changed together; nothing where fewer than two would be.
    pub(crate) fn joinable(&mut self, rest: &[usize]) -> Option<Joined> {
        let (first, others) = rest.split_first()?;
        if self.is_seen_up_to_date(*first) {
            return None;
        }
        let Some(Part::Changes(mut transaction)) = self.part(*first) else { return None };
        let kind = self.declared(*first).id.kind();
        let mut members = vec![*first];
        let (mut changed, mut last) = (1, 1);
        for position in others {
            // Who is to act at once must not wait for the packages that follow.
            let previous = members.last().copied().unwrap_or(*first);
            let notifies_at_once = |notify: &converge_model::Notify| notify.timing == Timing::Immediate;
            if self.declared(*position).id.kind() != kind
                || self.declared(previous).notifies.iter().any(notifies_at_once)
            {
                break;
            }
            match self.part(*position) {
                Some(Part::Nothing) => members.push(*position),
                Some(Part::Changes(more)) => {
                    transaction.join(more);
                    members.push(*position);
                    (changed, last) = (changed + 1, members.len());
                }
                None => break,
            }
        }
        members.truncate(last);
        (changed > 1).then_some(Joined { members, transaction })
    }

    /// Whether nothing differed when the resource at `position` was looked at, and nothing it leans on was changed since.
    fn is_seen_up_to_date(&self, position: usize) -> bool {
        let sighting = &self.sightings[position];
        matches!(sighting.seen, Seen::UpToDate) && !self.changed.since(sighting.moment, &self.items[position].footprint)
    }

    /// What the resource at `position` would add; nothing where it must have its turn alone.
    fn part(&mut self, position: usize) -> Option<Part> {
        let items = self.items;
        let declared = items[position].declared;
        let resource = items[position].converger()?;
        let alone = !declared.guards.is_empty() || declared.audit || declared.skipped.is_some();
        if alone || self.stop.asked().is_some() || self.blocked.root(position, &declared.requires).is_some() {
            return None;
        }
        self.refresh(position, resource);
        match &self.sightings[position].seen {
            Seen::UpToDate => Some(Part::Nothing),
            Seen::Differs(observed) => caught("converge", &declared.id, || Ok(resource.transaction(observed)))
                .ok()
                .flatten()
                .map(Part::Changes),
            Seen::Nothing | Seen::Failed(_) => None,
        }
    }

    /// Carries out a joined transaction, then gives each member its turn: to be verified where it went through, to be
    /// changed alone where it did not, so that only those fail that are to blame.
    pub(crate) fn transact(&mut self, joined: &Joined) {
        let mut before: Vec<Option<Before>> = Vec::with_capacity(joined.members.len());
        let mut begun = true;
        for position in &joined.members {
            let Some(changes) = self.differing(*position) else {
                before.push(None);
                continue;
            };
            let mut announced = Announced::by(*position);
            begun = begun && self.begin_joined(*position, &changes, &mut announced).is_ok();
            before.push(Some(Before { changes, succeeded: false, announced }));
        }
        let succeeded = begun && self.make_durable().is_ok() && self.transact_together(joined, &before);
        for (position, before) in joined.members.iter().zip(before) {
            self.turn(*position, before.map(|before| Before { succeeded, ..before }));
        }
    }

    fn begin_joined(&mut self, position: usize, changes: &Changes, announced: &mut Announced) -> Result<()> {
        let items = self.items;
        let seen = std::mem::replace(&mut self.sightings[position].seen, Seen::Nothing);
        let keeping = match (items[position].converger(), &seen) {
            (Some(resource), Seen::Differs(observed)) => self.keep(position, resource, observed),
            _ => Ok(Keeping::default()),
        };
        self.sightings[position].seen = seen;
        self.begin_change(position, changes, None, keeping?, announced)
    }

    fn differing(&self, position: usize) -> Option<Changes> {
        match &self.sightings[position].seen {
            Seen::Differs(observed) => Some(observed.changes.clone()),
            _ => None,
        }
    }

    fn transact_together(&mut self, joined: &Joined, before: &[Option<Before>]) -> bool {
        let Some(first) = joined.members.first().copied() else { return true };
        let system = self.request.system;
        let result = caught("apply", &self.declared(first).id, || system.packages().transact(&joined.transaction));
        for (position, _) in joined.members.iter().zip(before).filter(|(_, before)| before.is_some()) {
            self.mark_changed(*position);
        }
        self.note_assumptions(first);
        if let Err(error) = &result
            && joined.members.iter().all(|position| self.redactor(*position).hides_nothing())
        {
            let count = before.iter().flatten().count();
            self.record
                .remark(format!("{count} resources were changed one by one, because together they failed: {error}"));
        }
        result.is_ok()
    }
}
