//! What files held when they were last read: one that nobody wrote to since need not be read again.
//!
//! As git's index does it (gitformat-index(5), "racy git"): the kernel sets the change time (ctime) of an inode whenever it is
//! written to, to the clock's time, and no call sets it to anything else. So a file whose inode, size and ctime are as they were
//! holds what it held, if that was read later than it was changed. What is not trusted, and read at each run:
//!
//! - a file that others than root and the user converging may write to: through a writable mapping they could change it
//!   without another ctime until the kernel writes it out, which it does after half a minute;
//! - one that was changed within [`SETTLED`] before it was read: until then a mapping from before may be written to, and clocks
//!   tick more coarsely than files are written;
//! - one on a file system whose times come from elsewhere (NFS, FUSE, FAT), or that writes nothing out (tmpfs), or may lie over
//!   one that does not (overlayfs);
//! - one that was read longer ago than the agent was told to trust that: a disk may rot, and root may write to it directly.
//!
//! Only "it holds what it should" is ever taken from here. A file that differs is always read.
#![expect(clippy::disallowed_methods, reason = "the change time of a file is held against the clock that it came from")]

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use converge_model::error::Result;
use converge_model::{Content, Digest};
use rustix::fs::Stat;

use crate::linux::durable::{self, Durability};

/// What a file of this format begins with.
const MAGIC: [u8; 8] = *b"cvgstat1";

/// How long before it was read a file must have been changed for the last time, in seconds.
const SETTLED: u64 = 60;

/// The longest file that is read, in bytes: some three million files.
const LONGEST: u64 = 256 << 20;

/// The file systems that live in this kernel and keep the change time of an inode themselves, by what statfs(2) calls them:
/// ext2 to ext4, XFS, Btrfs, F2FS.
const TRUSTED: [u64; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010];

/// Where a [`StatCache`] is kept between runs, and how far it is trusted.
#[derive(Clone, Debug)]
pub struct StatCacheOptions {
    /// The file, in a directory that only the agent writes to.
    pub path: PathBuf,
    /// For how long a file is taken to hold what it held when it was read. Zero: every file is read at every run.
    pub trusted_for: Duration,
}

/// One file as it was when it was read: device, inode, size, ctime in seconds and nanoseconds, when it was read (seconds since
/// 1970), each as eight bytes, the highest first, and the SHA-256 of what it held.
type Entry = [u8; 80];

/// What an entry begins with: whose it is.
const KEY: usize = 16;
/// Where in an entry it says when the file was read: before it, what stat(2) said.
const READ_AT: usize = 40;
/// Where in an entry the digest is.
const DIGEST: usize = 48;

/// What files held when they were last read.
#[derive(Debug)]
pub(super) struct StatCache {
    options: Option<StatCacheOptions>,
    euid: u32,
    /// File systems whose times are trusted, as [`TRUSTED`].
    trusted: Vec<u64>,
    /// When this run began to look, in seconds since 1970.
    now: u64,
    /// What earlier runs read: the file's bytes.
    known: OnceLock<Vec<u8>>,
    learned: Mutex<Learned>,
}

/// What this run read.
#[derive(Debug, Default)]
struct Learned {
    entries: Vec<Entry>,
    /// Whether the times of a device are trusted.
    devices: HashMap<u64, bool>,
}

