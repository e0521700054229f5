//! What a journal says to whoever reads it next: what is due, what this agent made, which run was cut off.

use std::collections::BTreeMap;

use converge_model::report::{Conclusion, Mode, NotificationReport, REPORT_FORMAT, ReportedError};
use converge_model::{Images, Outcome, Report, ResourceId, ResourceReport, Result, Timing};

use crate::images::{IMAGES_FORMAT, RunImages};
use crate::journal::{Entry, JOURNAL_FORMAT, Journal};
use crate::ledger::Owned;
use crate::record::ended;

/// A notification that an earlier run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueNotification {
    /// Who asked last.
    pub source: ResourceId,
    /// Who acts.
    pub target: ResourceId,
    /// What it does.
    pub action: String,
    /// When it was asked to.
    pub timing: Timing,
}

/// What a journal says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// The notifications that are due, in the order in which they became so. None twice.
    pub due: Vec<DueNotification>,
    /// Resources that this agent made, as far as the ledger may not know yet.
    pub created: BTreeMap<ResourceId, Owned>,
    /// The runs that changed something and were not settled, oldest first, as far as the journal knows them: it holds
    /// what was being changed, and not what was up to date. Their [`Conclusion`] is that which they reached, or
    /// [`Conclusion::Crashed`].
    pub reports: Vec<Report>,
    /// What each of these runs overwrote, as far as it came to it.
    pub images: Vec<RunImages>,
}

impl Recovery {
    /// What `entries` say. Pure, linear, and without errors: an entry that makes no sense where it stands is passed over.
    pub fn replay(entries: &[Entry]) -> Self {
        let mut recovery = Self::default();
        let mut run: Option<CutRun> = None;
        let mut due = DueByTarget::new();
        for (position, entry) in entries.iter().enumerate() {
            follow_due(&mut due, entry, position);
            match entry {
                Entry::Applying { id, created: Some(owned), .. } => {
                    recovery.created.insert(id.clone(), owned.clone());
                }
                Entry::Started { run: id, .. } => match &mut run {
                    Some(run) if run.report.run == *id => run.report.conclusion = Conclusion::Crashed,
                    _ => recovery.ended(std::mem::replace(&mut run, CutRun::begin(entry))),
                },
                _ => {}
            }
            if let Some(run) = &mut run {
                run.follow(entry);
            }
        }
        recovery.ended(run);
        let mut due: Vec<_> = due.into_values().collect();
        due.sort_unstable_by_key(|(position, _)| *position);
        recovery.due = due.into_iter().map(|(_, due)| due).collect();
        recovery
    }

    fn ended(&mut self, run: Option<CutRun>) {
        let Some(mut run) = run else { return };
        self.images.extend(run.images.take().filter(|images| !images.resources.is_empty()));
        self.reports.push(run.report());
    }

    /// What the journal holds once everything but what is due was put elsewhere.
    fn settled(self) -> Vec<Entry> {
        let entry = |due: DueNotification| Entry::Due {
            source: due.source,
            target: due.target,
            action: due.action,
            timing: due.timing,
        };
        self.due.into_iter().map(entry).collect()
    }
}

/// What is due by target and action, with the position of the entry that made it so.
type DueByTarget = BTreeMap<(ResourceId, String), (usize, DueNotification)>;

fn follow_due(due: &mut DueByTarget, entry: &Entry, position: usize) {
    match entry {
        Entry::Due { source, target, action, timing } => {
            let new = DueNotification {
                source: source.clone(),
                target: target.clone(),
                action: action.clone(),
                timing: *timing,
            };
            let (_, due) = due.entry((target.clone(), action.clone())).or_insert((position, new));
            due.timing = due.timing.max(*timing);
        }
        Entry::Done { target, action } | Entry::Released { target, action, .. } => {
            due.remove(&(target.clone(), action.clone()));
        }
        Entry::Started { .. }
        | Entry::Keeping { .. }
        | Entry::Applying { .. }
        | Entry::Finished { .. }
        | Entry::Ended { .. } => {}
    }
}

/// Reduces a journal to what is due. To be called when the ledger and the report of a run were saved, and not before: until
/// then only the journal knows what this agent made. Writes nothing where there is nothing else in it.
///
/// # Errors
/// Where the journal could not be read or replaced. Nothing is lost then: the same is found again by the next run.
pub fn settle(journal: &dyn Journal) -> Result<()> {
    let entries = journal.load_due()?;
    let settled = Recovery::replay(&entries).settled();
    if settled == entries { Ok(()) } else { journal.replace(&settled) }
}

