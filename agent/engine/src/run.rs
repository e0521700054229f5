//! One run: build, order, look, converge each in turn, notify, report.

use std::collections::BTreeMap;

use converge_model::report::{Mode, ReportedError};
use converge_model::{CatalogResource, Change, Changes, Error, Images, Key, Outcome, ResourceReport, Result};

use crate::diary::Diary;
use crate::doubt::Doubts;
use crate::guard::{Decided, are_settled, decide_ahead};
use crate::images::RunImages;
use crate::item::{Item, build_all, build_orphans};
use crate::journal::Entry;
use crate::keys::{ChangedKeys, Moment};
use crate::notification::Notifications;
use crate::order::{Blocked, Order};
use crate::orphan::Orphaned;
use crate::ownership::Ownership;
use crate::record::{Record, ended};
use crate::recovery::Recovery;
use crate::redact::{Redacted, Redactor, SensitiveProperties, own};
use crate::request::{RunRequest, RunResult};
use crate::stop::{Reason, Stop};
use crate::sweep::{Sighting, sweep};

/// Converges a catalog, or plans it. Never fails as a whole: whatever goes wrong is an entry of the report.
pub fn run(request: &RunRequest<'_>) -> RunResult {
    let begun = request.clock.monotonic_micros();
    let started = request.clock.now();
    let stop = Stop::new(request.cancel, request.clock, request.deadline);
    let (recovery, unread) = match request.journal.load() {
        Ok(entries) => (Recovery::replay(&entries), None),
        Err(error) => (Recovery::default(), Some(error)),
    };
    let mut items = build_all(request.catalog, request.kinds);
    let order = Order::of(&items);
    // What is put back is nobody's: neither ledger nor what is due has anything to do with it.
    let is_undo = request.undoes.is_some();
    let created = if is_undo { BTreeMap::new() } else { recovery.created };
    let mut ownership = Ownership::new(request.catalog, request.kinds, request.ledger, created);
    let Orphaned { removals, staying, released } =
        if is_undo { Orphaned::default() } else { ownership.orphaned(&items) };
    items.extend(build_orphans(&removals, request.catalog, request.kinds));

    let mut record = Record::begin(request, items.len() + staying.len());
    if let Some(error) = unread {
        record.fail(&error);
    }
    let sensitive = SensitiveProperties::of(request.kinds);
    let mut decided = Decided::new();
    let sightings = sweep(&items, request.system, request.clock, &stop, |sightings| {
        // In a plan it is not the same: what is taken for granted must be told of the resource it was taken for.
        if request.mode == Mode::Apply {
            decided = decide_ahead(&items, sightings, &sensitive, request.system, &stop);
        }
    });
    if !are_settled(&items, &sightings) {
        decided.clear();
    }
    for assumption in request.system.take_assumptions() {
        record.remark(format!("the plan takes for granted: {assumption}"));
    }
    let mut run = Run {
        request,
        sensitive: &sensitive,
        stop,
        sightings,
        decided,
        changed: ChangedKeys::default(),
        doubts: Doubts::default(),
        blocked: Blocked::new(&order, items.len()),
        outcomes: vec![None; items.len()],
        notifications: Notifications::default(),
        diary: Diary::new(request, started, items.len() + staying.len()),
        ownership,
        images: RunImages::begin(request, started),
        kept_ahead: BTreeMap::new(),
        record,
        unflushed: false,
        touched: false,
        assumed: Vec::new(),
        clock_mark: request.clock.monotonic_micros(),
        items: &items,
    };
    if !is_undo {
        run.inherit(recovery.due);
    }
    run.keep_ahead();
    run.converge_all(order.sequence.iter().copied().chain(request.catalog.resources.len()..items.len()).collect());
    for (position, (id, reason)) in staying.into_iter().enumerate() {
        let report = ResourceReport { reason: Some(reason), ..ended(id, Outcome::Skipped) };
        run.record.resource(report, items.len() + position);
    }
    run.carry_out_delayed();
    run.end(begun, &released)
}

