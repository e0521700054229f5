//! A node in memory: a machine, all that outlives a run on it, and the way from a policy repository to a report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use converge_engine::{
    Durability, Entry, Journal, Ledger, LedgerStore, Recovery, RunImages, RunRequest, RunResult, Undo, UndoRequest,
    settle,
};
use converge_model::report::Mode;
use converge_model::{
    AbsPath, Cancel, Catalog, Clock, Content, Diagnostic, Digest, Event, EventSink, Keeper, Kept, Report,
    ResourceReport, Result, RunId, System, Timestamp, Value,
};
use converge_policy::attribute::NodeAttributes;
use converge_policy::bind::{BindInput, NodeIdentity, bind};
use converge_policy::{BlobPlace, FileData, Repository, compile};
use converge_system::memory::{Faults, MemoryMachine, Operation};
use converge_system::overlay::Overlay;

/// What is known of a node beside its machine.
#[derive(Clone, Debug)]
pub struct Knowledge {
    /// Its facts: a map.
    pub facts: Value,
    /// Who it is.
    pub identity: NodeIdentity,
    /// Attributes that the store keeps for it alone.
    pub attributes: NodeAttributes,
}

impl Default for Knowledge {
    fn default() -> Self {
        let identity = NodeIdentity { name: "web-1".to_owned(), policy: "test".to_owned(), ..NodeIdentity::default() };
        Self { facts: Value::Map(BTreeMap::new()), identity, attributes: NodeAttributes::new() }
    }
}

/// A node in memory. A clone is another node in the same state.
pub struct Node {
    /// Its machine.
    pub machine: MemoryMachine,
    /// What is known of it.
    pub knowledge: Knowledge,
    journal: Mutex<Vec<Entry>>,
    ledger: Mutex<Ledger>,
    images: Mutex<Vec<RunImages>>,
    runs: AtomicU64,
    clock: SteppedClock,
}

