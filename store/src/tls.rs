//! What the store proves itself with: its own authority and a certificate of it, or a certificate that was brought.
//!
//! The certificate in use is replaced while connections go on: an own one before it expires, a brought one when its files
//! change.

mod authority;
mod brought;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use converge_model::{Clock, Digest, Error, ErrorKind, Result};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use authority::Authority;
use brought::Brought;
pub use brought::BroughtCertificate;

/// Which certificate a store shows.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// The names and addresses that nodes reach it under, besides this machine's own loopback. The first one is what join
    /// strings carry.
    pub names: Vec<String>,
    /// A certificate that was brought; without it, the store has an authority of its own.
    pub brought: Option<BroughtCertificate>,
}

/// The certificate in use, and where the next one comes from.
pub(crate) struct Tls {
    source: Source,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
    shown: Arc<Shown>,
}

enum Source {
    Own { authority: Box<Authority>, names: Vec<String> },
    Brought(Brought),
}

impl Tls {
    /// Gets the certificate ready, and an authority for it where none was brought and none is there yet.
    ///
    /// # Errors
    /// Where files of it cannot be read or written, or do not hold what they should.
    pub(crate) fn open(data: &Path, listen: SocketAddr, options: &TlsOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let provider = Arc::new(default_provider());
        let source = match &options.brought {
            Some(files) => Source::Brought(Brought::new(files.clone())),
            None => {
                let authority = Box::new(Authority::open(&data.join("tls"))?);
                Source::Own { authority, names: all_names(listen.ip(), &options.names) }
            }
        };
        let first = source.certificate(&provider, clock.as_ref())?;
        Ok(Self { source, provider, clock, shown: Arc::new(Shown(RwLock::new(Arc::new(first)))) })
    }

    /// What connections are accepted with.
    ///
    /// # Errors
    /// Where the kernel has no randomness to give.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>> {
        let trouble = |error: rustls::Error| Error::new(ErrorKind::Failed, "prepare", "TLS", error);
        let config = ServerConfig::builder_with_provider(self.provider.clone());
        let config = config.with_protocol_versions(&[&version::TLS13]).map_err(trouble)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(self.shown.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Ticketer::new().map_err(trouble)?;
        Ok(Arc::new(config))
    }

    /// The digest of the certificate that clients pin; nothing where they trust whom their system trusts.
    pub(crate) fn pin(&self) -> Option<Digest> {
        match &self.source {
            Source::Own { authority, .. } => Some(authority.digest()),
            Source::Brought(brought) => brought.pin(),
        }
    }

    /// Shows another certificate from now on, where the one in use grows old or its files changed, or `asked` for.
    ///
    /// # Errors
    /// Where there is no good other one: the one in use stays.
    pub(crate) fn renew(&self, asked: bool) -> Result<bool> {
        let due = match &self.source {
            Source::Own { authority, .. } => authority.is_due(self.clock.as_ref()),
            Source::Brought(brought) => brought.changed(),
        };
        if !due && !asked {
            return Ok(false);
        }
        let next = self.source.certificate(&self.provider, self.clock.as_ref())?;
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(true)
    }
}

impl Source {
    fn certificate(&self, provider: &CryptoProvider, clock: &dyn Clock) -> Result<CertifiedKey> {
        match self {
            Source::Own { authority, names } => authority.issue(names, provider, clock),
            Source::Brought(brought) => brought.read(provider),
        }
    }
}

/// The certificate that new connections see.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Every name and address that a certificate of the store's own is good for.
fn all_names(listen: IpAddr, given: &[String]) -> Vec<String> {
    let mut names = given.to_vec();
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The addresses under which clients reach a store that listens on `listen`, the likeliest first. There is always one.
pub(crate) fn public_addresses(listen: SocketAddr, names: &[String]) -> Vec<String> {
    let own = if listen.ip().is_unspecified() { "localhost".to_owned() } else { listen.ip().to_string() };
    let hosts = if names.is_empty() { vec![own] } else { names.to_vec() };
    let address = |host: String| {
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("https://{host}:{}", listen.port())
    };
    hosts.into_iter().map(address).collect()
}

/// A file of certificates or keys that cannot be used, and why.
fn unusable(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, "use", path.display(), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_for_join_strings_is_one_that_the_certificate_is_good_for() {
        let listen = |text: &str| text.parse().unwrap();
        for (address, names, expected) in [
            ("127.0.0.1:8600", vec![], "https://127.0.0.1:8600"),
            ("[::1]:8600", vec![], "https://[::1]:8600"),
            ("0.0.0.0:443", vec!["store.example".to_owned()], "https://store.example:443"),
            ("10.0.0.7:443", vec!["fd00::7".to_owned()], "https://[fd00::7]:443"),
        ] {
            let found = public_addresses(listen(address), &names).remove(0);
            assert_eq!(found, expected);
            let socket: SocketAddr = listen(address);
            let host = found.trim_start_matches("https://").rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
            assert!(all_names(socket.ip(), &names).iter().any(|name| name == host), "{address}");
        }
    }
}
