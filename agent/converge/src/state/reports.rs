//! This machine's own reports: the last so many, whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use converge_model::report::Conclusion;
use converge_model::{Outcome, Report, Result, RunId, Timestamp};
use converge_system::linux::durable::{self, Durability};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Loaded, StateDir, load, save};

/// What the name of a report's file ends with, behind its run.
const ENDING: &str = ".json";

/// The reports in a state directory.
#[derive(Debug)]
pub(crate) struct LocalReports {
    directory: PathBuf,
    keep: usize,
}

impl LocalReports {
    /// The reports in `state`; the `keep` newest of them stay, and for a while up to half as many others.
    pub(crate) fn new(state: &StateDir, keep: usize) -> Self {
        Self { directory: state.path("reports"), keep: keep.max(1) }
    }

    /// Keeps a report.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn add(&self, report: &Report) -> Result<()> {
        durable::create_directory(&self.directory, 0o700)?;
        let durability = if report.has_changes() { Durability::Now } else { Durability::Soon };
        save(&self.path(report.run), report, durability)
    }

    /// The newest run that has a report. Where there are too many, the oldest ones go; one that does not go now goes with a
    /// later run.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(crate) fn newest_of_few(&self) -> Result<Option<RunId>> {
        let runs = self.runs()?;
        // Removing a file costs more than writing one: it is done for many at a time.
        if runs.len() > self.keep + self.keep / 2 {
            for run in &runs[..runs.len() - self.keep] {
                if let Err(error) = durable::remove(&self.path(*run)) {
                    tracing::warn!("an old report stays: {error}");
                }
            }
        }
        Ok(runs.last().copied())
    }

    /// The runs that have a report, oldest first.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(crate) fn runs(&self) -> Result<Vec<RunId>> {
        // A run's identity begins with its time.
        Ok(durable::names(&self.directory)?.iter().filter_map(|name| name.strip_suffix(ENDING)?.parse().ok()).collect())
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.directory.join(format!("{run}{ENDING}"))
    }

    /// What one report says of the run as a whole; nothing where there is none, or where it is damaged.
    pub(crate) fn gist(&self, run: RunId) -> Option<Gist> {
        self.load(run)
    }

    /// One report; nothing where there is none, or where it is damaged.
    pub(crate) fn read(&self, run: RunId) -> Option<Report> {
        self.load(run)
    }

    fn load<T: DeserializeOwned>(&self, run: RunId) -> Option<T> {
        match load(&self.path(run)) {
            Loaded::Whole(document) => Some(document),
            Loaded::Absent | Loaded::Broken(_) => None,
        }
    }
}

/// What a report says of the run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gist {
    /// The run.
    pub run: RunId,
    /// The policy.
    pub policy: String,
    /// The revision of it, where it came from a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub millis: u64,
    /// How it ended.
    pub conclusion: Conclusion,
    /// How many resources ended how.
    pub counts: BTreeMap<Outcome, u64>,
    /// What an operator should know of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}
