//! `converge status`: what the agent on this machine does, what is due, and when it last succeeded. Asks nobody but this
//! machine.

use std::path::Path;

use converge_engine::Entry;
use converge_model::report::{Conclusion, ReportedError};
use converge_model::{Clock, Outcome, Report, ResourceId, RunId, Timestamp};
use converge_system::linux::lock::RunLock;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use serde::Serialize;

use crate::cli::CommonArgs;
use crate::clock::MachineClock;
use crate::config::ConfigDir;
use crate::console::{Console, status};
use crate::failure::{Failure, Outcome as Ended, RUN_FAILED, TROUBLE};
use crate::state::StateDir;
use crate::state::contact::Contact;
use crate::state::daemon::DaemonView;
use crate::state::journal::FileJournal;
use crate::state::reports::{Gist, LocalReports};
use crate::state::spool::{Dropped, Spool, Waiting};

/// What is said of the agent.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// Whether there is a daemon, and what it is about.
    pub daemon: DaemonView,
    /// The run that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// The last run that has a report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Gist>,
    /// When the last run began that succeeded, as far as reports are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// The last run that did not, as far as reports are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    /// The store; nothing on a machine that is no node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
    /// Whether nothing can be written to the state directory: runs are told to the store alone.
    pub disk_is_full: bool,
    /// How many reports wait for the store.
    pub spool: Waiting,
    /// How many were dropped, of which the store was not told yet.
    pub dropped: Dropped,
    /// When all of this was looked at.
    pub now: Timestamp,
}

/// A run that is under way.
#[derive(Debug, Serialize)]
pub(crate) struct Running {
    /// Who runs, and since when.
    pub by: String,
    /// What is being changed at this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceId>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A run that did not succeed.
#[derive(Debug, Serialize)]
pub(crate) struct LastFailure {
    /// Which.
    pub run: RunId,
    /// When it began.
    pub started: Timestamp,
    /// How it ended.
    pub conclusion: String,
    /// The first thing that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The store, as this node last knew it.
#[derive(Debug, Serialize)]
pub(crate) struct StoreStatus {
    /// The name of this node there.
    pub node: String,
    /// How it last got on with it.
    #[serde(flatten)]
    pub contact: Contact,
    /// When it answered last, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard: Option<Timestamp>,
}

/// Says how the agent is. The exit code is that of the last run; or that of trouble, where the daemon was killed, the store
/// does not answer, or the disk is full.
pub(crate) fn run(common: &CommonArgs, console: Console) -> Ended {
    let found = Status::of(common)?;
    console.result(&found, status::text)?;
    match found.code() {
        0 => Ok(()),
        code => Err(Failure::Said(code)),
    }
}

impl Status {
    fn of(common: &CommonArgs) -> Ended<Self> {
        let config = ConfigDir::new(&common.config_dir);
        let state = StateDir::existing(&common.state_dir)?;
        let agent = config.agent()?;
        let reports = LocalReports::new(&state, agent.keep_reports);
        let spool = Spool::of(&state, &agent);
        let daemon = DaemonView::of(&state)?;
        let mut last: Vec<Gist> = Vec::new();
        let (mut last_success, mut last_failure) = (None, None);
        for run in reports.runs()?.into_iter().rev() {
            let Some(gist) = reports.gist(run) else { continue };
            if gist.conclusion.is_success() {
                last_success.get_or_insert(gist.started);
            } else {
                last_failure.get_or_insert((run, gist.started));
            }
            last.truncate(1);
            last.push(gist);
            if last_success.is_some() && last_failure.is_some() {
                break;
            }
        }
        let last_run = last.into_iter().next();
        let store = config.node()?.map(|node| {
            let contact = Contact::load(&state, &node.store);
            StoreStatus { node: node.name, heard: heard(&daemon, &contact, last_run.as_ref()), contact }
        });
        Ok(Self {
            running: Running::of(&state)?,
            daemon,
            last_success,
            last_failure: last_failure.and_then(|(run, _)| reports.read(run)).map(|report| LastFailure::of(&report)),
            last_run,
            store,
            disk_is_full: is_full(&common.state_dir),
            spool: spool.waiting()?,
            dropped: spool.dropped(),
            now: MachineClock.now(),
        })
    }

    fn code(&self) -> u8 {
        let was_killed = matches!(self.daemon, DaemonView::Killed { .. });
        let unheard = self.store.as_ref().is_some_and(|store| {
            let later = |at| store.heard.is_some_and(|heard| heard > at);
            self.daemon.is_unheard() || store.contact.trouble.as_ref().is_some_and(|trouble| !later(trouble.at))
        });
        match &self.last_run {
            Some(last) if !last.conclusion.is_success() => RUN_FAILED,
            _ if was_killed || unheard || self.disk_is_full => TROUBLE,
            _ => 0,
        }
    }
}

/// Whether there is no room where `path` is. Some file systems do not count inodes.
fn is_full(path: &Path) -> bool {
    // What a file system keeps for root, root can use.
    let is_root = geteuid().is_root();
    statvfs(path).is_ok_and(|there| {
        let blocks = if is_root { there.blocks_free() } else { there.blocks_available() };
        blocks == 0 || (there.files() > 0 && there.files_available() == 0)
    })
}

/// When the store answered last: the daemon knows, or the last run does that had no trouble with it.
fn heard(daemon: &DaemonView, contact: &Contact, last: Option<&Gist>) -> Option<Timestamp> {
    let by_daemon = match daemon {
        DaemonView::Running { about } => about.as_ref().and_then(|about| about.heard),
        DaemonView::Killed { about } => about.heard,
        DaemonView::None => None,
    };
    let by_run = last.filter(|last| contact.trouble.is_none() && last.revision.is_some()).map(|last| last.started);
    by_daemon.max(by_run)
}

impl Running {
    fn of(state: &StateDir) -> Ended<Option<Self>> {
        let Some(by) = RunLock::holder(&state.lock_file())? else { return Ok(None) };
        let journal = FileJournal::new(state);
        let mut resource = None;
        for entry in journal.read()?.0 {
            match entry {
                Entry::Applying { id, .. } => resource = Some(id),
                Entry::Finished { .. } | Entry::Started { .. } | Entry::Ended { .. } => resource = None,
                Entry::Due { .. } | Entry::Keeping { .. } | Entry::Done { .. } | Entry::Released { .. } => {}
            }
        }
        // The last entry says that it is about to be changed.
        let since = resource.as_ref().and_then(|_| journal.written());
        Ok(Some(Self { by, resource, since }))
    }
}

impl LastFailure {
    fn of(report: &Report) -> Self {
        let named = |what: &dyn std::fmt::Display, error: &ReportedError| {
            let message = error.message.lines().next().unwrap_or_default();
            // Most errors name what they are about.
            if message.contains(&what.to_string()) { message.to_owned() } else { format!("{what}: {message}") }
        };
        let of_run = match &report.conclusion {
            Conclusion::NotStarted { error } => error.message.lines().next().map(str::to_owned),
            _ => None,
        };
        let failed = report.resources.iter().filter(|found| found.outcome == Outcome::Failed && !found.ignored);
        let of_resource = failed.filter_map(|found| Some(named(&found.id, found.error.as_ref()?))).next();
        let notified = report.notifications.iter();
        let of_notification = notified.filter_map(|found| Some(named(&found.target, found.error.as_ref()?))).next();
        Self {
            run: report.run,
            started: report.started,
            conclusion: report.conclusion.words().to_owned(),
            message: of_run.or(of_resource).or(of_notification),
        }
    }
}
