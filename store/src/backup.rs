//! Copies of a store, made while it runs; and stores made of such copies.
//!
//! A copy is a directory: the database as it was at one moment, the blobs that its revisions need, the authority and the access
//! of the first operator, and `contents.json`, which says of each file what its digest is. It appears whole or not at all.
#![expect(
    clippy::disallowed_methods,
    reason = "copies of the store's own directory; every error here carries its path"
)]

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use converge_model::digest::Hasher;
use converge_model::{BlobRef, Clock, Digest, Error, ErrorKind, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::blobs::{Blobs, path_of};
use crate::files::{private_directory, read, write_with_mode};
use crate::persistence::{Holdings, snapshot};

/// The format of `contents.json` that this software writes and reads.
const FORMAT: u32 = 1;
/// What says what a copy holds.
const CONTENTS: &str = "contents.json";
/// The database.
const DATABASE: &str = "store.db";
/// The directory of the blobs.
const BLOBS: &str = "blobs";
/// Private files beside the database, as far as they are there: all that makes the store the one that nodes know.
const PRIVATE: [&str; 3] = ["tls/authority.pem", "tls/ca.pem", "access.json"];
/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    format: u32,
    made: Timestamp,
    /// Files by their paths within the copy.
    files: BTreeMap<String, BlobRef>,
    blobs: Vec<BlobRef>,
    /// Blobs that the store itself had lost.
    lost: Vec<Digest>,
}

/// What was copied, or made of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupSummary {
    /// Where it is now.
    pub path: PathBuf,
    /// When the copy was made, by the clock of the machine that made it.
    pub made: Timestamp,
    /// How many nodes it knows.
    pub nodes: u64,
    /// The newest revision of each policy.
    pub policies: BTreeMap<String, u64>,
    /// How many blobs it holds.
    pub blobs: usize,
    /// Blobs that revisions need, and that were gone or damaged in the store before: publishing them again mends it.
    pub lost: Vec<Digest>,
    /// Bytes of all of it.
    pub bytes: u64,
}

/// Copies the store in `data` to the directory `target`, which must not be there. The store may run meanwhile.
///
/// # Errors
/// Where something cannot be read or written: then there is no `target`.
pub fn backup(data: &Path, target: &Path, clock: &dyn Clock) -> Result<BackupSummary> {
    refuse_if_there(target)?;
    if !data.join(DATABASE).is_file() {
        return Err(Error::new(ErrorKind::Invalid, "copy", data.display(), "there is no store in it")
            .with_hint("give the store's directory with --data"));
    }
    let blobs = Blobs::look_at(&data.join(BLOBS));
    // What a revision needs that is in the copy must not be swept away meanwhile.
    let _kept = blobs.hold_sweeping()?;
    let partial = Partial::begin(target)?;
    let mut files = BTreeMap::new();
    let database = partial.path.join(DATABASE);
    write_with_mode(&database, b"", 0o600)?;
    snapshot::copy(&data.join(DATABASE), &database)?;
    files.insert(DATABASE.to_owned(), digest_of(&database)?);
    for name in PRIVATE {
        if let Some(bytes) = read(&data.join(name))? {
            private_directory(partial.path.join(name).parent().unwrap_or(&partial.path))?;
            write_with_mode(&partial.path.join(name), &bytes, 0o600)?;
            files.insert(name.to_owned(), BlobRef::of(&bytes));
        }
    }
    let holdings = snapshot::holdings(&database)?;
    let mut contents = Contents { format: FORMAT, made: clock.now(), files, blobs: Vec::new(), lost: Vec::new() };
    let to = partial.path.join(BLOBS);
    for blob in &holdings.blobs {
        let whole = match blobs.open_blob(&blob.digest)? {
            Some(file) => copy_blob(file, blob, &to)?,
            None => false,
        };
        if whole { contents.blobs.push(*blob) } else { contents.lost.push(blob.digest) }
    }
    let text = serde_json::to_vec_pretty(&contents)
        .map_err(|error| Error::new(ErrorKind::Failed, "write", CONTENTS, error))?;
    write_with_mode(&partial.path.join(CONTENTS), &text, 0o600)?;
    partial.finish(target)?;
    Ok(summary(target, &contents, &holdings))
}

