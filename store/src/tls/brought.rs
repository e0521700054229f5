//! A certificate that was brought, from files that somebody else renews.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use converge_model::{Digest, Result};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::unusable;
use crate::files::read;

/// Where a certificate is that was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtCertificate {
    /// The certificate and what leads up to its authority, as PEM.
    pub chain: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// The authority's certificate, as PEM: clients trust exactly this one. Without it they trust whom their system trusts.
    pub authority: Option<PathBuf>,
}

/// The files, and when they last changed.
pub(super) struct Brought {
    files: BroughtCertificate,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When each file was changed, as of the last reading.
    changed: Vec<Option<SystemTime>>,
    pin: Option<Digest>,
}

impl Brought {
    pub(super) fn new(files: BroughtCertificate) -> Self {
        Self { files, seen: Mutex::default() }
    }

    /// The digest of the authority's certificate, where one is named.
    pub(super) fn pin(&self) -> Option<Digest> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).pin
    }

    /// Whether a file is another one than when they were read.
    pub(super) fn changed(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).changed != self.times()
    }

    /// Reads the files anew.
    ///
    /// # Errors
    /// Where one is not there or holds something else, or the key is not the certificate's.
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey> {
        // What changes while it is read counts as changed afterwards.
        let changed = self.times();
        let content = |path: &PathBuf| read(path)?.ok_or_else(|| unusable(path, "it is not there"));
        let certificates = |path: &PathBuf| -> Result<Vec<CertificateDer<'static>>> {
            let read: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content(path)?).collect();
            let read = read.map_err(|error| unusable(path, error))?;
            if read.is_empty() { Err(unusable(path, "it holds no certificate")) } else { Ok(read) }
        };
        let mut chain = certificates(&self.files.chain)?;
        let key = &self.files.key;
        let private = PrivateKeyDer::from_pem_slice(&content(key)?).map_err(|error| unusable(key, error))?;
        let mut pin = None;
        if let Some(path) = &self.files.authority {
            let authority = certificates(path)?.swap_remove(0);
            pin = Some(Digest::of(&authority));
            // Clients find what they pin in what they are shown.
            if !chain.contains(&authority) {
                chain.push(authority);
            }
        }
        let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
            unusable(key, error).with_hint(format!("it must be the key of {}", self.files.chain.display()))
        })?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen { changed, pin };
        Ok(certified)
    }

    fn times(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.files.chain), Some(&self.files.key), self.files.authority.as_ref()];
        let changed = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
        files.into_iter().flatten().map(changed).collect()
    }
}
