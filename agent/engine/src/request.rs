//! What a run is asked to do, and what it gives back.

use std::time::Duration;

use converge_model::report::Mode;
use converge_model::{Cancel, Catalog, Clock, EventSink, Keeper, Kinds, Report, RunId, System};

use crate::images::RunImages;
use crate::journal::Journal;
use crate::ledger::{Ledger, LedgerStore};

/// Everything that one run over a catalog needs. The caller holds the run lock.
#[derive(Clone, Copy)]
pub struct RunRequest<'a> {
    /// The run's identity. Further passes of the same run have the same.
    pub run: RunId,
    /// The node's name; empty where it has none.
    pub node: &'a str,
    /// The revision of the policy, where it came from a store.
    pub revision: Option<u64>,
    /// Whether to change the machine. For a plan, `system` is an overlay that keeps the changes in memory: the engine
    /// does the same in both modes, but leaves journal and ledger alone in a plan, and says "would update".
    pub mode: Mode,
    /// What to converge.
    pub catalog: &'a Catalog,
    /// The kinds there are.
    pub kinds: &'a dyn Kinds,
    /// The machine.
    pub system: &'a dyn System,
    /// What earlier runs left to be done, and where this one writes down what it is about to do.
    pub journal: &'a dyn Journal,
    /// Where contents are kept that the run overwrites; without one, nothing is.
    pub keeper: Option<&'a dyn Keeper>,
    /// The run that this one undoes, where it is for that: it owns nothing, and leaves what is due to the next one.
    pub undoes: Option<RunId>,
    /// What the policy owns.
    pub ledger: &'a dyn LedgerStore,
    /// Where time comes from.
    pub clock: &'a dyn Clock,
    /// Who listens.
    pub events: &'a dyn EventSink,
    /// Whether the run should end early.
    pub cancel: &'a Cancel,
    /// How long the run may take. When it is over, what runs is not interrupted, and nothing more is begun.
    pub deadline: Option<Duration>,
}

/// What a run gives back.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// The whole report: one outcome for each resource, however the run ended.
    pub report: Report,
    /// The ledger to be saved; nothing where it is as it was. Once it is saved, and the report put where it cannot be
    /// lost, [`settle`](crate::settle) reduces the journal to what is still due.
    pub ledger: Option<Ledger>,
    /// What was overwritten; nothing where nothing was, or nothing is kept.
    pub images: Option<RunImages>,
}
