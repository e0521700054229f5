//! Putting back what a run overwrote: a run of its own, over a catalog of before-images.

use std::sync::Arc;
use std::time::Duration;

use converge_engine::{Journal, Recovery, RunImages, RunRequest, RunResult, Undo, UndoRequest};
use converge_model::report::Mode;
use converge_model::{Clock, Error, ErrorKind, Keeper, Report, Result, RunId, System};
use converge_system::BlobSource;
use converge_system::linux::lock::RunLock;
use converge_system::linux::{LinuxSystem, Options};
use converge_system::overlay::Overlay;
use nix::unistd::{getegid, geteuid};

use super::policy::StorePolicy;
use super::{Agent, Done, Limits};
use crate::cli::RunRef;
use crate::clock::{MachineClock, new_run};
use crate::console::run::RunConsole;
use crate::console::words::moment;
use crate::failure::{Failure, Outcome, RUN_FAILED, SUCCESS};
use crate::state::images::{ImageStore, LookOnly};
use crate::state::journal::FileJournal;
use crate::state::reports::LocalReports;

/// What somebody wants undone.
#[derive(Clone, Debug)]
pub(crate) struct UndoWish {
    /// Which run.
    pub run: RunId,
    /// Only these: resources, or paths. Empty means all.
    pub only: Vec<String>,
    /// Put back also what somebody touched since.
    pub force: bool,
}