/// A run as its entries tell it.
struct CutRun {
    report: Report,
    images: Option<RunImages>,
    /// What was kept ahead of turns that did not come yet.
    kept: BTreeMap<ResourceId, Images>,
    resources: u64,
    applying: Option<ResourceId>,
    positions: BTreeMap<ResourceId, usize>,
    due: BTreeMap<(ResourceId, String), (Timing, Vec<ResourceId>)>,
}

impl CutRun {
    /// The run that `entry` starts; nothing where a later version wrote it.
    fn begin(entry: &Entry) -> Option<Self> {
        let Entry::Started { format, run, at, node, policy, revision, resources, undoes } = entry else { return None };
        if *format > JOURNAL_FORMAT {
            return None;
        }
        let report = Report {
            format: REPORT_FORMAT,
            run: *run,
            node: node.clone(),
            policy: policy.clone(),
            revision: *revision,
            undoes: *undoes,
            mode: Mode::Apply,
            started: *at,
            millis: 0,
            conclusion: Conclusion::Crashed,
            passes: 1,
            counts: BTreeMap::new(),
            resources: Vec::new(),
            notifications: Vec::new(),
            remarks: Vec::new(),
        };
        let images = RunImages {
            format: IMAGES_FORMAT,
            run: *run,
            undoes: *undoes,
            started: *at,
            node: node.clone(),
            policy: policy.clone(),
            revision: *revision,
            resources: Vec::new(),
        };
        let (positions, due) = (BTreeMap::new(), BTreeMap::new());
        Some(Self {
            report,
            images: Some(images),
            kept: BTreeMap::new(),
            resources: *resources,
            applying: None,
            positions,
            due,
        })
    }

    fn follow(&mut self, entry: &Entry) {
        match entry {
            Entry::Started { .. } => {}
            Entry::Due { source, target, action, timing } => {
                let due = self.due.entry((target.clone(), action.clone())).or_insert((*timing, Vec::new()));
                due.1.push(source.clone());
            }
            Entry::Keeping { id, images } => drop(self.kept.insert(id.clone(), images.clone())),
            Entry::Applying { id, images, .. } => {
                self.applying = Some(id.clone());
                let images = self.kept.remove(id).filter(|_| images.is_empty()).unwrap_or_else(|| images.clone());
                if let Some(all) = &mut self.images {
                    all.add(id, images);
                }
            }
            Entry::Finished { resource } => {
                self.applying.take_if(|id| *id == resource.id);
                self.list((**resource).clone());
            }
            Entry::Done { target, action } => self.notified(target, action, Outcome::Updated),
            Entry::Released { target, action, .. } => {
                self.due.remove(&(target.clone(), action.clone()));
            }
            Entry::Ended { conclusion } => self.report.conclusion = conclusion.clone(),
        }
    }

    /// Lists how a resource ended; of a second pass of the same run, the later counts.
    fn list(&mut self, resource: ResourceReport) {
        match self.positions.get(&resource.id) {
            Some(position) => self.report.resources[*position] = resource,
            None => {
                self.positions.insert(resource.id.clone(), self.report.resources.len());
                self.report.resources.push(resource);
            }
        }
    }

    fn notified(&mut self, target: &ResourceId, action: &str, outcome: Outcome) {
        let (timing, sources) = self.due.remove(&(target.clone(), action.to_owned())).unwrap_or_default();
        let (target, action) = (target.clone(), action.to_owned());
        self.report.notifications.push(NotificationReport { target, action, timing, sources, outcome, error: None });
    }

    /// The report, with what was cut off in the middle.
    fn report(mut self) -> Report {
        if let Some(id) = self.applying.take() {
            let message = format!("cannot converge {id}: the process ended while it was being changed");
            let hint = Some("the next run observes it and goes on from there".to_owned());
            self.list(ResourceReport { error: Some(ReportedError { message, hint }), ..ended(id, Outcome::Failed) });
        }
        for (target, action) in self.due.keys().cloned().collect::<Vec<_>>() {
            self.notified(&target, &action, Outcome::Unprocessed);
        }
        for resource in &self.report.resources {
            *self.report.counts.entry(resource.outcome).or_default() += 1;
        }
        let unknown = self.resources.saturating_sub(self.report.resources.len() as u64);
        if unknown > 0 {
            *self.report.counts.entry(Outcome::Unprocessed).or_default() += unknown;
            self.report.remarks.push(format!(
                "pieced together from the journal, which holds only what was being changed: {unknown} resources counted \
                 as unprocessed were up to date, skipped, or not reached"
            ));
        }
        self.report
    }
}
