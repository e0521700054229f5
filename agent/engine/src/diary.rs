//! How a run writes its journal: nothing until something changes, then the run's own beginning first.

use converge_model::report::Mode;
use converge_model::{Error, Result, Timestamp};

use crate::journal::{Durability, Entry, JOURNAL_FORMAT, Journal};
use crate::request::RunRequest;

/// The journal of one run. A plan has none.
pub(crate) struct Diary<'a> {
    journal: Option<&'a dyn Journal>,
    /// The entry with which the run begins, until it is written.
    beginning: Option<Entry>,
    trouble: Option<Error>,
}

impl<'a> Diary<'a> {
    pub(crate) fn new(request: &RunRequest<'a>, at: Timestamp, resources: usize) -> Self {
        let beginning = Entry::Started {
            format: JOURNAL_FORMAT,
            run: request.run,
            at,
            node: request.node.to_owned(),
            policy: request.catalog.policy.clone(),
            revision: request.revision,
            resources: resources as u64,
            undoes: request.undoes,
        };
        let journal = (request.mode == Mode::Apply).then_some(request.journal);
        Self { journal, beginning: Some(beginning), trouble: None }
    }

    /// Writes an entry that must be there before what it announces is done.
    pub(crate) fn must_write(&mut self, entry: &Entry) -> Result<()> {
        self.write(entry, Durability::Now)
    }

    /// Writes an entry whose absence costs knowledge, not correctness. Trouble is kept for a remark.
    pub(crate) fn note(&mut self, entry: &Entry) {
        if let Err(error) = self.write(entry, Durability::Soon) {
            self.trouble.get_or_insert(error);
        }
    }

    /// Writes that the run ended, if it ever wrote that it began.
    pub(crate) fn end(&mut self, entry: &Entry) {
        if self.beginning.is_none() {
            self.note(entry);
        }
    }

    /// The first trouble there was.
    pub(crate) fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    /// Writes an entry.
    pub(crate) fn write(&mut self, entry: &Entry, durability: Durability) -> Result<()> {
        let Some(journal) = self.journal else { return Ok(()) };
        if let Some(beginning) = &self.beginning {
            journal.append(beginning, Durability::Soon)?;
            self.beginning = None;
        }
        journal.append(entry, durability)
    }
}
