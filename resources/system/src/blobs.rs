//! Where the bytes come from that a catalog names by their digest.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::{BlobRef, Content, Digest};

/// Gives the bytes of a blob: a cache directory, or memory.
///
/// Who reads verifies digest and size; a source need not.
pub trait BlobSource: Send + Sync {
    /// Opens the blob called `digest` for reading from its beginning.
    ///
    /// # Errors
    /// Where the source has no such blob, or cannot read it.
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>>;
}

/// A source that has nothing: for machines that are only looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBlobs;

impl BlobSource for NoBlobs {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        Err(missing(digest))
    }
}

impl BlobSource for BTreeMap<Digest, Arc<[u8]>> {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        match self.get(digest) {
            Some(bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
            None => Err(missing(digest)),
        }
    }
}

fn missing(digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound, "read", format!("blob {}", digest.short()), "it is not on this machine")
        .with_hint("fetch the policy again from the store")
}

/// The first `limit` bytes of `content`, from `blobs` where they are not at hand.
///
/// # Errors
/// Where the blob cannot be opened or read.
pub fn read_content(blobs: &dyn BlobSource, content: &Content, limit: u64) -> Result<Vec<u8>> {
    match content {
        Content::Bytes(bytes) => {
            let end = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len());
            Ok(bytes[..end].to_vec())
        }
        Content::Blob(BlobRef { digest, size }) => {
            let mut bytes = Vec::with_capacity(usize::try_from(limit.min(*size)).unwrap_or(0).min(1 << 20));
            blobs
                .open(digest)?
                .take(limit.min(*size))
                .read_to_end(&mut bytes)
                .map_err(|error| Error::io("read", format!("blob {}", digest.short()), &error))?;
            Ok(bytes)
        }
    }
}