/// A run in its course.
pub(crate) struct Run<'a> {
    pub(crate) request: &'a RunRequest<'a>,
    pub(crate) sensitive: &'a SensitiveProperties,
    pub(crate) stop: Stop<'a>,
    /// The resources of the catalog, then what takes orphans away.
    pub(crate) items: &'a [Item<'a>],
    pub(crate) sightings: Vec<Sighting>,
    /// What guards said before the first turn. It counts as long as nothing was changed.
    pub(crate) decided: Decided,
    pub(crate) changed: ChangedKeys<'a>,
    /// What a plan is not sure of.
    pub(crate) doubts: Doubts<'a>,
    pub(crate) blocked: Blocked<'a>,
    /// How each resource ended, once it did.
    pub(crate) outcomes: Vec<Option<Outcome>>,
    pub(crate) notifications: Notifications,
    pub(crate) diary: Diary<'a>,
    pub(crate) ownership: Ownership<'a>,
    /// What was about to be overwritten.
    pub(crate) images: RunImages,
    /// What was kept before the first turn, with the moment at which it was seen.
    pub(crate) kept_ahead: BTreeMap<usize, (Moment, Images)>,
    pub(crate) record: Record<'a>,
    /// Whether anything was changed that may not be durable yet.
    pub(crate) unflushed: bool,
    /// Whether anything was changed at all, or may have been.
    pub(crate) touched: bool,
    /// What was assumed since the last resource ended.
    pub(crate) assumed: Vec<String>,
    /// When the last resource ended.
    clock_mark: u64,
}

/// How the turn of a resource ended. Nothing in it is still to be hidden.
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) changes: Option<Redacted<Changes>>,
    pub(crate) reason: Option<String>,
    pub(crate) error: Option<Redacted<Error>>,
    /// Whose failure kept it from being processed.
    pub(crate) root: Option<usize>,
}

impl Ending {
    pub(crate) fn new(outcome: Outcome) -> Self {
        Self { outcome, changes: None, reason: None, error: None, root: None }
    }

    pub(crate) fn failed(error: Redacted<Error>) -> Self {
        Self { error: Some(error), ..Self::new(Outcome::Failed) }
    }

    pub(crate) fn stopped(reason: Reason) -> Self {
        Self { reason: Some(reason.words().to_owned()), ..Self::new(Outcome::Unprocessed) }
    }
}

