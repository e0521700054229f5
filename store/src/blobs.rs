//! Blobs: immutable files in a directory, each under its digest.
#![expect(clippy::disallowed_methods, reason = "the store's own directory; every error here carries its path")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use converge_model::digest::Hasher;
use converge_model::{BlobRef, Digest, Error, ErrorKind, Result, Timestamp};

/// Blobs that are swept away at once, while nobody else is told that a blob is there.
const SWEPT_AT_ONCE: usize = 32;

/// A directory of blobs, in 256 directories by the first two digits. A blob's modification time says when it was last asked for
/// by somebody who may be about to publish: what no revision needs goes some time after that.
#[derive(Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
    /// Held by whoever takes blobs away; shared by those who say that one is there.
    sweeping: RwLock<()>,
}

/// What was swept away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
}

impl Blobs {
    /// The blobs in `root`, which is made where it is not there. What an earlier process left half-written is removed.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let incoming = root.join("incoming");
        let made = fs::create_dir_all(&incoming).and_then(|()| {
            for entry in fs::read_dir(&incoming)? {
                fs::remove_file(entry?.path())?;
            }
            Ok(())
        });
        made.map_err(|error| Error::io("prepare", incoming.display(), &error))?;
        Ok(Self::look_at(root))
    }

    /// The blobs in `root`, which is another process's.
    pub(crate) fn look_at(root: &Path) -> Self {
        Self { root: root.to_owned(), sweeping: RwLock::new(()) }
    }

    /// Whether the blob is there. It is kept for a while from `now` on: whoever asks may be about to publish what needs it.
    pub(crate) fn has(&self, digest: &Digest, now: Timestamp) -> Result<bool> {
        let _shared = self.sweeping.read().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(digest);
        match File::open(&path).and_then(|file| file.set_modified(moment(now))) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("look at", path.display(), &error)),
        }
    }

    /// The blob's size, if it is there.
    pub(crate) fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", path.display(), &error)),
        }
    }

    /// The blob's file, if it is there.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path.display(), &error)),
        }
    }

    /// The bytes of a blob that a revision needs.
    pub(crate) fn read(&self, blob: &BlobRef) -> Result<Vec<u8>> {
        let path = self.path(&blob.digest);
        let bytes = fs::read(&path).map_err(|error| Error::io("read", path.display(), &error))?;
        if Digest::of(&bytes) != blob.digest {
            let cause = "it is not what its digest says: it was damaged or changed";
            return Err(Error::new(ErrorKind::Failed, "read", path.display(), cause)
                .with_hint("restore it from a backup, or publish the policy again from its repository"));
        }
        Ok(bytes)
    }

    /// Begins to take in a blob.
    pub(crate) fn receive(&self) -> Result<Incoming> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Error::new(ErrorKind::Failed, "name", "an incoming blob", error))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.root.join("incoming").join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path);
        let file = file.map_err(|error| Error::io("write", path.display(), &error))?;
        Ok(Incoming { path, file, hasher: Hasher::new(), size: 0 })
    }

    /// Makes a whole blob available under its digest, durably.
    pub(crate) fn keep(&self, incoming: Incoming, now: Timestamp) -> Result<BlobRef> {
        let blob = BlobRef { digest: incoming.hasher.clone().finish(), size: incoming.size };
        let path = self.path(&blob.digest);
        let kept = || -> std::io::Result<()> {
            incoming.file.set_modified(moment(now))?;
            incoming.file.sync_all()?;
            let _shared = self.sweeping.read().unwrap_or_else(PoisonError::into_inner);
            let directory = path.parent().unwrap_or(&self.root);
            fs::create_dir_all(directory)?;
            fs::rename(&incoming.path, &path)?;
            File::open(directory)?.sync_all()
        };
        kept().map_err(|error| Error::io("write", path.display(), &error))?;
        Ok(blob)
    }

    /// Has no process sweep until what this gives is dropped.
    pub(crate) fn hold_sweeping(&self) -> Result<File> {
        let directory = self.directory()?;
        directory.lock_shared().map_err(|error| Error::io("lock", self.root.display(), &error))?;
        Ok(directory)
    }

    /// Takes away the blobs that are not `needed`, and that nobody put or asked for since `before`. Nothing while a copy is made.
    ///
    /// What `needed` does not know because it was published meanwhile is safe: whoever published it asked for it before.
    pub(crate) fn sweep(&self, needed: &BTreeMap<Digest, u64>, before: Timestamp) -> Result<Swept> {
        let lock = self.directory()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Swept::default()),
            Err(TryLockError::Error(error)) => {
                return Err(Error::io("lock", self.root.display(), &error));
            }
        }
        let mut swept = Swept::default();
        for number in 0..=u8::MAX {
            let directory = self.root.join(format!("{number:02x}"));
            let idle = idle_in(&directory, number, needed, before)
                .map_err(|error| Error::io("look through", directory.display(), &error))?;
            for some in idle.chunks(SWEPT_AT_ONCE) {
                let _alone = self.sweeping.write().unwrap_or_else(PoisonError::into_inner);
                for digest in some {
                    let path = self.path(digest);
                    // Once more, now that nobody can be told that it is there.
                    let Ok(metadata) = fs::metadata(&path) else { continue };
                    if is_older(&metadata, before) {
                        fs::remove_file(&path).map_err(|error| Error::io("remove", path.display(), &error))?;
                        swept.blobs += 1;
                        swept.bytes += metadata.len();
                    }
                }
            }
        }
        Ok(swept)
    }

    /// The directory, to be locked. Whoever copies may be another user, who must leave no file behind.
    fn directory(&self) -> Result<File> {
        File::open(&self.root).map_err(|error| Error::io("open", self.root.display(), &error))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        path_of(&self.root, digest)
    }
}

