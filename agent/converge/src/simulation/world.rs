//! One simulation: a store, three machines, the network between them, and the one true time. One thread, one seed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use converge_model::{Cancel, Digest, Facts, Timestamp, Value};
use converge_system::linux::durable::steps::{Watch, watch};
use tempfile::TempDir;

use super::authors::{Authors, LIMITED, NODES, POLICIES, SERIALS, directory};
use super::chance::Chance;
use super::faults::Faults;
use super::machine::Machine;
use super::store::{Message, StoreMachine};

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// The simulation that this thread is in; nothing in one that is in the real world.
pub(crate) fn world() -> Option<Rc<World>> {
    WORLD.with_borrow(Clone::clone)
}

/// The payload with which a process of an agent unwinds that was killed.
pub(super) struct Killed;

/// The process of an agent that runs now: nothing goes on beside it but the store and the network.
#[derive(Default)]
pub(super) struct Process {
    pub(super) machine: usize,
    /// After how many more steps it is killed.
    steps_left: Option<u64>,
    pub(super) is_dead: bool,
    pub(super) cancel: Cancel,
}

pub(crate) struct World {
    pub(super) authors: Arc<Authors>,
    pub(super) chance: RefCell<Chance>,
    pub(super) faults: Cell<Faults>,
    pub(super) store: StoreMachine,
    pub(super) machines: Vec<Machine>,
    pub(super) process: RefCell<Process>,
    /// Whether nobody comes through to the store.
    pub(super) is_cut_off: Cell<bool>,
    /// Requests that are still on their way.
    pub(super) delayed: RefCell<Vec<Message>>,
    /// What the store answered, for whoever repeats it: the path without names, and the body.
    pub(super) past: RefCell<Vec<(String, Vec<u8>)>>,
    /// Reports that somebody else took in the store's place.
    pub(super) withheld: RefCell<Vec<String>>,
    /// What is live, by policy and group.
    pub(super) live: RefCell<BTreeMap<(&'static str, &'static str), u64>>,
    pub(super) trace: RefCell<Vec<String>>,
    runtime: tokio::runtime::Runtime,
    _directory: TempDir,
}

impl World {
    /// Begins a simulation on this thread.
    pub(super) fn enter(seed: u64, authors: &Arc<Authors>) -> Rc<Self> {
        let directory = directory();
        let data = directory.path().join("store");
        authors.store_into(&data);
        let mut chance = Chance::of_seed(seed);
        let faults = Faults::by_chance(&mut chance);
        let machine = |node| Machine::new(node, directory.path(), &mut chance);
        let machines = (0..NODES.len()).map(machine).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let world = Rc::new(Self {
            authors: authors.clone(),
            store: StoreMachine::new(data),
            machines,
            chance: RefCell::new(chance),
            faults: Cell::new(faults),
            process: RefCell::default(),
            is_cut_off: Cell::new(false),
            delayed: RefCell::default(),
            past: RefCell::default(),
            withheld: RefCell::default(),
            live: RefCell::new(NODES.iter().map(|(_, policy, group)| ((*policy, *group), 1)).collect()),
            trace: RefCell::default(),
            runtime,
            _directory: directory,
        });
        world.note(format!("{faults:?}"));
        WORLD.set(Some(world.clone()));
        watch(Some(world.clone()));
        world
    }

    /// Ends the simulation of this thread, if it is in one.
    pub(super) fn leave() {
        watch(None);
        WORLD.set(None);
    }

    /// Writes down what happens. What differs from one time to the next, such as where the directories are, is no part of it.
    pub(super) fn note(&self, what: impl Into<String>) {
        self.trace.borrow_mut().push(what.into());
    }

    /// The digest of all that happened.
    pub(super) fn digest(&self) -> String {
        Digest::of(self.trace.borrow().join("\n").as_bytes()).to_string()
    }

    /// So many times in a hundred.
    pub(super) fn percent(&self, percent: u64) -> bool {
        percent > 0 && self.chance.borrow_mut().percent(percent)
    }

    pub(super) fn below(&self, end: u64) -> u64 {
        self.chance.borrow_mut().below(end)
    }

