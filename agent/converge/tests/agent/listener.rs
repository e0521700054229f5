//! A store on loopback that a test can make misbehave. It speaks TLS, and just enough HTTP to be believed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use converge_model::{BlobRef, Digest, Graph, Timestamp};
use converge_protocol::policy::MANIFEST_FORMAT;
use converge_protocol::secrets::NodeSecrets;
use converge_protocol::{Manifest, SignedManifest};
use converge_trust::node_key::NodeKey;
use converge_trust::{SigningKey, revision};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::desk::Desk;

/// What goes wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection is taken, and nothing ever comes.
    Silence,
    /// The answer comes a byte a second.
    Drip,
    /// What comes is no HTTP.
    Rubbish,
    /// A page comes where a document should.
    Page,
    /// A document of another shape comes.
    OtherDocument,
    /// The connection ends in the middle of the answer.
    Cut,
    /// It is said to be somewhere else.
    Redirect,
    /// The server failed.
    ServerError,
    /// The server is busy, and asks to be left alone for so many seconds.
    Busy(u64),
    /// The answer is shorter than it should be, and says so.
    Short,
    /// The answer is longer than it should be.
    Long,
    /// The bytes are others, of the same number.
    OtherBytes,
    /// The store does what was asked, and its answer is lost.
    Lost,
    /// A list has always one more page, with nothing on it.
    Endless,
}

/// What the store holds, and how it behaves.
#[derive(Clone, Default)]
pub(crate) struct Store {
    troubles: BTreeMap<&'static str, Trouble>,
    /// How many requests had trouble, by how their path begins.
    troubled: BTreeMap<&'static str, usize>,
    /// What it tells the node.
    pub(crate) assignment: serde_json::Value,
    /// The tag of that.
    pub(crate) tag: u64,
    serial: u64,
    /// Revisions as they were signed, by serial.
    pub(crate) signed: BTreeMap<u64, SignedManifest>,
    /// Blobs by digest.
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// Oldest first.
    revisions: Vec<serde_json::Value>,
    reports: Vec<serde_json::Value>,
    /// What it has of secrets; with nothing, it fails.
    pub(crate) secrets: Option<NodeSecrets>,
}

/// The store.
pub(crate) struct Listener {
    address: String,
    authority: Digest,
    author: SigningKey,
    store: Arc<Mutex<Store>>,
}

impl Listener {
    /// A store that listens, and this desk's node enrolled at it.
    pub(crate) fn of(desk: &Desk) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://{}", socket.local_addr().unwrap());
        let (tls, authority) = identity();
        let node = format!(
            "store = \"{address}\"\nname = \"test\"\npolicy = \"test\"\nstore_identity = \"listener\"\n\
             authority = \"{authority}\"\n"
        );
        desk.file("config/node.toml", node);
        desk.file("config/node.key", NodeKey::generate().unwrap().to_text());
        let author = SigningKey::generate("author").unwrap();
        desk.file("config/allowed_signers", format!("author@example.org {}\n", author.public().to_line().unwrap()));
        desk.file("config/highest.json", "{}");
        let store = Arc::new(Mutex::new(Store::default()));
        let shared = Arc::clone(&store);
        std::thread::spawn(move || {
            for connection in socket.incoming().flatten() {
                let (store, tls) = (Arc::clone(&shared), Arc::clone(&tls));
                let tls = ServerConnection::new(tls).unwrap();
                std::thread::spawn(move || serve(StreamOwned::new(tls, connection), &store));
            }
        });
        Self { address, authority, author, store }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The content of an access file for it.
    pub(crate) fn access(&self) -> String {
        json!({ "store": self.address, "authority": self.authority, "token": "secret" }).to_string()
    }

