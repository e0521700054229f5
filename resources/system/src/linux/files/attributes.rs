//! Owner, group and mode of what is there; and directories, which are made with theirs.

use std::os::fd::{AsFd, OwnedFd};

use converge_model::AbsPath;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::files::{Attributes, FileType};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::touched::handle_path;
use super::{LinuxFiles, metadata_of};
use crate::linux::small_file;

/// That /proc is not mounted. No call here gives this code by itself.
const NO_PROC: Errno = Errno::NOSYS;

/// What a new directory's permissions are if nothing is said.
const DEFAULT_MODE: u32 = 0o755;

impl LinuxFiles {
    /// Sets what is given, and not what already is so.
    pub(super) fn change_attributes(&self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        const OPERATION: &str = "set the attributes of";
        let (handle, stat) = self.existing(OPERATION, path)?;
        self.refuse_planted_hard_link(OPERATION, path, &stat)?;
        let place = self.tree.place(path).ok().flatten();
        let failed = |errno| match &place {
            Some(place) => self.place_error(OPERATION, path, place, errno),
            None => self.error(OPERATION, path, errno),
        };
        let uid = attributes.uid.filter(|uid| *uid != stat.st_uid);
        let gid = attributes.gid.filter(|gid| *gid != stat.st_gid);
        self.set(&handle, &stat, Attributes { uid, gid, mode: attributes.mode }).map_err(|errno| match errno {
            Errno::NOTSUP => Error::new(ErrorKind::Invalid, OPERATION, path, "a symbolic link has no mode of its own")
                .with_hint("leave `mode` out, or declare the path that the link points to"),
            errno => failed(errno),
        })?;
        self.touch(&handle, &stat, place.as_ref().map(|place| &place.directory));
        Ok(())
    }

    /// Makes one directory.
    pub(super) fn new_directory(&self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        const OPERATION: &str = "make the directory";
        let place = self.place(OPERATION, path)?;
        let failed = |errno| match errno {
            Errno::EXIST => match place.stat() {
                Ok(Some(stat)) => {
                    let cause = format!("a {} is there", metadata_of(&stat).file_type.words());
                    Error::new(ErrorKind::Failed, OPERATION, path, cause)
                }
                _ => self.error(OPERATION, path, errno),
            },
            errno => self.place_error(OPERATION, path, &place, errno),
        };
        // Nobody else may enter before it belongs to whom it should.
        rustix::fs::mkdirat(&place.directory, place.name, Mode::RWXU).map_err(failed)?;
        let dressed = self.dress_new(&place, attributes);
        if dressed.is_err() {
            // Half of it would look like a directory that somebody else made.
            let _ = rustix::fs::unlinkat(&place.directory, place.name, AtFlags::REMOVEDIR);
        }
        let stat = dressed.map_err(failed)?;
        self.touched.add(stat.st_dev, &place.directory);
        Ok(())
    }

    fn dress_new(&self, place: &super::walk::Place<'_>, attributes: Attributes) -> Result<Stat, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&place.directory, place.name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&handle)?;
        if stat.st_uid != self.euid {
            // Somebody who may write there has put another in its place.
            return Err(Errno::PERM);
        }
        let uid = attributes.uid.filter(|uid| *uid != stat.st_uid);
        let gid = attributes.gid.filter(|gid| *gid != stat.st_gid);
        self.set(&handle, &stat, Attributes { uid, gid, mode: Some(attributes.mode.unwrap_or(DEFAULT_MODE)) })?;
        Ok(stat)
    }

    /// Sets attributes through a handle that only names something. Owner first: changing it takes setuid bits away, and
    /// where no mode is given they stay away, so that no program of one user begins to run as another.
    fn set(&self, handle: &OwnedFd, stat: &Stat, attributes: Attributes) -> Result<(), Errno> {
        let (uid, gid) = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
        let owner_changed = uid.is_some() || gid.is_some();
        if owner_changed {
            rustix::fs::chownat(handle, c"", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        match attributes.mode {
            None => Ok(()),
            Some(_) if metadata_of(stat).file_type == FileType::Symlink => Err(Errno::NOTSUP),
            Some(mode) if mode == stat.st_mode & 0o7777 && !owner_changed => Ok(()),
            // Older kernels have no call that takes the handle itself.
            Some(mode) => {
                let path = handle_path(handle);
                rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty()).map_err(|errno| match errno
                {
                    Errno::NOENT => NO_PROC,
                    errno => errno,
                })
            }
        }
    }

    /// Remembers that the file system of something was changed; `directory` is where it is, or itself.
    fn touch(&self, handle: &OwnedFd, stat: &Stat, directory: Option<&OwnedFd>) {
        match metadata_of(stat).file_type {
            FileType::Directory => self.touched.add(stat.st_dev, handle),
            _ => {
                if let Some(directory) = directory {
                    self.touched.add(stat.st_dev, directory);
                }
            }
        }
    }

    /// Where the kernel lets anybody make a hard link to anything, a second name in a directory of somebody else's may be
    /// there to have a file of root's given away.
    fn refuse_planted_hard_link(&self, operation: &str, path: &AbsPath, stat: &Stat) -> Result<()> {
        if stat.st_nlink < 2 || metadata_of(stat).file_type != FileType::Regular || hard_links_are_protected() {
            return Ok(());
        }
        let Ok(Some(place)) = self.tree.place(path) else { return Ok(()) };
        let directory =
            rustix::fs::fstat(place.directory.as_fd()).map_err(|errno| self.error(operation, path, errno))?;
        let only_ours = (directory.st_uid == 0 || directory.st_uid == self.euid) && directory.st_mode & 0o022 == 0;
        if only_ours {
            return Ok(());
        }
        let cause =
            "it is a hard link in a directory that others can write to, and this kernel lets them link any file";
        Err(Error::new(ErrorKind::Denied, operation, path, cause)
            .with_hint("set the sysctl fs.protected_hardlinks to 1"))
    }
}

fn hard_links_are_protected() -> bool {
    small_file::read(std::path::Path::new("/proc/sys/fs/protected_hardlinks"), 16)
        .is_ok_and(|text| text.trim_ascii() != b"0")
}