    /// Lets time pass, for everybody.
    pub(crate) fn pass(&self, span: Duration) {
        self.store.clock.pass(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
    }

    /// The time by the clock of the machine whose process runs.
    pub(crate) fn agent_time(&self) -> Timestamp {
        let ahead = self.machines[self.process.borrow().machine].ahead.get();
        Timestamp((self.store.clock.true_time() + ahead).max(0))
    }

    /// The time that is never set.
    pub(crate) fn monotonic_micros(&self) -> u64 {
        self.store.clock.true_time().unsigned_abs() * 1_000
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        self.chance.borrow_mut().fill(bytes);
    }

    /// The facts of the machine whose process runs.
    pub(crate) fn facts(&self) -> Facts {
        let machine = &self.machines[self.process.borrow().machine];
        let home = Value::String(machine.directory.display().to_string());
        let mood = Value::Integer(machine.mood.get());
        Facts::from(Value::Map([("home".to_owned(), home), ("mood".to_owned(), mood)].into()))
    }

    /// Waits for what is asked outside of any process of an agent.
    pub(super) fn outside<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Begins a process on a machine, which may be killed.
    pub(super) fn begin_process(&self, machine: usize) -> Cancel {
        let is_killed = self.percent(self.faults.get().kills);
        let steps_left = is_killed.then(|| 1 + self.below(45));
        let process = Process { machine, steps_left, ..Process::default() };
        let cancel = process.cancel.clone();
        self.process.replace(process);
        cancel
    }

    /// A step of the process that runs: it may be its last one.
    pub(super) fn step(&self) {
        // What is dropped on the way out does nothing more, and must not unwind again.
        if std::thread::panicking() {
            return;
        }
        let mut process = self.process.borrow_mut();
        process.is_dead |= process.steps_left == Some(0);
        if process.is_dead {
            process.cancel.now();
            drop(process);
            resume_unwind(Box::new(Killed));
        }
        process.steps_left = process.steps_left.map(|left| left - 1);
    }

    /// What may happen at any moment: what was on its way arrives, clocks are set, somebody makes something live, the store
    /// comes up or goes down.
    pub(super) async fn happen(&self) {
        let faults = self.faults.get();
        if !self.store.is_running() && self.percent(40) {
            self.note("the store comes up");
            self.store.start();
        }
        if !self.delayed.borrow().is_empty() && self.percent(30) {
            self.deliver_delayed().await;
        }
        if self.percent(faults.jumps) {
            let millis = self.some_span();
            if self.percent(50) {
                self.note(format!("the store's clock is {millis} ms ahead"));
                self.store.clock.set_ahead(millis);
            } else {
                let machine = &self.machines[usize::try_from(self.below(NODES.len() as u64)).unwrap()];
                self.note(format!("the clock of {} is {millis} ms ahead", machine.name));
                machine.ahead.set(millis);
            }
        }
        if self.percent(6) {
            let (policy, group) = self.some_place();
            let next = self.live.borrow()[&(policy, group)] + 1;
            let serial = if self.percent(20) { 1 + self.below(SERIALS) } else { next.min(SERIALS) };
            self.promote(policy, group, serial).await;
        }
        if self.percent(faults.store_kills / 3) && self.store.is_running() {
            self.note("the store is killed");
            self.store.stop();
        }
    }

    pub(super) async fn deliver_delayed(&self) {
        let message = {
            let mut delayed = self.delayed.borrow_mut();
            let number = usize::try_from(self.below(delayed.len() as u64)).unwrap();
            delayed.swap_remove(number)
        };
        let answer = self.store.answer(&message, None).await;
        let status = answer.map(|answer| answer.status().as_u16());
        self.note(format!("late: {} {} -> {status:?}", message.method, path_of(&message.target)));
    }

    /// Makes a revision live, if the store can be asked.
    pub(super) async fn promote(&self, policy: &'static str, group: &'static str, serial: u64) {
        let body = format!("{{\"serial\":{serial}}}").into_bytes();
        let target = format!("/v1/policies/{policy}/groups/{group}");
        let message = Message::of_operator("PUT", &target, body, &self.authors.operator);
        let answer = self.store.answer(&message, None).await;
        let done = answer.is_some_and(|answer| answer.status().is_success());
        self.note(format!("{policy}/{group} is to run {serial}: {done}"));
        if done {
            self.live.borrow_mut().insert((policy, group), serial);
        }
    }

    fn some_place(&self) -> (&'static str, &'static str) {
        let (_, policy, group) = *self.chance.borrow_mut().one_of(&NODES);
        (policy, group)
    }

    /// By how much a clock may be wrong: seconds, hours, or years; or not at all.
    fn some_span(&self) -> i64 {
        let most = *self.chance.borrow_mut().one_of(&[1, 10_000, 4_000_000, 400_000_000_000]);
        let span = self.below(most).cast_signed();
        if self.percent(50) { -span } else { span }
    }
}

/// A target without what names somebody: digests and queries.
pub(super) fn path_of(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    path.strip_prefix("/v1/blobs/").map_or_else(|| path.to_owned(), |digest| format!("/v1/blobs/{}", &digest[..6]))
}

impl Watch for World {
    fn changing(&self, path: &Path) {
        self.step();
        self.machines[self.process.borrow().machine].changing(path);
    }

    fn durable(&self, path: &Path) {
        self.machines[self.process.borrow().machine].durable(path);
    }
}

/// Whether a revision may be run in a group at all.
pub(super) fn is_for(serial: u64, group: &str) -> bool {
    serial != LIMITED.0 || group == LIMITED.1
}

/// A policy that is not this one.
pub(super) fn other(policy: &str) -> &'static str {
    if policy == POLICIES[0] { POLICIES[1] } else { POLICIES[0] }
}
