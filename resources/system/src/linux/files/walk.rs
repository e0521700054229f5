//! The way to a path: in one system call where no link is on it, else component by component, following only links that
//! nobody but root (or the user converging) could have planted.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use converge_model::AbsPath;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// As many links as the kernel follows on one path.
const MOST_LINKS: u32 = 40;

/// A handle that names something without opening it.
const NAME_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a path could not be walked.
#[derive(Debug)]
pub(super) enum WalkError {
    /// The kernel said so.
    Errno(Errno),
    /// A link on the way could have been planted.
    Planted {
        /// Where the link is.
        link: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
}

impl From<Errno> for WalkError {
    fn from(errno: Errno) -> Self {
        WalkError::Errno(errno)
    }
}

/// A name in a directory that is held open.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The directory, as a handle that only names it.
    pub(super) directory: OwnedFd,
    /// The name in it.
    pub(super) name: &'a OsStr,
}

impl Place<'_> {
    /// What is there; the last component is not followed.
    pub(super) fn stat(&self) -> Result<Option<Stat>, Errno> {
        match rustix::fs::statat(&self.directory, self.name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// A tree of files below a directory that stands for `/`.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The user converging.
    euid: u32,
    /// Whether openat2(2) is there: it came with Linux 5.6, and some sandboxes forbid it.
    openat2: bool,
}

impl Tree {
    pub(super) fn open_root(root: &Path, euid: u32) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        let openat2 = rustix::fs::openat2(&root, c".", flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).is_ok();
        Ok(Self { root, euid, openat2 })
    }

    /// The same tree, walked as where there is no openat2(2).
    #[cfg(test)]
    pub(super) fn without_openat2(self) -> Self {
        Self { openat2: false, ..self }
    }

    /// Opens what is at `path`. A link there is not followed: it is `ELOOP`, or with `O_PATH` the link itself.
    pub(super) fn open(&self, path: &AbsPath, flags: OFlags) -> Result<OwnedFd, WalkError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Some(result) = self.at_once(path.as_path(), flags) {
            return result;
        }
        let Some(name) = path.file_name() else {
            return Ok(rustix::fs::openat(&self.root, c".", flags, Mode::empty())?);
        };
        let directory = self.walk(path.as_path().parent().unwrap_or(path.as_path()))?;
        Ok(rustix::fs::openat(&directory, name, flags, Mode::empty())?)
    }

    /// The directory that `path` is in, and its name there; nothing for the root directory.
    pub(super) fn place<'a>(&self, path: &'a AbsPath) -> Result<Option<Place<'a>>, WalkError> {
        let (Some(parent), Some(name)) = (path.as_path().parent(), path.file_name()) else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match self.at_once(parent, flags) {
            Some(result) => result?,
            None => self.walk(parent)?,
        };
        Ok(Some(Place { directory, name }))
    }

    /// Opens `name` in `directory` without leaving its mount: `EXDEV` where something is mounted there.
    pub(super) fn open_within_mount(
        &self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.openat2 {
            let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            return rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve);
        }
        // The next best: a bind mount of the same file system is not noticed.
        let handle = rustix::fs::openat(directory, name, flags, Mode::empty())?;
        if rustix::fs::fstat(&handle)?.st_dev == rustix::fs::fstat(directory)?.st_dev {
            Ok(handle)
        } else {
            Err(Errno::XDEV)
        }
    }

    /// The path that `path` stands for once all links are followed. The end of it need not exist.
    pub(super) fn resolve(&self, path: &AbsPath) -> Result<AbsPath, WalkError> {
        let mut walker = Walker::new(self, path.as_path());
        loop {
            match walker.step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(WalkError::Errno(Errno::NOENT)) => {
                    walker.assume_the_rest();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let names = walker.names.iter().chain(&walker.assumed);
        Ok(names.fold(AbsPath::root(), |path, name| path.entry(name)))
    }

    /// In one system call, where the kernel can and no link is on the way: else nothing.
    fn at_once(&self, path: &Path, flags: OFlags) -> Option<Result<OwnedFd, WalkError>> {
        if !self.openat2 {
            return None;
        }
        let relative = match path.as_os_str().as_bytes() {
            [b'/'] => OsStr::new("."),
            [b'/', relative @ ..] => OsStr::from_bytes(relative),
            relative => OsStr::from_bytes(relative),
        };
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.root, relative, flags, Mode::empty(), resolve) {
            Err(Errno::LOOP) => None,
            result => Some(result.map_err(WalkError::Errno)),
        }
    }

    /// The directory at `path`, component by component.
    fn walk(&self, path: &Path) -> Result<OwnedFd, WalkError> {
        let mut walker = Walker::new(self, path);
        while walker.step()? {}
        match walker.handles.pop() {
            Some((_, stat)) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
                Err(Errno::NOTDIR.into())
            }
            Some((handle, _)) => Ok(handle),
            None => Ok(rustix::fs::openat(&self.root, c".", NAME_ONLY | OFlags::DIRECTORY, Mode::empty())?),
        }
    }

    /// Whether nobody but root and the user converging could have made a link, or put it where it is.
    fn is_trusted(&self, link: &Stat, directory: &Stat) -> bool {
        let ours = |owner: u32| owner == 0 || owner == self.euid;
        let only_ours_to_write = ours(directory.st_uid) && directory.st_mode & 0o022 == 0;
        ours(link.st_uid) || only_ours_to_write
    }
}

