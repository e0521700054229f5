//! Files through directory handles: nothing planted on the way is followed, nothing is half-written.

mod attributes;
mod content;
mod failure;
mod labels;
mod links;
mod remove;
mod shown;
mod stat_cache;
mod temporary;
mod touched;
mod walk;
mod write;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::Files;
use converge_model::system::files::{Attributes, Check, Entry, FileType, Metadata, Probe};
use converge_model::{AbsPath, Cancel, Content};
use rustix::fs::{AtFlags, Dir, OFlags, Stat};
use rustix::io::Errno;

use super::accounts::Database;
use crate::blobs::{self, BlobSource};
use shown::ShownBlob;
use stat_cache::StatCache;
pub use stat_cache::StatCacheOptions;
use touched::Touched;
use walk::{Place, Tree, WalkError};

/// The files of a real machine, or of a tree mounted on it.
pub struct LinuxFiles {
    tree: Tree,
    euid: u32,
    blobs: Arc<dyn BlobSource>,
    cancel: Cancel,
    database: Arc<Database>,
    touched: Touched,
    shown: ShownBlob,
    stat_cache: StatCache,
    /// The directories where what a killed run left behind was looked for already.
    swept: Mutex<HashSet<(u64, u64)>>,
}

impl LinuxFiles {
    pub(super) fn new(
        root: &Path,
        blobs: Arc<dyn BlobSource>,
        database: Arc<Database>,
        cancel: Cancel,
        stat_cache: Option<StatCacheOptions>,
    ) -> Result<Self> {
        let euid = rustix::process::geteuid().as_raw();
        let tree = Tree::open_root(root, euid).map_err(|errno| Error::io("open", root.display(), &errno.into()))?;
        let (touched, shown, swept) = Default::default();
        let stat_cache = StatCache::new(stat_cache, euid);
        Ok(Self { tree, euid, blobs, cancel, database, touched, shown, stat_cache, swept })
    }

    /// Makes all that was changed until now durable.
    pub(super) fn flush(&self) -> Result<()> {
        self.touched.flush()
    }

    /// Keeps for later runs what files were seen to hold.
    pub(super) fn save_stat_cache(&self) -> Result<()> {
        self.stat_cache.save()
    }

    /// A handle of what is at `path` that opens nothing; nothing where nothing is.
    fn name(&self, operation: &str, path: &AbsPath) -> Result<Option<OwnedFd>> {
        match self.tree.open(path, OFlags::PATH) {
            Ok(handle) => Ok(Some(handle)),
            Err(WalkError::Errno(Errno::NOENT | Errno::NOTDIR)) => Ok(None),
            Err(error) => Err(self.walk_error(operation, path, error)),
        }
    }

    /// As [`LinuxFiles::name`], where something must be.
    fn existing(&self, operation: &str, path: &AbsPath) -> Result<(OwnedFd, Stat)> {
        let missing = || Error::new(ErrorKind::NotFound, operation, path, "nothing is there");
        let handle = self.name(operation, path)?.ok_or_else(missing)?;
        let stat = rustix::fs::fstat(&handle).map_err(|errno| self.error(operation, path, errno))?;
        Ok((handle, stat))
    }

    /// Where something is to be made, replaced or removed.
    fn place<'a>(&self, operation: &str, path: &'a AbsPath) -> Result<Place<'a>> {
        match self.tree.place(path) {
            Ok(Some(place)) => Ok(place),
            Ok(None) => Err(Error::new(ErrorKind::Invalid, operation, path, "it is the root directory")),
            Err(WalkError::Errno(Errno::NOENT)) => Err(Self::no_directory(operation, path)),
            Err(error) => Err(self.walk_error(operation, path, error)),
        }
    }
}

