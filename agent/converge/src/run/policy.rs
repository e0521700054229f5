//! Where the policy of a run comes from: a policy repository, a compiled graph, or the store; and what goes on without it.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use converge_model::{BlobRef, Clock, Digest, Error, ErrorKind, Graph, Result, Value};
use converge_policy::attribute::NodeAttributes;
use converge_policy::bind::NodeIdentity as BoundNode;
use converge_policy::expression::Secrets;
use converge_protocol::node::AssignedRevision;
use converge_protocol::{Assignment, Manifest};
use converge_system::linux::{durable, facts};
use converge_system::{BlobSource, NoBlobs};
use converge_trust::AllowedSigners;

use super::Agent;
use super::acceptance::{Acceptance, Accepted, Obstacle, of_fetching};
use crate::cli::PolicyArgs;
use crate::client::{BlobBytes, CheckIn, Credentials, StoreClient};
use crate::clock::MachineClock;
use crate::commands::compile::{Compilation, GRAPH_FILE};
use crate::config::{ConfigDir, NodeIdentity};
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::identity::Signer;
use crate::repository;
use crate::secrets::given::GivenSecrets;
use crate::secrets::{self, LocalSecrets};
use crate::state::StateDir;
use crate::state::assignment::{Remembered, facts_word};
use crate::state::cache::BlobCache;
use crate::state::contact::Contact;
use crate::state::highest::{Highest, Ran};

/// The longest graph document, in bytes.
const LONGEST_GRAPH: u64 = 1 << 30;

/// Which policy is wanted.
pub(crate) enum PolicyChoice {
    /// What the store says.
    Store,
    /// One from this machine's disk.
    Local(Box<LocalPolicy>),
}

impl PolicyChoice {
    /// What the flags ask for. A policy repository is compiled here, so that what is wrong with it is said at once.
    ///
    /// # Errors
    /// Where the path leads to no policy, or the repository is wrong.
    pub(crate) fn new(args: &PolicyArgs, console: Console) -> Outcome<Self> {
        let Some(path) = &args.policy else { return Ok(PolicyChoice::Store) };
        let source = if path.extension().is_some_and(|ending| ending == "json") {
            Compiled::read(path)?
        } else {
            Compiled::compile(path, console)?
        };
        let name = match &args.node {
            Some(name) => name.clone(),
            None => facts::hostname()?,
        };
        let node = BoundNode { name, policy: source.graph.policy.clone(), group: args.group.clone(), tags: Vec::new() };
        Ok(PolicyChoice::Local(Box::new(LocalPolicy { source, node })))
    }

    /// A graph that was read already, for this machine by its host name.
    ///
    /// # Errors
    /// Where the machine has no name, or the graph names secrets: those are for nodes of a store.
    pub(crate) fn of_graph(graph: Graph, blobs: Arc<dyn BlobSource>, group: Option<String>) -> Result<Self> {
        if let Some(name) = graph.secrets.iter().next() {
            let cause = format!("it names the secret {name}, and a push brings none");
            return Err(Error::new(ErrorKind::Invalid, "push", format!("policy {}", graph.policy), cause)
                .with_hint("enrol the machine with a store: docs/secrets.md"));
        }
        let node = BoundNode { name: facts::hostname()?, policy: graph.policy.clone(), group, tags: Vec::new() };
        let source = Compiled { graph: Arc::new(graph), blobs, root: PathBuf::new() };
        Ok(PolicyChoice::Local(Box::new(LocalPolicy { source, node })))
    }

    /// A policy that was compiled in this process, for the node called so.
    pub(crate) fn of_compilation(compilation: Compilation, node: &str) -> Self {
        let node =
            BoundNode { name: node.to_owned(), policy: compilation.graph.policy.clone(), ..BoundNode::default() };
        PolicyChoice::Local(Box::new(LocalPolicy { source: Compiled::of(compilation), node }))
    }
}

/// What a policy is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be converged, under the run lock: from now on it is what this node has.
    Run,
    /// To be looked at: what a run beside it uses stays.
    Look,
}

/// Where a run gets its policy from.
pub(crate) enum PolicySource {
    /// The store that this node belongs to.
    Store(Arc<StorePolicy>),
    /// This machine's disk.
    Local(Box<LocalPolicy>),
}

