//! Removing: one thing, or a directory with all that is in it, never through a link and never beyond a mount.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use converge_model::AbsPath;
use converge_model::error::{Error, ErrorKind, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::touched::handle_path;
use super::walk::{Place, WalkError};
use super::{LinuxFiles, entries, file_type_of};
use crate::linux::small_file;

const OPERATION: &str = "remove";

/// A directory on the way down, from the one that is to be removed.
struct Level {
    name: OsString,
    identity: (u64, u64),
    /// The directories in it that are still there.
    rest: Vec<OsString>,
}

impl LinuxFiles {
    /// Removes a file, a link, or an empty directory.
    pub(super) fn remove_one(&self, path: &AbsPath) -> Result<()> {
        let Some((place, file_type)) = self.to_remove(path)? else { return Ok(()) };
        let flags = if file_type == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(&place.directory, place.name, flags) {
            Ok(()) | Err(Errno::NOENT) => self.removed(path, &place),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                Err(Error::new(ErrorKind::Failed, OPERATION, path, "the directory is not empty")
                    .with_hint("say that all in it is to be removed too"))
            }
            Err(errno) => Err(self.place_error(OPERATION, path, &place, errno)),
        }
    }

    /// Removes a directory and all in it. The way down is remembered by name and identity, not by handles and not on the
    /// stack, so that no depth is too deep.
    pub(super) fn remove_all(&self, path: &AbsPath) -> Result<()> {
        let Some((place, file_type)) = self.to_remove(path)? else { return Ok(()) };
        if file_type != FileType::Directory {
            return self.remove_one(path);
        }
        let open = |directory: &OwnedFd, name: &OsStr| {
            self.tree.open_within_mount(directory.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY)
        };
        let mut here = open(&place.directory, place.name).map_err(|errno| self.tree_error(path, &[], None, errno))?;
        self.refuse_mounts(path, &here)?;
        let first = self.clear(&here, place.name.to_owned());
        let mut levels = vec![first.map_err(|(name, errno)| self.tree_error(path, &[], name, errno))?];
        while let Some(level) = levels.last_mut() {
            if self.cancel.is_now() {
                return Err(super::content::cancelled(OPERATION, path));
            }
            if let Some(name) = level.rest.pop() {
                match open(&here, &name) {
                    Ok(below) => {
                        let level = self.clear(&below, name.clone()).map_err(|(entry, errno)| {
                            let name =
                                entry.map_or(name.clone(), |entry| Path::new(&name).join(entry).into_os_string());
                            self.tree_error(path, &levels, Some(name), errno)
                        })?;
                        levels.push(level);
                        here = below;
                    }
                    Err(Errno::NOENT) => {}
                    // Somebody put a file or a link in its place meanwhile.
                    Err(Errno::NOTDIR | Errno::LOOP) => match rustix::fs::unlinkat(&here, &name, AtFlags::empty()) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(errno) => return Err(self.tree_error(path, &levels, Some(name), errno)),
                    },
                    Err(errno) => return Err(self.tree_error(path, &levels, Some(name), errno)),
                }
                continue;
            }
            let name = std::mem::take(&mut level.name);
            levels.pop();
            let Some(above) = levels.last() else { break };
            let failed = |errno| self.tree_error(path, &levels, Some(name.clone()), errno);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let up = rustix::fs::openat(&here, c"..", flags, Mode::empty()).map_err(failed)?;
            if identity(&up).map_err(failed)? != above.identity {
                return Err(Error::new(ErrorKind::Busy, OPERATION, path, "somebody moved its directories meanwhile")
                    .with_hint("end who works in it, and run again"));
            }
            here = up;
            match rustix::fs::unlinkat(&here, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.tree_error(path, &levels, Some(name), errno)),
            }
        }
        match rustix::fs::unlinkat(&place.directory, place.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => self.removed(path, &place),
            Err(errno @ (Errno::PERM | Errno::ACCESS)) => Err(self.place_error(OPERATION, path, &place, errno)),
            Err(errno) => Err(self.tree_error(path, &[], None, errno)),
        }
    }

    /// Where the thing to remove is, and what it is; nothing where nothing is.
    fn to_remove<'a>(&self, path: &'a AbsPath) -> Result<Option<(Place<'a>, FileType)>> {
        let place = match self.tree.place(path) {
            Ok(Some(place)) => place,
            Ok(None) => return Err(Error::new(ErrorKind::Invalid, OPERATION, path, "it is the root directory")),
            Err(WalkError::Errno(Errno::NOENT | Errno::NOTDIR)) => return Ok(None),
            Err(error) => return Err(self.walk_error(OPERATION, path, error)),
        };
        match place.stat() {
            Ok(stat) => Ok(stat.map(|stat| (place, FileType::from_raw_mode(stat.st_mode)))),
            Err(Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(self.error(OPERATION, path, errno)),
        }
    }

    fn removed(&self, path: &AbsPath, place: &Place<'_>) -> Result<()> {
        let stat = rustix::fs::fstat(&place.directory).map_err(|errno| self.error(OPERATION, path, errno))?;
        self.touched.add(stat.st_dev, &place.directory);
        Ok(())
    }

    /// Removes all in a directory but the directories. A failure names the entry.
    fn clear(&self, directory: &OwnedFd, name: OsString) -> Result<Level, (Option<OsString>, Errno)> {
        let identity = identity(directory).map_err(|errno| (None, errno))?;
        let mut rest = Vec::new();
        for (entry, file_type) in entries(directory).map_err(|errno| (None, errno))? {
            if file_type == FileType::Directory {
                rest.push(entry);
                continue;
            }
            match rustix::fs::unlinkat(directory, &entry, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                // Not every file system says what an entry is, and what it was may have changed.
                Err(Errno::ISDIR) => rest.push(entry),
                Err(Errno::PERM) if is_directory(directory, &entry) => rest.push(entry),
                Err(errno) => return Err((Some(entry), errno)),
            }
        }
        Ok(Level { name, identity, rest })
    }

    /// A failure at `name` within the directories `levels` of the tree at `path`.
    fn tree_error(&self, path: &AbsPath, levels: &[Level], name: Option<OsString>, errno: Errno) -> Error {
        // The first level is the tree itself.
        let names = levels.iter().skip(1).map(|level| &level.name).chain(&name);
        let at = names.fold(path.clone(), |path, name| path.entry(name));
        match errno {
            Errno::XDEV => mounted(path, &at.to_string()),
            Errno::NOTEMPTY | Errno::EXIST => {
                Error::new(ErrorKind::Busy, OPERATION, at, "somebody put something into it meanwhile")
                    .with_hint("end who works in it, and run again")
            }
            errno => match self.tree.place(&at) {
                Ok(Some(place)) => self.place_error(OPERATION, &at, &place, errno),
                _ => self.error(OPERATION, &at, errno),
            },
        }
    }

    /// Refuses before anything is removed, where something is mounted within the tree.
    fn refuse_mounts(&self, path: &AbsPath, directory: &OwnedFd) -> Result<()> {
        let Ok(real) = rustix::fs::readlinkat(rustix::fs::CWD, handle_path(directory), Vec::new()) else {
            return Ok(());
        };
        let real = PathBuf::from(OsStr::from_bytes(real.to_bytes()));
        // Where /proc is not mounted, a mount is met on the way down.
        let table = small_file::read(Path::new("/proc/thread-self/mountinfo"), 16 << 20).unwrap_or_default();
        let points = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
        match points.map(unescape).find(|point| *point != real && point.starts_with(&real)) {
            Some(point) => Err(mounted(path, &point.display().to_string())),
            None => Ok(()),
        }
    }
}

fn mounted(path: &AbsPath, point: &str) -> Error {
    Error::new(ErrorKind::Busy, OPERATION, path, format!("something is mounted at {point}"))
        .with_hint(format!("unmount it first (umount {point})"))
}

fn identity(handle: &OwnedFd) -> Result<(u64, u64), Errno> {
    rustix::fs::fstat(handle).map(|stat| (stat.st_dev, stat.st_ino))
}

fn is_directory(directory: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        file_type_of(FileType::from_raw_mode(stat.st_mode)) == converge_model::system::files::FileType::Directory
    })
}

/// A path of mountinfo(5), where blanks and line breaks are written as `\040`.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'\\', [a, b, c, ..]) => {
                std::str::from_utf8(&[*a, *b, *c]).ok().and_then(|code| u8::from_str_radix(code, 8).ok())
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}
