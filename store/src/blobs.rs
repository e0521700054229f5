//! Blobs: immutable files in a directory, each under its digest.
#![expect(clippy::disallowed_methods, reason = "the store's own directory; every error here carries its path")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use converge_model::digest::Hasher;
use converge_model::{BlobRef, Digest, Error, ErrorKind, Result};

/// A directory of blobs, in 256 directories by the first two digits.
#[derive(Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
}

impl Blobs {
    /// The blobs in `root`, which is made where it is not there. What an earlier process left half-written is removed.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let incoming = root.join("incoming");
        let made = fs::create_dir_all(&incoming).and_then(|()| {
            for entry in fs::read_dir(&incoming)? {
                fs::remove_file(entry?.path())?;
            }
            Ok(())
        });
        made.map_err(|error| Error::io("prepare", incoming.display(), &error))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Whether the blob is there.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// The blob's size, if it is there.
    pub(crate) fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", path.display(), &error)),
        }
    }

    /// The blob's file, if it is there.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path.display(), &error)),
        }
    }

    /// The bytes of a blob that a revision needs.
    pub(crate) fn read(&self, blob: &BlobRef) -> Result<Vec<u8>> {
        let path = self.path(&blob.digest);
        let bytes = fs::read(&path).map_err(|error| Error::io("read", path.display(), &error))?;
        if Digest::of(&bytes) != blob.digest {
            let cause = "it is not what its digest says: it was damaged or changed";
            return Err(Error::new(ErrorKind::Failed, "read", path.display(), cause)
                .with_hint("restore it from a backup, or publish the policy again from its repository"));
        }
        Ok(bytes)
    }

    /// Begins to take in a blob.
    pub(crate) fn receive(&self) -> Result<Incoming> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Error::new(ErrorKind::Failed, "name", "an incoming blob", error))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.root.join("incoming").join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path);
        let file = file.map_err(|error| Error::io("write", path.display(), &error))?;
        Ok(Incoming { path, file, hasher: Hasher::new(), size: 0 })
    }

    /// Makes a whole blob available under its digest, durably.
    pub(crate) fn keep(&self, incoming: Incoming) -> Result<BlobRef> {
        let blob = BlobRef { digest: incoming.hasher.clone().finish(), size: incoming.size };
        let path = self.path(&blob.digest);
        let kept = || -> std::io::Result<()> {
            incoming.file.sync_all()?;
            let directory = path.parent().unwrap_or(&self.root);
            fs::create_dir_all(directory)?;
            fs::rename(&incoming.path, &path)?;
            File::open(directory)?.sync_all()
        };
        kept().map_err(|error| Error::io("write", path.display(), &error))?;
        Ok(blob)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(&name[2..])
    }
}

/// A blob on its way in. Dropped before it was kept, it is gone.
pub(crate) struct Incoming {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Incoming {
    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| Error::io("write", self.path.display(), &error))
    }

    /// How many bytes came so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The digest of what came so far.
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Once kept, the file is no longer under this name, and there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}