impl PolicySource {
    /// The store, where the policy comes from one.
    pub(crate) fn store(&self) -> Option<&Arc<StorePolicy>> {
        match self {
            PolicySource::Store(store) => Some(store),
            PolicySource::Local(_) => None,
        }
    }

    /// The policy, ready to be bound. What an operator should know of how it was had is added to `remarks`.
    ///
    /// # Errors
    /// Where it is not to be had.
    pub(crate) fn prepare(&self, purpose: Purpose, config: &ConfigDir, remarks: &mut Vec<String>) -> Result<Prepared> {
        match self {
            PolicySource::Store(store) => store.prepare(purpose, remarks),
            PolicySource::Local(local) => Ok(local.prepare(config)),
        }
    }

    /// The names of the node and of the policy, as far as they are known without asking anybody.
    pub(crate) fn names(&self) -> (String, String) {
        match self {
            PolicySource::Store(store) => store.names(),
            PolicySource::Local(local) => (local.node.name.clone(), local.node.policy.clone()),
        }
    }
}

/// A policy that is ready to be bound.
pub(crate) struct Prepared {
    /// What is to be bound.
    pub graph: Arc<Graph>,
    /// Where its blobs are.
    pub blobs: Arc<dyn BlobSource>,
    /// For whom.
    pub node: BoundNode,
    /// Node-settable attributes, as the store has them.
    pub attributes: NodeAttributes,
    /// The secrets that the graph names.
    pub secrets: Secrets,
    /// The revision, where it came from a store.
    pub revision: Option<u64>,
    /// The store, where it came from one.
    pub store: Option<Arc<StorePolicy>>,
    /// Whether it is the last one that was accepted, because what the store gives now is not: a remark says why.
    pub is_refused: bool,
}

/// A policy from this machine's disk.
pub(crate) struct LocalPolicy {
    source: Compiled,
    node: BoundNode,
}

struct Compiled {
    graph: Arc<Graph>,
    blobs: Arc<dyn BlobSource>,
    /// The directory that has its secrets.
    root: PathBuf,
}

impl LocalPolicy {
    fn prepare(&self, config: &ConfigDir) -> Prepared {
        let graph = &self.source.graph;
        let local = LocalSecrets::new(&self.source.root, config.clone());
        Prepared {
            secrets: secrets::of_graph(graph, || local.read(graph.secrets.iter())),
            graph: graph.clone(),
            blobs: self.source.blobs.clone(),
            node: self.node.clone(),
            attributes: NodeAttributes::default(),
            revision: None,
            store: None,
            is_refused: false,
        }
    }
}

impl Compiled {
    /// Compiles a policy file of a policy repository.
    fn compile(path: &Path, console: Console) -> Outcome<Self> {
        Ok(Self::of(Compilation::of_file(path, console)?))
    }

    fn of(compilation: Compilation) -> Self {
        let root = compilation.root().to_owned();
        Self { graph: Arc::new(compilation.graph.clone()), blobs: Arc::new(compilation), root }
    }

    /// Reads a compiled graph, with its blobs in the directory beside it.
    fn read(path: &Path) -> Outcome<Self> {
        let bytes = durable::read(path, LONGEST_GRAPH)?.ok_or_else(|| {
            Failure::input("read", path.display(), "it is not there")
                .with_hint(format!("name a policy file, or a {GRAPH_FILE} that `converge compile` wrote"))
        })?;
        let root = path.parent().map(Path::to_owned).unwrap_or_default();
        let blobs = path.parent().map(|directory| directory.join("blobs"));
        let blobs: Arc<dyn BlobSource> = match blobs {
            Some(directory) => Arc::new(DirectoryBlobs(directory)),
            None => Arc::new(NoBlobs),
        };
        Ok(Self { graph: Arc::new(Graph::from_bytes(&bytes)?), blobs, root })
    }
}

/// Blobs of a policy that was compiled in this process.
impl BlobSource for Compilation {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        match self.bytes(digest) {
            Ok(BlobBytes::Memory(bytes)) => Ok(Box::new(Cursor::new(bytes.to_vec()))),
            Ok(BlobBytes::File(path)) => repository::open(path),
            Err(_) => NoBlobs.open(digest),
        }
    }
}

