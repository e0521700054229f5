//! Every route of a store, asked for with what is garbled: path, query, headers and body. Whoever asks is let in; the store must
//! not fail, whatever it thinks of the question.

use std::sync::Arc;

use converge_model::{Clock, Digest};
use converge_store::in_process::InProcess;
use converge_trust::node_key::{NodeKey, Purpose, enrolment_message, signature_text};
use converge_trust::request_token::{Asked, RequestToken};
use http::header::AUTHORIZATION;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::cases;
use super::garble::garbled;
use crate::simulation::authors::Authors;
use crate::simulation::chance::Chance;
use crate::simulation::directory;
use crate::simulation::store::{Message, StoreClock};

/// Bodies that some route takes.
const BODIES: [&str; 12] = [
    "{\"serial\":1}",
    "{\"policy\":\"web\",\"group\":\"prod\",\"uses\":1,\"valid_seconds\":60,\"tags\":[\"a\"],\"replaces\":\"a\"}",
    "{\"name\":\"o\",\"role\":\"viewer\",\"scope\":{\"policies\":[\"web\"],\"groups\":[\"prod\"]}}",
    "{\"group\":\"dev\",\"tags\":[\"x\"],\"attributes\":{\"sim\":{\"port\":1}}}",
    "{\"fingerprint\":\"SHA256:x\"}",
    "{\"next\":\"converge-node-ed25519 AAAA\",\"proof\":\"p\"}",
    "{\"digests\":[\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"]}",
    "{\"recipient\":\"age1x\"}",
    "{\"signature\":\"-----BEGIN SSH SIGNATURE-----\\nAAAA\\n-----END SSH SIGNATURE-----\\n\"}",
    "{\"token\":\"t\",\"name\":\"a\",\"key\":\"k\",\"proof\":\"p\"}",
    "{\"mood\":{\"a\":[1,2.5,null,true,\"x\"]}}",
    "{\"format\":1,\"run\":\"01a318b1f2a928bbc7d4b7fa30d3c695\",\"node\":\"a\",\"policy\":\"web\",\"revision\":3,\"mode\":\"apply\",\"started\":1,\"millis\":0,\"conclusion\":{\"kind\":\"succeeded\"},\"passes\":1,\"counts\":{\"updated\":1},\"resources\":[],\"remarks\":[\"r\"]}",
];
/// What stands in the place of a name in a path.
const NAMES: [&str; 8] = [
    "web",
    "prod",
    "a",
    "1",
    "first",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "x",
    "01a318b1f2a928bbc7d4b7fa30d3c695",
];
/// Queries.
const QUERIES: [&str; 6] = [
    "",
    "?limit=2&after=a",
    "?facts=facts.mood.a%20==%201",
    "?node=a&eventful=true",
    "?policy=web&tag=x&state=late",
    "?rule=r&join=age1x",
];

/// A store, its operator and a node.
struct Scene {
    store: InProcess,
    clock: Arc<StoreClock>,
    authors: Authors,
    node: NodeKey,
    identity: String,
    _directory: TempDir,
}

pub(super) fn try_all() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut scene = Scene::new();
    scene.identity = runtime.block_on(scene.enroll());
    for (number, (method, path, _)) in (0_u64..).zip(converge_store::routes()) {
        for case in 0..cases() {
            let mut chance = Chance::of_seed(1 << 50 | number << 40 | case);
            let message = scene.message(&mut chance, &method, path);
            let shown = format!("{method} {}, case {case}: {}", message.target, message.body.escape_ascii());
            if message.target.parse::<http::Uri>().is_err() {
                continue;
            }
            let status = runtime.block_on(scene.store.answer(message.request())).status();
            assert!(status.as_u16() < 500 || status == 503, "{status}: {shown}");
        }
    }
}

impl Scene {
    fn new() -> Self {
        let (authors, directory) = (Authors::new(), directory());
        authors.store_into(directory.path());
        let clock = Arc::new(StoreClock::new());
        let store = InProcess::open(directory.path(), clock.clone()).unwrap();
        Self {
            store,
            clock,
            authors,
            node: NodeKey::generate().unwrap(),
            identity: String::new(),
            _directory: directory,
        }
    }

    /// Makes the node one, and gives the store's identity.
    async fn enroll(&self) -> String {
        let (token, key) = (&self.authors.tokens[0], self.node.public());
        let proof = signature_text(&self.node.sign(Purpose::Enroll, &enrolment_message(token, "a", &key)));
        let body = json!({ "token": token, "name": "a", "key": key.to_string(), "proof": proof }).to_string();
        let message = Message::of_operator("POST", "/v1/enroll", body.into_bytes(), "none");
        let answer = self.store.answer(message.request()).await;
        let said: Json = serde_json::from_slice(answer.body()).unwrap();
        said["store"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    fn message(&self, chance: &mut Chance, method: &str, path: &str) -> Message {
        let bodies: Vec<Vec<u8>> = BODIES.iter().map(|body| body.as_bytes().to_vec()).collect();
        let body = match chance.below(5) {
            0 => chance.one_of(&bodies).clone(),
            1 => Vec::new(),
            _ => garbled(chance, &bodies),
        };
        let target = target(chance, path);
        let mut message = Message::of_operator(method, &target, body, &self.authors.operator);
        if chance.percent(50) {
            let asked = Asked { store: &self.identity, method, target: &target };
            let mut nonce = [0; 16];
            chance.fill(&mut nonce);
            let token = RequestToken::sign(&self.node, "a", asked, Digest::of(&message.body), self.clock.now(), nonce);
            message.headers.insert(AUTHORIZATION, token.header().parse().unwrap());
        }
        if chance.percent(10) {
            let header = garbled(chance, &[message.headers[AUTHORIZATION].as_bytes().to_vec()]);
            if let Ok(value) = http::HeaderValue::from_bytes(&header) {
                message.headers.insert(AUTHORIZATION, value);
            }
        }
        message
    }
}

/// A path with something in the place of each name, and a query behind it.
fn target(chance: &mut Chance, path: &str) -> String {
    let parts = path.split('/').map(|part| {
        if !part.starts_with('{') {
            return part.to_owned();
        }
        let names: Vec<Vec<u8>> = NAMES.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = if chance.percent(50) { chance.one_of(&names).clone() } else { garbled(chance, &names) };
        percent_encoded(&name[..name.len().min(2_000)])
    });
    let path = parts.collect::<Vec<_>>().join("/");
    let queries: Vec<Vec<u8>> = QUERIES.iter().map(|query| query.as_bytes().to_vec()).collect();
    let query = if chance.percent(50) { chance.one_of(&queries).clone() } else { garbled(chance, &queries) };
    let query = String::from_utf8_lossy(&query[..query.len().min(2_000)])
        .replace(|letter: char| !letter.is_ascii_graphic(), "%20");
    format!("{path}{query}")
}

fn percent_encoded(bytes: &[u8]) -> String {
    let letter =
        |byte: &u8| if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { format!("%{byte:02x}") };
    bytes.iter().map(letter).collect()
}
