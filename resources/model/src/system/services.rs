//! Services.

use std::time::Duration;

use crate::error::Result;

/// Whether a unit runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It runs (or, a one-shot, has run and stays).
    Active,
    /// It is on the way up.
    Activating,
    /// It is on the way down.
    Deactivating,
    /// It does not run.
    Inactive,
    /// It does not run, because it failed.
    Failed,
}

impl Activity {
    /// How systemd calls it.
    pub fn word(self) -> &'static str {
        match self {
            Activity::Active => "active",
            Activity::Activating => "activating",
            Activity::Deactivating => "deactivating",
            Activity::Inactive => "inactive",
            Activity::Failed => "failed",
        }
    }
}

/// Whether a unit starts at boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enablement {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It has nothing to say about that: static, generated, transient, indirect, alias.
    Static,
    /// It cannot be started at all.
    Masked,
}

impl Enablement {
    /// How people call it.
    pub fn word(self) -> &'static str {
        match self {
            Enablement::Enabled => "enabled",
            Enablement::Disabled => "disabled",
            Enablement::Static => "static",
            Enablement::Masked => "masked",
        }
    }
}

/// What the service manager knows of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitStatus {
    /// Whether there is such a unit, masked or not.
    pub exists: bool,
    /// Whether it runs.
    pub activity: Activity,
    /// Whether it starts at boot.
    pub enablement: Enablement,
    /// Whether its files changed since the service manager read them.
    pub stale: bool,
    /// Whether it can be told to read its configuration anew.
    pub can_reload: bool,
}

/// What to do with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitAction {
    /// Start it, and wait until it is up.
    Start,
    /// Stop it, and wait until it is down.
    Stop,
    /// Stop and start it.
    Restart,
    /// Let it read its configuration anew.
    Reload,
    /// Start it at boot.
    Enable,
    /// Do not start it at boot.
    Disable,
    /// Make it impossible to start.
    Mask,
    /// Make it possible again.
    Unmask,
}

impl UnitAction {
    /// The infinitive for messages.
    pub fn word(self) -> &'static str {
        match self {
            UnitAction::Start => "start",
            UnitAction::Stop => "stop",
            UnitAction::Restart => "restart",
            UnitAction::Reload => "reload",
            UnitAction::Enable => "enable",
            UnitAction::Disable => "disable",
            UnitAction::Mask => "mask",
            UnitAction::Unmask => "unmask",
        }
    }
}

/// The services of a machine. Units carry their suffix: `nginx.service`.
pub trait Services: Send + Sync {
    /// The service manager: `systemd`; nothing where none that is known is there.
    fn provider(&self) -> Option<&'static str>;

    /// What is known of `unit`. Starts no process.
    fn status(&self, unit: &str) -> Result<UnitStatus>;

    /// Does `action`, reading changed unit files first, and waits until it is done or failed.
    ///
    /// # Errors
    /// Where it failed, with the last lines of its log; where it was not done within `timeout`.
    fn perform(&self, unit: &str, action: UnitAction, timeout: Duration) -> Result<()>;

    /// Lets the service manager read all unit files anew.
    fn reload_units(&self) -> Result<()>;
}
