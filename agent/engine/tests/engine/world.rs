//! A machine in memory, with all that outlives a run on it, and short words to declare and to ask.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use converge_engine::{Durability, Entry, Journal, Ledger, LedgerStore, RunRequest, RunResult, run, settle};
use converge_model::catalog::{Orphans, Retries};
use converge_model::report::{Conclusion, Mode};
use converge_model::{
    ByName, Cancel, Catalog, CatalogResource, Clock, Condition, Event, EventSink, Guard, Notify, Origin, Outcome,
    Report, ResourceId, Result, RunId, System, Timestamp, Timing, Value,
};
use converge_system::memory::{Faults, MemoryMachine};

use crate::kinds::TestKinds;

/// A clock that only waiting moves.
#[derive(Default)]
pub struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000)
    }

    fn monotonic_micros(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn sleep(&self, duration: Duration) {
        self.0.fetch_add(u64::try_from(duration.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

/// A journal whose writes are operations of the machine, and fail as those do.
pub struct TestJournal<'a> {
    pub machine: &'a MemoryMachine,
    pub entries: &'a Mutex<Vec<Entry>>,
}

impl Journal for TestJournal<'_> {
    fn append(&self, entry: &Entry, durability: Durability) -> Result<()> {
        let text = String::from_utf8(entry.encode()).unwrap();
        self.machine.operation("append", format!("{durability:?} {}", text.trim()))?;
        self.entries.lock().unwrap().push(entry.clone());
        Ok(())
    }

    fn load(&self) -> Result<Vec<Entry>> {
        self.machine.operation("load", "the journal")?;
        Ok(self.entries.lock().unwrap().clone())
    }

    fn replace(&self, entries: &[Entry]) -> Result<()> {
        self.machine.operation("replace", "the journal")?;
        *self.entries.lock().unwrap() = entries.to_vec();
        Ok(())
    }
}

/// A ledger whose reading is an operation of the machine.
struct TestLedger<'a> {
    machine: &'a MemoryMachine,
    ledger: &'a Mutex<Ledger>,
}

impl LedgerStore for TestLedger<'_> {
    fn catalog(&self) -> Option<u64> {
        self.ledger.lock().unwrap().catalog
    }

    fn load(&self) -> Result<Ledger> {
        self.machine.operation("load", "the ledger")?;
        Ok(self.ledger.lock().unwrap().clone())
    }
}

/// What the listeners were told, in words, and somebody who may interfere.
#[derive(Default)]
pub struct Told {
    lines: Mutex<Vec<String>>,
    /// Stops the run when this is told.
    stop_at: Option<(String, Cancel)>,
}

impl EventSink for Told {
    fn emit(&self, event: &Event<'_>) {
        let line = match event {
            Event::Started { resources, mode, .. } => format!("started {mode:?} {resources}"),
            Event::Applying { id, changes } => format!("applying {id}: {}", serde_json::to_string(changes).unwrap()),
            Event::Finished { resource, .. } => format!("finished {} {}", resource.id, resource.outcome),
            Event::Retrying { id, error, left } => format!("retrying {id}, {left} left: {error}"),
            Event::Notifying { target, action, .. } => format!("notifying {target} {action}"),
            Event::Notified { target, action, outcome, error } => {
                format!("notified {target} {action} {outcome} {}", error.map(ToString::to_string).unwrap_or_default())
            }
            Event::Ended { conclusion } => format!("ended {}", conclusion.words()),
            _ => String::new(),
        };
        if let Some((at, cancel)) = &self.stop_at
            && line.starts_with(at.as_str())
        {
            cancel.after_current();
        }
        self.lines.lock().unwrap().push(line);
    }
}

impl Told {
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub fn text(&self) -> String {
        self.lines().join("\n")
    }
}

/// A machine, and all that outlives a run on it.
pub struct World {
    pub machine: MemoryMachine,
    pub journal: Mutex<Vec<Entry>>,
    pub ledger: Mutex<Ledger>,
    pub clock: TestClock,
    pub cancel: Cancel,
    pub deadline: Option<Duration>,
    pub told: Told,
}

impl World {
    pub fn new(machine: MemoryMachine) -> Self {
        Self {
            machine,
            journal: Mutex::default(),
            ledger: Mutex::default(),
            clock: TestClock::default(),
            cancel: Cancel::new(),
            deadline: None,
            told: Told::default(),
        }
    }

