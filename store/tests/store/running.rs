//! A store that runs, with an operator and nodes that ask it.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use converge_model::{BlobRef, Clock, Digest, Timestamp};
use converge_protocol::policy::MANIFEST_FORMAT;
use converge_protocol::{EnrollResponse, JoinToken, Manifest, Problem, RevisionView, SignedManifest};
use converge_store::{Access, Store, StoreOptions, TlsOptions, Upkeep};
use converge_trust::node_key::{NodeKey, Purpose, enrolment_message, signature_text};
use converge_trust::request_token::{Asked, RequestToken};
use converge_trust::{SigningKey, revision};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value as Json, json};

/// The machine's clocks, which a test can set on.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<Turned>);

/// By how many milliseconds each was set on.
#[derive(Default)]
struct Turned {
    wall: AtomicI64,
    monotonic: AtomicU64,
}

impl TestClock {
    /// Sets the wall clock on, or back, by so many milliseconds.
    pub(crate) fn turn(&self, millis: i64) {
        self.0.wall.fetch_add(millis, Ordering::SeqCst);
    }

    /// Lets so many milliseconds pass, on both clocks.
    pub(crate) fn pass(&self, millis: u32) {
        self.turn(millis.into());
        self.0.monotonic.fetch_add(millis.into(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_millis()).unwrap() + self.0.wall.load(Ordering::SeqCst))
    }

    fn monotonic_micros(&self) -> u64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(START.elapsed().as_micros()).unwrap() + self.0.monotonic.load(Ordering::SeqCst) * 1_000
    }
}

/// What trusts this authority, and nobody else.
pub(crate) fn tls_config(authority: &[u8]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()));
    tls.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth()
}

fn client(authority: &[u8]) -> reqwest::Client {
    reqwest::Client::builder().tls_backend_preconfigured(tls_config(authority)).no_proxy().build().unwrap()
}

/// What a store in `data` is opened with.
pub(crate) fn options(data: &Path) -> StoreOptions {
    StoreOptions {
        data: data.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: TlsOptions::default(),
        upkeep: Upkeep::default(),
        clock: Arc::new(TestClock::default()),
    }
}

/// A node that asks.
pub(crate) struct TestNode {
    pub(crate) key: NodeKey,
    pub(crate) answer: EnrollResponse,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum Who<'a> {
    Token(&'a str),
    Node(&'a TestNode),
}

impl<'a> From<&'a str> for Who<'a> {
    fn from(token: &'a str) -> Self {
        Who::Token(token)
    }
}

impl<'a> From<&'a String> for Who<'a> {
    fn from(token: &'a String) -> Self {
        Who::Token(token)
    }
}

impl<'a> From<&'a TestNode> for Who<'a> {
    fn from(node: &'a TestNode) -> Self {
        Who::Node(node)
    }
}

/// A request that is being made.
pub(crate) struct Asking<'a> {
    builder: RequestBuilder,
    who: Who<'a>,
}

impl Asking<'_> {
    pub(crate) fn json(self, body: &impl serde::Serialize) -> Self {
        Self { builder: self.builder.json(body), ..self }
    }

    pub(crate) fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self { builder: self.builder.body(body), ..self }
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { builder: self.builder.header(name, value), ..self }
    }

    pub(crate) fn query(self, query: &[(&str, &str)]) -> Self {
        Self { builder: self.builder.query(query), ..self }
    }

    /// The request as it is sent.
    pub(crate) fn build(self) -> (reqwest::Client, Request) {
        let (http, request) = self.builder.build_split();
        let mut request = request.unwrap();
        let value = match self.who {
            Who::Token("") => return (http, request),
            Who::Token(token) => format!("Bearer {token}"),
            Who::Node(node) => {
                let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
                node.sign(request.method().as_str(), &target(&request), body, TestClock::default().now())
            }
        };
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
        (http, request)
    }

    pub(crate) async fn send(self) -> reqwest::Result<Response> {
        let (http, request) = self.build();
        http.execute(request).await
    }

    /// The status, and what the problem document says.
    pub(crate) async fn refusal(self) -> (u16, Problem) {
        refusal(self.send().await.unwrap()).await
    }
}

/// The status, and what the problem document says.
pub(crate) async fn refusal(answer: Response) -> (u16, Problem) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status}: {error}: {text}")))
}

/// The path and query of a request.
pub(crate) fn target(request: &Request) -> String {
    let url = request.url();
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

impl TestNode {
    /// A header for a request, made at this time.
    pub(crate) fn sign(&self, method: &str, target: &str, body: &[u8], at: Timestamp) -> String {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).unwrap();
        let asked = Asked { store: &self.answer.store, method, target };
        RequestToken::sign(&self.key, &self.answer.name, asked, Digest::of(body), at, nonce).header()
    }
}