/// Blobs in a directory, each under its digest.
struct DirectoryBlobs(PathBuf);

impl BlobSource for DirectoryBlobs {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        repository::open(&self.0.join(digest.to_string()))
    }
}

/// What the store says this node should run.
pub(crate) struct StorePolicy {
    client: StoreClient,
    identity: NodeIdentity,
    config_dir: ConfigDir,
    /// How many trusted signers a revision needs.
    wanted: u32,
    /// The only group that this node may be in.
    group: Option<String>,
    state: StateDir,
    cache: BlobCache,
}

impl StorePolicy {
    /// The store of the node called so on this machine, asked until the agent is to stop.
    ///
    /// # Errors
    /// Where its address is none, or the cache cannot be used.
    pub(crate) fn new(identity: NodeIdentity, agent: &Agent) -> Result<Self> {
        let (config_dir, state) = (agent.config_dir.clone(), agent.state.clone());
        let signer = Box::new(Signer::new(&identity, &config_dir, &state)?);
        let client = StoreClient::new(&identity.store, identity.authority.into(), Credentials::Node(signer))?;
        let contact = Contact::load(&state, &identity.store);
        let client = client.stopped_by(&agent.cancel).leaving_alone_until(contact.leave_alone_until);
        let cache = BlobCache::open(&state)?;
        let wanted = agent.config.signatures.max(identity.threshold.unwrap_or(1));
        let group = agent.config.group.clone();
        Ok(Self { client, identity, config_dir, wanted, group, state, cache })
    }

    /// The store.
    pub(crate) fn client(&self) -> &StoreClient {
        &self.client
    }

    /// Asks the store what to run and gets what is missing. Where it cannot be reached, or gives what this node does not
    /// accept, goes on with what was accepted last, and says so in `remarks`.
    ///
    /// # Errors
    /// Where neither the store nor the cache has a whole policy that this node accepts.
    pub(crate) fn prepare(self: &Arc<Self>, purpose: Purpose, remarks: &mut Vec<String>) -> Result<Prepared> {
        let last = Remembered::load_with(&self.state, &self.identity.store, remarks);
        let signers = self.config_dir.signers()?;
        let highest = Highest::new(&self.state, &self.config_dir).of(&self.identity.policy, remarks);
        let acceptance = Acceptance { highest, ..self.acceptance(&signers) };
        let asked = self.ask(&acceptance, last.as_ref(), purpose, remarks);
        let is_refused = matches!(asked, Err(Obstacle::Refused(_)));
        let (assignment, graph) = match asked {
            Ok(current) => current,
            Err(obstacle) => {
                let error = obstacle.into_error();
                let Some(last) = last else { return Err(error) };
                let graph = self.read(&acceptance, &last).map_err(|obstacle| match obstacle {
                    Obstacle::Refused(why) => why,
                    // What the store had to say matters more than that the last policy is not whole either.
                    Obstacle::Trouble(_) => error.clone(),
                })?;
                remarks.push(format!("{error}; this run converges the policy that the store gave last"));
                (last.assignment, graph)
            }
        };
        let node = BoundNode {
            name: assignment.name.clone(),
            policy: assignment.policy.clone(),
            group: Some(assignment.group.clone()),
            tags: assignment.tags.clone(),
        };
        let (secrets, is_unbelieved) = self.secrets(&graph, &node, &signers, purpose, remarks);
        Ok(Prepared {
            node,
            revision: assignment.revision.as_ref().map(|revision| revision.serial),
            attributes: assignment.attributes,
            secrets,
            graph: Arc::new(graph),
            blobs: Arc::new(self.cache.clone()),
            store: Some(Arc::clone(self)),
            is_refused: is_refused || is_unbelieved,
        })
    }

    /// The names of the node and of its policy, as it enrolled.
    pub(crate) fn names(&self) -> (String, String) {
        (self.identity.name.clone(), self.identity.policy.clone())
    }

    /// Remembers how the store answered: for the next run, and for whoever asks.
    pub(crate) fn note_contact(&self) {
        Contact::note(&self.state, &self.identity.store, &self.client.found());
    }

