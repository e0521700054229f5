//! Reports that the store has not taken yet: sent oldest first, each until it was taken, within a bounded size.

use std::path::PathBuf;

use converge_model::{Change, Error, ErrorKind, Outcome, Report, Result};
use converge_protocol::limits;
use converge_system::linux::durable::{self, Durability};

use super::{Loaded, StateDir, load, save};
use crate::client::StoreClient;

/// The spool in a state directory.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    limit: u64,
}

impl Spool {
    /// The spool in `state`, which holds at most `limit` bytes.
    pub(crate) fn new(state: &StateDir, limit: u64) -> Self {
        Self { directory: state.path("spool"), limit }
    }

    /// Queues a report. Where there is no room left, the oldest ones are dropped, and the next to be queued says how many.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn add(&self, mut report: Report) -> Result<()> {
        durable::create_directory(&self.directory, 0o700)?;
        let dropped = self.make_room()?;
        if dropped > 0 {
            report.remarks.push(format!(
                "{dropped} older reports were dropped: the store took none, and the spool is limited to {} bytes",
                self.limit
            ));
        }
        let path = self.directory.join(format!("{}.json", report.run));
        let durability = if report.has_changes() { Durability::Now } else { Durability::Soon };
        save(&path, &within_limits(report.condensed()), durability)
    }

    /// Sends what is queued, oldest first, and says how many reports the store took. One that the store will never take
    /// is dropped with an error in `remarks`.
    ///
    /// # Errors
    /// Where the store could not be reached, or is in trouble: what is left stays queued.
    pub(crate) fn send(&self, store: &StoreClient, remarks: &mut Vec<String>) -> Result<usize> {
        let mut sent = 0;
        for name in durable::names(&self.directory)? {
            let path = self.directory.join(&name);
            let report: Report = match load(&path) {
                Loaded::Whole(report) => report,
                Loaded::Absent => continue,
                Loaded::Broken(error) => {
                    remarks.push(format!("a queued report was dropped: {error}"));
                    durable::remove(&path)?;
                    continue;
                }
            };
            match store.send_report(&report) {
                Ok(()) => sent += 1,
                Err(error) if is_final(&error) => {
                    remarks.push(format!("the report of run {} was dropped: {error}", report.run));
                }
                Err(error) => return Err(error),
            }
            durable::remove(&path)?;
        }
        Ok(sent)
    }

    fn make_room(&self) -> Result<usize> {
        let mut files = Vec::new();
        for name in durable::names(&self.directory)? {
            let path = self.directory.join(name);
            let size = path.metadata().map_or(0, |metadata| metadata.len());
            files.push((path, size));
        }
        let mut total: u64 = files.iter().map(|(_, size)| size).sum();
        let mut dropped = 0;
        for (path, size) in files {
            if total < self.limit {
                break;
            }
            durable::remove(&path)?;
            total -= size;
            dropped += 1;
        }
        Ok(dropped)
    }
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