    /// Stops the next run when an event is told whose words begin so.
    pub fn stop_at(&mut self, event: &str) {
        self.cancel = Cancel::new();
        self.told = Told { stop_at: Some((event.to_owned(), self.cancel.clone())), ..Told::default() };
    }

    pub fn calm(&mut self) {
        self.cancel = Cancel::new();
        self.told = Told::default();
    }

    fn request<'a>(
        &'a self,
        mode: Mode,
        catalog: &'a Catalog,
        system: &'a dyn System,
        journal: &'a TestJournal<'a>,
        ledger: &'a TestLedger<'a>,
    ) -> RunRequest<'a> {
        RunRequest {
            run: RunId::new(1, 1),
            node: "web-1",
            revision: Some(7),
            mode,
            catalog,
            kinds: TestKinds::get(),
            system,
            journal,
            keeper: None,
            undoes: None,
            ledger,
            clock: &self.clock,
            events: &self.told,
            cancel: &self.cancel,
            deadline: self.deadline,
        }
    }

    /// A run that the process does not survive, or that is watched: nothing is saved after it.
    pub fn run_only(&self, catalog: &Catalog) -> RunResult {
        let journal = TestJournal { machine: &self.machine, entries: &self.journal };
        let ledger = TestLedger { machine: &self.machine, ledger: &self.ledger };
        run(&self.request(Mode::Apply, catalog, &self.machine, &journal, &ledger))
    }

    /// A run, and what the agent does after one.
    pub fn run(&self, catalog: &Catalog) -> Report {
        let result = self.run_only(catalog);
        if let Some(ledger) = result.ledger {
            *self.ledger.lock().unwrap() = ledger;
        }
        // Whatever settling cannot do is done by the next run's.
        let _ = settle(&TestJournal { machine: &self.machine, entries: &self.journal });
        result.report
    }

    /// A plan on `system`, an overlay on the machine.
    pub fn plan(&self, catalog: &Catalog, system: &dyn System) -> Report {
        let journal = TestJournal { machine: &self.machine, entries: &self.journal };
        let ledger = TestLedger { machine: &self.machine, ledger: &self.ledger };
        run(&self.request(Mode::Plan, catalog, system, &journal, &ledger)).report
    }

    /// Runs, and demands that it succeeds, then that a second run finds nothing to do and does nothing.
    pub fn converges(&self, catalog: &Catalog) -> Report {
        self.machine.set_faults(Faults::none());
        let report = self.run(catalog);
        assert_eq!(report.conclusion, Conclusion::Succeeded, "{}", words(&report));
        self.is_idle(catalog);
        report
    }

    /// Demands that a run finds nothing to do, writes nothing and flushes nothing.
    pub fn is_idle(&self, catalog: &Catalog) {
        self.machine.set_faults(Faults::none());
        let before = self.machine.clone();
        let report = self.run(catalog);
        assert!(report.conclusion.is_success() && !report.has_changes(), "{}", words(&report));
        assert_eq!(self.machine.changes_since(&before), "");
        let wrote: Vec<_> = self
            .machine
            .operations()
            .into_iter()
            .filter(|operation| ["append", "replace", "flush", "write"].contains(&operation.name.as_str()))
            .collect();
        assert_eq!(wrote, [], "{}", words(&report));
    }
}

/// A report in a few words: one line a resource, then one a notification, then remarks and how it ended.
pub fn words(report: &Report) -> String {
    let mut lines = Vec::new();
    for resource in &report.resources {
        let mut line = format!("{} {}", resource.id, resource.outcome);
        if let Some(reason) = &resource.reason {
            line += &format!(": {reason}");
        }
        if let Some(error) = &resource.error {
            line += &format!(": {}", error.message);
        }
        if resource.ignored {
            line += " (ignored)";
        }
        if resource.audit {
            line += " (audit)";
        }
        lines.push(line);
    }
    for notification in &report.notifications {
        let sources: Vec<String> = notification.sources.iter().map(ToString::to_string).collect();
        let (target, action, outcome) = (&notification.target, &notification.action, notification.outcome);
        let error = notification.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
        lines.push(format!("{action} {target} {outcome} by {}{error}", sources.join(" ")));
    }
    lines.extend(report.remarks.iter().map(|remark| format!("remark: {remark}")));
    lines.push(report.conclusion.words().to_owned());
    lines.join("\n")
}

