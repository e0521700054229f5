//! One resource in its turn: guards, observation, change, verification.

use std::time::Duration;

use converge_model::report::Mode;
use converge_model::resource::Observed;
use converge_model::{AnyResource, Changes, Error, ErrorKind, Event, Outcome, Result};

use crate::caught::caught;
use crate::guard::decide_for;
use crate::images::Keeping;
use crate::notification::Announced;
use crate::redact::{Redacted, own};
use crate::run::{Ending, Run};
use crate::sweep::{Seen, Sighting, observe};

/// What a joined transaction did for a resource before its own turn came.
pub(crate) struct Before {
    /// What it was to change.
    pub(crate) changes: Changes,
    /// Whether it went through, so that acts are done, too.
    pub(crate) succeeded: bool,
    /// The notifications that became due through it.
    pub(crate) announced: Announced,
}

/// A try that failed.
struct Failure {
    error: Redacted<Error>,
    /// What still differs; nothing where that could not be told.
    left: Option<Changes>,
}

fn failure(error: Redacted<Error>, left: Option<Changes>) -> Box<Failure> {
    Box::new(Failure { error, left })
}

impl<'a> Run<'a> {
    /// Converges the resource at `position`, reports how it ended, and carries out what must follow at once.
    pub(crate) fn turn(&mut self, position: usize, before: Option<Before>) {
        let applying = before.is_some();
        let (ending, applied) = self.ending(position, before);
        self.pass_on_doubt(position, ending.outcome);
        self.finish(position, ending, applying || applied);
        self.carry_out_immediate(position);
    }

    /// How it ends, and whether the journal knows that it was being changed.
    fn ending(&mut self, position: usize, before: Option<Before>) -> (Ending, bool) {
        let items = self.items;
        let item = &items[position];
        if let Some(reason) = &item.declared.skipped {
            return (Ending { reason: Some(reason.clone()), ..Ending::new(Outcome::Skipped) }, false);
        }
        let resource = match &item.resource {
            Ok(Some(resource)) => resource.as_ref(),
            Ok(None) => return (Ending::new(Outcome::Skipped), false),
            Err(error) => return (Ending::failed(self.redactor(position).error(error.clone())), false),
        };
        let announced = match before {
            Some(before) => match self.settle_joined(position, resource, before) {
                Ok(ending) => return (ending, true),
                Err(announced) => announced,
            },
            None => Announced::by(position),
        };
        match self.look(position, resource) {
            Ok(observed) => self.change(position, resource, observed, announced),
            Err(ending) => {
                self.withdraw(announced, "nothing was changed");
                (*ending, false)
            }
        }
    }

    /// Whether the joined transaction converged the resource. If not, the notifications are handed back that are due
    /// through it although nothing of the resource was changed.
    fn settle_joined(
        &mut self,
        position: usize,
        resource: &dyn AnyResource,
        before: Before,
    ) -> Result<Ending, Announced> {
        self.observe_again(position, resource);
        let differs = match &self.sightings[position].seen {
            Seen::Differs(observed) => !before.succeeded || observed.changes.states().next().is_some(),
            Seen::Failed(_) => true,
            Seen::UpToDate | Seen::Nothing => false,
        };
        if differs {
            let untouched =
                matches!(&self.sightings[position].seen, Seen::Differs(now) if now.changes == before.changes);
            return Err(if untouched { before.announced } else { Announced::by(position) });
        }
        let changes = Some(self.redactor(position).changes(&before.changes));
        Ok(Ending { changes, ..Ending::new(self.changed_outcome()) })
    }

    /// Everything before a change: whether the resource may have its turn, what its guards say, and what differs.
    /// Nothing to be changed is an ending.
    fn look(&mut self, position: usize, resource: &dyn AnyResource) -> Result<Observed, Box<Ending>> {
        let declared = self.declared(position);
        if let Some(reason) = self.stop.asked() {
            self.record.stop(reason);
            return Err(Box::new(Ending::stopped(reason)));
        }
        if let Some(root) = self.blocked.root(position, &declared.requires) {
            let reason = Some(format!("blocked by {}", self.declared(root).id));
            return Err(Box::new(Ending { reason, root: Some(root), ..Ending::new(Outcome::Unprocessed) }));
        }
        if let Some(reason) = self.guarded(position)? {
            return Err(Box::new(Ending { reason: Some(reason), ..Ending::new(Outcome::Skipped) }));
        }
        self.refresh(position, resource);
        match std::mem::replace(&mut self.sightings[position].seen, Seen::Nothing) {
            Seen::Differs(observed) if declared.audit => {
                let changes = Some(self.redactor(position).changes(&observed.changes));
                Err(Box::new(Ending { changes, ..Ending::new(Outcome::WouldUpdate) }))
            }
            Seen::Differs(observed) => Ok(*observed),
            Seen::Failed(error) => Err(self.undecided(position, *error)),
            Seen::UpToDate | Seen::Nothing => Err(Box::new(Ending::new(Outcome::UpToDate))),
        }
    }

    /// Why the guards skip the resource, if they do.
    fn guarded(&mut self, position: usize) -> Result<Option<String>, Box<Ending>> {
        let declared = self.declared(position);
        if declared.guards.is_empty() {
            return Ok(None);
        }
        let assumed = self.assumed.len();
        let ahead = self.decided.remove(&position).filter(|_| self.changed.now() == 0);
        let decide = || decide_for(declared, self.redactor(position), self.request.system, &self.stop);
        let decided = ahead.unwrap_or_else(decide);
        self.note_assumptions(position);
        if self.assumed.len() > assumed {
            self.doubts.guard();
        }
        decided.map_err(|error| self.undecided(position, error))
    }