    /// The secrets that a graph names, and whether the store gave something in their place that is not believed.
    fn secrets(
        &self,
        graph: &Graph,
        node: &BoundNode,
        signers: &AllowedSigners,
        purpose: Purpose,
        remarks: &mut Vec<String>,
    ) -> (Secrets, bool) {
        let (config, state) = (&self.config_dir, &self.state);
        let mut is_refused = false;
        let secrets = secrets::of_graph(graph, || {
            let given = GivenSecrets { client: &self.client, config, state, signers, node };
            let read = given.read(graph.secrets.iter(), purpose, remarks);
            is_refused = read.is_refused;
            read.values
        });
        (secrets, is_refused)
    }

    /// The graph of an earlier revision, which is only looked at.
    ///
    /// # Errors
    /// Where the store does not give it, or gives what nobody signed whom this node trusts.
    pub(crate) fn earlier_graph(&self, serial: u64) -> Result<Graph> {
        let signers = self.config_dir.signers()?;
        let acceptance = self.acceptance(&signers);
        let signed = self.client.signed_manifest(&self.identity.policy, serial)?;
        let manifest = acceptance.manifest(serial, &signed, MachineClock.now()).map_err(Obstacle::into_error)?;
        Graph::from_bytes(&self.blob(&manifest.graph)?)
    }

    /// Tells the store the node's facts, where it does not have them.
    ///
    /// # Errors
    /// Where the store does not take them, or that it did cannot be remembered.
    pub(crate) fn tell_facts(&self, facts: &Value) -> Result<()> {
        let Some(mut last) = Remembered::load(&self.state, &self.identity.store) else { return Ok(()) };
        let word = facts_word(facts);
        if last.facts == word {
            return Ok(());
        }
        self.client.send_facts(facts)?;
        last.facts = word;
        last.save(&self.state)
    }

