//! The nodes that are simulated: each with a key of its own, enrolled as a machine would be, and signing as one does.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own on the developer's terminal, not a part of the agent"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use converge_model::{BlobRef, Digest, Timestamp};
use converge_protocol::policy::MANIFEST_FORMAT;
use converge_protocol::{EnrollRequest, EnrollResponse, JoinToken, JoinTokenRequest, Manifest, limits};
use converge_trust::node_key::{NodeKey, Purpose, enrolment_message, signature_text};
use converge_trust::request_token::{Asked, RequestToken};
use converge_trust::{SigningKey, revision};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::Trouble;
use crate::wire::{Connection, Target};

/// The policy of all nodes, and their group.
pub(crate) const POLICY: &str = "load";
const GROUP: &str = "prod";
/// Machines that enrol at once.
const TOGETHER: usize = 64;

/// A node.
struct LoadNode {
    name: String,
    key: NodeKey,
    /// The tag of what it runs.
    tag: Mutex<String>,
}

/// All of them.
pub(crate) struct Fleet {
    nodes: Vec<LoadNode>,
    /// The identity of the store.
    store: String,
}

/// Now, by the machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Fleet {
    /// Enrols so many nodes, with one join token.
    pub(crate) async fn enroll(target: &Target, operator: &Operator, count: usize) -> Result<Self, Trouble> {
        let wanted = JoinTokenRequest {
            policy: POLICY.to_owned(),
            group: GROUP.to_owned(),
            uses: Some(u32::try_from(count)?),
            valid_seconds: None,
            replaces: None,
            tags: Vec::new(),
            secrets: None,
        };
        let token: JoinToken = operator.ask(target, "POST", "/v1/tokens", Some(&wanted)).await?;
        let nodes = (0..count).map(|number| {
            let name = format!("node-{number}");
            NodeKey::generate().map(|key| LoadNode { name, key, tag: Mutex::default() })
        });
        let nodes: Arc<Vec<LoadNode>> = Arc::new(nodes.collect::<Result<_, _>>()?);
        let next = Arc::new(AtomicUsize::new(0));
        let enrolling: Vec<_> = (0..TOGETHER)
            .map(|_| tokio::spawn(enroll_some(target.clone(), token.token.clone(), nodes.clone(), next.clone())))
            .collect();
        let mut store = String::new();
        for some in enrolling {
            if let Some(identity) = some.await?? {
                store = identity;
            }
        }
        let nodes = Arc::try_unwrap(nodes).map_err(|_| "somebody still enrols")?;
        Ok(Self { nodes, store })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Notes what a node runs from now on.
    pub(crate) fn runs(&self, node: usize, tag: String) {
        *self.nodes[node].tag.lock().unwrap_or_else(PoisonError::into_inner) = tag;
    }

    /// A check-in, which the store holds where it is asked to `wait` for so many seconds. Good for a minute.
    pub(crate) fn check_in(&self, node: usize, wait: Option<u64>) -> Vec<u8> {
        let target = wait.map_or_else(|| "/v1/node".to_owned(), |seconds| format!("/v1/node?wait={seconds}"));
        let tag = self.nodes[node].tag.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let condition = if tag.is_empty() { tag } else { format!("if-none-match: {tag}\r\n") };
        self.signed(node, "GET", &target, &condition, b"")
    }

    /// A report that a node hands in. Good for a minute.
    pub(crate) fn report(&self, node: usize, report: &[u8]) -> Vec<u8> {
        self.signed(node, "POST", "/v1/reports", "content-type: application/json\r\n", report)
    }

    fn signed(&self, node: usize, method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let node = &self.nodes[node];
        let mut nonce = [0; 16];
        // A nonce that is none is refused as a repetition, which ends the bench.
        let _ = getrandom::fill(&mut nonce);
        let asked = Asked { store: &self.store, method, target };
        let token = RequestToken::sign(&node.key, &node.name, asked, Digest::of(body), now(), nonce);
        request(method, target, &token.header(), headers, body)
    }
}

