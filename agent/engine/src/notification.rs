//! Notifications: due from before the change that causes them until somebody has acted, whatever happens in between.
//!
//! A notification is withdrawn only where the change failed and the resource is seen to be just as it was; where some of it
//! was changed, or nobody can tell, it stays due: the target may have missed something. A resource that acts on a
//! notification was changed by it, and notifies in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use converge_model::{AnyResource, Changes, Error, Event, Key, Outcome, ResourceId, Result, Timing};

use crate::caught::caught;
use crate::journal::Entry;
use crate::record::notification;
use crate::recovery::DueNotification;
use crate::redact::{Redacted, own};
use crate::run::Run;

/// Who acts, and what it does.
type Act = (usize, String);

/// An action that does all that another does, and more: where both are due, only the first is carried out.
const SUPERSEDES: (&str, &str) = ("restart", "reload");

/// What is due.
#[derive(Debug, Default)]
pub(crate) struct Notifications {
    due: BTreeMap<Act, Due>,
    /// What the journal says is due, including what was tried in this run and failed.
    written: BTreeSet<Act>,
    /// What is being carried out, and what led to it.
    underway: BTreeSet<Act>,
}

/// One notification that is due.
#[derive(Debug)]
struct Due {
    timing: Timing,
    /// Who asked, in this run.
    sources: BTreeSet<usize>,
    /// Whether it was due before this run, or before anybody in `sources` asked.
    inherited: bool,
    /// The acts that led to it.
    after: BTreeSet<Act>,
    /// Whether only those ask for it to whom it led itself.
    circular: bool,
}

impl Due {
    fn new(timing: Timing, inherited: bool) -> Self {
        Self { timing, sources: BTreeSet::new(), inherited, after: BTreeSet::new(), circular: !inherited }
    }
}

/// The notifications that became due through one resource.
pub(crate) struct Announced {
    source: usize,
    acts: Vec<Act>,
}

impl Announced {
    /// None yet, by the resource at `source`.
    pub(crate) fn by(source: usize) -> Self {
        Self { source, acts: Vec::new() }
    }
}