    /// Makes what the desk's repository holds the node's next revision.
    pub(crate) fn publish(&self, desk: &Desk) {
        let _ = std::fs::remove_dir_all(desk.path("published"));
        desk.run(&["compile", "policies/test.toml", "-o", "published"]).with_code(0);
        let graph = std::fs::read(desk.path("published/graph.json")).unwrap();
        let blob = BlobRef::of(&graph);
        let mut store = self.store.lock().unwrap();
        let mut blobs: Vec<BlobRef> = Graph::from_bytes(&graph).unwrap().blob_refs().collect();
        blobs.sort();
        blobs.dedup();
        for blob in &blobs {
            let bytes = std::fs::read(desk.path("published/blobs").join(blob.digest.to_string())).unwrap();
            store.blobs.insert(blob.digest.to_string(), bytes);
        }
        store.blobs.insert(blob.digest.to_string(), graph);
        store.serial += 1;
        let serial = store.serial;
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            policy: "test".into(),
            serial,
            groups: Vec::new(),
            graph: blob,
            blobs,
            commit: Some(format!("c{serial}")),
            published: Timestamp(1_800_000_000_000),
        };
        let signed = revision::sign(&manifest, &self.author).unwrap();
        let digest = Digest::of(signed.manifest.as_bytes());
        let revision = json!({ "serial": serial, "manifest": digest, "signatures": 1 });
        store.signed.insert(serial, signed);
        store.revisions.push(
            json!({ "policy": "test", "serial": serial, "published": 1_800_000_000_000_i64, "manifest": manifest }),
        );
        store.assignment = json!({ "name": "test", "policy": "test", "group": "dev", "revision": revision });
        store.tag += 1;
    }

    /// Who signs what it publishes.
    pub(crate) fn author(&self) -> &SigningKey {
        &self.author
    }

    /// Lets somebody have his hands on the store: whatever he leaves there is new to the node. Gives what was there before.
    pub(crate) fn seize(&self, hands: impl FnOnce(&mut Store)) -> Store {
        let mut store = self.store.lock().unwrap();
        let before = store.clone();
        hands(&mut store);
        store.tag += 1_000;
        before
    }

    /// From now on, requests whose path begins so end so; with nothing, as they should.
    pub(crate) fn trouble(&self, path: &'static str, trouble: impl Into<Option<Trouble>>) {
        let mut store = self.store.lock().unwrap();
        match trouble.into() {
            Some(trouble) => store.troubles.insert(path, trouble),
            None => store.troubles.remove(path),
        };
    }

    /// How many requests have had trouble there.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.store.lock().unwrap().troubled.get(path).copied().unwrap_or(0)
    }

    /// The runs whose reports it was given, in order; each as often as it was given.
    pub(crate) fn reports(&self) -> Vec<String> {
        self.given().iter().map(|report| report["run"].as_str().unwrap().to_owned()).collect()
    }

    /// The same reports, whole.
    pub(crate) fn given(&self) -> Vec<serde_json::Value> {
        self.store.lock().unwrap().reports.clone()
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A certificate for loopback, and the digest of that of its authority.
fn identity() -> (Arc<ServerConfig>, Digest) {
    let (authority_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let shown = authority.self_signed(&authority_key).unwrap();
    let wanted = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let own = wanted.signed_by(&key, &rcgen::Issuer::from_params(&authority, &authority_key)).unwrap();
    let digest = Digest::of(shown.der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (Arc::new(config.with_single_cert(vec![own.into(), shown.into()], key).unwrap()), digest)
}

struct Request {
    method: String,
    path: String,
    etag: Option<String>,
    body: Vec<u8>,
}

fn read(reader: &mut BufReader<Stream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut request = Request { method: words.next()?, path: words.next()?, etag: None, body: Vec::new() };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "if-none-match" => request.etag = Some(value.to_owned()),
            _ => {}
        }
    }
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn serve(connection: Stream, store: &Mutex<Store>) {
    let mut reader = BufReader::new(connection);
    while let Some(request) = read(&mut reader) {
        let trouble = {
            let mut store = store.lock().unwrap();
            let mut troubles = store.troubles.iter();
            let found =
                troubles.find(|(path, _)| request.path.starts_with(**path)).map(|(path, found)| (*path, *found));
            if let Some((path, _)) = found {
                *store.troubled.entry(path).or_default() += 1;
            }
            found.map(|(_, trouble)| trouble)
        };
        // Whoever asked may be gone.
        let ends = trouble.is_some_and(|trouble| trouble != Trouble::Endless);
        if answer(reader.get_mut(), &request, trouble, store).is_err() || ends {
            return;
        }
    }
}

fn answer(
    socket: &mut Stream,
    request: &Request,
    trouble: Option<Trouble>,
    store: &Mutex<Store>,
) -> std::io::Result<()> {
    let good = || store.lock().unwrap().answer(request);
    let whole = |status: &str, headers: &str, body: &[u8]| {
        let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend(body);
        bytes
    };
    let Some(trouble) = trouble else {
        let (status, headers, body) = good();
        return socket.write_all(&whole(&status, &headers, &body));
    };
    let padded = |body: Vec<u8>| [body, b" and more".to_vec()].concat();
    match trouble {
        Trouble::Silence => {
            std::thread::sleep(Duration::from_secs(300));
            Ok(())
        }
        Trouble::Drip => {
            let (status, headers, body) = good();
            for byte in whole(&status, &headers, &padded(body)) {
                socket.write_all(&[byte])?;
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }
        Trouble::Rubbish => socket.write_all(b"220 mail.example ESMTP \x00\xff ready\r\n"),
        Trouble::Page => socket.write_all(&whole("200 OK", "", b"<html>Welcome to our router</html>")),
        Trouble::OtherDocument => socket.write_all(&whole("200 OK", "", b"{\"policy\": 7}")),
        Trouble::Cut => {
            let (status, headers, body) = good();
            let bytes = whole(&status, &headers, &padded(body));
            socket.write_all(&bytes[..bytes.len() - 12])
        }
        Trouble::Redirect => socket.write_all(&whole("302 Found", "Location: http://127.0.0.1:9/elsewhere\r\n", b"")),
        Trouble::ServerError => socket.write_all(&whole("500 Internal Server Error", "", b"trouble")),
        Trouble::Busy(seconds) => {
            socket.write_all(&whole("503 Service Unavailable", &format!("Retry-After: {seconds}\r\n"), b"busy"))
        }
        Trouble::Short => {
            let (status, headers, body) = good();
            socket.write_all(&whole(&status, &headers, &body[..body.len() / 2]))
        }
        Trouble::Long => {
            let (status, headers, body) = good();
            socket.write_all(&whole(&status, &headers, &padded(body)))
        }
        Trouble::OtherBytes => {
            let (status, headers, mut body) = good();
            body.reverse();
            socket.write_all(&whole(&status, &headers, &body))
        }
        Trouble::Lost => {
            good();
            Ok(())
        }
        Trouble::Endless => {
            let next = request.path.len().to_string();
            socket.write_all(&whole("200 OK", "", json!({ "items": [], "next": next }).to_string().as_bytes()))
        }
    }
}

impl Store {
    fn answer(&mut self, request: &Request) -> (String, String, Vec<u8>) {
        let ok = |body: Vec<u8>| ("200 OK".to_owned(), String::new(), body);
        let done = || ("204 No Content".to_owned(), String::new(), Vec::new());
        let etag = format!("\"{}\"", self.tag);
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/node") if request.etag.as_ref() == Some(&etag) => {
                ("304 Not Modified".to_owned(), String::new(), Vec::new())
            }
            ("GET", "/v1/node") => {
                ("200 OK".to_owned(), format!("ETag: {etag}\r\n"), self.assignment.to_string().into_bytes())
            }
            ("POST", "/v1/reports") => {
                let report: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                self.reports.push(report);
                done()
            }
            ("GET", path) if path.starts_with("/v1/policies/test/revisions?") => {
                let after: u64 = path.rsplit_once("after=").unwrap().1.parse().unwrap();
                // Two on a page.
                let mut before = self.revisions.iter().rev().filter(|found| found["serial"].as_u64().unwrap() < after);
                let items: Vec<_> = before.by_ref().take(2).collect();
                let next = before.next().map(|_| items[1]["serial"].to_string());
                ok(json!({ "items": items, "next": next }).to_string().into_bytes())
            }
            ("GET", path) if path.ends_with("/signed") => {
                let serial = path.split('/').rev().nth(1).unwrap().parse().unwrap();
                match self.signed.get(&serial) {
                    Some(signed) => ok(json!(signed).to_string().into_bytes()),
                    None => ("404 Not Found".to_owned(), String::new(), Vec::new()),
                }
            }
            ("PUT", "/v1/node/facts" | "/v1/node/recipient") => done(),
            ("GET", path) if path.starts_with("/v1/node/secrets") => match &self.secrets {
                Some(secrets) => ok(serde_json::to_vec(secrets).unwrap()),
                None => ("503 Service Unavailable".to_owned(), String::new(), Vec::new()),
            },
            ("GET", path) => match self.blobs.get(path.trim_start_matches("/v1/blobs/")) {
                Some(bytes) => ok(bytes.clone()),
                None => ("404 Not Found".to_owned(), String::new(), Vec::new()),
            },
            _ => ("404 Not Found".to_owned(), String::new(), Vec::new()),
        }
    }
}