/// Makes a store of the copy in `backup`, in the directory `data`, which must be empty or not be there. Each file is held against
/// its digest.
///
/// # Errors
/// Where the copy is damaged or not whole, or something cannot be written: then nothing is in `data`.
pub fn restore(backup: &Path, data: &Path) -> Result<BackupSummary> {
    let contents = contents(backup)?;
    let place = Place::find(data)?;
    let data = place.path.as_path();
    let partial = Partial::begin(data)?;
    for (name, wanted) in &contents.files {
        if name != DATABASE && !PRIVATE.contains(&name.as_str()) {
            return Err(damaged(backup, format!("it names the file {name}, which is none of a store's")));
        }
        let path = partial.path.join(name);
        private_directory(path.parent().unwrap_or(&partial.path))?;
        let from = backup.join(name);
        let file = File::open(&from).map_err(|error| Error::io("read", from.display(), &error))?;
        if copy_file(file, &path, 0o600)? != *wanted {
            return Err(damaged(backup, format!("{name} is not what it was when the copy was made")));
        }
    }
    // A copy may be older than this software.
    snapshot::bring_forward(&partial.path.join(DATABASE))?;
    let holdings = snapshot::holdings(&partial.path.join(DATABASE))?;
    for blob in &holdings.blobs {
        if contents.lost.contains(&blob.digest) {
            continue;
        }
        let from = path_of(&backup.join(BLOBS), &blob.digest);
        let file = File::open(&from).map_err(|error| Error::io("read", from.display(), &error))?;
        if !copy_blob(file, blob, &partial.path.join(BLOBS))? {
            return Err(damaged(backup, format!("blob {} is not what its digest says", blob.digest)));
        }
    }
    place.hand_over(&partial.path)?;
    partial.finish(data)?;
    Ok(summary(data, &contents, &holdings))
}

/// Where a store is to be: a directory that is not there, or one that is there and empty.
struct Place {
    /// Its own path, behind links.
    path: PathBuf,
    /// Whose it is, where it is there.
    owner: Option<(u32, u32)>,
}

impl Place {
    fn find(data: &Path) -> Result<Self> {
        let trouble = |error: std::io::Error| Error::io("restore into", data.display(), &error);
        let refused = |cause: &str, hint: &str| {
            Err(Error::new(ErrorKind::Invalid, "restore into", data.display(), cause).with_hint(hint))
        };
        let path = match fs::canonicalize(data) {
            Ok(path) => path,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { path: data.to_owned(), owner: None });
            }
            Err(error) => return Err(trouble(error)),
        };
        if fs::read_dir(&path).map_err(trouble)?.next().is_some() {
            let hint =
                "stop the store that is there, and move what is in its directory away; or give another one with --data";
            return refused("it is not empty", hint);
        }
        let metadata = fs::metadata(&path).map_err(trouble)?;
        let outer = path.parent().map_or(Ok(metadata.dev()), |outer| fs::metadata(outer).map(|outer| outer.dev()));
        if outer.map_err(trouble)? != metadata.dev() {
            return refused("something is mounted there", "give a directory on that file system with --data");
        }
        Ok(Self { path, owner: Some((metadata.uid(), metadata.gid())) })
    }

    /// Gives all of `tree` to whoever had the directory that it takes the place of.
    fn hand_over(&self, tree: &Path) -> Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        let trouble = |error: std::io::Error| Error::io("change the owner of", tree.display(), &error);
        let metadata = tree.symlink_metadata().map_err(trouble)?;
        if (metadata.uid(), metadata.gid()) != (uid, gid) {
            lchown(tree, Some(uid), Some(gid)).map_err(trouble)?;
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(tree).map_err(trouble)? {
                self.hand_over(&entry.map_err(trouble)?.path())?;
            }
        }
        Ok(())
    }
}

fn contents(backup: &Path) -> Result<Contents> {
    let path = backup.join(CONTENTS);
    let bytes = read(&path)?.ok_or_else(|| damaged(backup, format!("there is no {CONTENTS} in it")))?;
    let contents: Contents =
        serde_json::from_slice(&bytes).map_err(|error| damaged(backup, format!("{CONTENTS}: {error}")))?;
    if contents.format != FORMAT || !contents.files.contains_key(DATABASE) {
        let format = contents.format;
        return Err(damaged(backup, format!("it has format {format}, and this software knows {FORMAT}")));
    }
    Ok(contents)
}

fn damaged(backup: &Path, cause: String) -> Error {
    Error::new(ErrorKind::Invalid, "restore", backup.display(), cause)
        .with_hint("give the directory that `converge store backup` made, whole, or an earlier one")
}