impl Clone for Node {
    fn clone(&self) -> Self {
        Self {
            machine: self.machine.clone(),
            knowledge: self.knowledge.clone(),
            journal: Mutex::new(locked(&self.journal).clone()),
            ledger: Mutex::new(locked(&self.ledger).clone()),
            images: Mutex::new(locked(&self.images).clone()),
            runs: AtomicU64::new(self.runs.load(Ordering::Relaxed)),
            clock: SteppedClock::default(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a run told, in order, and its report.
#[derive(Clone, Debug)]
pub struct Told {
    /// What was told while it went on.
    pub steps: Vec<Step>,
    /// The report.
    pub report: Report,
}

/// One thing that a run told.
#[derive(Clone, Debug)]
pub enum Step {
    /// A resource ended.
    Resource(Box<ResourceReport>),
    /// A try failed, and another follows: which resource, why, how many tries are left.
    Retry(String, String, u32),
    /// The next notification of the report ended.
    Notification,
}

/// What became of a run under a fault plan.
#[derive(Clone, Debug)]
pub struct Disturbance {
    /// Whether any operation failed because of it.
    pub fired: bool,
    /// The operations of the run.
    pub operations: Vec<Operation>,
}

impl Node {
    /// A node that never converged.
    pub fn new(machine: MemoryMachine) -> Self {
        Self {
            machine,
            knowledge: Knowledge::default(),
            journal: Mutex::default(),
            ledger: Mutex::default(),
            images: Mutex::default(),
            runs: AtomicU64::default(),
            clock: SteppedClock::default(),
        }
    }

    /// Compiles a policy of a repository and binds it to this node. The machine gets the contents that it names. Gives the
    /// catalog, and what somebody should know.
    ///
    /// # Errors
    /// Everything that is wrong with the policy.
    pub fn catalog(
        &self,
        repository: &Repository,
        policy: &str,
    ) -> std::result::Result<(Catalog, Vec<Diagnostic>), Vec<Diagnostic>> {
        let kinds = converge_kinds::registry();
        let compiled = compile(repository, policy, kinds)?;
        let mut blobs: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        for (digest, place) in &compiled.blobs {
            let bytes = match place {
                BlobPlace::Bytes(bytes) => bytes.clone(),
                BlobPlace::File(path) => match repository.files.get(path) {
                    Some(FileData::Bytes(bytes)) => bytes.clone(),
                    Some(FileData::Blob(_)) | None => continue,
                },
            };
            self.machine.blobs().insert(bytes.clone());
            blobs.insert(*digest, bytes);
        }
        let input = BindInput {
            facts: Arc::new(self.knowledge.facts.clone().into()),
            node: self.knowledge.identity.clone(),
            node_attributes: self.knowledge.attributes.clone(),
            secrets: Default::default(),
        };
        let bound = bind(&compiled.graph, &input, &blobs, kinds)?;
        let warnings = compiled.warnings.into_iter().chain(bound.warnings).collect();
        Ok((bound.catalog, warnings))
    }

    /// What a run would do, as the agent finds out.
    pub fn plan(&self, catalog: &Catalog) -> Told {
        self.engine(Mode::Plan, catalog, &Overlay::new(&self.machine), None).0
    }

    /// A run, and what the agent does after one.
    pub fn run(&self, catalog: &Catalog) -> Told {
        let (told, RunResult { ledger, images, .. }) = self.engine(Mode::Apply, catalog, &self.machine, None);
        locked(&self.images).extend(images);
        if let Some(ledger) = ledger {
            *locked(&self.ledger) = ledger;
        }
        // What settling cannot do is done after the next run.
        let _ = settle(&self.journal());
        told
    }

    /// A run under a fault plan, which ends with it. Where the process is said not to survive, nothing is kept after it,
    /// and the machine and the journal are as they were left.
    pub fn disturbed_run(&self, catalog: &Catalog, faults: Faults, survives: bool) -> Disturbance {
        self.machine.set_faults(faults);
        if survives {
            self.run(catalog);
        } else {
            self.engine(Mode::Apply, catalog, &self.machine, None);
        }
        let disturbance = Disturbance { fired: self.machine.fault_fired(), operations: self.machine.operations() };
        self.machine.revive();
        self.machine.set_faults(Faults::none());
        disturbance
    }

    /// Whether nothing is due, and nothing is to be settled.
    pub fn journal_is_empty(&self) -> bool {
        locked(&self.journal).is_empty()
    }

    /// What runs overwrote, oldest first, as far as each came.
    pub fn images(&self) -> Vec<RunImages> {
        let mut all = locked(&self.images).clone();
        all.extend(Recovery::replay(&locked(&self.journal)).images);
        all.dedup_by_key(|images| images.run);
        all
    }

    /// How to undo the run that is `position` from the first, of all that overwrote something.
    ///
    /// # Errors
    /// Where it overwrote nothing of what `only` names.
    pub fn how_to_undo(&self, position: usize, only: &[&str], force: bool) -> Result<Undo> {
        let all = self.images();
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        Undo::of(&UndoRequest {
            images: &all[position],
            later: &all[position + 1..],
            only: &only,
            force,
            kinds: converge_kinds::registry(),
            system: &self.machine,
            has: &|blob| self.machine.blobs().bytes(&Content::Blob(*blob)).is_ok(),
        })
    }

    /// What undoing would do.
    pub fn plan_undo(&self, undo: &Undo, position: usize) -> Told {
        let undone = self.images()[position].run;
        self.engine(Mode::Plan, &undo.catalog, &Overlay::new(&self.machine), Some(undone)).0
    }

    /// Undoes, and does what the agent does afterwards, unless the process is said not to survive.
    pub fn undo(&self, undo: &Undo, position: usize, survives: bool) -> Told {
        let all = self.images();
        let (told, result) = self.engine(Mode::Apply, &undo.catalog, &self.machine, Some(all[position].run));
        if survives {
            *locked(&self.images) = all;
            locked(&self.images).extend(result.images);
            let _ = settle(&self.journal());
        }
        told
    }

    fn journal(&self) -> MemoryJournal<'_> {
        MemoryJournal { machine: &self.machine, entries: &self.journal }
    }

    fn engine(&self, mode: Mode, catalog: &Catalog, system: &dyn System, undoes: Option<RunId>) -> (Told, RunResult) {
        let listener = Listener::default();
        let run = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        let result = converge_engine::run(&RunRequest {
            run: RunId::new(run.cast_signed(), 1),
            node: &self.knowledge.identity.name,
            revision: None,
            mode,
            catalog,
            kinds: converge_kinds::registry(),
            system,
            journal: &self.journal(),
            keeper: Some(&MemoryKeeper(&self.machine)),
            undoes,
            ledger: &MemoryLedger { machine: &self.machine, ledger: &self.ledger },
            clock: &self.clock,
            events: &listener,
            cancel: &Cancel::new(),
            deadline: None,
        });
        let steps = std::mem::take(&mut *locked(&listener.0));
        (Told { steps, report: result.report.clone() }, result)
    }
}

/// A clock that only waiting moves.
#[derive(Debug, Default)]
struct SteppedClock(AtomicU64);

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000)
    }

