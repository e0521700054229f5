//! What the daemon is about. It holds a lock for as long as it lives, so that nobody takes what a killed one left behind for
//! the truth.

use std::path::{Path, PathBuf};
use std::time::Duration;

use converge_model::{Cancel, Clock, Result, Span, Timestamp};
use converge_system::linux::durable::{self, Durability};
use converge_system::linux::lock::RunLock;
use serde::{Deserialize, Serialize};

use super::{Loaded, StateDir, load, save};
use crate::clock::MachineClock;
use crate::console::words::moment;

/// How long a daemon that starts waits for one that ends.
const ENDING: Duration = Duration::from_secs(5);
/// How old what is written of the last contact may be.
const CONTACT_AGE: u64 = 5 * 60 * 1_000;

/// What the daemon is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DaemonState {
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub since: Timestamp,
    /// How often it converges.
    pub interval: Span,
    /// When the run began that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When it converges next; nothing while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Why then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// When the store last answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Timestamp>,
    /// What the store last came to where it does not answer as it should, and when it is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<Unheard>,
}

/// Why the daemon converges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// It is this node's moment of the interval.
    Interval,
    /// The store has something new.
    News,
}

/// A store that cannot be listened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unheard {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub message: String,
    /// When it is asked again.
    pub again: Timestamp,
}

/// What a daemon lets others know of itself, until it is dropped.
#[derive(Debug)]
pub(crate) struct Notice {
    path: PathBuf,
    state: DaemonState,
    /// When it was written last.
    written: Timestamp,
    lock: RunLock,
    lock_path: PathBuf,
}

/// What can be known of the daemon from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(crate) enum DaemonView {
    /// There is none.
    None,
    /// It runs. What it is about is not known where it has not written that yet, or somebody deleted it.
    Running {
        /// What it is about.
        #[serde(flatten)]
        about: Option<DaemonState>,
    },
    /// There was one, and it ended without having been told to: it was killed, or the machine was.
    Killed {
        /// What it was about.
        #[serde(flatten)]
        about: DaemonState,
    },
}

fn file(state: &StateDir) -> PathBuf {
    state.path("daemon.json")
}

fn lock_file(state: &StateDir) -> PathBuf {
    state.path("daemon.lock")
}

impl DaemonView {
    /// Whether it runs, and does not hear from the store.
    pub(crate) fn is_unheard(&self) -> bool {
        matches!(self, Self::Running { about: Some(about) } if about.unheard.is_some())
    }

    /// What can be known of the daemon of the machine with this state.
    ///
    /// # Errors
    /// Where the lock cannot be looked at.
    pub(crate) fn of(state: &StateDir) -> Result<Self> {
        let about = match load::<DaemonState>(&file(state)) {
            Loaded::Whole(about) => Some(about),
            Loaded::Absent | Loaded::Broken(_) => None,
        };
        Ok(match (RunLock::holder(&lock_file(state))?, about) {
            // What another one left is not about this one.
            (Some(holder), about) => {
                let is_its_own = |about: &DaemonState| holder.starts_with(&format!("pid {},", about.pid));
                DaemonView::Running { about: about.filter(is_its_own) }
            }
            (None, Some(about)) => DaemonView::Killed { about },
            (None, None) => DaemonView::None,
        })
    }
}

impl Notice {
    /// That of this process. Also gives when the run began that was under way when an earlier one was killed.
    ///
    /// # Errors
    /// Where another daemon runs on this machine.
    pub(crate) fn begin(state: &StateDir, interval: Span) -> Result<(Self, Option<Timestamp>)> {
        let since = MachineClock.now();
        let lock_path = lock_file(state);
        let lock = take(&lock_path, since, ENDING)
            .map_err(|error| error.with_hint("one daemon is enough for a machine; to converge now, send it SIGUSR1"))?;
        let left = match load::<DaemonState>(&file(state)) {
            Loaded::Whole(left) => left.began,
            Loaded::Absent | Loaded::Broken(_) => None,
        };
        let pid = std::process::id();
        let about =
            DaemonState { pid, since, interval, began: None, next: None, why: None, heard: None, unheard: None };
        let mut notice = Self { path: file(state), state: about, written: since, lock, lock_path };
        notice.write();
        Ok((notice, left))
    }

    /// It converges, since now. Gives when that is.
    pub(crate) fn converging(&mut self) -> Timestamp {
        let now = MachineClock.now();
        // Somebody may have deleted the file: a lock on nothing keeps nobody off.
        if !self.lock.is_at(&self.lock_path)
            && let Ok(lock) = take(&self.lock_path, self.state.since, Duration::ZERO)
        {
            self.lock = lock;
        }
        (self.state.began, self.state.next, self.state.why) = (Some(now), None, None);
        self.write();
        now
    }

    /// It waits until then. Says whether that is something new.
    pub(crate) fn waiting(&mut self, interval: Span, next: Timestamp, why: Reason) -> bool {
        let after = DaemonState { interval, began: None, next: Some(next), why: Some(why), ..self.state.clone() };
        let is_new = after != self.state;
        if is_new {
            self.state = after;
            self.write();
        }
        is_new
    }

    /// The store answered. Says whether it did not before.
    pub(crate) fn heard(&mut self) -> bool {
        let now = MachineClock.now();
        let was_unheard = self.state.unheard.take().is_some();
        let is_first = self.state.heard.replace(now).is_none();
        if was_unheard || is_first || now.millis_since(self.written) >= CONTACT_AGE {
            self.write();
        }
        was_unheard
    }

    /// The store did not answer as it should, and is asked again after `wait`.
    pub(crate) fn unheard(&mut self, message: String, wait: Duration) {
        let now = MachineClock.now();
        let since = self.state.unheard.as_ref().map_or(now, |unheard| unheard.since);
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let again = Timestamp(now.0.saturating_add(wait));
        self.state.unheard = Some(Unheard { since, message, again });
        self.write();
    }

    /// Whoever asks is told less where it cannot be written; that is no reason to stop.
    fn write(&mut self) {
        self.written = MachineClock.now();
        let _ = save(&self.path, &self.state, Durability::Soon);
    }
}

fn take(path: &Path, since: Timestamp, wait: Duration) -> Result<RunLock> {
    let holder = format!("converge, the daemon, since {} UTC", moment(since));
    RunLock::take(path, &holder, wait, &Cancel::new())
}

impl Drop for Notice {
    fn drop(&mut self) {
        // One that is left says that the daemon was killed, which is wrong but harmless.
        let _ = durable::remove(&self.path);
    }
}
