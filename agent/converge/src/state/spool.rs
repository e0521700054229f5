//! Reports that the store has not taken yet: sent oldest first, each until it was taken, within a bounded number and size.
//!
//! What had to be dropped is counted in a file of its own, until a report told the store of it. It is counted before it goes:
//! whatever ends the process in between, nothing is gone that was not counted.

use std::path::PathBuf;

use converge_model::{Change, Error, ErrorKind, Outcome, Report, Result};
use converge_protocol::limits;
use converge_system::linux::durable::{self, Durability};
use serde::{Deserialize, Serialize};

use super::{Loaded, StateDir, load, save};
use crate::client::StoreClient;
use crate::config::AgentConfig;

/// Why reports are dropped.
pub(crate) const WHY_DROPPED: &str = "the spool was full, or they were damaged or not taken";

/// The spool in a state directory.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    dropped: PathBuf,
    most_bytes: u64,
    most_reports: usize,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    /// How many reports.
    pub reports: usize,
    /// How many bytes they have.
    pub bytes: u64,
}

/// What was dropped since the store was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    /// How many reports.
    pub reports: u64,
    /// Which files were counted last: those that are still there go without being counted again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    going: Vec<String>,
}

impl Spool {
    /// The spool in `state`, within the limits of `config`.
    pub(crate) fn of(state: &StateDir, config: &AgentConfig) -> Self {
        Self {
            directory: state.path("spool"),
            dropped: state.path("spool.dropped"),
            most_bytes: config.spool_bytes,
            most_reports: config.spool_reports.max(1),
        }
    }

    /// Queues a report. Whoever does not send it at once calls [`Spool::keep_within_limits`].
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn add(&self, report: &Report) -> Result<()> {
        durable::create_directory(&self.directory, 0o700)?;
        let durability = if report.has_changes() { Durability::Now } else { Durability::Soon };
        save(&self.directory.join(format!("{}.json", report.run)), &for_store(report), durability)
    }

    /// Sends what is queued, oldest first, and says how many reports the store took. One that the store will never take
    /// is dropped with an error in `remarks`.
    ///
    /// # Errors
    /// Where the store could not be reached, or is in trouble: what is left stays queued.
    pub(crate) fn send(&self, store: &StoreClient, remarks: &mut Vec<String>) -> Result<usize> {
        let mut sent = 0;
        self.finish_dropping()?;
        for name in durable::names(&self.directory)? {
            let path = self.directory.join(&name);
            let mut report: Report = match load(&path) {
                Loaded::Whole(report) => report,
                Loaded::Absent => continue,
                Loaded::Broken(error) => {
                    remarks.push(format!("a queued report was dropped: {error}"));
                    self.drop_counted(vec![name])?;
                    continue;
                }
            };
            let dropped = self.dropped();
            report.remarks.extend(dropped.remark());
            match store.send_report(&report) {
                Ok(()) => {
                    sent += 1;
                    if dropped.reports > 0 {
                        durable::remove(&self.dropped)?;
                    }
                    durable::remove(&path)?;
                }
                Err(error) if is_final(&error) => {
                    remarks.push(format!("the report of run {} was dropped: {error}", report.run));
                    self.drop_counted(vec![name])?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// How much waits.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(crate) fn waiting(&self) -> Result<Waiting> {
        let sizes: Vec<u64> = self.files()?.into_iter().map(|(_, size)| size).collect();
        Ok(Waiting { reports: sizes.len(), bytes: sizes.iter().sum() })
    }

    /// What was dropped since the store was last told.
    pub(crate) fn dropped(&self) -> Dropped {
        match load(&self.dropped) {
            Loaded::Whole(dropped) => dropped,
            Loaded::Absent | Loaded::Broken(_) => Dropped::default(),
        }
    }

    /// The names of the files, oldest first, with their sizes.
    fn files(&self) -> Result<Vec<(String, u64)>> {
        let size = |name: &str| self.directory.join(name).metadata().map_or(0, |metadata| metadata.len());
        Ok(durable::names(&self.directory)?
            .into_iter()
            .map(|name| (size(&name), name))
            .map(|(size, name)| (name, size))
            .collect())
    }

    /// Drops the oldest reports that are too many, and gives back how many: the next one that reaches the store says so. The
    /// newest one stays, whatever its size.
    ///
    /// # Errors
    /// Where they cannot be removed, or counted.
    pub(crate) fn keep_within_limits(&self) -> Result<u64> {
        self.finish_dropping()?;
        let files = self.files()?;
        let (mut count, mut total) = (files.len(), files.iter().map(|(_, size)| size).sum::<u64>());
        let mut too_many = Vec::new();
        for (name, size) in files {
            if count <= 1 || (count <= self.most_reports && total <= self.most_bytes) {
                break;
            }
            (count, total) = (count - 1, total - size);
            too_many.push(name);
        }
        let dropped = too_many.len() as u64;
        if dropped > 0 {
            self.drop_counted(too_many)?;
        }
        Ok(dropped)
    }

    /// Counts these files as dropped, and removes them.
    fn drop_counted(&self, files: Vec<String>) -> Result<()> {
        let all = Dropped { reports: self.dropped().reports + files.len() as u64, going: files };
        save(&self.dropped, &all, Durability::Now)?;
        self.finish_dropping()
    }

    /// Removes what was counted as dropped and is still there.
    fn finish_dropping(&self) -> Result<()> {
        self.dropped().going.iter().try_for_each(|name| durable::remove(&self.directory.join(name)))
    }
}

impl Dropped {
    /// What the store is told of it.
    fn remark(&self) -> Option<String> {
        let count = self.reports;
        (count > 0).then(|| format!("{count} older reports were dropped: {WHY_DROPPED}"))
    }
}

/// A report as the store gets it.
pub(crate) fn for_store(report: &Report) -> Report {
    within_limits(report.clone().condensed())
}

/// The report, cut where it is longer than the store takes: first the diffs, then the resources that were updated. It says
/// so, and its counts stay whole.
fn within_limits(mut report: Report) -> Report {
    /// Resources that are listed of a report that is too long even without diffs.
    const LISTED: usize = 10_000;
    let is_too_long = |report: &Report| serde_json::to_vec(report).is_ok_and(|bytes| bytes.len() > limits::BODY_BYTES);
    if !is_too_long(&report) {
        return report;
    }
    for resource in &mut report.resources {
        resource.changes = resource.changes.iter().map(|change| Change { diff: None, ..change.clone() }).collect();
    }
    report.remarks.push("cut for the store: the diffs are only in this machine's own report".to_owned());
    if is_too_long(&report) {
        let mut listed = 0;
        report.resources.retain(|resource| {
            listed += usize::from(resource.outcome == Outcome::Updated);
            resource.outcome != Outcome::Updated || listed <= LISTED
        });
        report.remarks.push(format!("cut for the store: of the updated resources {LISTED} are listed"));
    }
    report
}

/// Whether the store will say the same the next time.
fn is_final(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Invalid)
}
