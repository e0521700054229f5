//! Blobs in memory, shared between a machine, its clones, and whoever fills them.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::{Arc, PoisonError, RwLock};

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::{BlobRef, Content, Digest};

use crate::blobs::BlobSource;

/// A shared blob source. A clone is the same source.
#[derive(Clone, Debug, Default)]
pub struct Blobs(Arc<RwLock<BTreeMap<Digest, Arc<[u8]>>>>);

impl Blobs {
    /// Takes in bytes, and gives what to call them.
    pub fn insert(&self, bytes: impl Into<Arc<[u8]>>) -> BlobRef {
        let bytes = bytes.into();
        let blob = BlobRef::of(&bytes);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(blob.digest, bytes);
        blob
    }

    /// Takes in bytes as the content of a file.
    pub fn content(&self, bytes: impl Into<Arc<[u8]>>) -> Content {
        Content::Blob(self.insert(bytes))
    }

    /// All bytes of `content`.
    ///
    /// # Errors
    /// Where the blob is not here, or its size is not the one that was promised.
    pub fn bytes(&self, content: &Content) -> Result<Arc<[u8]>> {
        let blob = match content {
            Content::Bytes(bytes) => return Ok(Arc::clone(bytes)),
            Content::Blob(blob) => blob,
        };
        match self.get(&blob.digest) {
            Some(bytes) if bytes.len() as u64 == blob.size => Ok(bytes),
            Some(bytes) => Err(Error::new(
                ErrorKind::Invalid,
                "read",
                format!("blob {}", blob.digest.short()),
                format!("it has {} bytes, not {}", bytes.len(), blob.size),
            )),
            None => Err(missing(&blob.digest)),
        }
    }

    fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }
}

impl BlobSource for Blobs {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        match self.get(digest) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes))),
            None => Err(missing(digest)),
        }
    }
}

fn missing(digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound, "read", format!("blob {}", digest.short()), "it is not on this machine")
        .with_hint("fetch the policy again from the store")
}
