//! The ledger of owned resources, as a file, with the fingerprint of its catalog beside it: an idle run reads only that.

use std::path::PathBuf;

use converge_engine::{Ledger, LedgerStore};
use converge_model::Result;
use converge_system::linux::durable;

use super::{LONGEST, StateDir};

/// The ledger in a state directory.
#[derive(Debug)]
pub(crate) struct FileLedger {
    ledger: PathBuf,
    fingerprint: PathBuf,
}

impl FileLedger {
    /// The ledger in `state`.
    pub(crate) fn new(state: &StateDir) -> Self {
        Self { ledger: state.path("ledger.json"), fingerprint: state.path("ledger.fingerprint") }
    }

    /// Writes the ledger. The fingerprint is there only while it is that of the ledger beside it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(&self, ledger: &Ledger) -> Result<()> {
        durable::remove(&self.fingerprint)?;
        durable::write(&self.ledger, &ledger.to_json()?, 0o600)?;
        match ledger.catalog {
            Some(fingerprint) => durable::write(&self.fingerprint, fingerprint.to_string().as_bytes(), 0o600),
            None => Ok(()),
        }
    }
}

impl LedgerStore for FileLedger {
    fn catalog(&self) -> Option<u64> {
        let bytes = durable::read(&self.fingerprint, 32).ok()??;
        std::str::from_utf8(&bytes).ok()?.parse().ok().filter(|_| self.ledger.exists())
    }

    fn load(&self) -> Result<Ledger> {
        match durable::read(&self.ledger, LONGEST)? {
            Some(bytes) => Ledger::from_json(&bytes),
            None => Ok(Ledger::default()),
        }
    }
}
