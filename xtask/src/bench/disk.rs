//! Files of the benches: all below `target/bench`, on whatever disk that is.
#![expect(clippy::disallowed_methods, reason = "benches make and take away their own files; there is no agent here")]

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// Takes a directory away with all that is in it; one that is not there is fine.
pub(crate) fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => told("remove", path.display(), other),
    }
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