impl Run<'_> {
    /// Takes over what earlier runs left. What nobody can act on any more is dropped, and said to be.
    pub(crate) fn inherit(&mut self, left: Vec<DueNotification>) {
        if left.is_empty() {
            return;
        }
        let catalog = self.request.catalog.resources.iter().enumerate();
        let positions: HashMap<&ResourceId, usize> =
            catalog.map(|(position, resource)| (&resource.id, position)).collect();
        for due in left {
            let kind = self.request.kinds.kind(due.target.kind());
            let known = kind.is_some_and(|kind| (kind.schema)().has_action(&due.action));
            match positions.get(&due.target).filter(|_| known) {
                Some(position) => {
                    let act = (*position, due.action);
                    self.notifications.written.insert(act.clone());
                    self.notifications.due.insert(act, Due::new(due.timing, true));
                }
                None => {
                    let DueNotification { target, action, source, .. } = due;
                    let reason = "its target left the policy, or knows the action no more".to_owned();
                    self.record
                        .remark(format!("dropped the {action} of {target}, due since {source} changed: {reason}"));
                    self.diary.note(&Entry::Released { target, action, reason });
                }
            }
        }
    }

    /// Makes due what the resource at `position` notifies when it is changed: in the journal first.
    pub(crate) fn announce(&mut self, position: usize, announced: &mut Announced) -> Result<()> {
        let declared = self.declared(position);
        for notify in declared.notifies.iter().filter(|notify| notify.target < self.request.catalog.resources.len()) {
            let act = (notify.target, notify.action.clone());
            let inherited = self.notifications.written.contains(&act);
            if !inherited {
                self.diary.must_write(&Entry::Due {
                    source: declared.id.clone(),
                    target: self.declared(notify.target).id.clone(),
                    action: notify.action.clone(),
                    timing: notify.timing,
                })?;
                self.notifications.written.insert(act.clone());
            }
            let Notifications { due, underway, .. } = &mut self.notifications;
            let due = due.entry(act.clone()).or_insert_with(|| Due::new(notify.timing, inherited));
            due.timing = due.timing.max(notify.timing);
            due.circular &= underway.contains(&act);
            due.after.extend(underway.iter().cloned());
            if due.sources.insert(position) {
                announced.acts.push(act);
            }
        }
        Ok(())
    }

    /// Takes back what was announced for a change that did not happen, as far as nobody else asked for it.
    pub(crate) fn withdraw(&mut self, announced: Announced, reason: &str) {
        for act in announced.acts {
            let Some(due) = self.notifications.due.get_mut(&act) else { continue };
            due.sources.remove(&announced.source);
            if due.sources.is_empty() && !due.inherited {
                self.notifications.due.remove(&act);
                self.release(&act, reason);
            }
        }
    }

    /// Lets go of what is due of the resource at `position`, whose `changes` were just made, as far as they did it.
    pub(crate) fn release_covered(&mut self, position: usize, resource: &dyn AnyResource, changes: &Changes) {
        let due = self.notifications.due.range((position, String::new())..(position + 1, String::new()));
        let covered: Vec<Act> =
            due.map(|(act, _)| act).filter(|act| resource.covers(changes, &act.1)).cloned().collect();
        for act in covered {
            self.notifications.due.remove(&act);
            self.release(&act, "what was changed of its target did it, too");
        }
    }

    /// Writes down that nobody needs to act any more.
    fn release(&mut self, act: &Act, reason: &str) {
        if self.notifications.written.remove(act) {
            let (target, action) = (self.declared(act.0).id.clone(), act.1.clone());
            self.diary.note(&Entry::Released { target, action, reason: reason.to_owned() });
        }
    }

    /// Carries out what cannot wait, now that the turn of the resource at `position` is over: what it asks of others who
    /// had their turn, and what others asked of it.
    pub(crate) fn carry_out_immediate(&mut self, position: usize) {
        if self.notifications.due.is_empty() {
            return;
        }
        let mut changed = vec![position];
        while let Some(position) = changed.pop() {
            for act in self.immediate(position) {
                if self.stop.asked().is_some() {
                    return;
                }
                changed.push(act.0);
                self.carry_out(act);
            }
        }
    }

    /// What can be carried out at once because the resource at `position` had its turn, or was changed.
    fn immediate(&self, position: usize) -> Vec<Act> {
        let due = &self.notifications.due;
        let of_it = due.range((position, String::new())..(position + 1, String::new())).map(|(act, _)| act.clone());
        let by_it = self.declared(position).notifies.iter().map(|notify| (notify.target, notify.action.clone()));
        of_it.chain(by_it).filter(|act| due.get(act).is_some_and(|due| self.is_ready(act, due))).collect()
    }

    fn is_ready(&self, act: &Act, due: &Due) -> bool {
        let asked = due.inherited || due.sources.iter().any(|source| self.outcomes[*source].is_some());
        let target = self.outcomes[act.0];
        due.timing == Timing::Immediate
            && asked
            && !matches!(target, None | Some(Outcome::Failed | Outcome::Unprocessed))
    }

    /// Carries out all that is still due at the end of a run, in the order of the catalog.
    pub(crate) fn carry_out_delayed(&mut self) {
        while let Some(act) = self.notifications.due.keys().next().cloned() {
            if let Some(reason) = self.stop.asked() {
                self.record.stop(reason);
                self.leave_all();
                return;
            }
            self.carry_out(act);
        }
    }

    /// Reports all that is due as left to the next run.
    fn leave_all(&mut self) {
        for (act, due) in std::mem::take(&mut self.notifications.due) {
            self.report(&act, &due, Outcome::Unprocessed, None);
        }
    }

    /// Carries out one notification, or says why not. Either way it is due no more in this run.
    fn carry_out(&mut self, mut act: Act) {
        let stronger = (act.0, SUPERSEDES.0.to_owned());
        if act.1 == SUPERSEDES.1 && self.notifications.due.contains_key(&stronger) {
            act = stronger;
        }
        let Some(mut due) = self.notifications.due.remove(&act) else { return };
        if due.circular {
            self.release(&act, "only notifications in a circle asked for it again");
            let target = &self.declared(act.0).id;
            self.record.remark(format!("{target} is notified in a circle, and was told to {} only once", act.1));
            return;
        }
        let weaker = (act.0, SUPERSEDES.1.to_owned());
        let superseded = if act.1 == SUPERSEDES.0 { self.notifications.due.remove(&weaker) } else { None };
        due.sources.extend(superseded.iter().flat_map(|due| &due.sources));
        let declared = self.declared(act.0);
        let outcome = match self.outcomes[act.0] {
            None | Some(Outcome::Failed | Outcome::Unprocessed) => Outcome::Unprocessed,
            Some(Outcome::Skipped) => Outcome::Skipped,
            Some(_) if declared.audit => Outcome::WouldUpdate,
            Some(_) => self.changed_outcome(),
        };
        let performed = match outcome {
            Outcome::Unprocessed => {
                self.report(&act, &due, outcome, None);
                return;
            }
            Outcome::Skipped => {
                self.release(&act, "its target was skipped");
                Ok(())
            }
            _ if declared.audit => {
                self.release(&act, "its target is only audited");
                Ok(())
            }
            _ => self.perform(&act, &due),
        };
        match performed {
            Ok(()) => {
                if superseded.is_some() {
                    self.release(&weaker, "the restart did it, too");
                }
                self.report(&act, &due, outcome, None);
            }
            Err(error) => self.report(&act, &due, Outcome::Failed, Some(&error)),
        }
    }

    /// Lets the target act, and writes down that it did.
    fn perform(&mut self, act: &Act, due: &Due) -> Result<(), Redacted<Error>> {
        let (position, action) = (act.0, act.1.as_str());
        let mut announced = Announced::by(position);
        self.notifications.underway = due.after.iter().chain([act]).cloned().collect();
        let performed = self.act(position, action, due.timing, &mut announced);
        self.notifications.underway.clear();
        if performed.is_err() {
            self.withdraw(announced, "the notification that would have caused it failed");
            return performed;
        }
        if self.notifications.written.remove(act) {
            let target = self.declared(position).id.clone();
            self.diary.note(&Entry::Done { target, action: action.to_owned() });
        }
        Ok(())
    }

    fn act(
        &mut self,
        position: usize,
        action: &str,
        timing: Timing,
        announced: &mut Announced,
    ) -> Result<(), Redacted<Error>> {
        let items = self.items;
        let item = &items[position];
        let Some(resource) = item.converger() else { return Ok(()) };
        let target = &item.declared.id;
        self.announce(position, announced).map_err(own)?;
        self.make_durable().map_err(own)?;
        self.request.events.emit(&Event::Notifying { target, action, timing });
        let acted = caught(action, target, || resource.act(self.request.system, action));
        self.mark_changed(position);
        // What only a service manager knows is nothing that a disk could lose.
        self.unflushed = item.footprint.gives.iter().any(|key| !matches!(key, Key::Unit(_)));
        let redactor = self.redactor(position);
        for assumption in self.request.system.take_assumptions() {
            let assumption = redactor.assumption(assumption).into_inner();
            self.record.remark(format!("the plan takes for granted, of the {action} of {target}: {assumption}"));
        }
        acted.map_err(|error| redactor.error(error))?;
        self.make_durable().map_err(own)
    }

    fn report(&mut self, act: &Act, due: &Due, outcome: Outcome, error: Option<&Redacted<Error>>) {
        let target = self.declared(act.0);
        let sources = due.sources.iter().map(|source| self.declared(*source).id.clone()).collect();
        let entry = notification(target.id.clone(), act.1.clone(), due.timing, sources, outcome);
        self.record.notification(entry, error, target.ignore_failure);
    }
}