impl<'a> Run<'a> {
    pub(crate) fn declared(&self, position: usize) -> &'a CatalogResource {
        self.items[position].declared
    }

    pub(crate) fn redactor(&self, position: usize) -> Redactor<'a> {
        self.sensitive.redactor(self.declared(position))
    }

    /// What a resource is whose changes were made: in a plan they would be.
    pub(crate) fn changed_outcome(&self) -> Outcome {
        match self.request.mode {
            Mode::Apply => Outcome::Updated,
            Mode::Plan => Outcome::WouldUpdate,
        }
    }

    fn converge_all(&mut self, sequence: Vec<usize>) {
        let mut rest = sequence.as_slice();
        while let Some((position, others)) = rest.split_first() {
            if let Some(joined) = self.joinable(rest) {
                self.transact(&joined);
                rest = &rest[joined.members.len()..];
            } else {
                self.turn(*position, None);
                rest = others;
            }
        }
    }

    /// Makes durable what was changed until now, if anything was.
    pub(crate) fn make_durable(&mut self) -> Result<()> {
        if self.unflushed {
            self.request.system.flush()?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Whether what the resource does reaches beyond the files it names: then what came before must be durable first.
    pub(crate) fn reaches_out(&self, position: usize) -> bool {
        self.items[position].footprint.gives.iter().any(|key| matches!(key, Key::Everything | Key::Unit(_)))
    }

    /// Something was done to the machine through the resource at `position`, or may have been.
    pub(crate) fn mark_changed(&mut self, position: usize) {
        let items = self.items;
        self.changed.mark(&items[position].footprint);
        self.unflushed = true;
        self.touched = true;
    }

    /// Collects what the last calls took for granted.
    pub(crate) fn note_assumptions(&mut self, position: usize) {
        let redactor = self.redactor(position);
        let assumed = self.request.system.take_assumptions();
        for text in assumed.into_iter().map(|text| redactor.assumption(text).into_inner()) {
            // Looking at a thing before and after a change says the same twice.
            if !self.assumed.contains(&text) {
                self.assumed.push(text);
            }
        }
    }

    /// Ends the turn of a resource. `applying` says whether the journal knows that it was being changed.
    pub(crate) fn finish(&mut self, position: usize, ending: Ending, applying: bool) {
        let declared = self.declared(position);
        let now = self.request.clock.monotonic_micros();
        let micros = now.saturating_sub(self.clock_mark) + u64::from(self.sightings[position].micros);
        self.clock_mark = now;
        let ignored = ending.outcome == Outcome::Failed && declared.ignore_failure;
        let orphan = self.items[position].orphan.then(|| "left the policy".to_owned());
        let told = ending.outcome != Outcome::UpToDate && orphan.is_none() && self.request.undoes.is_none();
        let report = ResourceReport {
            changes: ending.changes.map(Redacted::into_inner).unwrap_or_default(),
            reason: ending.reason.or(orphan),
            error: ending.error.as_ref().map(|error| ReportedError::from(error.get())),
            ignored,
            audit: declared.audit,
            assumptions: std::mem::take(&mut self.assumed),
            micros,
            origin: told.then(|| declared.origin.clone()),
            ..ended(declared.id.clone(), ending.outcome)
        };
        self.outcomes[position] = Some(ending.outcome);
        match ending.outcome {
            Outcome::Failed if !ignored => self.blocked.fail(position, position),
            Outcome::Unprocessed => self.blocked.fail(position, ending.root.unwrap_or(position)),
            _ => {}
        }
        self.record.resource(report, position);
        if let Some(resource) = self.record.last().filter(|_| applying) {
            self.diary.note(&Entry::Finished { resource: Box::new(without_diffs(resource)) });
        }
    }

    /// Ends the run: durable first, then said to be.
    fn end(mut self, begun: u64, released: &[converge_model::ResourceId]) -> RunResult {
        if let Err(error) = self.make_durable() {
            self.record.fail(own(error).get());
        }
        let ledger = match self.request.mode {
            Mode::Apply if self.request.undoes.is_none() => {
                self.ownership.after(self.items, &self.outcomes, released, self.touched)
            }
            Mode::Apply | Mode::Plan => None,
        };
        for remark in self.ownership.take_remarks() {
            self.record.remark(remark);
        }
        self.diary.end(&Entry::Ended { conclusion: self.record.conclusion() });
        if let Some(error) = self.diary.trouble() {
            self.record.remark(format!("{error}; after a kill, the next run knows less of this one"));
        }
        let micros = self.request.clock.monotonic_micros().saturating_sub(begun);
        let images = Some(self.images).filter(|images| !images.resources.is_empty());
        RunResult { report: self.record.end(micros), ledger, images }
    }
}

/// What the journal keeps of a resource that was changed: a diff would make it as long as what was written.
fn without_diffs(resource: &ResourceReport) -> ResourceReport {
    let short = |change: &Change| Change {
        property: change.property.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        diff: None,
        kind: change.kind,
    };
    let ResourceReport { id, outcome, changes, reason, error, ignored, audit, assumptions, micros, origin } = resource;
    ResourceReport {
        id: id.clone(),
        outcome: *outcome,
        changes: changes.iter().map(short).collect(),
        reason: reason.clone(),
        error: error.clone(),
        ignored: *ignored,
        audit: *audit,
        assumptions: assumptions.clone(),
        micros: *micros,
        origin: origin.clone(),
    }
}