/// A manifest that names a graph, and no other blobs.
pub(crate) fn manifest_of(policy: &str, serial: u64, graph: BlobRef) -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        policy: policy.to_owned(),
        serial,
        groups: Vec::new(),
        graph,
        blobs: Vec::new(),
        commit: None,
        published: Timestamp(1_800_000_000_000),
    }
}

/// The store.
pub(crate) struct Running {
    pub(crate) base: String,
    pub(crate) operator: String,
    pub(crate) author: SigningKey,
    pub(crate) http: reqwest::Client,
    pub(crate) clock: TestClock,
    data: tempfile::TempDir,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(Upkeep::default()).await
    }

    /// The directory that the test may write to; the store is in `store`.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// The certificate of its authority.
    pub(crate) fn authority(&self) -> Vec<u8> {
        std::fs::read(self.data().join("store/tls/ca.pem")).unwrap()
    }

    pub(crate) async fn start_with(upkeep: Upkeep) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = TestClock::default();
        let options = StoreOptions { upkeep, clock: Arc::new(clock.clone()), ..options(&data.path().join("store")) };
        let store = Store::open(&options).await.unwrap();
        let access: Access = serde_json::from_slice(&std::fs::read(store.access_file()).unwrap()).unwrap();
        assert_eq!((access.store.as_str(), access.authority), (store.address(), store.pin()));
        tokio::spawn(store.serve(std::future::pending()));
        let http = client(&std::fs::read(options.data.join("tls/ca.pem")).unwrap());
        let author = SigningKey::generate("author").unwrap();
        Self { base: access.store, operator: access.token, author, http, clock, data }
    }

    pub(crate) fn ask<'a>(&self, method: Method, path: &str, who: impl Into<Who<'a>>) -> Asking<'a> {
        Asking { builder: self.http.request(method, format!("{}{path}", self.base)), who: who.into() }
    }

    pub(crate) async fn put_blob(&self, bytes: &[u8]) -> BlobRef {
        let blob = BlobRef::of(bytes);
        let path = format!("/v1/blobs/{}", blob.digest);
        let answer = self.ask(Method::PUT, &path, &self.operator).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(answer.json::<BlobRef>().await.unwrap(), blob);
        blob
    }

    /// Publishes the first revision of the policy `web`.
    pub(crate) async fn publish(&self, graph: &[u8]) -> RevisionView {
        self.publish_policy("web", 1, graph).await
    }

    pub(crate) async fn publish_policy(&self, policy: &str, serial: u64, graph: &[u8]) -> RevisionView {
        let graph = self.put_blob(graph).await;
        let signed = self.signed(&manifest_of(policy, serial, graph));
        let path = format!("/v1/policies/{policy}/revisions");
        let answer = self.ask(Method::POST, &path, &self.operator).json(&signed).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    /// A manifest, signed by the author.
    pub(crate) fn signed(&self, manifest: &Manifest) -> SignedManifest {
        revision::sign(manifest, &self.author).unwrap()
    }

    pub(crate) async fn assign(&self, serial: u64) {
        let answer = self.ask(Method::PUT, "/v1/policies/web/groups/dev", &self.operator);
        let answer = answer.json(&json!({ "serial": serial })).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    pub(crate) async fn join_token(&self, wish: Json) -> JoinToken {
        let answer = self.ask(Method::POST, "/v1/tokens", &self.operator).json(&wish).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    pub(crate) async fn enroll(&self, name: &str, uses: u32) -> (JoinToken, TestNode) {
        let wish = json!({ "policy": "web", "group": "dev", "uses": uses, "valid_seconds": 60 });
        let token = self.join_token(wish).await;
        let key = NodeKey::generate().unwrap();
        let answer = self.try_enroll(&token.token, name, &key).await;
        assert_eq!(answer.status(), StatusCode::OK);
        (token, TestNode { key, answer: answer.json().await.unwrap() })
    }

    pub(crate) async fn try_enroll(&self, token: &str, name: &str, key: &NodeKey) -> Response {
        let proof = key.sign(Purpose::Enroll, &enrolment_message(token, name, &key.public()));
        let body =
            json!({ "token": token, "name": name, "key": key.public().to_string(), "proof": signature_text(&proof) });
        self.ask(Method::POST, "/v1/enroll", "").json(&body).send().await.unwrap()
    }
}
