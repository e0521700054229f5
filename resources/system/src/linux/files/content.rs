//! What files hold: read, compared, digested, in constant memory.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use converge_model::digest::Hasher;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::files::{FileType, Probe};
use converge_model::{AbsPath, Content, Digest};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::walk::WalkError;
use super::{LinuxFiles, metadata_of};
use crate::linux::small_file;

/// How much is read at once. On the stack, and not initialized: a file of a kilobyte costs one read and no more.
const BUFFER: usize = 64 * 1024;

/// For reading, without waiting for the other end of a pipe, taking a terminal, or moving a tape.
const TO_READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl LinuxFiles {
    /// What is at `path`, and whether it holds `content`: open, fstat, read, close; nothing is read of a file that is known.
    pub(super) fn compare(&self, path: &AbsPath, content: &Content) -> Result<Option<Probe>> {
        if !self.stat_cache.is_empty()
            && let Ok(name) = self.tree.open(path, OFlags::PATH)
            && let Ok(stat) = rustix::fs::fstat(&name)
            && self.stat_cache.holds(&stat, content)
        {
            return Ok(Some(Probe { metadata: metadata_of(&stat), same: Some(true) }));
        }
        let handle = match self.open_to_read(path) {
            Ok(handle) => handle,
            Err(WalkError::Errno(Errno::NOENT | Errno::NOTDIR)) => return Ok(None),
            Err(error) => {
                // A link, a socket, a device without a driver: what cannot be opened, but is there.
                let Some(name) = self.name("look at", path)? else { return Ok(None) };
                let stat = rustix::fs::fstat(&name).map_err(|errno| self.error("look at", path, errno))?;
                let metadata = metadata_of(&stat);
                return match metadata.file_type {
                    FileType::Regular => Err(self.walk_error("read", path, error)),
                    _ => Ok(Some(Probe { metadata, same: None })),
                };
            }
        };
        let stat = rustix::fs::fstat(&handle).map_err(|errno| self.error("look at", path, errno))?;
        let metadata = metadata_of(&stat);
        let same = match (metadata.file_type, content) {
            (FileType::Regular, content) if metadata.size != content.size() => Some(false),
            (FileType::Regular, Content::Bytes(bytes)) => Some(self.holds(path, &handle, bytes)?),
            (FileType::Regular, Content::Blob(blob)) => Some(self.digest(path, &handle, blob.size)? == blob.digest),
            _ => None,
        };
        if same == Some(true) {
            self.stat_cache.learn(&handle, &stat, content);
        }
        Ok(Some(Probe { metadata, same }))
    }

    /// The first `limit` bytes of the regular file at `path`.
    pub(super) fn read_regular(&self, path: &AbsPath, limit: u64) -> Result<Vec<u8>> {
        let handle = self.open_to_read(path).map_err(|error| self.walk_error("read", path, error))?;
        let metadata = metadata_of(&rustix::fs::fstat(&handle).map_err(|errno| self.error("read", path, errno))?);
        if metadata.file_type != FileType::Regular {
            let cause = format!("it is a {}, not a file", metadata.file_type.words());
            return Err(Error::new(ErrorKind::Failed, "read", path, cause));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let likely = usize::try_from(metadata.size).unwrap_or(limit);
        small_file::read_to_limit(&handle, limit, likely).map_err(|error| Error::io("read", path, &error))
    }

    fn open_to_read(&self, path: &AbsPath) -> Result<OwnedFd, WalkError> {
        if self.euid != 0 {
            return self.tree.open(path, TO_READ);
        }
        // Looking at a file every few minutes must not write its time of access. Only its owner, or root, may ask for
        // that; root in a container is not root for every file.
        match self.tree.open(path, TO_READ | OFlags::NOATIME) {
            Err(WalkError::Errno(Errno::PERM)) => self.tree.open(path, TO_READ),
            result => result,
        }
    }

    fn holds(&self, path: &AbsPath, handle: &OwnedFd, bytes: &[u8]) -> Result<bool> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER];
        let mut rest = bytes;
        while !rest.is_empty() {
            let wanted = rest.len().min(BUFFER);
            let read = self.read_some(path, handle, &mut buffer[..wanted])?;
            if read.is_empty() || rest[..read.len()] != *read {
                return Ok(false);
            }
            rest = &rest[read.len()..];
        }
        Ok(true)
    }

    fn digest(&self, path: &AbsPath, handle: &OwnedFd, size: u64) -> Result<Digest> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER];
        let mut hasher = Hasher::new();
        let mut rest = size;
        while rest > 0 {
            let wanted = usize::try_from(rest).unwrap_or(BUFFER).min(BUFFER);
            let read = self.read_some(path, handle, &mut buffer[..wanted])?;
            if read.is_empty() {
                break;
            }
            hasher.update(read);
            rest -= read.len() as u64;
        }
        Ok(hasher.finish())
    }

    fn read_some<'b>(&self, path: &AbsPath, handle: &OwnedFd, buffer: &'b mut [MaybeUninit<u8>]) -> Result<&'b [u8]> {
        if self.cancel.is_now() {
            return Err(cancelled("read", path));
        }
        // Reading a regular file is not interrupted by signals.
        match rustix::io::read(handle, buffer) {
            Ok((read, _)) => Ok(read),
            Err(errno) => Err(self.error("read", path, errno)),
        }
    }
}

/// That the run is to end now.
pub(super) fn cancelled(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::Cancelled, operation, path, "the run was stopped")
}
