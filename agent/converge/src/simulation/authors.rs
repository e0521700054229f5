//! What there is to be run: revisions of two policies by the author whom all nodes trust, one by a stranger, and a store that has
//! the good ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use converge_model::{BlobRef, Digest, Timestamp};
use converge_protocol::policy::MANIFEST_FORMAT;
use converge_protocol::{Manifest, SignedManifest};
use converge_store::in_process::InProcess;
use converge_trust::{SigningKey, revision};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::store::{Message, StoreClock};
use crate::cli::{ColorWhen, CommonArgs};
use crate::commands::compile::Compilation;
use crate::console::Console;
use crate::repository::PolicyRepository;

/// When simulations begin: the author's revisions were signed before.
pub(crate) const BEGIN: i64 = 1_800_000_000_000;
/// How many revisions each policy has.
pub(crate) const SERIALS: u64 = 6;
/// A revision that is for one group only, and that group.
pub(crate) const LIMITED: (u64, &str) = (4, "prod");
/// The nodes, each with its policy and group.
pub(crate) const NODES: [(&str, &str, &str); 3] = [("a", "web", "prod"), ("b", "web", "dev"), ("c", "db", "prod")];
/// The policies.
pub(crate) const POLICIES: [&str; 2] = ["web", "db"];

/// A revision, whoever signed it.
#[derive(Clone)]
pub(crate) struct Revision {
    pub(crate) policy: &'static str,
    pub(crate) serial: u64,
    pub(crate) signed: SignedManifest,
}

/// All of it.
pub(crate) struct Authors {
    /// Lines of `allowed_signers`.
    pub(crate) signers: String,
    /// What the trusted author signed.
    pub(crate) revisions: Vec<Revision>,
    /// What a stranger signed.
    pub(crate) foreign: Revision,
    /// All blobs of all of them.
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    /// The join token of each node.
    pub(crate) tokens: Vec<String>,
    /// The first operator's token.
    pub(crate) operator: String,
    /// The data directory of a store that has what the author signed.
    store: TempDir,
}

/// A console that says nothing.
pub(crate) fn silence() -> Console {
    Console::new(&CommonArgs {
        json: true,
        color: ColorWhen::Never,
        verbose: 0,
        log: None,
        config_dir: Default::default(),
        state_dir: Default::default(),
    })
}

/// What a node has in its file that runs this revision.
pub(crate) fn content(policy: &str, serial: u64) -> String {
    format!("{policy} {serial}\n{}", "so that it is a blob of its own\n".repeat(10))
}

/// A directory of tests: in memory, where there is one.
pub(crate) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

impl Authors {
    pub(crate) fn new() -> Self {
        let (author, stranger) = (SigningKey::generate("author").unwrap(), SigningKey::generate("stranger").unwrap());
        let mut blobs = BTreeMap::new();
        let mut revisions = Vec::new();
        for policy in POLICIES {
            for serial in 1..=SERIALS {
                revisions.push(Revision::new(policy, serial, &content(policy, serial), &author, &mut blobs));
            }
        }
        let foreign = Revision::new("web", SERIALS + 1, "foreign", &stranger, &mut blobs);
        let signers = format!("author@example.org {}\n", author.public().to_line().unwrap());
        let store = directory();
        let mut authors =
            Self { signers, revisions, foreign, blobs, tokens: Vec::new(), operator: String::new(), store };
        authors.furnish();
        authors
    }

    /// A store with what the author signed, of which each policy's first revision is live.
    fn furnish(&mut self) {
        let clock = Arc::new(StoreClock::new());
        let store = InProcess::open(self.store.path(), clock).unwrap();
        self.operator = store.access().token.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ask = |method: &str, target: &str, body: Vec<u8>| -> Json {
            let message = Message::of_operator(method, target, body, &self.operator);
            let answer = runtime.block_on(store.answer(message.request()));
            let said = String::from_utf8_lossy(answer.body());
            assert!(answer.status().is_success(), "{method} {target}: {said}");
            serde_json::from_str(&said).unwrap_or(Json::Null)
        };
        for (digest, bytes) in &self.blobs {
            ask("PUT", &format!("/v1/blobs/{digest}"), bytes.clone());
        }
        for Revision { policy, signed, .. } in &self.revisions {
            ask("POST", &format!("/v1/policies/{policy}/revisions"), serde_json::to_vec(signed).unwrap());
        }
        for (_, policy, group) in NODES {
            let body = json!({ "serial": 1 }).to_string().into_bytes();
            ask("PUT", &format!("/v1/policies/{policy}/groups/{group}"), body);
        }
        let token = |(_, policy, group): &(&str, &str, &str)| {
            let body = json!({ "policy": policy, "group": group, "uses": 1 }).to_string().into_bytes();
            ask("POST", "/v1/tokens", body)["token"].as_str().unwrap().to_owned()
        };
        self.tokens = NODES.iter().map(token).collect();
    }

    /// Puts a copy of the store's data into a directory.
    pub(crate) fn store_into(&self, data: &Path) {
        copy(self.store.path(), data);
    }
}

impl Revision {
    fn new(
        policy: &'static str,
        serial: u64,
        content: &str,
        key: &SigningKey,
        blobs: &mut BTreeMap<Digest, Vec<u8>>,
    ) -> Self {
        let file = |name: &str, text: String| (name.to_owned(), text);
        let repository = PolicyRepository::in_memory([
            file("converge.toml", String::new()),
            file("cookbooks/sim/cookbook.toml", "name = \"sim\"\nversion = \"1.0.0\"\n".to_owned()),
            file(
                "cookbooks/sim/recipes/default.toml",
                format!("[file.\"{{{{ facts.home }}}}/ran\"]\ncontent = '''{content}'''\n"),
            ),
            file(&format!("policies/{policy}.toml"), format!("name = \"{policy}\"\nrun_list = [\"sim\"]\n")),
        ]);
        let compilation = Compilation::of(repository, policy, silence()).unwrap();
        let graph = compilation.graph.to_bytes().unwrap();
        let named = compilation.blobs().unwrap();
        for blob in &named {
            let mut bytes = Vec::new();
            let piece = &mut |piece: &[u8]| {
                bytes.extend_from_slice(piece);
                Ok(())
            };
            compilation.bytes(&blob.digest).unwrap().read(piece).unwrap();
            blobs.insert(blob.digest, bytes);
        }
        let (limited, group) = LIMITED;
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            policy: policy.to_owned(),
            serial,
            groups: if serial == limited { vec![group.to_owned()] } else { Vec::new() },
            graph: BlobRef::of(&graph),
            blobs: named,
            commit: None,
            published: Timestamp(BEGIN - 1_000),
        };
        blobs.insert(manifest.graph.digest, graph);
        Self { policy, serial, signed: revision::sign(&manifest, key).unwrap() }
    }
}

/// Copies a directory with all in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
