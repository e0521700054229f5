//! The ledger of owned resources, as a file, with the fingerprint of its catalog beside it: an idle run reads only that.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use converge_engine::{LEDGER_FORMAT, Ledger, LedgerStore};
use converge_model::Result;
use converge_system::linux::durable;

use super::{LONGEST, StateDir};

/// The ledger in a state directory.
#[derive(Debug)]
pub(crate) struct FileLedger {
    ledger: PathBuf,
    fingerprint: PathBuf,
    /// Whether what was loaded is no ledger, of this version or a later one.
    damaged: AtomicBool,
}

impl FileLedger {
    /// The ledger in `state`.
    pub(crate) fn new(state: &StateDir) -> Self {
        Self {
            ledger: state.path("ledger.json"),
            fingerprint: state.path("ledger.fingerprint"),
            damaged: AtomicBool::new(false),
        }
    }

    /// Takes a ledger away that was found to be damaged, so that the next run begins a new one. Says so in `remarks`.
    pub(crate) fn drop_damaged(&self, remarks: &mut Vec<String>) {
        if !self.damaged.load(Ordering::Relaxed) {
            return;
        }
        match durable::remove(&self.fingerprint).and_then(|()| durable::remove(&self.ledger)) {
            Ok(()) => remarks.push(format!("{} was removed; the next run begins a new one", self.ledger.display())),
            Err(error) => remarks.push(error.to_string()),
        }
    }

    /// Writes the ledger. The fingerprint is there only while it is that of the ledger beside it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(&self, ledger: &Ledger) -> Result<()> {
        durable::remove(&self.fingerprint)?;
        durable::write(&self.ledger, &ledger.to_json()?, 0o600)?;
        match ledger.catalog {
            // Lost in a power cut, it costs the next run a look into the ledger.
            Some(fingerprint) => {
                let text = fingerprint.to_string();
                durable::write_with(&self.fingerprint, text.as_bytes(), 0o600, durable::Durability::Soon)
            }
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
            Some(bytes) => Ledger::from_json(&bytes).inspect_err(|_| {
                // A later version's is whole: to whoever goes back to that version it is worth keeping.
                let document = serde_json::from_slice::<serde_json::Value>(&bytes).unwrap_or_default();
                let is_later = document["format"].as_u64().is_some_and(|format| format > u64::from(LEDGER_FORMAT));
                self.damaged.store(!is_later, Ordering::Relaxed);
            }),
            None => Ok(Ledger::default()),
        }
    }
}
