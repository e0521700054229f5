//! The store's own authority: a key and its certificate, made at the first start, and the certificates it issues.
//!
//! The key of an issued certificate never leaves the process: each start, and each renewal, makes another.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use converge_model::{Clock, Digest, Error, ErrorKind, Result, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::unusable;
use crate::files::{private_directory, read, write_with_mode};

/// For how long an issued certificate is good.
const GOOD_MILLIS: u64 = 90 * DAY_MILLIS;
/// After how long it is replaced.
const DUE_MILLIS: u64 = 30 * DAY_MILLIS;
const DAY_MILLIS: u64 = 24 * 3_600_000;

/// A certificate authority that only its store uses.
pub(super) struct Authority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    issued: Mutex<Option<Timestamp>>,
}

impl Authority {
    /// The authority in `directory`, which is made with it at the first start.
    ///
    /// # Errors
    /// Where its files cannot be read or written, or hold something else.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        private_directory(directory)?;
        // Key and certificate in one file, so that there is never one without the other.
        let file = directory.join("authority.pem");
        let (key, certificate) = match read(&file)? {
            Some(bytes) => {
                let wrong = |cause: &dyn std::fmt::Display| {
                    unusable(&file, cause).with_hint("restore it from a backup; without it every node must enrol again")
                };
                let text = String::from_utf8(bytes).map_err(|error| wrong(&error))?;
                let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| wrong(&error))?;
                (KeyPair::from_pem(&text).map_err(|error| wrong(&error))?, certificate)
            }
            None => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
                let certificate = parameters(&key).self_signed(&key).map_err(failed)?;
                let text = format!("{}{}", key.serialize_pem(), certificate.pem());
                write_with_mode(&file, text.as_bytes(), 0o600)?;
                // For other clients than Converge's: `curl --cacert`.
                write_with_mode(&directory.join("ca.pem"), certificate.pem().as_bytes(), 0o644)?;
                (key, certificate.into())
            }
        };
        Ok(Self { key, certificate, issued: Mutex::new(None) })
    }

    /// The digest of its certificate, which join strings carry.
    pub(super) fn digest(&self) -> Digest {
        Digest::of(&self.certificate)
    }

    /// Whether the certificate issued last grows old.
    pub(super) fn is_due(&self, clock: &dyn Clock) -> bool {
        let issued = *self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes a certificate that is not yet good.
        issued.is_none_or(|issued| clock.now() < issued || clock.now().millis_since(issued) >= DUE_MILLIS)
    }

    /// A new certificate for these names, with a new key, and the authority's own behind it.
    ///
    /// # Errors
    /// Where a name is none.
    pub(super) fn issue(&self, names: &[String], provider: &CryptoProvider, clock: &dyn Clock) -> Result<CertifiedKey> {
        let now = clock.now();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut wanted = CertificateParams::new(names).map_err(|error| {
            Error::new(ErrorKind::Invalid, "make a certificate for", names.join(", "), error)
                .with_hint("give names and addresses such as store.example or 10.0.0.7 with --name")
        })?;
        wanted.distinguished_name.push(DnType::CommonName, "Converge store");
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        wanted.use_authority_key_identifier_extension = true;
        let epoch = date_time_ymd(1970, 1, 1);
        let at = |millis: u64| epoch + std::time::Duration::from_millis(millis);
        let now_millis = now.0.unsigned_abs();
        wanted.not_before = at(now_millis.saturating_sub(DAY_MILLIS));
        wanted.not_after = at(now_millis + GOOD_MILLIS);
        let own = parameters(&self.key);
        let certificate = wanted.signed_by(&key, &Issuer::from_params(&own, &self.key)).map_err(failed)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(failed)?;
        let chain = vec![certificate.into(), self.certificate.clone()];
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(failed)?;
        *self.issued.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(certified)
    }
}

/// What the authority's certificate says. It comes of the key alone, so that it is the same each time.
fn parameters(key: &KeyPair) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let name = format!("Converge store authority {}", Digest::of(key.public_key_raw()).short());
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2120, 1, 1);
    parameters
}

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Failed, "make", "the store's certificate", cause)
}
