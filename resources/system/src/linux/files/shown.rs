//! The blob that was read last to show what a file will hold: as a rule it is written next, and need not be read again.

use std::sync::{Mutex, PoisonError};

use converge_model::{Content, Digest};

/// The longest blob that is kept, in bytes.
const LONGEST: usize = 256 * 1024;

/// One blob as it was read. Nobody has checked yet that it is what its digest says.
#[derive(Debug, Default)]
pub(super) struct ShownBlob(Mutex<Option<(Digest, Vec<u8>)>>);

impl ShownBlob {
    /// Keeps `bytes`, which are the beginning of `content`, where they are a whole blob and not too long.
    pub(super) fn keep(&self, content: &Content, bytes: &[u8]) {
        if let Content::Blob(blob) = content
            && bytes.len() as u64 == blob.size
            && bytes.len() <= LONGEST
        {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((blob.digest, bytes.to_vec()));
        }
    }

    /// The blob called `digest`, if it is the one that is kept. It is kept no longer.
    pub(super) fn take(&self, digest: &Digest) -> Option<Vec<u8>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_if(|(kept, _)| kept == digest).map(|(_, bytes)| bytes)
    }
}