    /// The bytes of a blob of any revision, from the cache or the store. What is not in the cache does not go there.
    ///
    /// # Errors
    /// Where neither has it.
    pub(crate) fn blob(&self, blob: &BlobRef) -> Result<Vec<u8>> {
        if let Some(bytes) = self.cache.read(blob)? {
            return Ok(bytes);
        }
        let mut bytes = Vec::new();
        self.client.blob(blob, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        if BlobRef::of(&bytes) == *blob {
            return Ok(bytes);
        }
        let cause = "the store gave other bytes";
        Err(Error::new(ErrorKind::Failed, "get", format!("blob {}", blob.digest.short()), cause))
    }

    /// After a run that failed: lets go of cached blobs that are damaged, so that the next run gets them anew.
    pub(crate) fn drop_damaged(&self, remarks: &mut Vec<String>) {
        match self.cache.drop_damaged() {
            Ok(0) => {}
            Ok(count) => {
                remarks.push(format!("{count} damaged files of the policy were dropped; the next run gets them anew"))
            }
            Err(error) => remarks.push(error.to_string()),
        }
    }

    /// What this node accepts, if it never ran anything.
    fn acceptance<'a>(&'a self, signers: &'a AllowedSigners) -> Acceptance<'a> {
        Acceptance {
            identity: &self.identity,
            signers,
            wanted: self.wanted,
            group: self.group.as_deref(),
            highest: None,
        }
    }

    /// What the store says this node should run, with all of it fetched and accepted.
    fn ask(
        &self,
        acceptance: &Acceptance<'_>,
        last: Option<&Remembered>,
        purpose: Purpose,
        remarks: &mut Vec<String>,
    ) -> Result<(Assignment, Graph), Obstacle> {
        let etag = last.and_then(|last| last.etag.as_deref());
        let (current, is_new) = match (self.client.check_in(etag)?, last) {
            (CheckIn::Unchanged, Some(last)) => (last.clone(), false),
            (CheckIn::Unchanged, None) => {
                let cause = "it says that nothing changed, but was never asked before";
                return Err(Error::new(ErrorKind::Failed, "check in at", self.client.base(), cause).into());
            }
            (CheckIn::Assigned(assignment, etag), last) => {
                // Before more is asked for: it may be another policy's.
                acceptance.assignment(&assignment)?;
                let accepted = self.signed(live(&assignment)?, last)?;
                let facts = last.and_then(|last| last.facts.clone());
                let store = self.identity.store.clone();
                (Remembered { store, assignment: *assignment, accepted, etag, facts }, true)
            }
        };
        let (manifest, graph) = self.fetch(acceptance, &current)?;
        if purpose == Purpose::Run {
            if is_new {
                // Remembered only once all of it is here, and what was there before goes only then: what goes on
                // without the store is always whole.
                current.save(&self.state)?;
            }
            let ran =
                Ran { serial: manifest.serial, manifest: Digest::of(current.accepted.signed.manifest.as_bytes()) };
            Highest::new(&self.state, &self.config_dir).raise(&self.identity.policy, ran, remarks)?;
            if is_new {
                let needed = graph.blob_refs().chain([manifest.graph]);
                self.cache.keep_only(&needed.map(|blob| blob.digest).collect())?;
            }
        }
        Ok((current.assignment, graph))
    }

    /// The signed manifest of a revision: the one at hand, where it is the same, or the store's.
    fn signed(&self, revision: &AssignedRevision, last: Option<&Remembered>) -> Result<Accepted> {
        let at_hand = last.map(|last| &last.accepted).filter(|accepted| {
            let signed = &accepted.signed;
            Digest::of(signed.manifest.as_bytes()) == revision.manifest
                && signed.signatures.len() as u64 == revision.signatures
        });
        if let Some(accepted) = at_hand {
            return Ok(accepted.clone());
        }
        let signed = self.client.signed_manifest(&self.identity.policy, revision.serial)?;
        Ok(Accepted { signed, at: MachineClock.now() })
    }

    /// Gets every blob of a policy that is not in the cache.
    fn fetch(&self, acceptance: &Acceptance<'_>, policy: &Remembered) -> Result<(Manifest, Graph), Obstacle> {
        let manifest = self.manifest(acceptance, policy)?;
        self.get(&manifest.graph)?;
        let graph = self.graph(acceptance, &manifest, policy)?;
        for blob in graph.blob_refs() {
            self.get(&blob)?;
        }
        Ok((manifest, graph))
    }

    fn get(&self, blob: &BlobRef) -> Result<(), Obstacle> {
        if self.cache.has(blob) {
            return Ok(());
        }
        self.cache.fill(blob, |sink| self.client.blob(blob, sink)).map_err(of_fetching)
    }

    /// The graph of a policy from the cache, if this node accepts all of it.
    fn read(&self, acceptance: &Acceptance<'_>, policy: &Remembered) -> Result<Graph, Obstacle> {
        let manifest = self.manifest(acceptance, policy)?;
        self.graph(acceptance, &manifest, policy)
    }

    /// What was signed of a policy, if this node accepts that and what it was told of itself.
    fn manifest(&self, acceptance: &Acceptance<'_>, policy: &Remembered) -> Result<Manifest, Obstacle> {
        acceptance.assignment(&policy.assignment)?;
        let AssignedRevision { serial, .. } = live(&policy.assignment)?;
        acceptance.manifest(*serial, &policy.accepted.signed, policy.accepted.at)
    }

    fn graph(&self, acceptance: &Acceptance<'_>, manifest: &Manifest, policy: &Remembered) -> Result<Graph, Obstacle> {
        let bytes = self.cache.read(&manifest.graph)?.ok_or_else(|| {
            let cause = "the copy on this machine is damaged or gone";
            Error::new(ErrorKind::NotFound, "read", format!("the policy {}", manifest.policy), cause)
        })?;
        let graph = Graph::from_bytes(&bytes)?;
        acceptance.graph(manifest, &graph, &policy.assignment)?;
        Ok(graph)
    }
}

/// The revision that a node should run.
fn live(assignment: &Assignment) -> Result<&AssignedRevision> {
    assignment.revision.as_ref().ok_or_else(|| {
        let (policy, group) = (&assignment.policy, &assignment.group);
        let cause = format!("no revision of policy {policy} is live in group {group}");
        Error::new(ErrorKind::NotFound, "find", "what this node should run", cause)
            .with_hint(format!("publish one with `converge publish {policy} --group {group}`"))
    })
}