/// The outcome of each resource, by its identity.
pub fn outcomes(report: &Report) -> BTreeMap<String, Outcome> {
    report.resources.iter().map(|resource| (resource.id.to_string(), resource.outcome)).collect()
}

/// A declaration, with references by identity.
#[derive(Clone, Debug)]
pub struct Declaration {
    resource: CatalogResource,
    requires: Vec<String>,
    notifies: Vec<(String, String, Timing)>,
}

/// Declares a resource.
pub fn declare(id: &str) -> Declaration {
    let resource = CatalogResource {
        id: id.parse::<ResourceId>().unwrap(),
        properties: ByName::new(),
        secret: Default::default(),
        skipped: None,
        guards: Vec::new(),
        requires: Vec::new(),
        notifies: Vec::new(),
        timeout: None,
        retries: None,
        ignore_failure: false,
        sensitive: false,
        audit: false,
        origin: Origin::default(),
    };
    Declaration { resource, requires: Vec::new(), notifies: Vec::new() }
}

/// Declares a file with content.
pub fn file(path: &str, content: &str) -> Declaration {
    declare(&format!("file[{path}]")).with("content", content)
}

/// Declares a running service.
pub fn service(name: &str) -> Declaration {
    declare(&format!("service[{name}]")).with("running", true)
}

impl Declaration {
    pub fn with(mut self, property: &str, value: impl Into<Value>) -> Self {
        self.resource.properties.insert(property.to_owned(), value.into());
        self
    }

    pub fn requires(mut self, id: &str) -> Self {
        self.requires.push(id.to_owned());
        self
    }

    pub fn notifies(mut self, action: &str, id: &str) -> Self {
        self.notifies.push((id.to_owned(), action.to_owned(), Timing::Delayed));
        self
    }

    pub fn notifies_at_once(mut self, action: &str, id: &str) -> Self {
        self.notifies.push((id.to_owned(), action.to_owned(), Timing::Immediate));
        self
    }

    pub fn only_if(self, command: &str) -> Self {
        self.guard(Guard::OnlyIf(shell(command)))
    }

    pub fn not_if(self, command: &str) -> Self {
        self.guard(Guard::NotIf(shell(command)))
    }

    pub fn guard(mut self, guard: Guard) -> Self {
        self.resource.guards.push(guard);
        self
    }

    pub fn retries(mut self, count: u32, seconds: u64) -> Self {
        self.resource.retries = Some(Retries { count, delay: Duration::from_secs(seconds).into() });
        self
    }

    pub fn secret(mut self, property: &str) -> Self {
        self.resource.secret.insert(property.to_owned());
        self
    }

    pub fn and(mut self, change: impl FnOnce(&mut CatalogResource)) -> Self {
        change(&mut self.resource);
        self
    }
}

fn shell(command: &str) -> Condition {
    Condition::Command(converge_model::CommandLine::Shell(command.to_owned()))
}

/// A catalog of these declarations. Only what is required in writing is.
pub fn catalog<const N: usize>(declarations: [Declaration; N]) -> Catalog {
    catalog_of(declarations.to_vec())
}

/// As [`catalog`], where each resource requires the one before it, as in an ordered recipe.
pub fn recipe<const N: usize>(declarations: [Declaration; N]) -> Catalog {
    let mut catalog = catalog(declarations);
    for (position, resource) in catalog.resources.iter_mut().enumerate().skip(1) {
        resource.requires.push(position - 1);
        resource.requires.dedup();
    }
    catalog
}

pub fn catalog_of(declarations: Vec<Declaration>) -> Catalog {
    let ids: Vec<String> = declarations.iter().map(|declaration| declaration.resource.id.to_string()).collect();
    let position = |id: &String| ids.iter().position(|other| other == id).unwrap_or_else(|| panic!("no {id}"));
    let resources = declarations.iter().map(|declaration| {
        let mut resource = declaration.resource.clone();
        resource.requires = declaration.requires.iter().map(position).collect();
        let notify = |(id, action, timing): &(String, String, Timing)| Notify {
            target: position(id),
            action: action.clone(),
            timing: *timing,
        };
        resource.notifies = declaration.notifies.iter().map(notify).collect();
        resource
    });
    Catalog { policy: "web".to_owned(), orphans: Orphans::Report, resources: resources.collect() }
}
