//! Facts → catalog → engine, and once more where the run changed the facts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use converge_engine::{Journal, Ledger, RunRequest, RunResult};
use converge_model::report::{Conclusion, Mode};
use converge_model::{
    Catalog, Clock, Error, ErrorKind, Facts, Keeper, Outcome, Report, ResourceId, Result, RunId, System,
};
use converge_policy::bind::{BindInput, Bound, bind};
use converge_system::linux::{LinuxSystem, Options};
use converge_system::overlay::Overlay;
use nix::unistd::{getegid, geteuid};

use super::Agent;
use super::policy::Prepared;
use crate::clock::MachineClock;
use crate::console::run::RunConsole;
use crate::state::images::ImageStore;

/// How often the graph is bound at most: facts that never settle must not keep a run going.
const MOST_PASSES: u32 = 3;

/// One run over a policy that is ready.
pub(crate) struct Pass<'a> {
    /// The agent.
    pub agent: &'a Agent,
    /// The journal.
    pub journal: &'a dyn Journal,
    /// The run.
    pub run: RunId,
    /// Whether it applies or plans.
    pub mode: Mode,
    /// How long it may take.
    pub deadline: Option<Duration>,
    /// What the machine was when the run began.
    pub facts: Arc<Facts>,
}

impl Pass<'_> {
    /// Converges, or plans. The ledger that comes with the report is to be saved. Where there is no report, `noted` has
    /// what was noticed until then.
    ///
    /// # Errors
    /// Where there was nothing to converge: the graph cannot be bound, or the machine cannot be opened.
    pub(crate) fn converge(&self, prepared: &Prepared, noted: &mut Vec<String>) -> Result<RunResult> {
        let started = MachineClock.monotonic_micros();
        let mut facts = Arc::clone(&self.facts);
        // What is missing of the facts may be why the graph cannot be bound.
        let bound = bind_to_node(prepared, &facts).inspect_err(|_| noted.append(&mut facts.take_remarks()));
        let mut catalog = bound?.catalog;
        let machine = LinuxSystem::new(Options {
            root: "/".into(),
            blobs: Arc::clone(&prepared.blobs),
            cancel: self.agent.cancel.clone(),
            stat_cache: Some(self.agent.stat_cache()),
        })?;
        let overlay;
        let system: &dyn System = match self.mode {
            Mode::Apply => &machine,
            Mode::Plan => {
                overlay = Overlay::by(&machine, geteuid().as_raw(), getegid().as_raw());
                &overlay
            }
        };
        let images = ImageStore::new(&self.agent.state, &self.agent.config);
        let mut whole: Option<RunResult> = None;
        loop {
            let ledger = whole.as_ref().and_then(|whole| whole.ledger.as_ref());
            let done = self.pass(prepared, &catalog, system, started, (ledger, &images));
            let merged = merge(whole.take(), done);
            let report = &merged.report;
            let finished = matches!(report.conclusion, Conclusion::Succeeded | Conclusion::Failed);
            let again = self.mode == Mode::Apply && finished && report.has_changes() && report.passes < MOST_PASSES;
            whole = Some(merged);
            if !again {
                break;
            }
            let now = self.agent.facts(false);
            if facts.hold_in(&now) {
                break;
            }
            facts = now;
            let rebound = match bind_to_node(prepared, &facts) {
                Ok(bound) => bound.catalog,
                Err(error) => {
                    // What was converged until now was converged: its report and its ledger count.
                    if let Some(RunResult { report, .. }) = &mut whole {
                        report.conclusion = Conclusion::Failed;
                        report.remarks.push(format!("after this run changed the facts: {error}"));
                    }
                    break;
                }
            };
            if rebound == catalog {
                break;
            }
            catalog = rebound;
        }
        let mut done = whole.ok_or_else(|| Error::new(ErrorKind::Failed, "run", "the engine", "no pass ended"))?;
        let report = &mut done.report;
        report.millis = MachineClock.monotonic_micros().saturating_sub(started) / 1_000;
        self.tell_facts(prepared, &facts, report);
        if self.mode == Mode::Apply
            && let Err(error) = machine.save_stat_cache()
        {
            report.remarks.push(error.to_string());
        }
        report.remarks.append(&mut facts.take_remarks());
        Ok(done)
    }

    fn pass(
        &self,
        prepared: &Prepared,
        catalog: &Catalog,
        system: &dyn System,
        started: u64,
        (ledger, images): (Option<&Ledger>, &ImageStore),
    ) -> RunResult {
        let elapsed = Duration::from_micros(MachineClock.monotonic_micros().saturating_sub(started));
        let saved = self.agent.ledger();
        let console = RunConsole::new(self.agent.console);
        let mut result = converge_engine::run(&RunRequest {
            run: self.run,
            node: &prepared.node.name,
            revision: prepared.revision,
            mode: self.mode,
            catalog,
            kinds: converge_kinds::registry(),
            system,
            journal: self.journal,
            keeper: images.is_wanted().then_some(images as &dyn Keeper),
            undoes: None,
            ledger: match ledger {
                Some(ledger) => ledger,
                None => &saved,
            },
            clock: &MachineClock,
            events: self.agent.listener.as_deref().unwrap_or(&console),
            cancel: &self.agent.cancel,
            deadline: self.deadline.map(|deadline| deadline.saturating_sub(elapsed)),
        });
        if self.mode == Mode::Apply {
            saved.drop_damaged(&mut result.report.remarks);
        }
        result
    }

    /// Lets the store know the facts, where one is asked for the policy. A store in trouble is no reason to fail a run.
    fn tell_facts(&self, prepared: &Prepared, facts: &Facts, report: &mut Report) {
        if self.mode == Mode::Plan {
            return;
        }
        if let Some(Err(error)) = prepared.store.as_ref().map(|store| store.tell_facts(&facts.all())) {
            report.remarks.push(error.to_string());
        }
    }
}

