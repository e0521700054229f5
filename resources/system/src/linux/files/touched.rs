//! Which file systems were changed, so that they can be made durable with one call each.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use converge_model::error::{Error, Result};
use rustix::fs::{Mode, OFlags};

/// The file systems changed since the last flush, each with a handle to synchronize it through.
///
/// Syncing a file system once costs a fraction of syncing each of a thousand new files.
#[derive(Debug, Default)]
pub(super) struct Touched(Mutex<BTreeMap<u64, Option<OwnedFd>>>);

impl Touched {
    /// Remembers the file system numbered `device`, which `directory` is on.
    pub(super) fn add(&self, device: u64, directory: impl AsFd) {
        let mut touched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        touched.entry(device).or_insert_with(|| {
            // The handle at hand only names the directory. One that cannot be read is synchronized with all others.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(directory, c".", flags, Mode::empty()).ok()
        });
    }

    /// Synchronizes them all, and forgets those that went well.
    pub(super) fn flush(&self) -> Result<()> {
        let touched = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut result = Ok(());
        for (device, handle) in touched {
            let Some(directory) = &handle else {
                rustix::fs::sync();
                continue;
            };
            if let Err(errno) = rustix::fs::syncfs(directory) {
                let place = rustix::fs::readlinkat(rustix::fs::CWD, handle_path(directory), Vec::new())
                    .map_or_else(|_| "a file system".to_owned(), |path| path.to_string_lossy().into_owned());
                result = Err(Error::io("synchronize the file system of", place, &errno.into()).with_hint(
                    "what was written there may be lost in a power cut; look at the kernel's messages (dmesg)",
                ));
                self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(device).or_insert(handle);
            }
        }
        result
    }
}

/// The path under which the kernel shows what a handle of this process stands for. Using it follows no link on a disk.
pub(super) fn handle_path(handle: impl AsFd) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd())
}
