//! The journal of runs, as a file of lines.

use std::path::PathBuf;

use converge_engine::{Durability, Entry, Journal};
use converge_model::Result;
use converge_system::linux::durable;

use super::{LONGEST, StateDir};

/// The journal in a state directory.
#[derive(Debug)]
pub(crate) struct FileJournal {
    path: PathBuf,
}

impl FileJournal {
    /// The journal in `state`.
    pub(crate) fn new(state: &StateDir) -> Self {
        Self { path: state.path("journal") }
    }
}

impl FileJournal {
    /// All entries, oldest first, and how many more there were that nobody can read.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub(crate) fn read(&self) -> Result<(Vec<Entry>, usize)> {
        let bytes = durable::read(&self.path, LONGEST)?.unwrap_or_default();
        Ok(Entry::decode_all(&bytes))
    }
}

fn durability(durability: Durability) -> durable::Durability {
    match durability {
        Durability::Now => durable::Durability::Now,
        Durability::Soon => durable::Durability::Soon,
    }
}

impl Journal for FileJournal {
    fn append(&self, entry: &Entry, when: Durability) -> Result<()> {
        durable::append(&self.path, &entry.encode(), 0o600, durability(when))
    }

    fn load(&self) -> Result<Vec<Entry>> {
        Ok(self.read()?.0)
    }

    fn replace(&self, entries: &[Entry]) -> Result<()> {
        let bytes: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
        durable::write(&self.path, &bytes, 0o600)
    }
}
