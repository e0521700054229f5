//! Putting a file in its place: whole under another name, then renamed.

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use converge_model::digest::Hasher;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::files::{Attributes, Check, FileType};
use converge_model::{AbsPath, BlobRef, Content};
use rustix::fs::{FallocateFlags, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::content::cancelled;
use super::temporary::Temporary;
use super::walk::Place;
use super::{LinuxFiles, labels, metadata_of};

/// How much of a blob is copied at once.
const CHUNK: usize = 64 * 1024;

/// What a new file's permissions are if nothing is said.
const DEFAULT_MODE: u32 = 0o644;

/// A directory where everybody may put files, and only remove their own.
const EVERYBODYS: u32 = 0o1002;

/// The regular file that is replaced, open for what it hands down where it can be read.
struct Before {
    stat: Stat,
    handle: Option<OwnedFd>,
}

impl LinuxFiles {
    /// Puts a file with `content` at `path` in one step.
    pub(super) fn replace(
        &self,
        path: &AbsPath,
        content: &Content,
        attributes: Attributes,
        check: Option<Check<'_>>,
    ) -> Result<()> {
        let place = self.place("write", path)?;
        let failed = |errno| self.place_error("write", path, &place, errno);
        let directory = self.sweep(&place.directory).map_err(failed)?;
        let before = self.before(path, &place)?;
        let forebear = before.as_ref().filter(|before| self.may_hand_down(&before.stat, &directory));

        let (temporary, file) = Temporary::file(place.directory.as_fd()).map_err(|errno| match errno {
            Errno::NOENT => Self::no_directory("write", path),
            errno => self.place_error("write", path, &place, errno),
        })?;
        let mut file = File::from(file);
        self.fill(path, &mut file, content)?;
        let file = OwnedFd::from(file);
        self.dress(path, &file, forebear, attributes)?;
        if before.is_some() {
            // After a power cut there must be the old file or the new one. A name that is new has nothing to lose, and
            // waits for `flush`.
            rustix::fs::fdatasync(&file).map_err(failed)?;
        }
        // A file that is open for writing cannot be executed, and a check may want to.
        drop(file);
        if let Some(check) = check {
            let parent = path.parent().unwrap_or_else(AbsPath::root);
            check(&parent.entry(temporary.name().as_ref()))?;
        }
        match rustix::fs::renameat(&place.directory, temporary.name(), &place.directory, place.name) {
            Ok(()) => temporary.forget(),
            Err(Errno::BUSY) if before.is_some() => self.rewrite(path, &place, &temporary, attributes)?,
            Err(errno) => return Err(failed(errno)),
        }
        self.touched.add(directory.st_dev, &place.directory);
        Ok(())
    }

    /// The regular file that is there, if one is.
    fn before(&self, path: &AbsPath, place: &Place<'_>) -> Result<Option<Before>> {
        let Some(stat) = place.stat().map_err(|errno| self.error("write", path, errno))? else { return Ok(None) };
        match metadata_of(&stat).file_type {
            FileType::Directory => Err(Error::new(ErrorKind::Failed, "write", path, "a directory is there")
                .with_hint("remove the directory, or declare a `directory` with `ensure = \"absent\"` before it")),
            FileType::Regular => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                match rustix::fs::openat(&place.directory, place.name, flags, Mode::empty()) {
                    Ok(handle) => Ok(Some(Before { stat, handle: Some(handle) })),
                    // Not root, and not readable: then there is nothing to hand down that could be handed down.
                    Err(Errno::ACCESS) => Ok(Some(Before { stat, handle: None })),
                    Err(errno) => Err(self.error("write", path, errno)),
                }
            }
            _ => Ok(None),
        }
    }

    /// Whether a file that is replaced gives the new one its owner and mode. In a directory such as /tmp anybody may have
    /// put it there, so that what root writes becomes theirs.
    fn may_hand_down(&self, file: &Stat, directory: &Stat) -> bool {
        let owners = [0, self.euid, directory.st_uid];
        directory.st_mode & EVERYBODYS != EVERYBODYS || owners.contains(&file.st_uid)
    }

    /// Writes the content, and for a blob makes sure that it is the one that was asked for.
    fn fill(&self, path: &AbsPath, file: &mut File, content: &Content) -> Result<()> {
        let failed = |error: std::io::Error| Error::io("write", path, &error);
        let blob = match content {
            Content::Bytes(bytes) => return file.write_all(bytes).map_err(failed),
            Content::Blob(blob) => blob,
        };
        let mut source = match self.shown.take(&blob.digest) {
            Some(bytes) => Box::new(Cursor::new(bytes)),
            None => self.blobs.open(&blob.digest)?,
        };
        let mut hasher = Hasher::new();
        let mut size = 0;
        let mut chunk = vec![0; usize::try_from(blob.size.saturating_add(1)).unwrap_or(CHUNK).min(CHUNK)];
        loop {
            if self.cancel.is_now() {
                return Err(cancelled("write", path));
            }
            let count = match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", format!("blob {}", blob.digest.short()), &error)),
            };
            size += count as u64;
            if size > blob.size {
                break;
            }
            hasher.update(&chunk[..count]);
            file.write_all(&chunk[..count]).map_err(failed)?;
        }
        let BlobRef { digest, size: wanted } = *blob;
        if size != wanted || hasher.finish() != digest {
            let cause = format!("the blob {} on this machine is damaged", digest.short());
            return Err(Error::new(ErrorKind::Failed, "write", path, cause)
                .with_hint("remove it from the blob cache; the next run fetches it again"));
        }
        Ok(())
    }

    /// Owner, group, label, list, mode: in this order, because the first ones take bits of the last away.
    fn dress(&self, path: &AbsPath, file: &OwnedFd, before: Option<&Before>, attributes: Attributes) -> Result<()> {
        let old = before.map(|before| &before.stat);
        let uid = attributes.uid.or(old.map(|old| old.st_uid)).filter(|uid| *uid != self.euid);
        let gid = attributes.gid.or(old.map(|old| old.st_gid));
        if uid.is_some() || gid.is_some() {
            rustix::fs::fchown(file, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
                .map_err(|errno| self.error("set the owner of", path, errno))?;
        }
        if let Some(old) = before.and_then(|before| before.handle.as_ref()) {
            labels::copy(old, file).map_err(|errno| self.error("copy the extended attributes of", path, errno))?;
        }
        let mode = attributes.mode.or(old.map(|old| old.st_mode & 0o7777)).unwrap_or(DEFAULT_MODE);
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(|errno| self.error("set the mode of", path, errno))
    }

    /// Writes into the file that is there, because a mount keeps it from being replaced, as container engines do with
    /// `/etc/hosts`. This is the one write that is not one step: who reads at the wrong moment, and a power cut, see a part.
    fn rewrite(
        &self,
        path: &AbsPath,
        place: &Place<'_>,
        temporary: &Temporary<'_>,
        attributes: Attributes,
    ) -> Result<()> {
        let failed = |errno| self.place_error("write", path, place, errno);
        let io = |error: std::io::Error| Error::io("write", path, &error);
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = |name: &std::ffi::OsStr, access| {
            rustix::fs::openat(&place.directory, name, flags | access, Mode::empty()).map(File::from)
        };
        let mut from = open(temporary.name().as_ref(), OFlags::RDONLY).map_err(failed)?;
        let mut to = open(place.name, OFlags::WRONLY).map_err(failed)?;
        let size = from.metadata().map_err(io)?.len();
        if size > 0 {
            // The place is taken first, so that a full disk is met before the old content is lost.
            match rustix::fs::fallocate(&to, FallocateFlags::KEEP_SIZE, 0, size) {
                Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        copy(path, &mut from, &mut to)?;
        to.set_len(size).map_err(io)?;
        let (uid, gid) = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
        if uid.is_some() || gid.is_some() {
            rustix::fs::fchown(&to, uid, gid).map_err(failed)?;
        }
        if let Some(mode) = attributes.mode {
            rustix::fs::fchmod(&to, Mode::from_raw_mode(mode)).map_err(failed)?;
        }
        rustix::fs::fsync(&to).map_err(failed)
    }
}

/// Copies the new content of `path`, saying which side it was that failed.
fn copy(path: &AbsPath, from: &mut impl Read, to: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).map_err(|error| Error::io("write", path, &error))?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read the new content of", path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Can be neither read nor written.
    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken"))
        }
    }

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("broken"))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_copy_that_fails_says_which_side_it_was() {
        let path: AbsPath = "/etc/hosts".parse().unwrap();
        assert_eq!(copy(&path, &mut Broken, &mut Vec::new()).unwrap_err().operation, "read the new content of");
        assert_eq!(copy(&path, &mut &b"new"[..], &mut Broken).unwrap_err().operation, "write");
    }
}