impl StatCache {
    pub(super) fn new(options: Option<StatCacheOptions>, euid: u32) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let options = options.filter(|options| !options.trusted_for.is_zero());
        Self { options, euid, trusted: TRUSTED.to_vec(), now, known: OnceLock::new(), learned: Mutex::default() }
    }

    /// Whether anything is known at all: else asking is not worth a system call.
    pub(super) fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// Whether the file that stat(2) says this of is known to hold `content`.
    pub(super) fn holds(&self, stat: &Stat, content: &Content) -> bool {
        let seen = entry(stat, 0, &Digest::from_bytes([0; 32]));
        let known = self.known();
        let Ok(position) = known.binary_search_by(|entry| entry[..KEY].cmp(&seen[..KEY])) else { return false };
        let entry = &known[position];
        entry[..READ_AT] == seen[..READ_AT]
            && self.is_recent(entry)
            && self.is_ours(stat)
            && entry[DIGEST..] == *content.digest().as_bytes()
    }

    /// Remembers that `file`, of which stat(2) said this before it was read, holds `content`.
    pub(super) fn learn(&self, file: &OwnedFd, stat: &Stat, content: &Content) {
        let changed = u64::try_from(stat.st_ctime).unwrap_or(0);
        if self.options.is_none() || !self.is_ours(stat) || changed.saturating_add(SETTLED) > self.now {
            return;
        }
        let digest = content.digest();
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_trusted = learned.devices.entry(stat.st_dev).or_insert_with(|| {
            rustix::fs::fstatfs(file)
                .is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|of| self.trusted.contains(&of)))
        });
        if *is_trusted {
            learned.entries.push(entry(stat, self.now, &digest));
        }
    }

    /// Keeps what this run learned, with what is still worth knowing of what was known.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn save(&self) -> Result<()> {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(options), false) = (&self.options, learned.entries.is_empty()) else { return Ok(()) };
        let mut entries = std::mem::take(&mut learned.entries);
        entries.extend(self.known().iter().filter(|entry| self.is_recent(entry)));
        // Of two entries of one file, the one that was learned now comes first, and stays.
        entries.sort_by(|left, right| left[..KEY].cmp(&right[..KEY]));
        entries.dedup_by(|later, earlier| later[..KEY] == earlier[..KEY]);
        let bytes = [&MAGIC, entries.as_flattened()].concat();
        durable::write_with(&options.path, &bytes, 0o600, Durability::Soon)
    }

    fn known(&self) -> &[Entry] {
        let bytes = self.known.get_or_init(|| {
            // What cannot be read is not known: then files are read, which is always right.
            let read = |options: &StatCacheOptions| durable::read(&options.path, LONGEST).ok().flatten();
            self.options.as_ref().and_then(read).unwrap_or_default()
        });
        bytes.strip_prefix(&MAGIC).map_or(&[], |entries| entries.as_chunks().0)
    }

    /// Whether an entry is of a time that is trusted still; one from the future is not.
    fn is_recent(&self, entry: &Entry) -> bool {
        let trusted_for = self.options.as_ref().map_or(Duration::ZERO, |options| options.trusted_for);
        let read_at = entry[READ_AT..DIGEST].try_into().map_or(0, u64::from_be_bytes);
        self.now.checked_sub(read_at).is_some_and(|age| age < trusted_for.as_secs())
    }

    /// Whether nobody but root and the user converging may write to the file.
    fn is_ours(&self, stat: &Stat) -> bool {
        (stat.st_uid == 0 || stat.st_uid == self.euid) && stat.st_mode & 0o022 == 0
    }
}

