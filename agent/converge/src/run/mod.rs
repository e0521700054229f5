//! One run of this machine, from the policy to the report that nobody can lose.

pub(crate) mod acceptance;
pub(crate) mod crash;
mod passes;
pub(crate) mod policy;
pub(crate) mod signals;
mod undo;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use converge_engine::{RunImages, RunResult};
use converge_model::report::{Conclusion, Mode, ReportedError};
use converge_model::{Cancel, Clock, Error, EventSink, Facts, Report};
use converge_system::linux::lock::RunLock;
use converge_system::linux::{StatCacheOptions, facts};

use crate::cli::CommonArgs;
use crate::clock::{MachineClock, new_run};
use crate::config::{AgentConfig, ConfigDir};
use crate::console::{Console, error_text};
use crate::failure::{Failure, Outcome, RUN_FAILED, SUCCESS, TROUBLE};
use crate::state::StateDir;
use crate::state::images::ImageStore;
use crate::state::journal::FileJournal;
use crate::state::reports::LocalReports;
use crate::state::spool::{Spool, for_store};
use crash::empty_report;
use policy::{PolicyChoice, PolicySource, Prepared, Purpose, StorePolicy};

pub(crate) use undo::UndoWish;

pub(crate) use passes::{Pass, PolicyBlobs, bind_to_node};

/// This machine, as an agent on it sees itself.
pub(crate) struct Agent {
    /// Its configuration directory.
    pub config_dir: ConfigDir,
    /// What `agent.toml` says.
    pub config: AgentConfig,
    /// What it remembers.
    pub state: StateDir,
    /// Where it prints.
    pub console: Console,
    /// Whether it should stop.
    pub cancel: Cancel,
    /// Who hears what its runs do, instead of the console.
    pub listener: Option<Arc<dyn EventSink>>,
    /// Why it runs, where that is worth a remark in the report: `pushed by alice@laptop`.
    pub started_by: Option<String>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its report.
    pub(crate) report: Report,
    /// The exit code for it.
    pub(crate) code: u8,
}

/// How long a run may wait, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For another run on this machine to end.
    pub lock_wait: Duration,
    /// For all of it.
    pub deadline: Option<Duration>,
}

impl Agent {
    /// The agent that the flags ask for. Signals end its runs from here on.
    ///
    /// # Errors
    /// Where its configuration is wrong, or its state directory cannot be used.
    pub(crate) fn open(common: &CommonArgs, console: Console) -> Outcome<Self> {
        let config_dir = ConfigDir::new(&common.config_dir);
        let config = config_dir.agent()?;
        let state = StateDir::open(&common.state_dir)?;
        let cancel = Cancel::new();
        signals::end_runs(&cancel)?;
        Ok(Self { config_dir, config, state, console, cancel, listener: None, started_by: None })
    }

    /// Converges once what `choice` says: takes the lock, settles what an earlier run left, runs, and puts the report where
    /// it cannot be lost.
    ///
    /// # Errors
    /// Where there was no run to report: the lock was not to be had, or the machine's own state cannot be written.
    pub(crate) fn converge(&self, choice: PolicyChoice, limits: Limits) -> Outcome<Done> {
        let source = self.source(choice)?;
        let started = MachineClock.now();
        let by = self.started_by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
        let holder = format!("converge{by}, since {} UTC", crate::console::words::moment(started));
        let _lock = RunLock::take(&self.state.lock_file(), &holder, limits.lock_wait, &self.cancel)?;
        let journal = FileJournal::new(&self.state);
        let store = source.store();
        let facts = self.facts(store.is_some());
        let mut remarks = Vec::from_iter(self.started_by.clone());
        self.report_what_was_cut_off(&journal, store, None, &mut remarks)?;

        let last = LocalReports::new(&self.state, self.config.keep_reports).newest_of_few()?;
        let run = new_run(&MachineClock, last)?;
        let code_of = |error: &Error| Failure::from(error.clone()).code();
        // Whatever a store answers, it is trouble with the store.
        let prepared = source
            .prepare(Purpose::Run, &self.config_dir, &mut remarks)
            .map_err(|error| (if store.is_some() { TROUBLE } else { code_of(&error) }, error));
        let is_refused = prepared.as_ref().is_ok_and(|prepared| prepared.is_refused);
        let outcome = prepared.and_then(|prepared| {
            let pass =
                Pass { agent: self, journal: &journal, run, mode: Mode::Apply, deadline: limits.deadline, facts };
            pass.converge(&prepared, &mut remarks).map_err(|error| (code_of(&error), error))
        });
        let (done, never_started) = match outcome {
            Ok(done) => (done, None),
            Err((code, error)) => {
                let conclusion = Conclusion::NotStarted { error: ReportedError::from(&error) };
                let report = empty_report(run, source.names(), conclusion);
                (RunResult { report, ledger: None, images: None }, Some(code))
            }
        };
        let RunResult { mut report, ledger, images } = done;
        remarks.append(&mut report.remarks);
        report.remarks = remarks;
        if let (Some(store), false) = (store, report.conclusion.is_success()) {
            store.drop_damaged(&mut report.remarks);
        }
        // The report goes out whatever becomes of the ledger; the journal keeps what is owned until the ledger has it.
        let saved = ledger.map_or(Ok(()), |ledger| self.ledger().save(&ledger));
        if let Err(error) = &saved {
            report.remarks.push(error.to_string());
        }
        self.keep_images(images.as_ref(), &mut report.remarks);
        let kept = self.keep(&report, store);
        if let Some(store) = store {
            store.note_contact();
        }
        kept?;
        saved?;
        converge_engine::settle(&journal)?;
        let code = match never_started {
            Some(code) => code,
            None if report.conclusion.is_success() => code_of_success(is_refused),
            None => RUN_FAILED,
        };
        Ok(Done { report, code })
    }

