//! This machine's own reports: the last so many, whole.

use std::path::PathBuf;

use converge_model::{Report, Result, RunId};
use converge_system::linux::durable::{self, Durability};

use super::{Loaded, StateDir, load, save};

/// The reports in a state directory.
#[derive(Debug)]
pub(crate) struct LocalReports {
    directory: PathBuf,
    keep: usize,
}

impl LocalReports {
    /// The reports in `state`; the `keep` newest of them stay.
    pub(crate) fn new(state: &StateDir, keep: usize) -> Self {
        Self { directory: state.path("reports"), keep: keep.max(1) }
    }

    /// Keeps a report, and lets go of the oldest ones.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn add(&self, report: &Report) -> Result<()> {
        durable::create_directory(&self.directory, 0o700)?;
        let durability = if report.has_changes() { Durability::Now } else { Durability::Soon };
        save(&self.directory.join(format!("{}.json", report.run)), report, durability)?;
        let runs = self.runs()?;
        for run in runs.iter().take(runs.len().saturating_sub(self.keep)) {
            durable::remove(&self.directory.join(format!("{run}.json")))?;
        }
        Ok(())
    }

    /// The runs that have a report, oldest first.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(crate) fn runs(&self) -> Result<Vec<RunId>> {
        let names = durable::names(&self.directory)?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect())
    }

    /// One report; nothing where there is none, or where it is damaged.
    pub(crate) fn read(&self, run: RunId) -> Option<Report> {
        match load(&self.directory.join(format!("{run}.json"))) {
            Loaded::Whole(report) => Some(report),
            Loaded::Absent | Loaded::Broken(_) => None,
        }
    }
}