/// A walk along a path, which holds every directory on the way open, so that `..` leads back to where it came from whatever
/// others rename meanwhile.
struct Walker<'a> {
    tree: &'a Tree,
    /// The directories passed, each with what stat(2) says of it where that was needed.
    handles: Vec<(OwnedFd, Stat)>,
    /// Their names.
    names: Vec<OsString>,
    /// The names still to be walked, the next one last.
    pending: Vec<OsString>,
    /// The names beyond what exists.
    assumed: Vec<OsString>,
    links: u32,
}

impl<'a> Walker<'a> {
    fn new(tree: &'a Tree, path: &Path) -> Self {
        let mut walker =
            Self { tree, handles: Vec::new(), names: Vec::new(), pending: Vec::new(), assumed: Vec::new(), links: 0 };
        walker.push(path.as_os_str());
        walker
    }

    fn push(&mut self, path: &OsStr) {
        let names = path.as_bytes().rsplit(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        self.pending.extend(names.map(|name| OsStr::from_bytes(name).to_owned()));
    }

    /// Walks one component; says whether there was one.
    fn step(&mut self) -> Result<bool, WalkError> {
        let Some(name) = self.pending.pop() else { return Ok(false) };
        if name == ".." {
            self.handles.pop();
            self.names.pop();
            return Ok(true);
        }
        let opened = {
            let here = self.handles.last().map_or(self.tree.root.as_fd(), |(handle, _)| handle.as_fd());
            rustix::fs::openat(here, &name, NAME_ONLY, Mode::empty()).and_then(|handle| {
                let stat = rustix::fs::fstat(&handle)?;
                Ok((handle, stat))
            })
        };
        let (handle, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.pending.push(name);
                return Err(errno.into());
            }
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            self.follow(&handle, &stat, &name)?;
        } else {
            self.handles.push((handle, stat));
            self.names.push(name);
        }
        Ok(true)
    }

