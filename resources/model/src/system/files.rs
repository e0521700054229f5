//! Files, directories and links.

use std::ffi::OsString;

use crate::error::Result;
use crate::path::AbsPath;
use crate::property::Content;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe, a socket or a device.
    Special,
}

impl FileType {
    /// How people call it.
    pub fn words(self) -> &'static str {
        match self {
            FileType::Regular => "file",
            FileType::Directory => "directory",
            FileType::Symlink => "symbolic link",
            FileType::Special => "pipe, socket or device",
        }
    }
}

/// What stat(2) says of a path, the last component not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub file_type: FileType,
    /// Permission bits, 0 to 07777.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// The file's identity on this machine: two names with the same identity are hard links.
    pub identity: (u64, u64),
}

/// What is at a path, and whether it holds what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it is.
    pub metadata: Metadata,
    /// Whether it holds exactly the content asked about; nothing where none was asked about, or it is no regular file.
    pub same: Option<bool>,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: any bytes but `/` and NUL.
    pub name: OsString,
    /// What it is.
    pub file_type: FileType,
}

/// Owner, group and mode to be set; what is `None` stays, or is the default for something new (the process's own user and
/// group; 0644, 0755 for directories).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The owner's number.
    pub uid: Option<u32>,
    /// The group's number.
    pub gid: Option<u32>,
    /// Permission bits, 0 to 07777.
    pub mode: Option<u32>,
}

/// Checks a file under another name before it goes live.
pub type Check<'a> = &'a dyn Fn(&AbsPath) -> Result<()>;

/// The files of a machine.
///
/// On the way to a path, a link is followed only where nobody but root (or the user converging) could have planted it: its
/// directory is not writable by others, or the link is root's own. The last component is never followed.
pub trait Files: Send + Sync {
    /// What is at `path`; nothing where nothing is, or where its directory is not there.
    fn metadata(&self, path: &AbsPath) -> Result<Option<Metadata>>;

    /// As [`Files::metadata`], comparing what a regular file holds with `content`. Constant memory.
    fn probe(&self, path: &AbsPath, content: Option<&Content>) -> Result<Option<Probe>>;

    /// The first `limit` bytes of a regular file.
    fn read(&self, path: &AbsPath, limit: u64) -> Result<Vec<u8>>;

    /// The first `limit` bytes of a content, for a diff.
    fn read_content(&self, content: &Content, limit: u64) -> Result<Vec<u8>>;

    /// Where the symbolic link at `path` points, as written in it.
    fn read_link(&self, path: &AbsPath) -> Result<String>;

    /// The path that `path` stands for once its own links are followed (at most 40), which need not exist.
    fn resolve(&self, path: &AbsPath) -> Result<AbsPath>;

    /// The entries of a directory, by name.
    fn list(&self, directory: &AbsPath) -> Result<Vec<Entry>>;

    /// Puts a file with `content` at `path` in one step, in place of whatever non-directory is there. Attributes, label and
    /// extended attributes are those of the file replaced unless given; they are set before it goes live, and so is `check`.
    /// A file that cannot be replaced by renaming (a bind-mounted one) is rewritten in place.
    fn write(&self, path: &AbsPath, content: &Content, attributes: Attributes, check: Option<Check<'_>>) -> Result<()>;

    /// Sets attributes of what is at `path`, never through a link.
    fn set_attributes(&self, path: &AbsPath, attributes: Attributes) -> Result<()>;

    /// Makes one directory. Its parent must be there; it must not.
    fn make_directory(&self, path: &AbsPath, attributes: Attributes) -> Result<()>;

    /// Makes a symbolic link in one step, in place of whatever non-directory is there.
    fn make_symlink(&self, path: &AbsPath, target: &str) -> Result<()>;

    /// Makes `path` a further name of the file at `existing` in one step, in place of whatever non-directory is there.
    fn make_hard_link(&self, path: &AbsPath, existing: &AbsPath) -> Result<()>;

    /// Removes a file, a link, or an empty directory. Nothing there is fine.
    fn remove(&self, path: &AbsPath) -> Result<()>;

    /// Removes a directory and all in it. Never follows a link, never crosses into another file system.
    fn remove_tree(&self, path: &AbsPath) -> Result<()>;
}