/// What stat(2) says, in the words of the model.
fn metadata_of(stat: &Stat) -> Metadata {
    Metadata {
        file_type: file_type_of(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        identity: (stat.st_dev, stat.st_ino),
    }
}

fn file_type_of(file_type: rustix::fs::FileType) -> FileType {
    match file_type {
        rustix::fs::FileType::RegularFile => FileType::Regular,
        rustix::fs::FileType::Directory => FileType::Directory,
        rustix::fs::FileType::Symlink => FileType::Symlink,
        _ => FileType::Special,
    }
}

/// The names in a directory with the type that the directory has for them, without `.` and `..`.
fn entries(directory: &OwnedFd) -> rustix::io::Result<Vec<(std::ffi::OsString, rustix::fs::FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            found.push((OsStr::from_bytes(name).to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

impl Files for LinuxFiles {
    fn metadata(&self, path: &AbsPath) -> Result<Option<Metadata>> {
        let Some(handle) = self.name("look at", path)? else { return Ok(None) };
        let stat = rustix::fs::fstat(&handle).map_err(|errno| self.error("look at", path, errno))?;
        Ok(Some(metadata_of(&stat)))
    }

    fn probe(&self, path: &AbsPath, content: Option<&Content>) -> Result<Option<Probe>> {
        match content {
            Some(content) => self.compare(path, content),
            None => Ok(self.metadata(path)?.map(|metadata| Probe { metadata, same: None })),
        }
    }

    fn read(&self, path: &AbsPath, limit: u64) -> Result<Vec<u8>> {
        self.read_regular(path, limit)
    }

    fn read_content(&self, content: &Content, limit: u64) -> Result<Vec<u8>> {
        let bytes = blobs::read_content(&*self.blobs, content, limit)?;
        self.shown.keep(content, &bytes);
        Ok(bytes)
    }

    fn read_link(&self, path: &AbsPath) -> Result<String> {
        let (handle, _) = self.existing("read the link", path)?;
        match rustix::fs::readlinkat(&handle, c"", Vec::new()) {
            Ok(target) => Ok(target.to_string_lossy().into_owned()),
            // What an empty path of a handle gives that is no link.
            Err(Errno::NOENT | Errno::INVAL) => {
                Err(Error::new(ErrorKind::Failed, "read the link", path, "it is no symbolic link"))
            }
            Err(errno) => Err(self.error("read the link", path, errno)),
        }
    }

    fn resolve(&self, path: &AbsPath) -> Result<AbsPath> {
        self.tree.resolve(path).map_err(|error| match error {
            WalkError::Errno(Errno::LOOP) => {
                Error::new(ErrorKind::Failed, "follow", path, "its links lead in a circle, or are more than 40")
            }
            error => self.walk_error("follow", path, error),
        })
    }

    fn list(&self, directory: &AbsPath) -> Result<Vec<Entry>> {
        let handle = self
            .tree
            .open(directory, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|error| self.walk_error("list", directory, error))?;
        let failed = |errno| self.error("list", directory, errno);
        let mut list = Vec::new();
        for (name, file_type) in entries(&handle).map_err(failed)? {
            let file_type = if file_type == rustix::fs::FileType::Unknown {
                match rustix::fs::statat(&handle, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => rustix::fs::FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(failed(errno)),
                }
            } else {
                file_type
            };
            list.push(Entry { name, file_type: file_type_of(file_type) });
        }
        list.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(list)
    }

    fn write(&self, path: &AbsPath, content: &Content, attributes: Attributes, check: Option<Check<'_>>) -> Result<()> {
        self.replace(path, content, attributes, check)
    }

    fn set_attributes(&self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        self.change_attributes(path, attributes)
    }

    fn make_directory(&self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        self.new_directory(path, attributes)
    }

    fn make_symlink(&self, path: &AbsPath, target: &str) -> Result<()> {
        self.put_symlink(path, target)
    }

    fn make_hard_link(&self, path: &AbsPath, existing: &AbsPath) -> Result<()> {
        self.put_hard_link(path, existing)
    }

    fn remove(&self, path: &AbsPath) -> Result<()> {
        self.remove_one(path)
    }

    fn remove_tree(&self, path: &AbsPath) -> Result<()> {
        self.remove_all(path)
    }
}