impl Agent {
    /// The runs that can be undone, oldest first: with those that were cut off and that no later run has seen.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub(crate) fn undoable(&self) -> Result<Vec<RunImages>> {
        let store = self.images();
        let mut all = Vec::new();
        for run in store.runs()? {
            match store.read(run) {
                Ok(images) => all.extend(images),
                // One that is damaged keeps no other from being undone; asked for itself, it says so.
                Err(error) => tracing::warn!("{error}"),
            }
        }
        let cut_off = Recovery::replay(&FileJournal::new(&self.state).load()?).images;
        all.extend(
            cut_off.into_iter().filter(|images| !all.iter().any(|known| known.run == images.run)).collect::<Vec<_>>(),
        );
        all.sort_by_key(|images| images.run);
        Ok(all)
    }

    /// The run that is meant by `wanted`.
    ///
    /// # Errors
    /// Where there is none, where there are several, or where what it overwrote is not kept any more.
    pub(crate) fn run_to_undo(&self, wanted: &RunRef) -> Outcome<RunId> {
        let runs: Vec<RunId> = self.undoable()?.into_iter().map(|images| images.run).collect();
        let fitting: Vec<RunId> = match wanted {
            RunRef::Last => runs.last().copied().into_iter().collect(),
            RunRef::Exactly(run) => runs.iter().copied().filter(|known| known == run).collect(),
            RunRef::Prefix(prefix) => runs.iter().copied().filter(|run| run.to_string().starts_with(prefix)).collect(),
        };
        match (fitting.as_slice(), wanted) {
            ([run], _) => Ok(*run),
            ([], RunRef::Last) => {
                Err(Failure::input("undo", "the last run", "no run of this machine has anything to be undone"))
            }
            ([], RunRef::Exactly(run)) => Err(self.nothing_of(&run.to_string())),
            ([], RunRef::Prefix(prefix)) => Err(self.nothing_of(prefix)),
            (several, _) => Err(Failure::input("undo", "the run", format_args!("{} runs begin so", several.len()))
                .with_hint("give more digits")),
        }
    }

    /// Why nothing of a run can be undone.
    fn nothing_of(&self, digits: &str) -> Failure {
        let store = self.images();
        let damaged = store.runs().unwrap_or_default().into_iter().find(|run| run.to_string().starts_with(digits));
        if let Some(Err(error)) = damaged.map(|run| store.read(run)) {
            return error.into();
        }
        let reports = LocalReports::new(&self.state, self.config.keep_reports);
        let report = reports.runs().unwrap_or_default().into_iter().find(|run| run.to_string().starts_with(digits));
        let cause = match report.and_then(|run| reports.read(run)) {
            Some(report) if report.has_changes() => {
                format!("what it overwrote is not kept any more: {}", store.limits())
            }
            Some(_) => "it overwrote nothing".to_owned(),
            None => "this machine knows no such run".to_owned(),
        };
        Failure::input("undo", format_args!("run {digits}"), cause)
            .with_hint("`converge undo` lists the runs that can be undone")
    }

    /// What undoing would change.
    ///
    /// # Errors
    /// Where the run is not known, or the machine cannot be looked at.
    pub(crate) fn plan_undo(&self, wish: &UndoWish) -> Outcome<Done> {
        let undo = self.undo_of(wish)?;
        let run = new_run(&MachineClock, None)?;
        let RunResult { report, .. } = self.run_undo(wish, &undo, run, (Mode::Plan, None))?;
        Ok(done(report, &undo))
    }

    /// Undoes what `wish` says, under the run lock, with a report and before-images of its own.
    ///
    /// # Errors
    /// Where there was no run to report: the lock was not to be had, or the machine's own state cannot be written.
    pub(crate) fn undo(&self, wish: &UndoWish, limits: Limits) -> Outcome<Done> {
        let store = self.config_dir.node()?.map(|node| StorePolicy::new(node, self).map(Arc::new)).transpose()?;
        let holder = format!("converge undo, since {} UTC", moment(MachineClock.now()));
        let _lock = RunLock::take(&self.state.lock_file(), &holder, limits.lock_wait, &self.cancel)?;
        let journal = FileJournal::new(&self.state);
        let mut remarks = Vec::new();
        self.report_what_was_cut_off(&journal, store.as_ref(), None, &mut remarks)?;
        // What a run made that was cut off is in nothing but the journal until a run of the policy takes it in.
        let is_settled = Recovery::replay(&journal.load()?).created.is_empty();
        let undo = self.undo_of(wish)?;
        let last = LocalReports::new(&self.state, self.config.keep_reports).newest_of_few()?;
        let run = new_run(&MachineClock, last)?;
        let done_run = self.run_undo(wish, &undo, run, (Mode::Apply, limits.deadline))?;
        let RunResult { mut report, images, .. } = done_run;
        remarks.append(&mut report.remarks);
        report.remarks = remarks;
        self.keep_images(images.as_ref(), &mut report.remarks);
        self.keep(&report, store.as_ref())?;
        if let Some(store) = &store {
            store.note_contact();
        }
        if is_settled {
            converge_engine::settle(&journal)?;
        }
        Ok(done(report, &undo))
    }

    fn images(&self) -> ImageStore {
        ImageStore::new(&self.state, &self.config)
    }

    fn machine(&self, blobs: Arc<dyn BlobSource>) -> Result<LinuxSystem> {
        // What is put back is compared byte for byte, whatever is remembered of it.
        LinuxSystem::new(Options { root: "/".into(), blobs, cancel: self.cancel.clone(), stat_cache: None })
    }

    fn undo_of(&self, wish: &UndoWish) -> Result<Undo> {
        let all = self.undoable()?;
        let Some(position) = all.iter().position(|images| images.run == wish.run) else {
            let cause = "what it overwrote is not kept any more";
            return Err(Error::new(ErrorKind::NotFound, "undo", format!("run {}", wish.run), cause));
        };
        let store = self.images();
        Undo::of(&UndoRequest {
            images: &all[position],
            later: &all[position + 1..],
            only: &wish.only,
            force: wish.force,
            kinds: converge_kinds::registry(),
            system: &self.machine(Arc::new(LookOnly))?,
            has: &|blob| store.has(blob),
        })
    }

    fn run_undo(
        &self,
        wish: &UndoWish,
        undo: &Undo,
        run: RunId,
        (mode, deadline): (Mode, Option<Duration>),
    ) -> Result<RunResult> {
        let images = self.images();
        let machine = self.machine(Arc::new(self.images()))?;
        let overlay;
        let system: &dyn System = match mode {
            Mode::Apply => &machine,
            Mode::Plan => {
                overlay = Overlay::by(&machine, geteuid().as_raw(), getegid().as_raw());
                &overlay
            }
        };
        let mut result = converge_engine::run(&RunRequest {
            run,
            node: &self.config_dir.node()?.map(|node| node.name).unwrap_or_default(),
            // It brings the machine to no revision.
            revision: None,
            mode,
            catalog: &undo.catalog,
            kinds: converge_kinds::registry(),
            system,
            journal: &FileJournal::new(&self.state),
            keeper: images.is_wanted().then_some(&images as &dyn Keeper),
            undoes: Some(wish.run),
            ledger: &self.ledger(),
            clock: &MachineClock,
            events: &RunConsole::new(self.console),
            cancel: &self.cancel,
            deadline,
        });
        tell_what_stays(undo, &mut result.report);
        Ok(result)
    }
}

/// What an operator should know who reads the report of undoing.
fn tell_what_stays(undo: &Undo, report: &mut Report) {
    report.remarks.extend(undo.lost.iter().map(|why| format!("not undone: {why}")));
    if undo.refused > 0 {
        report.remarks.push(format!(
            "{} of {} things are left as they are",
            undo.refused,
            undo.catalog.resources.len()
        ));
    }
    if report.has_changes() && !undo.is_of_undo {
        report.remarks.push(format!(
            "the next run of the policy {} makes these changes again, unless the policy is changed before; \
             `systemctl stop converge` holds the daemon until then",
            undo.catalog.policy
        ));
    }
}

fn done(report: Report, undo: &Undo) -> Done {
    let is_whole = report.conclusion.is_success() && undo.refused == 0;
    Done { report, code: if is_whole { SUCCESS } else { RUN_FAILED } }
}
