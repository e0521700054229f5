//! Whom the agent believes to be its store: who shows a certificate of the authority that it pinned, or of one that the
//! system trusts.

use std::sync::Arc;

use converge_model::{Digest, Error, ErrorKind, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible, RootCertStore, SignatureScheme, version,
};
use serde::{Deserialize, Serialize};

/// Whom to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trust {
    /// Who shows a certificate of the authority whose own certificate has this digest.
    Pinned(Digest),
    /// Who shows a certificate that this machine's system trusts.
    System,
}

impl From<Option<Digest>> for Trust {
    fn from(pin: Option<Digest>) -> Self {
        pin.map_or(Trust::System, Trust::Pinned)
    }
}

impl Trust {
    /// The digest that is pinned.
    pub(crate) fn pin(self) -> Option<Digest> {
        match self {
            Trust::Pinned(digest) => Some(digest),
            Trust::System => None,
        }
    }

    /// What connections are made with.
    ///
    /// # Errors
    /// Where the system trusts nobody.
    pub(crate) fn client_config(self) -> Result<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trouble = |error: rustls::Error| Error::new(ErrorKind::Failed, "prepare", "TLS", error);
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(&[&version::TLS13]).map_err(trouble)?;
        Ok(match self {
            Trust::Pinned(digest) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned { digest, provider }))
                .with_no_client_auth(),
            Trust::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
        })
    }
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(Error::new(ErrorKind::Unavailable, "read", "the certificates that this system trusts", cause)
            .with_hint("install them (Debian: the package ca-certificates)"));
    }
    Ok(roots)
}

/// Believes one authority, known by the digest of its certificate. The store shows that certificate with its own.
///
/// The time at which certificates are good is not looked at: the authority is the store's alone, its key lies where the
/// store's certificates are made, and a node whose clock is wrong must be able to reach the store to learn the time.
#[derive(Debug)]
struct Pinned {
    digest: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        behind: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let authority = behind.iter().find(|shown| Digest::of(shown) == self.digest);
        let authority = authority.ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        let at = |time| verifier.verify_server_cert(certificate, behind, name, ocsp, time);
        match at(now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => at(not_after),
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                at(not_before)
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why `error` says that whoever answered is not the store; nothing where it says something else.
pub(crate) fn not_the_store(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(cause)) = error.downcast_ref::<rustls::Error>() {
            return Some(match cause {
                CertificateError::UnknownIssuer => {
                    "its certificate is not of the authority that is trusted here".to_owned()
                }
                other => format!("its certificate is not good: {other}"),
            });
        }
        // An I/O error shows the source of what it wraps as its own, and not what it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    None
}