    fn monotonic_micros(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn sleep(&self, duration: Duration) {
        self.0.fetch_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A journal whose writes are operations of the machine, and fail as those do.
struct MemoryJournal<'a> {
    machine: &'a MemoryMachine,
    entries: &'a Mutex<Vec<Entry>>,
}

impl Journal for MemoryJournal<'_> {
    fn append(&self, entry: &Entry, durability: Durability) -> Result<()> {
        let line = String::from_utf8_lossy(&entry.encode()).trim().to_owned();
        self.machine.operation("append", format!("{durability:?} {line}"))?;
        locked(self.entries).push(entry.clone());
        Ok(())
    }

    fn load(&self) -> Result<Vec<Entry>> {
        self.machine.operation("load", "the journal")?;
        Ok(locked(self.entries).clone())
    }

    fn replace(&self, entries: &[Entry]) -> Result<()> {
        self.machine.operation("replace", "the journal")?;
        *locked(self.entries) = entries.to_vec();
        Ok(())
    }
}

/// A ledger whose reading is an operation of the machine.
struct MemoryLedger<'a> {
    machine: &'a MemoryMachine,
    ledger: &'a Mutex<Ledger>,
}

impl LedgerStore for MemoryLedger<'_> {
    fn catalog(&self) -> Option<u64> {
        locked(self.ledger).catalog
    }

    fn load(&self) -> Result<Ledger> {
        self.machine.operation("load", "the ledger")?;
        Ok(locked(self.ledger).clone())
    }
}

/// Keeps contents among the blobs of the machine: an operation of it.
struct MemoryKeeper<'a>(&'a MemoryMachine);

/// More than this is not kept of a file.
const LONGEST_KEPT: u64 = 4_096;

impl Keeper for MemoryKeeper<'_> {
    fn keep(&self, system: &dyn System, path: &AbsPath, size: u64) -> Result<Kept> {
        if size > LONGEST_KEPT {
            return Ok(Kept::Not(format!("it held {size} bytes")));
        }
        let bytes = system.files().read(path, LONGEST_KEPT)?;
        self.0.operation("keep", path)?;
        Ok(Kept::Whole(self.0.blobs().insert(bytes)))
    }

    fn flush(&self) -> Result<()> {
        self.0.operation("flush", "what is kept")
    }
}

/// Keeps what a run tells.
#[derive(Default)]
struct Listener(Mutex<Vec<Step>>);

impl EventSink for Listener {
    fn emit(&self, event: &Event<'_>) {
        let step = match event {
            Event::Finished { resource, .. } => Step::Resource(Box::new((*resource).clone())),
            Event::Retrying { id, error, left } => Step::Retry(id.to_string(), error.to_string(), *left),
            Event::Notified { .. } => Step::Notification,
            _ => return,
        };
        locked(&self.0).push(step);
    }
}