fn summary(path: &Path, contents: &Contents, holdings: &Holdings) -> BackupSummary {
    let all = contents.files.values().chain(&contents.blobs);
    BackupSummary {
        path: path.to_owned(),
        made: contents.made,
        nodes: holdings.nodes,
        policies: holdings.policies.clone(),
        blobs: contents.blobs.len(),
        lost: contents.lost.clone(),
        bytes: all.map(|file| file.size).sum(),
    }
}

fn refuse_if_there(target: &Path) -> Result<()> {
    if target.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::Invalid, "write", target.display(), "it is there already")
            .with_hint("name a directory that is not there: each copy has its own"));
    }
    Ok(())
}

/// Copies a blob below `to`. Says whether it is what its digest says; one that is not is not kept.
fn copy_blob(file: File, blob: &BlobRef, to: &Path) -> Result<bool> {
    let path = path_of(to, &blob.digest);
    private_directory(path.parent().unwrap_or(to))?;
    let is_whole = copy_file(file, &path, 0o640)? == *blob;
    if !is_whole {
        fs::remove_file(&path).map_err(|error| Error::io("remove", path.display(), &error))?;
    }
    Ok(is_whole)
}

/// Copies a file durably to one that is not there, and says what was copied.
fn copy_file(mut from: File, to: &Path, mode: u32) -> Result<BlobRef> {
    let trouble = |error: std::io::Error| Error::io("write", to.display(), &error);
    let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to).map_err(trouble)?;
    let found = digest_while(&mut from, |bytes| target.write_all(bytes)).map_err(trouble)?;
    target.sync_all().map_err(trouble)?;
    Ok(found)
}

fn digest_of(path: &Path) -> Result<BlobRef> {
    let digest = File::open(path).and_then(|mut file| digest_while(&mut file, |_| Ok(())));
    digest.map_err(|error| Error::io("read", path.display(), &error))
}

fn digest_while(file: &mut File, mut each: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<BlobRef> {
    let (mut hasher, mut size, mut chunk) = (Hasher::new(), 0, vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(BlobRef { digest: hasher.finish(), size }),
            count => {
                hasher.update(&chunk[..count]);
                each(&chunk[..count])?;
                size += count as u64;
            }
        }
    }
}

/// A directory that is being filled, beside where it will be. Dropped before it was finished, it is gone; what a process that was
/// killed left is taken away by the next one.
struct Partial {
    path: PathBuf,
    is_done: bool,
    /// Whoever writes it has it locked.
    _lock: File,
}

impl Partial {
    fn begin(target: &Path) -> Result<Self> {
        let name = target.file_name().ok_or_else(|| {
            let cause = "that is no name of a directory";
            Error::new(ErrorKind::Invalid, "write", target.display(), cause).with_hint("give its own name, not `..`")
        })?;
        let path = target.with_file_name(format!(".{}.partial", name.to_string_lossy()));
        let trouble = |error: std::io::Error| Error::io("write", path.display(), &error);
        if path.symlink_metadata().is_ok() {
            let _left = locked(&path, target)?;
            fs::remove_dir_all(&path).map_err(trouble)?;
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            private_directory(parent)?;
        }
        // Not one that somebody else made meanwhile, where others may make some.
        DirBuilder::new().mode(0o700).create(&path).map_err(trouble)?;
        let lock = locked(&path, target)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(trouble)?;
        Ok(Self { path, is_done: false, _lock: lock })
    }

    /// Puts it where it belongs, durably.
    fn finish(mut self, target: &Path) -> Result<()> {
        let done = || -> std::io::Result<()> {
            sync_directories(&self.path)?;
            // In place of a directory that is there only where that is empty.
            fs::rename(&self.path, target)?;
            let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        done().map_err(|error| Error::io("write", target.display(), &error))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_done {
            // What cannot be taken away now is taken away by the next one.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn locked(partial: &Path, target: &Path) -> Result<File> {
    let trouble = |error: std::io::Error| Error::io("lock", partial.display(), &error);
    let directory = File::open(partial).map_err(trouble)?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => {
            let cause = "another process writes it right now";
            Err(Error::new(ErrorKind::Busy, "write", target.display(), cause).with_hint("wait for that one"))
        }
        Err(TryLockError::Error(error)) => Err(trouble(error)),
    }
}

fn sync_directories(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_directories(&entry.path())?;
        }
    }
    File::open(path)?.sync_all()
}
