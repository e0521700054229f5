//! A policy repository on disk: found, read, and its big files named by digest.
#![expect(clippy::disallowed_methods, reason = "an author's own files; every error here carries its path")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use converge_model::digest::Hasher;
use converge_model::{BlobRef, Digest, Error, ErrorKind, Result};
use converge_policy::{FileData, Repository};
use converge_trust::AllowedSigners;
use serde::Deserialize;

use crate::config;

/// The file that makes a directory a policy repository.
const MARK: &str = "converge.toml";
/// The signers whom nodes trust.
pub(crate) const SIGNERS: &str = "allowed_signers";
/// Directories of a repository that are read.
const READ: [&str; 3] = ["cookbooks", "policies", "secrets"];
/// Files below a cookbook's `files/` that are larger than this stay on disk.
const IN_MEMORY: u64 = 256 << 10;
/// The largest file that must be in memory: a document or a template.
const LARGEST_DOCUMENT: u64 = 64 << 20;

/// A policy repository that was read.
#[derive(Debug)]
pub(crate) struct PolicyRepository {
    /// The directory that holds `converge.toml`.
    pub root: PathBuf,
    /// Its files, as the compiler takes them.
    pub files: Repository,
    /// Where the files are that stayed on disk.
    large: BTreeMap<Digest, PathBuf>,
}

/// What `converge.toml` says to the commands. The compiler checks it whole.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Settings {
    /// The store's address.
    pub store: Option<String>,
    /// The file of the key that revisions are signed with.
    pub signing_key: Option<PathBuf>,
}

