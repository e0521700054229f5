//! The agent's own files: written whole or not at all, and there after a power cut.
//!
//! For directories that only the agent (root) writes to, such as `/var/lib/converge`. What a policy declares goes through
//! the `Files` port, which trusts nobody.
#![allow(clippy::disallowed_methods, reason = "the owner of these doors: every error here carries its path")]

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use converge_model::error::{Error, ErrorKind, Result};
use rustix::fs::OFlags;

#[cfg(feature = "simulation")]
pub mod steps;

/// Nobody looks on.
#[cfg(not(feature = "simulation"))]
mod steps {
    pub(super) fn changing(_: &std::path::Path) {}
    pub(super) fn durable(_: &std::path::Path) {}
}

/// What the name of a file ends with that is being written. Before it stand the process that writes, and a number.
const SUFFIX: &str = ".new";

/// What a file holds, or nothing where there is none.
///
/// # Errors
/// Where it cannot be read, or holds more than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path.display(), &error)),
    };
    let expected = file.metadata().map_or(0, |metadata| metadata.len().min(limit));
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0).saturating_add(1));
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io("read", path.display(), &error))?;
    if bytes.len() as u64 > limit {
        let cause = format!("it is longer than {limit} bytes");
        return Err(Error::new(ErrorKind::Invalid, "read", path.display(), cause));
    }
    Ok(Some(bytes))
}

/// How soon a file must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the call returns.
    Now,
    /// Whenever the system gets to it. The old or the new content is there all the same, but for the power.
    Soon,
}

/// Puts a file in place of whatever is at `path`, in one step, durably.
///
/// # Errors
/// Where that failed: then what was there is there still.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_with(path, bytes, mode, Durability::Now)
}

/// As [`write()`], durable when `durability` says.
///
/// # Errors
/// As [`write()`].
pub fn write_with(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let mut incoming = Incoming::begin(path, mode)?;
    incoming.write(bytes)?;
    incoming.keep(durability)
}

/// A file that is being written under another name.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    /// Where it is until it is kept.
    temporary: Option<PathBuf>,
    file: File,
}

