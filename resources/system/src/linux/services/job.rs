//! An action on a unit, from the first question to the end of its job.

use std::time::Duration;

use converge_model::system::services::{Activity, UnitAction};
use converge_model::{Cancel, ErrorKind};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};
use zbus::{MessageStream, OwnedObjectPath};

use super::manager::{Listed, Manager, Refusal, SERVICE, UNIT};
use super::unit;

/// How long a service is watched that counts as started as soon as its process exists: one that ends at once would
/// otherwise have been started well.
const SETTLE: Duration = Duration::from_millis(200);
/// How often it is looked at in that time, and how often a request to stop is looked for.
const TICK: Duration = Duration::from_millis(50);

/// How an action ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// As it should.
    Well,
    /// The unit was started, and does not run; systemd has already forgotten why. Its log may say that it was skipped.
    Down,
}

/// Why an action failed, and whether the unit's log says more.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) refusal: Refusal,
    pub(super) see_log: bool,
    /// Nothing was changed yet, so that the whole may be tried again.
    pub(super) untouched: bool,
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, see_log: false, untouched: false }
    }
}

/// What is to be done, until when, and who may call it off.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) unit: String,
    pub(super) action: UnitAction,
    pub(super) timeout: Duration,
    pub(super) cancel: Cancel,
}

