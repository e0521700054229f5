//! The journal of runs, as a file of lines.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use converge_engine::{Durability, Entry, Journal};
use converge_model::{Result, Timestamp};
use converge_system::linux::durable;

use super::{LONGEST, StateDir};

/// The journal in a state directory.
#[derive(Debug)]
pub(crate) struct FileJournal {
    path: PathBuf,
    /// Open from the first entry that is added to it until it is replaced.
    open: Mutex<Option<durable::AppendFile>>,
}

impl FileJournal {
    /// The journal in `state`.
    pub(crate) fn new(state: &StateDir) -> Self {
        Self { path: state.path("journal"), open: Mutex::new(None) }
    }
}

impl FileJournal {
    /// All entries, oldest first, and how many more there were that nobody can read.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub(crate) fn read(&self) -> Result<(Vec<Entry>, usize)> {
        Ok(Entry::decode_all(&self.bytes()?))
    }

    /// When it was written last.
    pub(crate) fn written(&self) -> Option<Timestamp> {
        let at = self.path.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(at.as_millis()).ok().map(Timestamp)
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        Ok(durable::read(&self.path, LONGEST)?.unwrap_or_default())
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
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.take() {
            Some(file) => file,
            None => durable::AppendFile::open(&self.path, 0o600)?,
        };
        open.insert(file).append(&entry.encode(), durability(when))
    }

    fn load(&self) -> Result<Vec<Entry>> {
        Ok(self.read()?.0)
    }

    fn load_due(&self) -> Result<Vec<Entry>> {
        Ok(Entry::decode_due(&self.bytes()?))
    }

    fn replace(&self, entries: &[Entry]) -> Result<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let bytes: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
        // What was in it is kept elsewhere by now: found here again after a power cut, it does no harm.
        let when = if bytes.is_empty() { durable::Durability::Soon } else { durable::Durability::Now };
        durable::write_with(&self.path, &bytes, 0o600, when)
    }
}
