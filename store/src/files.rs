//! Private files of the store's data directory.
#![expect(clippy::disallowed_methods, reason = "tokens, keys and the lock in the store's own data directory")]

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use converge_model::{Error, ErrorKind, Result};

/// Makes a directory that only its owner enters, where it is not there.
///
/// # Errors
/// Where it cannot be made.
pub(crate) fn private_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::io("make", path.display(), &error))
}

/// Takes a data directory for this process.
///
/// # Errors
/// Where another process has it.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let trouble = |error: std::io::Error| Error::io("lock", path.display(), &error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let cause = "another store runs on this data directory";
            Err(Error::new(ErrorKind::Busy, "lock", path.display(), cause)
                .with_hint("stop that one first, or give this one a directory of its own with --data"))
        }
        Err(TryLockError::Error(error)) => Err(trouble(error)),
    }
}

/// What a file holds; nothing where it is not there.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path.display(), &error)),
    }
}

/// Writes a file of this mode in one step.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn write_with_mode(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let new = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        // What an earlier try left may have another mode.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    written().map_err(|error| Error::io("write", path.display(), &error))
}