    fn follow(&mut self, link: &OwnedFd, stat: &Stat, name: &OsStr) -> Result<(), WalkError> {
        let directory = match self.handles.last() {
            Some((_, stat)) => *stat,
            None => rustix::fs::fstat(&self.tree.root)?,
        };
        if !self.tree.is_trusted(stat, &directory) {
            let link = self.names.iter().fold(PathBuf::from("/"), |path, name| path.join(name)).join(name);
            return Err(WalkError::Planted { link, owner: stat.st_uid });
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = OsString::from_vec(rustix::fs::readlinkat(link, c"", Vec::new())?.into_bytes());
        if target.as_bytes().first() == Some(&b'/') {
            self.handles.clear();
            self.names.clear();
        }
        self.push(&target);
        Ok(())
    }

    /// Takes what is left of the path for names that do not exist yet.
    fn assume_the_rest(&mut self) {
        while let Some(name) = self.pending.pop() {
            if name != ".." {
                self.assumed.push(name);
            } else if self.assumed.pop().is_none() {
                self.names.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: u32 = 65534;

    fn link(target: &str, at: &Path, owner: u32) {
        std::os::unix::fs::symlink(target, at).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(at, Some(owner), None).unwrap();
        }
    }

    /// One call where there is openat2(2), a walk where there is none: nobody may notice.
    #[test]
    fn both_ways_lead_to_the_same_place() {
        let directory = tempfile::tempdir().unwrap();
        let local = |name: &str| directory.path().join(name);
        for name in ["real/below", "shared"] {
            std::fs::DirBuilder::new().recursive(true).create(local(name)).unwrap();
        }
        for name in ["real/file", "real/below/file"] {
            rustix::fs::openat(CWD, local(name), OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        }
        rustix::fs::chmod(local("shared"), Mode::from_raw_mode(0o1777)).unwrap();
        link("real", &local("relative"), 0);
        link("below/../../real/./below", &local("real/winding"), 0);
        link(local("real").to_str().unwrap(), &local("absolute"), 0);
        link("/../../../../../../..", &local("top"), 0);
        link("loop", &local("loop"), 0);
        link("../real", &local("shared/planted"), STRANGER);
        link("../real", &local("shared/roots"), 0);
        link("real", &local("given"), STRANGER);

        let root = rustix::process::geteuid().is_root();
        let here = directory.path().to_str().unwrap();
        let top = format!("top{here}/real/file");
        for (name, expected) in [
            ("real/file", Ok("real/file")),
            ("relative/file", Ok("real/file")),
            ("relative/winding/file", Ok("real/below/file")),
            ("absolute/below", Ok("real/below")),
            (top.as_str(), Ok("real/file")),
            ("shared/roots/file", Ok("real/file")),
            ("given/file", Ok("real/file")),
            ("shared/planted/file", if root { Err("planted") } else { Ok("real/file") }),
            ("loop/file", Err("LOOP")),
            ("real/none", Err("NOENT")),
            ("none/file", Err("NOENT")),
            ("real/file/x", Err("NOTDIR")),
            ("relative", Ok("relative")),
        ] {
            let path: AbsPath = format!("{here}/{name}").parse().unwrap();
            let euid = rustix::process::geteuid().as_raw();
            let fast = Tree::open_root(Path::new("/"), euid).unwrap();
            let slow = Tree::open_root(Path::new("/"), euid).unwrap().without_openat2();
            for tree in [fast, slow] {
                let found = match tree.open(&path, OFlags::PATH) {
                    Ok(handle) => Ok(rustix::fs::fstat(handle).unwrap().st_ino),
                    Err(WalkError::Errno(Errno::LOOP)) => Err("LOOP"),
                    Err(WalkError::Errno(Errno::NOENT)) => Err("NOENT"),
                    Err(WalkError::Errno(Errno::NOTDIR)) => Err("NOTDIR"),
                    Err(WalkError::Planted { link, owner }) => {
                        assert_eq!((link, owner), (local("shared/planted"), STRANGER));
                        Err("planted")
                    }
                    Err(error) => panic!("{name}: {error:?}"),
                };
                let number = |name: &str| rustix::fs::lstat(local(name)).unwrap().st_ino;
                assert_eq!(found, expected.map(number), "{name}, openat2: {}", tree.openat2);
            }
        }
    }
}
