//! Reports of runs that could not write their own.

use std::sync::Arc;

use converge_engine::{Journal, Recovery};
use converge_model::report::{Conclusion, Mode, REPORT_FORMAT};
use converge_model::{Clock, Report, RunId, Timestamp};
use converge_system::linux::facts;
use converge_system::linux::lock::RunLock;

use super::policy::StorePolicy;
use super::{Agent, Limits};
use crate::cli::PolicyArgs;
use crate::clock::{MachineClock, new_run};
use crate::console::words::moment;
use crate::failure::Outcome;
use crate::state::images::ImageStore;
use crate::state::journal::FileJournal;
use crate::state::reports::LocalReports;

/// A run that ended otherwise than by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    /// When it was started.
    pub began: Timestamp,
    /// How it ended: `killed by SIGKILL`.
    pub how: String,
}

impl Agent {
    /// Reports a run that ended otherwise than by itself, unless it came as far as reporting itself. Converges nothing.
    ///
    /// # Errors
    /// Where another run does not end, or the report can neither be kept nor sent.
    pub(crate) fn report_crash(&self, crash: &Crash, policy: &PolicyArgs, limits: Limits) -> Outcome {
        let node = if policy.policy.is_some() { None } else { self.config_dir.node()? };
        let store = node.map(|node| StorePolicy::new(node, self).map(Arc::new)).transpose()?;
        let holder = format!("converge, since {} UTC", moment(MachineClock.now()));
        let _lock = RunLock::take(&self.state.lock_file(), &holder, limits.lock_wait, &self.cancel)?;
        let journal = FileJournal::new(&self.state);
        let kept = LocalReports::new(&self.state, self.config.keep_reports);
        let is_told = |run: RunId| run.millis() >= crash.began.0;
        let mut remarks = Vec::new();
        self.report_what_was_cut_off(&journal, store.as_ref(), Some(crash), &mut remarks)?;
        // It reported itself before it ended; or it changed something, and the journal told of it. The journal stays: the
        // next run finds in it what is due, and what this agent made.
        let newest = kept.runs()?.last().copied();
        if newest.is_some_and(is_told) {
            return Ok(());
        }
        // What is known of it is that it was.
        let (node, name) = match &store {
            Some(store) => store.names(),
            None => (policy.node.clone().map_or_else(facts::hostname, Ok)?, name_of(policy)),
        };
        let run = new_run(&MachineClock, newest)?;
        let report = Report {
            started: crash.began,
            millis: MachineClock.now().millis_since(crash.began),
            remarks: match remarks.is_empty() {
                true => vec![format!("{}; it had changed nothing that its journal tells of", crash.remark())],
                false => std::iter::once(crash.remark()).chain(remarks).collect(),
            },
            ..empty_report(run, (node, name), Conclusion::Crashed)
        };
        self.keep(&report, store.as_ref())?;
        if let Some(store) = &store {
            store.note_contact();
        }
        Ok(())
    }

    /// A run that was killed has a report too: this one writes it.
    pub(super) fn report_what_was_cut_off(
        &self,
        journal: &FileJournal,
        store: Option<&Arc<StorePolicy>>,
        crash: Option<&Crash>,
        remarks: &mut Vec<String>,
    ) -> Outcome {
        let (entries, unreadable) = journal.read()?;
        if unreadable > 0 {
            remarks.push(format!(
                "{unreadable} entries of the journal are torn or damaged: what an earlier run began there is not known"
            ));
            // The run that comes next says so too, and mends it.
            if crash.is_none() {
                journal.replace(&entries)?;
            }
        }
        let recovery = Recovery::replay(&entries);
        let kept = LocalReports::new(&self.state, self.config.keep_reports);
        let images = ImageStore::new(&self.state, &self.config);
        for overwritten in &recovery.images {
            if let Err(error) = images.save_of_cut_off(overwritten) {
                remarks.push(format!("{error}; run {} cannot be undone", overwritten.run));
            }
        }
        if !recovery.images.is_empty() {
            images.trim();
        }
        let last = recovery.reports.len().saturating_sub(1);
        // A run that was killed after its report was kept, and before its journal was settled, has a better one.
        for (number, mut report) in recovery.reports.into_iter().enumerate() {
            if let Some(better) = kept.read(report.run) {
                // It may not have come as far as the spool. The store takes the same report once.
                self.queue(&better, store)?;
                continue;
            }
            if let Some(crash) = crash.filter(|_| number == last) {
                report.remarks.push(crash.remark());
            }
            remarks.push(format!("run {} {}; its report was pieced together", report.run, report.conclusion.words()));
            self.keep(&report, store)?;
        }
        Ok(())
    }
}

/// The report of a run that never came to converging.
pub(super) fn empty_report(run: RunId, (node, policy): (String, String), conclusion: Conclusion) -> Report {
    Report {
        format: REPORT_FORMAT,
        run,
        node,
        policy,
        revision: None,
        undoes: None,
        mode: Mode::Apply,
        started: MachineClock.now(),
        millis: 0,
        conclusion,
        passes: 0,
        counts: Default::default(),
        resources: Vec::new(),
        notifications: Vec::new(),
        remarks: Vec::new(),
    }
}

impl Crash {
    fn remark(&self) -> String {
        format!("the run was {}", self.how)
    }
}

/// What a policy from this machine's disk is called, as far as that can be told without reading it.
fn name_of(policy: &PolicyArgs) -> String {
    let stem = policy.policy.as_ref().and_then(|path| path.file_stem());
    stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
