//! Whole small files of the operating system and of the agent, read with a limit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};

/// Opens `path` for reading, without ever waiting for a pipe's other end or taking a terminal.
///
/// # Errors
/// As open(2).
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// Reads a regular file at `path`, links followed, that may have at most `limit` bytes.
///
/// # Errors
/// As open(2) and read(2); where it is no regular file; where it is longer.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    Ok(read_with_stat(path, limit)?.0)
}

/// As [`read`], also giving what stat(2) says of exactly the file that was read.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_with_stat(path: &Path, limit: usize) -> io::Result<(Vec<u8>, Stat)> {
    let file = open(path)?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let bytes = read_to_limit(&file, limit.saturating_add(1), usize::try_from(stat.st_size).unwrap_or(0))?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {limit} bytes")));
    }
    Ok((bytes, stat))
}

/// Reads until the end, or until `limit` bytes. Files of /proc say that they are empty: `likely` is a guess. Of a file that
/// says how long it is, a short read is the last one.
///
/// # Errors
/// As read(2).
pub(crate) fn read_to_limit(file: impl AsFd, limit: usize, likely: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(likely.clamp(1023, 1 << 20).min(limit) + 1);
    while bytes.len() < limit {
        if bytes.capacity() - bytes.len() < 512 {
            bytes.reserve(bytes.len().max(4096));
        }
        let room = bytes.capacity() - bytes.len();
        match rustix::io::read(&file, spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(read) if likely > 0 && read < room => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}
