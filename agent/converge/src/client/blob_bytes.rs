//! The bytes of a blob that is to be put into the store.

use std::path::Path;

use converge_model::{Error, Result};

use crate::repository;

/// Where the bytes of a blob are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BlobBytes<'a> {
    /// At hand.
    Memory(&'a [u8]),
    /// In a file.
    File(&'a Path),
}

impl BlobBytes<'_> {
    /// How many there are.
    ///
    /// # Errors
    /// Where the file cannot be looked at.
    pub(crate) fn size(&self) -> Result<u64> {
        match self {
            BlobBytes::Memory(bytes) => Ok(bytes.len() as u64),
            BlobBytes::File(path) => {
                let metadata = path.metadata().map_err(|error| Error::io("read", path.display(), &error))?;
                Ok(metadata.len())
            }
        }
    }

    /// Hands the bytes to `sink`, a piece at a time.
    ///
    /// # Errors
    /// Where the file cannot be read, or `sink` fails.
    pub(crate) fn read(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            BlobBytes::Memory(bytes) => sink(bytes),
            BlobBytes::File(path) => {
                let mut reader = repository::open(path)?;
                let mut buffer = vec![0; 1 << 20];
                loop {
                    match reader.read(&mut buffer).map_err(|error| Error::io("read", path.display(), &error))? {
                        0 => return Ok(()),
                        count => sink(&buffer[..count])?,
                    }
                }
            }
        }
    }
}
