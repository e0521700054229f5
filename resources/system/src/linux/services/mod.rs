//! Services: what the service manager knows, and what it is told to do.
//!
//! The one provider is systemd, over D-Bus. Looking starts no process; doing waits for the end of systemd's job. A service
//! that counts as started as soon as its process exists (`Type=simple`, `exec`, `idle`) is watched for 200 ms more, so
//! that one which ends at once has not been started well. Only what failed has its log read, with journalctl.
//!
//! # Current limitations
//!
//! - Where systemd does not run (a container, a chroot) nothing is known, and nothing is enabled for later.
//! - What holds only until the next boot (`enabled-runtime`) counts as not enabled.
//! - Services that are mere init scripts cannot be enabled or disabled.
//! - Units of users' own service managers are not seen.

mod bus;
mod job;
mod manager;
mod marks;
mod private_socket;
mod unit;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use converge_model::property::CommandLine;
use converge_model::system::commands::{CommandSpec, Purpose};
use converge_model::system::services::{UnitAction, UnitStatus};
use converge_model::system::{Commands, Services};
use converge_model::{Cancel, Error, ErrorKind, Result};

use super::epoch::Epoch;
use bus::Bus;
use job::{Ended, Order, Trouble};
use manager::{Manager, Refusal};

/// For how long an answer that was asked for ahead of time counts. A sweep is over sooner.
const PREPARED: Duration = Duration::from_secs(1);
/// How long systemd may take to read all unit files.
const RELOAD: Duration = Duration::from_secs(90);
/// How much of a failed unit's log is shown.
const LOG_LINES: &str = "10";
/// How long reading the log may take, and how often it is read anew while it is empty: it is written by another process.
const LOG: Duration = Duration::from_secs(10);
const LOG_ATTEMPTS: u32 = 3;
const LOG_PAUSE: Duration = Duration::from_millis(100);

/// The services of this machine.
pub struct LinuxServices {
    root: PathBuf,
    commands: Arc<dyn Commands>,
    epoch: Epoch,
    cancel: Cancel,
    bus: Bus,
    prepared: Mutex<Prepared>,
}

/// Answers that were asked for ahead of time. Each is given once.
#[derive(Default)]
struct Prepared {
    /// What was asked, until somebody needed an answer. What went wrong is met again by the call that needs it.
    asked: Option<mpsc::Receiver<Answers>>,
    answers: Answers,
    epoch: u64,
}

#[derive(Default)]
struct Answers {
    statuses: HashMap<String, UnitStatus>,
    until: Option<Instant>,
}

impl LinuxServices {
    /// The services of this machine, or of none where `root` is not `/`. Connects when it is first asked something. Logs
    /// are read through `commands`; waiting ends when `cancel` says so.
    pub fn new(root: &Path, commands: Arc<dyn Commands>, epoch: Epoch, cancel: Cancel) -> Self {
        Self { root: root.to_owned(), commands, epoch, cancel, bus: Bus::default(), prepared: Mutex::default() }
    }

    /// Asks about all of `units` together, and waits for nothing: only who needs an answer does. Each counts once, and only
    /// for the sweep that follows.
    pub fn prepare(&self, units: &[&str]) {
        let mut names: Vec<String> = Vec::new();
        for unit in units {
            if unit::check_name(unit).is_ok() && !names.iter().any(|name| name == unit) {
                names.push((*unit).to_owned());
            }
        }
        if names.is_empty() || self.provider().is_none() {
            return;
        }
        let (sender, asked) = mpsc::sync_channel(1);
        let bus = self.bus.clone();
        let ask = move || {
            if let Ok(statuses) = look(&bus, &names) {
                let until = Some(Instant::now() + PREPARED);
                // Nobody to tell means that nobody wants to know any more.
                let _ = sender.send(Answers { statuses: names.into_iter().zip(statuses).collect(), until });
            }
        };
        let epoch = self.epoch.now();
        // Where no thread can be had, each is asked about in its turn.
        if std::thread::Builder::new().name("units".to_owned()).spawn(ask).is_ok() {
            *self.prepared() = Prepared { asked: Some(asked), answers: Answers::default(), epoch };
        }
    }