/// Enrols machines until there is none left. Gives the identity of the store, where there was one.
async fn enroll_some(
    target: Target,
    token: String,
    nodes: Arc<Vec<LoadNode>>,
    next: Arc<AtomicUsize>,
) -> Result<Option<String>, Trouble> {
    let mut connection = Connection::open(&target).await?;
    let mut store = None;
    while let Some(node) = nodes.get(next.fetch_add(1, Ordering::Relaxed)) {
        let public = node.key.public();
        let proof = node.key.sign(Purpose::Enroll, &enrolment_message(&token, &node.name, &public));
        let wish = EnrollRequest {
            token: token.clone(),
            name: node.name.clone(),
            key: public.to_string(),
            proof: signature_text(&proof),
        };
        let headers = "content-type: application/json\r\n";
        let wish = request("POST", "/v1/enroll", "", headers, &serde_json::to_vec(&wish)?);
        let answer = connection.ask(&wish).await?;
        if answer.status != 200 {
            return Err(refused("enrol", answer.status, &answer.body));
        }
        let answer: EnrollResponse = serde_json::from_slice(&answer.body)?;
        store = Some(answer.store);
    }
    Ok(store)
}

/// Whoever publishes at the store, and makes join tokens.
pub(crate) struct Operator {
    token: String,
    author: SigningKey,
}

impl Operator {
    /// The one with this token.
    pub(crate) fn new(token: String) -> Result<Self, Trouble> {
        Ok(Self { token, author: SigningKey::generate("load")? })
    }

    /// Publishes a revision of the policy.
    pub(crate) async fn publish(&self, target: &Target, serial: u64) -> Result<(), Trouble> {
        let graph = format!("graph {serial}").into_bytes();
        let blob = BlobRef::of(&graph);
        let mut connection = Connection::open(target).await?;
        let path = format!("/v1/blobs/{}", blob.digest);
        let put = request("PUT", &path, &format!("Bearer {}", self.token), "", &graph);
        let answer = connection.ask(&put).await?;
        if answer.status != 200 {
            return Err(refused("put a blob", answer.status, &answer.body));
        }
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            policy: POLICY.to_owned(),
            serial,
            groups: Vec::new(),
            graph: blob,
            blobs: Vec::new(),
            commit: None,
            published: now(),
        };
        let signed = revision::sign(&manifest, &self.author)?;
        let path = format!("/v1/policies/{POLICY}/revisions");
        self.ask::<_, serde_json::Value>(target, "POST", &path, Some(&signed)).await?;
        Ok(())
    }

    /// Makes it live.
    pub(crate) async fn assign(&self, target: &Target, serial: u64) -> Result<(), Trouble> {
        let path = format!("/v1/policies/{POLICY}/groups/{GROUP}");
        self.ask::<_, serde_json::Value>(target, "PUT", &path, Some(&json!({ "serial": serial }))).await?;
        Ok(())
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        target: &Target,
        method: &str,
        path: &str,
        question: Option<&Q>,
    ) -> Result<A, Trouble> {
        let body = question.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let bearer = format!("Bearer {}", self.token);
        let asked = request(method, path, &bearer, "content-type: application/json\r\n", &body);
        let answer = Connection::open(target).await?.ask(&asked).await?;
        match answer.status {
            200 => Ok(serde_json::from_slice(&answer.body)?),
            204 => Ok(serde_json::from_str("null")?),
            status => Err(refused(&format!("{method} {path}"), status, &answer.body)),
        }
    }
}

/// A request, byte for byte. Each line of `headers` ends.
pub(crate) fn request(method: &str, target: &str, authorization: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let authorization =
        if authorization.is_empty() { String::new() } else { format!("authorization: {authorization}\r\n") };
    let length = if method == "GET" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {target} HTTP/1.1\r\nhost: store\r\n{authorization}{headers}{length}\r\n");
    debug_assert!(body.len() <= limits::BODY_BYTES, "the store takes no such body");
    [head.as_bytes(), body].concat()
}

/// The store said no.
pub(crate) fn refused(what: &str, status: u16, body: &[u8]) -> Trouble {
    let said: String = String::from_utf8_lossy(body).chars().take(500).collect();
    format!("cannot {what}: the store answered {status}: {said}").into()
}
