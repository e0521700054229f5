//! What the agent remembers between runs, under `/var/lib/converge`. Every file can be deleted: it is built anew, or the
//! agent says in one sentence what it needs.

pub(crate) mod assignment;
pub(crate) mod cache;
pub(crate) mod contact;
pub(crate) mod daemon;
pub(crate) mod highest;
pub(crate) mod images;
pub(crate) mod journal;
pub(crate) mod ledger;
pub(crate) mod reports;
pub(crate) mod spool;

use std::path::{Path, PathBuf};

use converge_model::{Error, Result};
use converge_system::linux::durable;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest state document that is read, in bytes.
const LONGEST: u64 = 1 << 30;

/// The state directory.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// The state in `path`, which is made where it is not there: only root reads it, because reports tell much.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let state = Self(path.to_owned());
        durable::create_directory(path, 0o700)
            .map_err(|error| error.with_hint("run as root, or name a directory of your own with --state-dir"))?;
        Ok(state)
    }

    /// The state in `path`, which is not made: whoever only looks leaves no trace.
    ///
    /// # Errors
    /// Where it may not be read.
    pub(crate) fn existing(path: &Path) -> Result<Self> {
        durable::names(path)
            .map_err(|error| error.with_hint("run as root, or name a directory of your own with --state-dir"))?;
        Ok(Self(path.to_owned()))
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The file that the run lock is held on.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path("run.lock")
    }
}

/// What came of reading a document of the agent's own.
pub(crate) enum Loaded<T> {
    /// There is none.
    Absent,
    /// It.
    Whole(T),
    /// It is there, and cannot be used: why. Whoever reads goes on without it, and says so.
    Broken(Error),
}

/// A JSON document of the agent's own.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Loaded<T> {
    match durable::read(path, LONGEST) {
        Ok(None) => Loaded::Absent,
        Err(error) => Loaded::Broken(error),
        Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
            Ok(document) => Loaded::Whole(document),
            Err(error) => Loaded::Broken(Error::new(
                converge_model::ErrorKind::Invalid,
                "read",
                path.display(),
                format!("it is damaged: {error}"),
            )),
        },
    }
}

/// Writes a JSON document of the agent's own, in one step.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn save(path: &Path, document: &impl Serialize, durability: durable::Durability) -> Result<()> {
    let bytes = serde_json::to_vec(document)
        .map_err(|error| Error::new(converge_model::ErrorKind::Failed, "write", path.display(), error))?;
    durable::write_with(path, &bytes, 0o600, durability)
}