impl PolicyRepository {
    /// Reads the repository at `root`.
    ///
    /// # Errors
    /// Where there is none, or a file of it cannot be read, is no file, or has a name that is not UTF-8.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        if !root.join(MARK).is_file() {
            return Err(Error::new(ErrorKind::Invalid, "read", root.display(), format!("there is no {MARK} in it"))
                .with_hint("name the directory of a policy repository, or make one with `converge init`"));
        }
        let mut repository = Self { root: root.to_owned(), files: Repository::default(), large: BTreeMap::new() };
        repository.read_file(&root.join(MARK), MARK.to_owned())?;
        for directory in READ {
            let path = root.join(directory);
            if path.is_dir() {
                repository.read_directory(&path, directory)?;
            }
        }
        Ok(repository)
    }

    /// Reads the repository that `start`, a file or directory, is in: the nearest one upwards.
    ///
    /// # Errors
    /// As [`PolicyRepository::read`].
    pub(crate) fn around(start: &Path) -> Result<Self> {
        let start = fs::canonicalize(start).map_err(|error| {
            Error::new(ErrorKind::Invalid, "read", start.display(), error)
                .with_hint("name a file or directory that is there")
        })?;
        let root = root_above(&start).ok_or_else(|| {
            let cause = format!("no directory from there upwards holds a {MARK}");
            Error::new(ErrorKind::Invalid, "find the policy repository of", start.display(), cause)
                .with_hint("work in a policy repository, or make one with `converge init`")
        })?;
        Self::read(root)
    }

    /// The repository of a policy that is given by its name, in the repository around here, or by its file; and its name.
    ///
    /// # Errors
    /// As [`PolicyRepository::around`].
    pub(crate) fn of_policy(policy: &Path) -> Result<(Self, String)> {
        let is_file = policy.extension().is_some_and(|ending| ending == "toml");
        let name = if is_file { policy.file_stem().unwrap_or_default() } else { policy.as_os_str() };
        let repository = Self::around(if is_file { policy } else { Path::new(".") })?;
        Ok((repository, name.to_string_lossy().into_owned()))
    }

    /// A repository that is on no disk.
    pub(crate) fn in_memory(files: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { root: PathBuf::from("."), files: files.into_iter().collect(), large: BTreeMap::new() }
    }

    /// The store's address, as `converge.toml` says.
    ///
    /// # Errors
    /// Where `converge.toml` cannot be read.
    pub(crate) fn store(&self) -> Result<Option<String>> {
        Ok(settings(&self.root)?.store)
    }

    /// The file of the key that revisions are signed with, as `converge.toml` says.
    ///
    /// # Errors
    /// Where `converge.toml` cannot be read.
    pub(crate) fn signing_key(&self) -> Result<Option<PathBuf>> {
        Ok(settings(&self.root)?.signing_key.map(|path| self.root.join(path)))
    }

    /// The signers whom the nodes of its policies trust, where the repository says so in a file `allowed_signers`.
    ///
    /// # Errors
    /// Where that file cannot be read or understood.
    pub(crate) fn signers(&self) -> Result<Option<AllowedSigners>> {
        config::read_signers(&self.root.join(SIGNERS))
    }

    /// The file of a blob that stayed on disk.
    pub(crate) fn large_file(&self, digest: &Digest) -> Option<&Path> {
        self.large.get(digest).map(PathBuf::as_path)
    }

    fn read_directory(&mut self, directory: &Path, relative: &str) -> Result<()> {
        let trouble = |error: std::io::Error| Error::io("read", directory.display(), &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(trouble)? {
            names.push(entry.map_err(trouble)?.file_name());
        }
        names.sort();
        for name in names {
            let path = directory.join(&name);
            let name = name.to_str().ok_or_else(|| {
                Error::new(ErrorKind::Invalid, "read", path.display(), "its name is not UTF-8").with_hint("rename it")
            })?;
            if name.starts_with('.') {
                continue;
            }
            let relative = format!("{relative}/{name}");
            let metadata = fs::symlink_metadata(&path).map_err(|error| Error::io("read", path.display(), &error))?;
            if metadata.is_dir() {
                self.read_directory(&path, &relative)?;
            } else if metadata.is_file() {
                self.read_file(&path, relative)?;
            } else {
                let cause = "it is neither a file nor a directory";
                return Err(Error::new(ErrorKind::Invalid, "read", path.display(), cause)
                    .with_hint("a repository must hold everything it needs: put a copy in place of a link"));
            }
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path, relative: String) -> Result<()> {
        let trouble = |error: std::io::Error| Error::io("read", path.display(), &error);
        let mut file = File::open(path).map_err(trouble)?;
        let size = file.metadata().map_err(trouble)?.len();
        let is_payload = relative.split('/').nth(2) == Some("files");
        if is_payload && size > IN_MEMORY {
            let blob = digest_of(&mut file).map_err(trouble)?;
            self.large.insert(blob.digest, path.to_owned());
            self.files.files.insert(relative, FileData::Blob(blob));
            return Ok(());
        }
        if size > LARGEST_DOCUMENT {
            let cause = format!("it has {size} bytes, and a document or template may have {LARGEST_DOCUMENT}");
            return Err(Error::new(ErrorKind::Invalid, "read", path.display(), cause));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.read_to_end(&mut bytes).map_err(trouble)?;
        self.files.files.insert(relative, FileData::Bytes(bytes));
        Ok(())
    }
}

/// What the `converge.toml` of the repository that `start` is in says; nothing where it is in none.
///
/// # Errors
/// Where that file cannot be read, or is not one.
pub(crate) fn settings_around(start: &Path) -> Result<Settings> {
    let Ok(start) = fs::canonicalize(start) else { return Ok(Settings::default()) };
    root_above(&start).map_or_else(|| Ok(Settings::default()), settings)
}

/// What the policy repository that `start` is in says of who signs: the file of the key, and whom nodes trust; nothing where
/// it is in none.
///
/// # Errors
/// Where a file of it cannot be read or understood.
pub(crate) fn signing_around(start: &Path) -> Result<(Option<PathBuf>, Option<AllowedSigners>)> {
    let Some(root) = root_around(start) else { return Ok((None, None)) };
    let key = settings(&root)?.signing_key.map(|path| root.join(path));
    Ok((key, config::read_signers(&root.join(SIGNERS))?))
}

/// The policy repository that the file or directory `start` is in.
pub(crate) fn root_around(start: &Path) -> Option<PathBuf> {
    root_above(&fs::canonicalize(start).ok()?).map(Path::to_owned)
}

/// The nearest directory from `start` upwards that is a policy repository.
fn root_above(start: &Path) -> Option<&Path> {
    start.ancestors().find(|directory| directory.join(MARK).is_file())
}

fn settings(root: &Path) -> Result<Settings> {
    Ok(config::read_toml(&root.join(MARK))?.unwrap_or_default())
}

/// Opens a file of a repository.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).map_err(|error| Error::io("read", path.display(), &error))?;
    Ok(Box::new(file))
}

/// The digest and size of all that `reader` gives, in constant memory.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn digest_of(reader: &mut dyn Read) -> std::io::Result<BlobRef> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(BlobRef { digest: hasher.finish(), size }),
            count => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
        }
    }
}
