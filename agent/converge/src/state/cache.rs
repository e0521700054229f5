//! Blobs of policies by digest: graph documents, templates, files. What is damaged or gone is fetched again.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use converge_model::digest::Hasher;
use converge_model::{BlobRef, Digest, Error, ErrorKind, Result};
use converge_system::BlobSource;
use converge_system::linux::durable::{self, Durability, Incoming};

use super::StateDir;
use crate::repository;

/// The cache.
#[derive(Clone, Debug)]
pub(crate) struct BlobCache {
    directory: PathBuf,
}

impl BlobCache {
    /// The cache in a state directory.
    ///
    /// # Errors
    /// Where its directory cannot be made.
    pub(crate) fn open(state: &StateDir) -> Result<Self> {
        let directory = state.path("blobs");
        durable::create_directory(&directory, 0o700)?;
        Ok(Self { directory })
    }

    /// Whether the blob is there, by its size. Whoever reads it checks the digest.
    pub(crate) fn has(&self, blob: &BlobRef) -> bool {
        self.path(&blob.digest).metadata().is_ok_and(|metadata| metadata.len() == blob.size)
    }

    /// All of a blob, if it is there and is what it should be.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn read(&self, blob: &BlobRef) -> Result<Option<Vec<u8>>> {
        let bytes = durable::read(&self.path(&blob.digest), blob.size)?;
        Ok(bytes.filter(|bytes| BlobRef::of(bytes) == *blob))
    }

    /// Puts a blob there, from whoever hands its bytes to the given sink.
    ///
    /// # Errors
    /// Where `fetch` fails, where what came is not the blob, or where it cannot be written.
    pub(crate) fn fill(
        &self,
        blob: &BlobRef,
        fetch: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let mut incoming = Incoming::begin(&self.path(&blob.digest), 0o600)?;
        let mut hasher = Hasher::new();
        fetch(&mut |bytes| {
            hasher.update(bytes);
            incoming.write(bytes)
        })?;
        let found = hasher.finish();
        if found != blob.digest {
            let cause = format!("what came has the digest {}", found.short());
            return Err(Error::new(ErrorKind::Invalid, "fetch", format!("blob {}", blob.digest.short()), cause));
        }
        incoming.keep(Durability::Soon)
    }

    /// Removes every blob but these.
    ///
    /// # Errors
    /// Where one cannot be removed.
    pub(crate) fn keep_only(&self, needed: &std::collections::BTreeSet<Digest>) -> Result<()> {
        for name in durable::names(&self.directory)? {
            if !name.parse().is_ok_and(|digest| needed.contains(&digest)) {
                durable::remove(&self.directory.join(&name))?;
            }
        }
        Ok(())
    }

    /// Removes what is not what its name says, and says how much that was.
    ///
    /// # Errors
    /// Where the cache cannot be read.
    pub(crate) fn drop_damaged(&self) -> Result<usize> {
        let mut dropped = 0;
        for name in durable::names(&self.directory)? {
            let path = self.directory.join(&name);
            let found = repository::digest_of(&mut *repository::open(&path)?)
                .map_err(|error| Error::io("read", path.display(), &error))?;
            if found.digest.to_string() != name {
                durable::remove(&path)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }
}

impl BlobSource for BlobCache {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        let path = self.path(digest);
        #[expect(clippy::disallowed_methods, reason = "the cache hands out its own files")]
        let file = File::open(&path).map_err(|error| {
            Error::io("read", format!("blob {}", digest.short()), &error).with_hint("run again: it is fetched anew")
        })?;
        Ok(Box::new(file))
    }
}