fn entry(stat: &Stat, read_at: u64, digest: &Digest) -> Entry {
    let mut entry = [0; 80];
    let numbers = [
        stat.st_dev,
        stat.st_ino,
        stat.st_size.cast_unsigned(),
        stat.st_ctime.cast_unsigned(),
        stat.st_ctime_nsec,
        read_at,
    ];
    for (place, number) in entry.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    entry[DIGEST..].copy_from_slice(digest.as_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    /// A cache of a run that begins `later` than now, in seconds.
    fn cache(path: &Path, later: i64) -> StatCache {
        let options = StatCacheOptions { path: path.to_owned(), trusted_for: Duration::from_hours(1) };
        let mut cache = StatCache::new(Some(options), rustix::process::geteuid().as_raw());
        cache.now = cache.now.saturating_add_signed(later);
        // Wherever tests run: a file system that writes out what nobody maps is as good as one that always does.
        let of_tests = rustix::fs::statfs(path.parent().unwrap()).unwrap().f_type;
        cache.trusted.push(u64::try_from(of_tests).unwrap());
        cache
    }

    fn text(text: &str) -> Content {
        Content::Bytes(text.as_bytes().into())
    }

    fn learn(cache: &StatCache, path: &Path, content: &str) {
        let file = OwnedFd::from(File::open(path).unwrap());
        cache.learn(&file, &rustix::fs::fstat(&file).unwrap(), &text(content));
    }

    fn knows(cache: &StatCache, path: &Path, content: &str) -> bool {
        cache.holds(&rustix::fs::stat(path).unwrap(), &text(content))
    }

    #[test]
    fn a_file_is_known_until_anything_happens_to_it() {
        type Deed = fn(&Path);
        let rewritten: Deed = |path| {
            let before = std::fs::metadata(path).unwrap().modified().unwrap();
            std::fs::write(path, "bad!").unwrap();
            File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
        };
        let replaced: Deed = |path| {
            std::fs::write(path.with_extension("new"), "good").unwrap();
            std::fs::rename(path.with_extension("new"), path).unwrap();
        };
        for (name, deed, later, known) in [
            ("untouched", (|_| {}) as Deed, 90, true),
            ("read", |path| assert_eq!(std::fs::read(path).unwrap(), b"good"), 90, true),
            ("rewritten, with its old time of modification", rewritten, 90, false),
            ("replaced", replaced, 90, false),
            (
                "given another mode",
                |path| std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap(),
                10,
                false,
            ),
            ("read too long ago", |_| {}, 90 + 3600, false),
            ("read in what is now the future", |_| {}, -3600, false),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let (file, kept) = (directory.path().join("file"), directory.path().join("stat-cache"));
            std::fs::write(&file, "good").unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
            let first = cache(&kept, 80);
            assert!(first.is_empty() && !knows(&first, &file, "good"), "{name}");
            learn(&first, &file, "good");
            first.save().unwrap();
            deed(&file);
            let second = cache(&kept, later);
            assert_eq!(knows(&second, &file, "good"), known, "{name}");
            assert!(!knows(&second, &file, "best"), "{name}: of other content nothing is known");
        }
    }

    #[test]
    fn what_may_change_unseen_is_not_remembered() {
        for (name, mode, later, path) in [
            ("written half a minute ago", 0o644, 30, None),
            ("written by its group too", 0o664, 80, None),
            ("written by all", 0o646, 80, None),
            ("no file system of its own", 0o444, 80, Some("/proc/version")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let (file, kept) = (directory.path().join("file"), directory.path().join("stat-cache"));
            std::fs::write(&file, "good").unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let cache = cache(&kept, later);
            learn(&cache, path.map_or(file.as_path(), Path::new), "good");
            cache.save().unwrap();
            assert!(!kept.exists(), "{name}");
        }
    }

    #[test]
    fn a_damaged_cache_knows_less_and_harms_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (file, kept) = (directory.path().join("file"), directory.path().join("stat-cache"));
        std::fs::write(&file, "good").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let first = cache(&kept, 80);
        learn(&first, &file, "good");
        first.save().unwrap();
        let whole = std::fs::read(&kept).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&kept, &whole[..length]).unwrap();
            assert_eq!(knows(&cache(&kept, 90), &file, "good"), length == whole.len(), "{length}");
        }
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= 1;
            std::fs::write(&kept, &damaged).unwrap();
            // When it was read is the one thing of which another value may be as good.
            let of_time = (MAGIC.len() + READ_AT..MAGIC.len() + DIGEST).contains(&position);
            assert!(of_time || !knows(&cache(&kept, 90), &file, "good"), "{position}");
            let again = cache(&kept, 90);
            learn(&again, &file, "good");
            again.save().unwrap();
            assert!(knows(&cache(&kept, 91), &file, "good"), "{position}");
        }
    }
}