    fn prepared(&self) -> MutexGuard<'_, Prepared> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_prepared(&self, unit: &str) -> Option<UnitStatus> {
        let mut prepared = self.prepared();
        if prepared.epoch != self.epoch.now() {
            return None;
        }
        if let Some(asked) = prepared.asked.take() {
            prepared.answers = asked.recv().unwrap_or_default();
        }
        let fresh = prepared.answers.until.is_some_and(|until| Instant::now() < until);
        if fresh { prepared.answers.statuses.remove(unit) } else { None }
    }

    fn forget_prepared(&self) {
        *self.prepared() = Prepared::default();
    }

    fn available(&self, operation: &str, subject: &str) -> Result<()> {
        if self.provider().is_some() {
            return Ok(());
        }
        let cause = match self.root == Path::new("/") {
            true => "systemd does not run here, and no other service manager is known",
            false => "services do not run in a mounted tree",
        };
        Err(Error::new(ErrorKind::Unavailable, operation, subject, cause).with_hint(
            "guard the resource with a condition on the facts, so that it is skipped where systemd does not run",
        ))
    }

    /// The last lines that the unit logged since `begun`; nothing where they cannot be read.
    fn log(&self, unit: &str, begun: Instant) -> Vec<String> {
        // The first line may bear the second before.
        let since = format!("--since=-{}s", begun.elapsed().as_secs() + 2);
        let words = ["/usr/bin/journalctl", "-q", "--no-pager", "-o", "cat", "-n", LOG_LINES, &since, "-u", unit];
        let line = CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect());
        let spec = CommandSpec::new(line, Purpose::Look, LOG);
        for attempt in 0..LOG_ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(LOG_PAUSE);
            }
            let Ok(output) = self.commands.run(&spec) else { break };
            let lines: Vec<String> = output
                .output
                .text
                .lines()
                .map(str::trim_end)
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect();
            if !lines.is_empty() {
                return lines;
            }
        }
        Vec::new()
    }

    fn explain(&self, operation: &str, unit: &str, trouble: Trouble, begun: Instant) -> Error {
        let Trouble { mut refusal, see_log, .. } = trouble;
        let lines = if see_log { self.log(unit, begun) } else { Vec::new() };
        if !lines.is_empty() {
            refusal.cause.push_str("; its log:");
        } else if see_log && refusal.hint.is_none() {
            refusal.hint = Some("look at its log: journalctl -u UNIT");
        }
        for line in lines {
            refusal.cause.push_str("\n    ");
            refusal.cause.push_str(&line);
        }
        error(operation, &format!("unit {unit}"), refusal)
    }
}

impl std::fmt::Debug for LinuxServices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinuxServices").field("provider", &self.provider()).finish_non_exhaustive()
    }
}

impl Services for LinuxServices {
    fn provider(&self) -> Option<&'static str> {
        let runs = self.root == Path::new("/") && rustix::fs::stat("/run/systemd/system").is_ok();
        runs.then_some("systemd")
    }

    fn status(&self, unit: &str) -> Result<UnitStatus> {
        unit::check_name(unit)?;
        let subject = format!("unit {unit}");
        self.available("look for", &subject)?;
        if let Some(status) = self.take_prepared(unit) {
            return Ok(status);
        }
        let missing = || error("look for", &subject, Refusal::new(ErrorKind::Failed, "systemd said nothing of it"));
        look(&self.bus, &[unit.to_owned()])?.into_iter().next().ok_or_else(missing)
    }

    fn perform(&self, unit: &str, action: UnitAction, timeout: Duration) -> Result<()> {
        unit::check_name(unit)?;
        self.available(action.word(), &format!("unit {unit}"))?;
        let begun = Instant::now();
        let order = Order { unit: unit.to_owned(), action, timeout, cancel: self.cancel.clone() };
        let carry_out = || {
            let order = order.clone();
            self.bus.run(|connection| order.carry_out(Manager::new(connection)))
        };
        let mut done = carry_out()?;
        if matches!(&done, Err(trouble) if trouble.untouched && trouble.refusal.disconnected) {
            self.bus.reset();
            done = carry_out()?;
        }
        self.forget_prepared();
        // A service may change anything.
        self.epoch.advance();
        let trouble = match done {
            Ok(Ended::Well) => return Ok(()),
            Ok(Ended::Down) => match self.log(unit, begun).into_iter().find(|line| line.contains("skipped")) {
                Some(line) => Trouble::from(job::skipped(&line)),
                None => return Ok(()),
            },
            Err(trouble) => trouble,
        };
        if trouble.refusal.disconnected {
            self.bus.reset();
        }
        Err(self.explain(action.word(), unit, trouble, begun))
    }

    fn reload_units(&self) -> Result<()> {
        let subject = "the unit files";
        self.available("reload", subject)?;
        let reloaded = self.bus.run(|connection| async move {
            let manager = Manager::new(connection);
            tokio::time::timeout(RELOAD, manager.reload()).await.unwrap_or_else(|_| {
                Err(Refusal::new(ErrorKind::TimedOut, format!("it was not done within {} seconds", RELOAD.as_secs())))
            })
        });
        self.forget_prepared();
        reloaded?.map_err(|refusal| {
            if refusal.disconnected {
                self.bus.reset();
            }
            error("reload", subject, refusal)
        })
    }
}

/// Asks systemd about units; once more where the connection turned out to be dead.
fn look(bus: &Bus, units: &[String]) -> Result<Vec<UnitStatus>, Error> {
    let subject = match units {
        [unit] => format!("unit {unit}"),
        units => format!("{} units", units.len()),
    };
    let ask = || {
        let units = units.to_vec();
        bus.run(|connection| async move { Manager::new(connection).statuses(units).await })
    };
    let mut answered = ask()?;
    if answered.as_ref().is_err_and(|refusal| refusal.disconnected) {
        bus.reset();
        answered = ask()?;
    }
    answered.map_err(|refusal| error("look for", &subject, refusal))
}

fn error(operation: &str, subject: &str, refusal: Refusal) -> Error {
    let error = Error::new(refusal.kind, operation, subject, refusal.cause);
    match refusal.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
