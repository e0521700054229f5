//! The highest revision of each policy that this node ran: it never goes back below it.
//!
//! It is kept twice: in the state directory, which may be deleted, and beside the configuration, which outlives that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use converge_model::{Digest, Result};
use converge_system::linux::durable::Durability;
use serde::{Deserialize, Serialize};

use super::{Loaded, StateDir, load, save};
use crate::config::ConfigDir;

/// A revision that this node ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ran {
    /// Its serial.
    pub serial: u64,
    /// The digest of its manifest: somebody may have signed two under one serial.
    pub manifest: Digest,
}

/// What is remembered, by policy.
type Revisions = BTreeMap<String, Ran>;

/// Where it is remembered.
#[derive(Clone, Debug)]
pub(crate) struct Highest {
    state: PathBuf,
    config: PathBuf,
}

impl Highest {
    /// What the machine with these directories remembers.
    pub(crate) fn new(state: &StateDir, config: &ConfigDir) -> Self {
        Self { state: state.path("highest.json"), config: config.highest_file() }
    }

    /// The highest revision of `policy` that this node ran; nothing where it ran none. That it is not known is said in
    /// `remarks`.
    pub(crate) fn of(&self, policy: &str, remarks: &mut Vec<String>) -> Option<Ran> {
        let mut is_known = false;
        let mut highest: Option<Ran> = None;
        for path in [&self.state, &self.config] {
            match load::<Revisions>(path) {
                Loaded::Whole(revisions) => {
                    is_known = true;
                    let found = revisions.get(policy).copied();
                    highest = highest.into_iter().chain(found).max_by_key(|ran| ran.serial);
                }
                Loaded::Absent => {}
                Loaded::Broken(error) => remarks.push(error.to_string()),
            }
        }
        if !is_known {
            remarks.push(format!(
                "{} and {} are gone: which revision of policy {policy} this node ran last is not known, and an older one \
                 would be taken this once",
                self.state.display(),
                self.config.display()
            ));
        }
        highest
    }

    /// Remembers that `ran` of `policy` is run from now on. Where it can be kept in one place only, `remarks` says so.
    ///
    /// # Errors
    /// Where it can be kept in neither.
    pub(crate) fn raise(&self, policy: &str, ran: Ran, remarks: &mut Vec<String>) -> Result<()> {
        let kept = self.keep(&self.state, policy, ran);
        match (kept, self.keep(&self.config, policy, ran)) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(error), Err(_)) => Err(error),
            (Err(error), Ok(())) | (Ok(()), Err(error)) => {
                remarks.push(format!(
                    "{error}; that this node ran revision {} is remembered in one place only",
                    ran.serial
                ));
                Ok(())
            }
        }
    }

    /// Remembers that this node has run nothing yet, where nothing is remembered beside the configuration.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn begin(config: &ConfigDir) -> Result<()> {
        match load::<Revisions>(&config.highest_file()) {
            Loaded::Whole(_) => Ok(()),
            Loaded::Absent | Loaded::Broken(_) => save(&config.highest_file(), &Revisions::new(), Durability::Now),
        }
    }

    fn keep(&self, path: &Path, policy: &str, ran: Ran) -> Result<()> {
        let mut revisions = match load::<Revisions>(path) {
            Loaded::Whole(revisions) => revisions,
            Loaded::Absent | Loaded::Broken(_) => Revisions::new(),
        };
        if revisions.get(policy).is_some_and(|known| known.serial >= ran.serial) {
            return Ok(());
        }
        revisions.insert(policy.to_owned(), ran);
        save(path, &revisions, Durability::Now)
    }
}