    /// What a run would change of what `choice` says.
    ///
    /// # Errors
    /// Where the policy is not to be had, or cannot be bound.
    pub(crate) fn plan(&self, choice: PolicyChoice) -> Outcome<Done> {
        let mut remarks = Vec::new();
        let prepared = self.prepare(choice, &mut remarks)?;
        let journal = FileJournal::new(&self.state);
        let pass = Pass {
            agent: self,
            journal: &journal,
            run: new_run(&MachineClock, None)?,
            mode: Mode::Plan,
            deadline: None,
            facts: self.facts(false),
        };
        let planned = pass.converge(&prepared, &mut remarks);
        let RunResult { mut report, .. } = planned.inspect_err(|_| {
            for remark in &remarks {
                self.console.note(format_args!("remark: {remark}"));
            }
        })?;
        remarks.append(&mut report.remarks);
        report.remarks = remarks;
        let code = if report.conclusion.is_success() { code_of_success(prepared.is_refused) } else { RUN_FAILED };
        Ok(Done { report, code })
    }

    /// The policy, ready to be bound.
    ///
    /// # Errors
    /// Where it is not to be had.
    pub(crate) fn prepare(&self, choice: PolicyChoice, remarks: &mut Vec<String>) -> Outcome<Prepared> {
        Ok(self.source(choice)?.prepare(Purpose::Look, &self.config_dir, remarks)?)
    }

    /// What this machine is, as of now. For a store, which wants to know everything, looking begins at once: that takes as
    /// long as fetching a policy.
    fn facts(&self, for_store: bool) -> Arc<Facts> {
        #[cfg(test)]
        if let Some(world) = crate::simulation::world() {
            return Arc::new(world.facts());
        }
        let facts = Arc::new(facts::of_machine(&self.config_dir.facts_directory()));
        if for_store {
            let wanted = Arc::clone(&facts);
            let thread = std::thread::Builder::new().name("facts".to_owned());
            // Where there can be no thread, they are found out when they are asked for.
            let _ = thread.spawn(move || wanted.find_all());
        }
        facts
    }

    fn source(&self, choice: PolicyChoice) -> Outcome<PolicySource> {
        match choice {
            PolicyChoice::Local(local) => Ok(PolicySource::Local(local)),
            PolicyChoice::Store => match self.config_dir.node()? {
                Some(identity) => Ok(PolicySource::Store(Arc::new(StorePolicy::new(identity, self)?))),
                None => Err(self.config_dir.not_a_node().into()),
            },
        }
    }

    fn stat_cache(&self) -> StatCacheOptions {
        StatCacheOptions { path: self.state.path("stat-cache"), trusted_for: self.config.reread_files.duration() }
    }

    fn ledger(&self) -> crate::state::ledger::FileLedger {
        crate::state::ledger::FileLedger::new(&self.state)
    }

    /// Keeps what a run overwrote. Without it the run cannot be undone, and is no worse for that.
    fn keep_images(&self, images: Option<&RunImages>, remarks: &mut Vec<String>) {
        let saved = images.map_or(Ok(()), |images| ImageStore::new(&self.state, &self.config).save(images));
        if let Err(error) = saved {
            remarks.push(format!("{error}; this run cannot be undone"));
        }
    }

    /// Puts a report among the machine's own, and on its way to the store.
    fn keep(&self, report: &Report, store: Option<&Arc<StorePolicy>>) -> Outcome {
        let kept = LocalReports::new(&self.state, self.config.keep_reports).add(report);
        let mut told = Cow::Borrowed(report);
        if let Err(error) = &kept {
            // The store hears of a full disk, also where nothing can be written.
            told.to_mut().remarks.push(format!("{error}; the machine itself has no report of this run"));
        }
        self.queue(&told, store)?;
        Ok(kept?)
    }

    /// Queues a report for the store, and sends what is queued.
    fn queue(&self, report: &Report, store: Option<&Arc<StorePolicy>>) -> Outcome {
        let Some(store) = store else { return Ok(()) };
        let spool = Spool::of(&self.state, &self.config);
        let mut remarks = Vec::new();
        let queued = spool.add(report);
        let sent = spool.send(store.client(), &mut remarks).and_then(|_| match &queued {
            Ok(()) => Ok(()),
            // One that cannot be written down has this one chance.
            Err(_) => store.client().send_report(&for_store(report)),
        });
        match (queued, sent) {
            (_, Ok(())) => {}
            (Ok(()), Err(error)) => {
                let text = error_text(&error);
                self.console.note(format_args!("{text}\nthe report is queued, and is sent with the next run"));
                let dropped = spool.keep_within_limits()?;
                if dropped > 0 {
                    remarks.push(format!("{dropped} queued reports were dropped to make room; the store will be told"));
                }
            }
            (Err(not_queued), Err(error)) => {
                self.console.note(format_args!("{}\nthe report is lost to the store", error_text(&error)));
                return Err(not_queued.into());
            }
        }
        for remark in remarks {
            self.console.note(remark);
        }
        Ok(())
    }
}

/// The exit code where all went well with what was run: a store that gave what is refused is trouble all the same.
fn code_of_success(is_refused: bool) -> u8 {
    if is_refused { TROUBLE } else { SUCCESS }
}
