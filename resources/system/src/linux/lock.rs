//! The run lock: held by the kernel, so that no dead process ever holds it.
#![allow(clippy::disallowed_methods, reason = "the lock is a file, and names its holder")]

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use converge_model::cancel::Cancel;
use converge_model::error::{Error, ErrorKind, Result};
use rustix::fs::{FlockOperation, flock};

/// How often a waiting run looks whether the lock is free.
const PATIENCE: Duration = Duration::from_millis(50);

/// The lock, until it is dropped or the process dies. Commands that the run starts do not inherit it.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock at `path`, waiting for at most `wait` while another run holds it. `holder` says who takes it, for
    /// whoever waits then: `converge --once, since 12:00`.
    ///
    /// # Errors
    /// Names the holder where the lock did not come free in time; where the file cannot be made.
    pub fn take(path: &Path, holder: &str, wait: Duration, cancel: &Cancel) -> Result<Self> {
        Self::take_pausing(path, holder, wait, cancel, || std::thread::sleep(PATIENCE))
    }

    fn take_pausing(
        path: &Path,
        holder: &str,
        wait: Duration,
        cancel: &Cancel,
        mut pause: impl FnMut(),
    ) -> Result<Self> {
        let trouble = |error: std::io::Error| Error::io("lock", path.display(), &error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)
            .map_err(trouble)?;
        let deadline = Instant::now() + wait;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(trouble(error.into()));
            }
            if Instant::now() >= deadline || cancel.is_asked() {
                let by = said(&file);
                return Err(Error::new(
                    ErrorKind::Busy,
                    "take",
                    format!("the run lock {}", path.display()),
                    format!("{by} holds it"),
                )
                .with_hint("wait for that run to end, or give it more time with --lock-wait"));
            }
            pause();
        }
        let name = format!("pid {}, {holder}\n", std::process::id());
        let named = file.write_all_at(name.as_bytes(), 0).and_then(|()| match file.metadata()?.len() {
            length if length > name.len() as u64 => file.set_len(name.len() as u64),
            _ => Ok(()),
        });
        named.map_err(trouble)?;
        Ok(Self { file })
    }

    /// Who holds the lock at `path`, as they said; nothing where nobody does.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn holder(path: &Path) -> Result<Option<String>> {
        let trouble = |error: std::io::Error| Error::io("look at", path.display(), &error);
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(trouble)?,
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(said(&file))),
            Err(error) => Err(trouble(error.into())),
        }
    }

    /// Whether what is locked is still the file at `path`: somebody may have deleted it since.
    pub fn is_at(&self, path: &Path) -> bool {
        let same =
            |there: Metadata| self.file.metadata().map(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()));
        path.metadata().and_then(same).unwrap_or(false)
    }
}

/// Who holds a lock, as they said. That is a courtesy: that it is held is known without it.
fn said(file: &File) -> String {
    let mut by = String::new();
    let _ = file.take(1024).read_to_string(&mut by);
    let by = by.trim();
    if by.is_empty() { "another process".to_owned() } else { by.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_holds_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = RunLock::take(&path, "the first", Duration::ZERO, &Cancel::new()).unwrap();
        let error = RunLock::take(&path, "the second", Duration::ZERO, &Cancel::new()).unwrap_err();
        assert!(error.cause.contains("the first") && error.cause.contains(&std::process::id().to_string()), "{error}");
        assert!(RunLock::holder(&path).unwrap().is_some_and(|holder| holder.contains("the first")));
        assert!(first.is_at(&path));
        std::fs::rename(&path, directory.path().join("moved")).unwrap();
        assert!(!first.is_at(&path));
        std::fs::rename(directory.path().join("moved"), &path).unwrap();
        drop(first);
        assert_eq!(RunLock::holder(&path).unwrap(), None);
        assert_eq!(RunLock::holder(&directory.path().join("none")).unwrap(), None);
        RunLock::take(&path, "the second", Duration::ZERO, &Cancel::new()).unwrap();
    }

    #[test]
    fn a_second_run_goes_on_when_the_first_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mut first = Some(RunLock::take(&path, "the first", Duration::ZERO, &Cancel::new()).unwrap());
        let pause = || drop(first.take());
        let wait = Duration::from_secs(60);
        RunLock::take_pausing(&path, "the second", wait, &Cancel::new(), pause).unwrap();
    }
}