impl Order {
    /// Carries it out.
    pub(super) async fn carry_out(self, manager: Manager) -> Result<Ended, Trouble> {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.prepare(&manager)).await {
            Ok(prepared) => {
                let listed = prepared.map_err(|refusal| Trouble { untouched: true, ..Trouble::from(refusal) })?;
                match self.action {
                    UnitAction::Start | UnitAction::Stop | UnitAction::Restart | UnitAction::Reload => {
                        self.run_job(&manager, &listed, deadline).await
                    }
                    UnitAction::Enable | UnitAction::Disable | UnitAction::Mask | UnitAction::Unmask => {
                        let changed = timeout_at(deadline, manager.change_files(&listed.id, self.action)).await;
                        changed.unwrap_or_else(|_| Err(self.late("systemd had not done it")))?;
                        Ok(Ended::Well)
                    }
                }
            }
            Err(_) => Err(self.late("systemd had not read its unit files").into()),
        }
    }

    /// The unit as it is, its files read anew where they changed.
    async fn prepare(&self, manager: &Manager) -> Result<Listed, Refusal> {
        let listed = manager.unit(&self.unit).await?;
        if manager.is_stale(&listed).await? {
            manager.reload().await?;
            return manager.unit(&self.unit).await;
        }
        Ok(listed)
    }

    async fn run_job(&self, manager: &Manager, listed: &Listed, deadline: Instant) -> Result<Ended, Trouble> {
        let ended = manager.ended_jobs(&listed.id).await?;
        let job = manager.queue(&listed.id, self.action).await?;
        match self.wait(ended, &job, deadline).await? {
            Some(result) => self.judge(manager, listed, &result).await,
            None => Err(self.overdue(manager, listed).await),
        }
    }

    /// How the job ended; nothing where the time is up.
    async fn wait(
        &self,
        mut ended: MessageStream,
        job: &OwnedObjectPath,
        deadline: Instant,
    ) -> Result<Option<String>, Refusal> {
        loop {
            let look = deadline.min(Instant::now() + TICK);
            match timeout_at(look, ended.next()).await {
                Ok(Some(message)) => {
                    let (_, path, _, result): (u32, OwnedObjectPath, String, String) = message?.body().deserialize()?;
                    if path == *job {
                        return Ok(Some(result));
                    }
                }
                Ok(None) => {
                    let lost = Refusal::new(ErrorKind::Failed, "the connection to systemd was lost");
                    return Err(Refusal { disconnected: true, ..lost });
                }
                Err(_) if self.cancel.is_now() => {
                    let cause = "the run was asked to stop; its job goes on in systemd";
                    return Err(Refusal::new(ErrorKind::Cancelled, cause));
                }
                Err(_) if Instant::now() >= deadline => return Ok(None),
                Err(_) => {}
            }
        }
    }

    async fn judge(&self, manager: &Manager, listed: &Listed, result: &str) -> Result<Ended, Trouble> {
        let starts = matches!(self.action, UnitAction::Start | UnitAction::Restart);
        match result {
            "done" if starts => self.settle(manager, listed).await,
            "done" => Ok(Ended::Well),
            // There was nothing to reload.
            "skipped" if self.action == UnitAction::Reload => Ok(Ended::Well),
            "dependency" => Err(Trouble::from(
                Refusal::new(ErrorKind::Failed, "a unit that it requires did not start")
                    .with_hint("systemctl list-units --failed names it"),
            )),
            "canceled" | "collected" => {
                Err(Trouble::from(Refusal::new(ErrorKind::Failed, "another job took the place of this one").with_hint(
                    "something else starts or stops it at the same time; look at its dependencies and conflicts",
                )))
            }
            "assert" => Err(Trouble::from(Refusal::new(ErrorKind::Failed, "one of its Assert settings does not hold"))),
            _ => Err(Trouble { see_log: true, ..Trouble::from(self.failure(manager, &listed.id, result).await) }),
        }
    }

    /// Looks at a unit whose start is done: whether it was skipped, and whether it stays up.
    async fn settle(&self, manager: &Manager, listed: &Listed) -> Result<Ended, Trouble> {
        let until = Instant::now() + SETTLE;
        loop {
            let now = manager.unit(&listed.id).await?;
            let activity = unit::activity(&now.active_state);
            if activity == Activity::Failed || now.sub_state == "auto-restart" {
                let refusal = self.failure(manager, &listed.id, "it ended as soon as it was started").await;
                return Err(Trouble { see_log: true, ..Trouble::from(refusal) });
            }
            let kind = match listed.id.ends_with(".service") {
                true => manager.property::<String>(&now, SERVICE, "Type").await?,
                false => String::new(),
            };
            if activity == Activity::Inactive && kind != "oneshot" {
                return Ok(self.why_down(manager, &now).await?);
            }
            // Others count as started only when they say so themselves, or have run to their end.
            let unsure = matches!(kind.as_str(), "simple" | "exec" | "idle") && activity == Activity::Active;
            if !unsure || Instant::now() >= until {
                return Ok(Ended::Well);
            }
            sleep(TICK).await;
        }
    }

    /// Why a unit does not run whose start is done: it has run and ended well, or it was skipped.
    async fn why_down(&self, manager: &Manager, now: &Listed) -> Result<Ended, Refusal> {
        if manager.property::<u64>(now, UNIT, "ConditionTimestamp").await? == 0 {
            return Ok(Ended::Down);
        }
        match manager.property(now, UNIT, "ConditionResult").await? {
            true => Ok(Ended::Well),
            false => Err(skipped("one of its Condition settings does not hold")),
        }
    }

    /// What systemd knows of how the unit failed.
    async fn failure(&self, manager: &Manager, id: &str, result: &str) -> Refusal {
        let mut cause = match result {
            "failed" => format!("its {} job failed", self.action.word()),
            "timeout" => format!("it did not {} within the time that its unit file gives it", self.action.word()),
            other => other.to_owned(),
        };
        let mut hint = None;
        // Without these answers the cause is shorter, and no less true.
        if let Ok(listed) = manager.unit(id).await {
            cause = format!("{cause}; it is {} ({})", listed.active_state, listed.sub_state);
            let service = |name| manager.property::<String>(&listed, SERVICE, name);
            if let Ok(reason) = service("Result").await
                && reason != "success"
            {
                cause = format!("{cause}, because of {reason}");
            }
            if let Ok(status) = manager.property::<i32>(&listed, SERVICE, "ExecMainStatus").await
                && status != 0
            {
                cause = format!("{cause}, status {status}");
                hint = hint_of(status);
            }
        }
        Refusal { hint, ..Refusal::new(ErrorKind::Failed, cause) }
    }

    /// The job is not done, and the time is up.
    async fn overdue(&self, manager: &Manager, listed: &Listed) -> Trouble {
        let mut refusal = self.late("its job was still running");
        if let Ok(now) = manager.unit(&listed.id).await {
            refusal.cause =
                format!("{}, and goes on in systemd; it is {} ({})", refusal.cause, now.active_state, now.sub_state);
            let kind = manager.property::<String>(&now, SERVICE, "Type").await.unwrap_or_default();
            if kind.starts_with("notify") && matches!(self.action, UnitAction::Start | UnitAction::Restart) {
                refusal.hint = Some(
                    "it is of Type=notify and has not said that it is ready: look at its log, or give it a longer `timeout`",
                );
            }
        }
        Trouble { see_log: true, ..Trouble::from(refusal) }
    }

    fn late(&self, what: &str) -> Refusal {
        Refusal::new(ErrorKind::TimedOut, format!("{what} after {}", converge_model::Span::from(self.timeout)))
            .with_hint("give it a longer `timeout` if it needs one")
    }
}

/// What to do about the status with which systemd ends a process that never became the unit's program. The unit's log does
/// not always have the reason: whether the journal knows whose a line is depends on how soon the process is gone.
fn hint_of(status: i32) -> Option<&'static str> {
    Some(match status {
        200 => {
            "its working directory is not there: declare it before the service, or mend WorkingDirectory in its unit file"
        }
        203 => "its program is not there or cannot be executed: look at ExecStart in its unit file",
        216 => "its group is not there: declare it before the service, or mend Group in its unit file",
        217 => "its user is not there: declare it before the service, or mend User in its unit file",
        226 => "a path that its unit file names is not there (ReadWritePaths, BindPaths and their like)",
        _ => return None,
    })
}

/// systemd did not start a unit, and finds nothing wrong with that.
pub(super) fn skipped(why: &str) -> Refusal {
    Refusal::new(ErrorKind::Failed, format!("systemd skipped it: {}", why.trim_end_matches('.')))
        .with_hint("meet the condition, or take it out of the unit file")
}
