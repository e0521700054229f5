//! Files of the benches: all below `target/bench`, on whatever disk that is.
#![expect(clippy::disallowed_methods, reason = "benches make and take away their own files; there is no agent here")]

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::failure::{Failure, Result};

fn told<T>(operation: &str, path: impl Display, result: io::Result<T>) -> Result<T> {
    result.map_err(|error| Failure::of(operation, path, error))
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    told("read", path.display(), fs::read_to_string(path))
}

/// Reads any file.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    told("read", path.display(), fs::read(path))
}

/// Writes a file, and the directories above it.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    told("write", path.display(), fs::write(path, content))
}

/// Makes a directory, and those above it.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    told("make the directory", path.display(), fs::create_dir_all(path))
}

/// Every regular file below a directory, in order.
pub(crate) fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in told("list", directory.display(), fs::read_dir(&directory))? {
            let entry = told("list", directory.display(), entry)?;
            match told("look at", entry.path().display(), entry.file_type())? {
                sort if sort.is_dir() => directories.push(entry.path()),
                sort if sort.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Where directories wait that are no longer wanted.
///
/// They are moved there and removed at the very end, because removing is not over when it is done: for some minutes ext4
/// does not use the places of removed files again, and looks through all of them for every file that it makes. A first
/// run of 1,000 files then takes twenty times as long, and whoever measures, measures that.
#[derive(Debug)]
pub(crate) struct Attic(PathBuf);

/// For so long ext4 may remember what was removed.
const REMEMBERED: Duration = Duration::from_secs(6 * 60);

impl Attic {
    /// The attic of the benches in `directory`.
    pub(crate) fn of(directory: &Path) -> Self {
        Self(directory.join("attic"))
    }

    /// Moves a directory here; one that is not there is fine.
    pub(crate) fn take(&self, path: &Path) -> Result<()> {
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        make_directory(&self.0)?;
        let name = format!("{}-{}", std::process::id(), TAKEN.fetch_add(1, Ordering::Relaxed));
        match fs::rename(path, self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => told("move away", path.display(), other),
        }
    }

    /// Removes all that is here, and remembers when.
    pub(crate) fn sweep(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => told("remove", self.0.display(), other).and_then(|()| write(&self.swept(), "")),
        }
    }

    /// How long to wait until what was swept last is forgotten.
    pub(crate) fn haunted(&self) -> Option<Duration> {
        let since = fs::metadata(self.swept()).and_then(|file| file.modified()).ok()?.elapsed().ok()?;
        REMEMBERED.checked_sub(since)
    }

    fn swept(&self) -> PathBuf {
        self.0.with_extension("swept")
    }
}
