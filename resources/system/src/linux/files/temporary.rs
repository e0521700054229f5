//! Names under which something is made before it is put in its place, and what killed runs leave of them.

use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, PoisonError};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{LinuxFiles, entries};

const PREFIX: &str = ".converge-";
const DIGITS: usize = 16;

/// A name in a directory that nobody could have foreseen. What is there under it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    directory: BorrowedFd<'a>,
    name: String,
    armed: bool,
}

impl<'a> Temporary<'a> {
    /// Makes something in `directory` with `make`, which is given the name and must fail where it is taken.
    pub(super) fn make<T>(
        directory: BorrowedFd<'a>,
        make: impl Fn(BorrowedFd<'a>, &str) -> Result<T, Errno>,
    ) -> Result<(Self, T), Errno> {
        loop {
            let name = format!("{PREFIX}{:0DIGITS$x}", unforeseen());
            match make(directory, &name) {
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
                Ok(made) => return Ok((Self { directory, name, armed: true }, made)),
            }
        }
    }

    /// Makes a regular file that nobody else can open, held by a lock that tells other processes that it is in use.
    pub(super) fn file(directory: BorrowedFd<'a>) -> Result<(Self, OwnedFd), Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (temporary, file) = Self::make(directory, |directory, name| {
            rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        // Some network file systems have no locks. Then a second agent could sweep it, and this write would fail.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok((temporary, file))
    }

    /// Its name in the directory.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Says that nothing is there under the name any more.
    pub(super) fn forget(mut self) {
        self.armed = false;
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.armed {
            let _ = rustix::fs::unlinkat(self.directory, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// A number that nobody outside this process could have foreseen: how often it was asked for, hashed with a random key.
fn unforeseen() -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

fn is_temporary(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes()).is_some_and(|digits| {
        digits.len() == DIGITS && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl LinuxFiles {
    /// Removes what a killed run left in `directory`: once per directory, and only what is surely ours and in nobody's use.
    /// Gives what stat(2) says of the directory. One that cannot be listed is left as it is.
    pub(super) fn sweep(&self, directory: &OwnedFd) -> Result<Stat, Errno> {
        let stat = rustix::fs::fstat(directory)?;
        // Held while sweeping: another thread that is about to write there waits, so that its own is not taken for a rest.
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.insert((stat.st_dev, stat.st_ino)) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let listed = rustix::fs::openat(directory, c".", flags, Mode::empty()).and_then(|handle| entries(&handle));
            for (name, _) in listed.unwrap_or_default() {
                if is_temporary(name.as_encoded_bytes()) && self.is_left_behind(directory.as_fd(), &name) {
                    let _ = rustix::fs::unlinkat(directory, &name, AtFlags::empty());
                    tracing::info!(name = %name.display(), "removed what an interrupted run left behind");
                }
            }
        }
        Ok(stat)
    }

    fn is_left_behind(&self, directory: BorrowedFd<'_>, name: &std::ffi::OsStr) -> bool {
        let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
        // Root gives a file to its owner before putting it in its place, and may be killed between the two.
        if stat.st_uid != self.euid && self.euid != 0 {
            return false;
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => true,
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                rustix::fs::openat(directory, name, flags, Mode::empty())
                    .is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
            }
            _ => false,
        }
    }
}