/// Where a blob is below the directory of blobs `root`.
pub(crate) fn path_of(root: &Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    root.join(&name[..2]).join(&name[2..])
}

/// The blobs in one directory that are not needed, and older than `before`.
fn idle_in(
    directory: &Path,
    number: u8,
    needed: &BTreeMap<Digest, u64>,
    before: Timestamp,
) -> std::io::Result<Vec<Digest>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut idle = Vec::new();
    for entry in entries {
        let entry = entry?;
        // What is no blob is somebody else's, and stays.
        let digest = entry.file_name().to_str().and_then(|rest| format!("{number:02x}{rest}").parse::<Digest>().ok());
        let Some(digest) = digest.filter(|digest| !needed.contains_key(digest)) else { continue };
        if is_older(&entry.metadata()?, before) {
            idle.push(digest);
        }
    }
    Ok(idle)
}

/// Whether a file was modified before a moment. Where that cannot be told, it was not.
fn is_older(metadata: &fs::Metadata, before: Timestamp) -> bool {
    metadata.modified().is_ok_and(|modified| modified < moment(before))
}

fn moment(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.0.max(0).unsigned_abs())
}

/// A blob on its way in. Dropped before it was kept, it is gone.
pub(crate) struct Incoming {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Incoming {
    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| Error::io("write", self.path.display(), &error))
    }

    /// How many bytes came so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The digest of what came so far.
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Once kept, the file is no longer under this name, and there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn put(blobs: &Blobs, bytes: &[u8], at: i64) -> Digest {
        let mut incoming = blobs.receive().unwrap();
        incoming.write(bytes).unwrap();
        blobs.keep(incoming, Timestamp(at)).unwrap().digest
    }

    #[test]
    fn what_nobody_needs_or_asked_for_of_late_is_swept_away() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let [needed, idle, asked, fresh] = [("needed", 1_000), ("idle", 1_000), ("asked", 1_000), ("fresh", 9_000)]
            .map(|(text, at)| put(&blobs, text.as_bytes(), at));
        std::fs::write(directory.path().join("aa-notes"), "somebody else's").unwrap();
        assert!(blobs.has(&asked, Timestamp(8_000)).unwrap());
        let keep = BTreeMap::from([(needed, 6)]);
        let held = blobs.hold_sweeping().unwrap();
        assert_eq!(blobs.sweep(&keep, Timestamp(5_000)).unwrap(), Swept::default(), "while a copy is made");
        drop(held);
        assert_eq!(blobs.sweep(&keep, Timestamp(5_000)).unwrap(), Swept { blobs: 1, bytes: 4 });
        let left = [needed, idle, asked, fresh].map(|digest| blobs.size(&digest).unwrap().is_some());
        assert_eq!(left, [true, false, true, true]);
        assert!(!blobs.has(&idle, Timestamp(9_000)).unwrap());
    }

    #[test]
    fn whoever_was_told_that_a_blob_is_there_finds_it_there() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    blobs.sweep(&BTreeMap::new(), Timestamp(5_000)).unwrap();
                }
            });
            let mut swept = 0;
            for number in 0..200_u32 {
                let digest = put(&blobs, &number.to_be_bytes(), 1_000);
                // Sometimes the sweep is faster, and sometimes it is not.
                std::thread::sleep(Duration::from_micros(u64::from(number) * 37 % 4_000));
                if blobs.has(&digest, Timestamp(9_000)).unwrap() {
                    std::thread::sleep(Duration::from_micros(200));
                    assert!(blobs.size(&digest).unwrap().is_some(), "blob {number}");
                } else {
                    swept += 1;
                }
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(swept < 200, "nobody was ever told that one is there");
        });
    }
}