/// The catalog of a node with these facts.
///
/// # Errors
/// Everything that is wrong with the policy on this node.
pub(crate) fn bind_to_node(prepared: &Prepared, facts: &Arc<Facts>) -> Result<Bound> {
    let input = BindInput {
        facts: Arc::clone(facts),
        node: prepared.node.clone(),
        node_attributes: prepared.attributes.clone(),
        secrets: prepared.secrets.clone(),
    };
    let blobs = PolicyBlobs(&*prepared.blobs);
    bind(&prepared.graph, &input, &blobs, converge_kinds::registry()).map_err(|found| {
        let causes: Vec<String> = found.iter().map(ToString::to_string).collect();
        let subject = format!("policy {} to node {}", prepared.graph.policy, prepared.node.name);
        Error::new(ErrorKind::Invalid, "bind", subject, causes.join("\n"))
    })
}

/// Two passes as one report: what a resource became in the earlier pass counts unless the later one changed it again.
fn merge(earlier: Option<RunResult>, later: RunResult) -> RunResult {
    let Some(RunResult { report: before, ledger, images }) = earlier else { return later };
    let RunResult { mut report, ledger: later_ledger, images: later_images } = later;
    let positions: HashMap<ResourceId, usize> =
        report.resources.iter().enumerate().map(|(position, resource)| (resource.id.clone(), position)).collect();
    for resource in before.resources {
        match positions.get(&resource.id).and_then(|position| report.resources.get_mut(*position)) {
            Some(later) if later.outcome == Outcome::UpToDate => *later = resource,
            Some(_) => {}
            None => report.resources.push(resource),
        }
    }
    report.counts.clear();
    for resource in &report.resources {
        *report.counts.entry(resource.outcome).or_default() += 1;
    }
    report.notifications.splice(0..0, before.notifications);
    report.remarks.splice(0..0, before.remarks);
    report.passes = before.passes + 1;
    report.started = before.started;
    if before.conclusion == Conclusion::Failed && report.resources.iter().any(is_failure) {
        report.conclusion = Conclusion::Failed;
    }
    let images = match (images, later_images) {
        (Some(mut images), Some(mut later)) => {
            images.resources.append(&mut later.resources);
            Some(images)
        }
        (images, later) => images.or(later),
    };
    RunResult { report, ledger: later_ledger.or(ledger), images }
}

fn is_failure(resource: &converge_model::ResourceReport) -> bool {
    resource.outcome == Outcome::Failed && !resource.ignored
}

/// The policy's blobs, as binding reads them.
pub(crate) struct PolicyBlobs<'a>(pub(crate) &'a dyn converge_system::BlobSource);

impl converge_policy::bind::BlobReader for PolicyBlobs<'_> {
    fn read(&self, blob: &converge_model::BlobRef) -> Result<Vec<u8>> {
        converge_system::blobs::read_content(self.0, &converge_model::Content::Blob(*blob), blob.size)
    }
}