    /// The ending of a resource of which something could not be told: a failure, unless the run was stopped over it.
    fn undecided(&mut self, position: usize, error: Error) -> Box<Ending> {
        let interrupted = matches!(error.kind, ErrorKind::Cancelled | ErrorKind::TimedOut);
        match self.stop.asked().filter(|_| interrupted) {
            Some(reason) => {
                self.record.stop(reason);
                Box::new(Ending::stopped(reason))
            }
            None => Box::new(Ending::failed(self.redactor(position).error(error))),
        }
    }

    /// Observes again if nobody looked yet, or if anything that the resource leans on was changed since.
    pub(crate) fn refresh(&mut self, position: usize, resource: &dyn AnyResource) {
        let items = self.items;
        let sighting = &self.sightings[position];
        if matches!(sighting.seen, Seen::Nothing) || self.changed.since(sighting.moment, &items[position].footprint) {
            self.observe_again(position, resource);
        }
    }

    fn observe_again(&mut self, position: usize, resource: &dyn AnyResource) {
        let id = &self.declared(position).id;
        let micros = self.sightings[position].micros;
        let sighting = Sighting::of(id, resource, self.request.system, self.changed.now());
        self.sightings[position] = Sighting { micros, ..sighting };
        self.note_assumptions(position);
    }

    /// Changes what differs, trying again as often as the resource asks for.
    fn change(
        &mut self,
        position: usize,
        resource: &dyn AnyResource,
        first: Observed,
        mut announced: Announced,
    ) -> (Ending, bool) {
        let id = &self.declared(position).id;
        let changes = Some(self.redactor(position).changes(&first.changes));
        let kept = match self.keep(position, resource, &first) {
            Ok(keeping) => self.begin_change(position, &first.changes, first.absent, keeping, &mut announced),
            Err(error) => return (Ending { changes, ..Ending::failed(self.redactor(position).error(error)) }, false),
        };
        if let Err(error) = kept {
            self.withdraw(announced, "nothing was changed");
            return (Ending { changes, ..Ending::failed(own(error)) }, false);
        }
        let original = first.changes.clone();
        let mut tries = self.declared(position).retries.map_or(0, |retries| retries.count);
        let mut next = Ok(first);
        loop {
            let Err(failed) = next.and_then(|observed| self.attempt(position, resource, &observed)) else {
                self.release_covered(position, resource, &original);
                return (Ending { changes, ..Ending::new(self.changed_outcome()) }, true);
            };
            if tries > 0 && self.wait_to_retry(position, &failed, tries) {
                tries -= 1;
                next = observe(id, resource, self.request.system)
                    .map_err(|error| failure(self.redactor(position).error(error), None));
                continue;
            }
            if failed.left.is_some_and(|left| left == original) {
                self.withdraw(announced, "nothing was changed");
            }
            return (Ending { changes, ..Ending::failed(failed.error) }, true);
        }
    }

    /// Tells that another try follows, and waits for its time. Says no where the run is stopped meanwhile.
    fn wait_to_retry(&mut self, position: usize, failure: &Failure, left: u32) -> bool {
        let declared = self.declared(position);
        let delay = declared.retries.map_or(Duration::ZERO, |retries| retries.delay.duration());
        if self.stop.asked().is_some() {
            return false;
        }
        self.request.events.emit(&Event::Retrying { id: &declared.id, error: failure.error.get(), left });
        self.stop.wait(delay).is_none()
    }

    /// Writes down, and tells, that a change is about to be made, whom it will notify, and whether it makes the resource
    /// rather than adopts what is there, which `absent` says where it is known. A plan owns nothing. What is overwritten can
    /// be put back from here on.
    pub(crate) fn begin_change(
        &mut self,
        position: usize,
        changes: &Changes,
        absent: Option<bool>,
        keeping: Keeping,
        announced: &mut Announced,
    ) -> Result<()> {
        let item = &self.items[position];
        let id = &item.declared.id;
        let owns = self.request.mode == Mode::Apply && !item.orphan && self.request.undoes.is_none();
        let system = self.request.system;
        let created = if owns { self.ownership.creates(position, item.declared, absent, system) } else { None };
        self.announce(position, announced)?;
        self.tell_keeping(id, created, keeping)?;
        let shown = self.redactor(position).changes(changes);
        self.request.events.emit(&Event::Applying { id, changes: shown.get() });
        Ok(())
    }

    /// Makes the changes once, and looks whether they hold.
    fn attempt(
        &mut self,
        position: usize,
        resource: &dyn AnyResource,
        observed: &Observed,
    ) -> Result<(), Box<Failure>> {
        let id = &self.declared(position).id;
        let system = self.request.system;
        let redactor = self.redactor(position);
        if observed.changes.is_empty() {
            return Ok(());
        }
        if self.reaches_out(position)
            && let Err(error) = self.make_durable()
        {
            return Err(failure(own(error), Some(observed.changes.clone())));
        }
        let applied = caught("apply", id, || resource.apply(system, observed));
        self.mark_changed(position);
        let after = observe(id, resource, system);
        self.note_assumptions(position);
        match (applied, after) {
            (Ok(()), Ok(after)) if after.changes.states().next().is_none() => Ok(()),
            (Ok(()), Ok(after)) => Err(failure(redactor.did_not_converge(&after.changes), Some(after.changes))),
            (Ok(()), Err(error)) | (Err(error), Err(_)) => Err(failure(redactor.error(error), None)),
            (Err(error), Ok(after)) => Err(failure(redactor.error(error), Some(after.changes))),
        }
    }
}
