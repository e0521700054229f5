//! The certificates that a store shows: of its own authority, kept over restarts; or brought, and read again when they
//! change.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use converge_store::{BroughtCertificate, Store, StoreOptions, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::running::options;

async fn open(data: &Path, names: &[&str], brought: Option<BroughtCertificate>) -> Store {
    let tls = TlsOptions { names: names.iter().map(ToString::to_string).collect(), brought };
    let options = StoreOptions { tls, ..options(data) };
    Store::open(&options).await.unwrap()
}

fn port(store: &Store) -> u16 {
    store.address().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// The certificate that is shown to who asks for `name` and trusts this authority; what was wrong otherwise.
async fn shown(port: u16, name: &str, authority: &[u8]) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let handshake = move || {
        let mut tls = ClientConnection::new(config, name).unwrap();
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(|error| error.to_string())?;
        }
        Ok(tls.peer_certificates().unwrap()[0].clone().into_owned())
    };
    tokio::task::spawn_blocking(handshake).await.unwrap()
}

#[tokio::test]
async fn an_authority_is_made_once_and_is_good_for_the_names_that_were_given() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path(), &["store.example", "10.0.0.7"], None).await;
    assert!(store.address().starts_with("https://store.example:"), "{}", store.address());
    let pin = store.pin().unwrap();
    let (port, reload) = (port(&store), store.reload());
    tokio::spawn(store.serve(std::future::pending()));
    let authority = std::fs::read(data.path().join("tls/ca.pem")).unwrap();
    for name in ["store.example", "10.0.0.7", "127.0.0.1", "localhost", "::1"] {
        shown(port, name, &authority).await.unwrap();
    }
    assert!(shown(port, "other.example", &authority).await.unwrap_err().contains("not valid for name"));
    let before = shown(port, "localhost", &authority).await.unwrap();
    reload.now().unwrap();
    assert_ne!(shown(port, "localhost", &authority).await.unwrap(), before, "renewed while it serves");
    let mode = std::os::unix::fs::PermissionsExt::mode;
    let secret = std::fs::metadata(data.path().join("tls/authority.pem")).unwrap().permissions();
    assert_eq!(mode(&secret) & 0o777, 0o600);

    // Another store on a copy of the data is known by the same authority; one on new data by another.
    let (copy, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(copy.path().join("tls")).unwrap();
    std::fs::copy(data.path().join("tls/authority.pem"), copy.path().join("tls/authority.pem")).unwrap();
    assert_eq!(open(copy.path(), &[], None).await.pin(), Some(pin));
    assert_ne!(open(new.path(), &[], None).await.pin(), Some(pin));
}

#[tokio::test]
async fn a_brought_certificate_is_read_again_and_a_bad_one_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let file = |name: &str| data.path().join(name);
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(file("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let bring = || {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&authority, &authority_key);
        let own = CertificateParams::new(["store.example".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        std::fs::write(file("own.pem"), own.pem()).unwrap();
        std::fs::write(file("own.key"), key.serialize_pem()).unwrap();
        CertificateDer::from(own)
    };
    let first = bring();
    let brought = BroughtCertificate { chain: file("own.pem"), key: file("own.key"), authority: Some(file("ca.pem")) };
    let store = open(&file("store"), &["store.example"], Some(brought)).await;
    let root = std::fs::read(file("ca.pem")).unwrap();
    assert_eq!(store.pin(), Some(converge_model::Digest::of(&CertificateDer::from_pem_slice(&root).unwrap())));
    let (port, reload) = (port(&store), store.reload());
    tokio::spawn(store.serve(std::future::pending()));
    assert_eq!(shown(port, "store.example", &root).await.unwrap(), first);

    std::fs::write(file("own.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = reload.now().unwrap_err();
    assert!(error.to_string().contains("own.key"), "{error}");
    assert_eq!(shown(port, "store.example", &root).await.unwrap(), first, "the good one stays");
    let second = bring();
    reload.now().unwrap();
    assert_eq!(shown(port, "store.example", &root).await.unwrap(), second);
}