impl Incoming {
    /// Begins a file that will be at `path`. Dropped before it is kept, it is gone.
    ///
    /// # Errors
    /// Where it cannot be made there.
    pub fn begin(path: &Path, mode: u32) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        if let Some(directory) = path.parent() {
            sweep(directory);
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-{number}{SUFFIX}", std::process::id()));
        let temporary = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode).custom_flags(NOFOLLOW);
        let file = options.open(&temporary).map_err(|error| Error::io("write", path.display(), &error))?;
        Ok(Self { path: path.to_owned(), temporary: Some(temporary), file })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::io("write", self.path.display(), &error))
    }

    /// Puts the file in place, in one step.
    ///
    /// # Errors
    /// Where that failed: then what was there is there still.
    pub fn keep(mut self, durability: Durability) -> Result<()> {
        steps::changing(&self.path);
        let mut kept = || -> io::Result<()> {
            if durability == Durability::Now {
                self.file.sync_all()?;
            }
            if let Some(temporary) = &self.temporary {
                fs::rename(temporary, &self.path)?;
            }
            self.temporary = None;
            match self.path.parent() {
                Some(directory) if durability == Durability::Now => File::open(directory)?.sync_all(),
                _ => Ok(()),
            }
        };
        kept().map_err(|error| Error::io("write", self.path.display(), &error))?;
        if durability == Durability::Now {
            steps::durable(&self.path);
        }
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What was not kept is of no use to anybody.
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Never through a link that somebody put there.
const NOFOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Removes what processes that are no more were writing in `directory`; once per directory and process.
fn sweep(directory: &Path) {
    static SWEPT: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);
    if !SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.to_owned()) {
        return;
    }
    // What cannot be listed or removed is in nobody's way.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let writer = name.to_str().and_then(writer_of);
        if writer.is_some_and(|writer| !Path::new(&format!("/proc/{writer}")).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The process that is writing a file under this name, where it is such a name.
fn writer_of(name: &str) -> Option<u32> {
    let (process, number) = name.strip_suffix(SUFFIX)?.rsplit_once('.')?.1.split_once('-')?;
    number.parse::<u32>().ok()?;
    process.parse().ok()
}

/// Makes files of one directory durable that were written to be so later: a single one by itself, several by one call for
/// their file system, which takes a fraction of the time.
///
/// # Errors
/// Where they cannot be opened or synchronized.
pub fn synchronize(paths: &[PathBuf]) -> Result<()> {
    let Some(path) = paths.first() else { return Ok(()) };
    let synchronized = || -> io::Result<()> {
        let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
        if paths.len() > 1 {
            return Ok(rustix::fs::syncfs(&directory)?);
        }
        File::open(path)?.sync_all()?;
        directory.sync_all()
    };
    synchronized().map_err(|error| Error::io("synchronize", path.display(), &error))?;
    paths.iter().for_each(|path| steps::durable(path));
    Ok(())
}

/// A file that grows at its end.
#[derive(Debug)]
pub struct AppendFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl AppendFile {
    /// Opens the file at `path`, which is made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be opened or made.
    pub fn open(path: &Path, mode: u32) -> Result<Self> {
        let opened = || -> io::Result<(File, u64)> {
            let file = OpenOptions::new().append(true).create(true).mode(mode).custom_flags(NOFOLLOW).open(path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        let (file, length) = opened().map_err(|error| Error::io("write", path.display(), &error))?;
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// Adds bytes at the end: all of them or none, but for a power cut.
    ///
    /// # Errors
    /// Where they cannot be written, or made durable.
    pub fn append(&mut self, bytes: &[u8], durability: Durability) -> Result<()> {
        steps::changing(&self.path);
        let mut appended = || -> io::Result<()> {
            if let Err(error) = self.file.write_all(bytes) {
                // On a full disk: half of a record would spoil the next one too.
                self.file.set_len(self.length)?;
                return Err(error);
            }
            self.length += bytes.len() as u64;
            if durability == Durability::Now { self.file.sync_data() } else { Ok(()) }
        };
        appended().map_err(|error| Error::io("write", self.path.display(), &error))?;
        if durability == Durability::Now {
            steps::durable(&self.path);
        }
        Ok(())
    }
}

/// Makes a directory and its parents, where they are not there.
///
/// # Errors
/// Where they cannot be made.
pub fn create_directory(path: &Path, mode: u32) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| Error::io("make", path.display(), &error))
}

/// Removes a file. Nothing there is fine.
///
/// # Errors
/// Where it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    steps::changing(path);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path.display(), &error)),
        _ => Ok(()),
    }
}

/// Removes a directory with all in it. Nothing there is fine.
///
/// # Errors
/// Where something in it cannot be removed.
pub fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path.display(), &error)),
        _ => Ok(()),
    }
}

/// The names of what is in a directory, sorted; none where it is not there. What is still being written is left out; so are
/// names that are not UTF-8, which are not the agent's.
///
/// # Errors
/// Where the directory cannot be read.
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", directory.display(), &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("read", directory.display(), &error))?;
        names.extend(entry.file_name().into_string().ok().filter(|name| writer_of(name).is_none()));
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_not_kept_leaves_the_old_one_and_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        write(&path, b"old", 0o600).unwrap();
        let mut incoming = Incoming::begin(&path, 0o600).unwrap();
        incoming.write(b"half of the n").unwrap();
        drop(incoming);
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"old");
        assert_eq!(names(directory.path()).unwrap(), ["state"]);
        assert!(read(&path, 2).unwrap_err().to_string().contains("longer than 2 bytes"));
        AppendFile::open(&path, 0o600).unwrap().append(b"er", Durability::Now).unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"older");
        assert_eq!(read(&directory.path().join("none"), 1).unwrap(), None);
    }

    #[test]
    fn what_a_killed_process_was_writing_is_swept_and_never_listed() {
        let directory = tempfile::tempdir().unwrap();
        let here = |name: &str| directory.path().join(name);
        let own = format!("state.{}-7.new", std::process::id());
        for name in ["state.4294967295-0.new", &own, "my.new", "a.b-c.new"] {
            fs::write(here(name), "").unwrap();
        }
        std::os::unix::fs::symlink("elsewhere", here("journal")).unwrap();
        write(&here("state"), b"x", 0o600).unwrap();
        assert!(!here("state.4294967295-0.new").exists() && here(&own).exists());
        assert_eq!(names(directory.path()).unwrap(), ["a.b-c.new", "journal", "my.new", "state"]);
        assert!(AppendFile::open(&here("journal"), 0o600).is_err() && !here("elsewhere").exists());
    }
}
