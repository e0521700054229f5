//! The services of a machine in memory: a small systemd.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::Services;
use converge_model::system::files::Attributes;
use converge_model::system::services::{Activity, Enablement, UnitAction, UnitStatus};
use converge_model::{AbsPath, Content, Digest};

use super::{MemoryMachine, State};
use crate::overlay::tree::{Found, Shape};
use crate::overlay::unit_file::{self, Definition, UnitFiles};

/// The file of a unit that can be enabled and reloaded.
const DEFAULT_UNIT: &str = "[Service]\nExecStart=/usr/bin/NAME\nExecReload=/bin/kill -HUP $MAINPID\n\n\
                            [Install]\nWantedBy=multi-user.target\n";

/// How a unit behaves when it is told to do something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// It does it.
    #[default]
    Works,
    /// It fails to start or to reload, with this in its log.
    Fails(String),
    /// It never becomes ready.
    Hangs,
}

/// How often a unit did something, since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Started, by name.
    pub starts: u32,
    /// Stopped, by name.
    pub stops: u32,
    /// Restarted.
    pub restarts: u32,
    /// Reloaded.
    pub reloads: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) activity: Activity,
    pub(super) enabled: bool,
    pub(super) masked: bool,
    /// What its files said when the service manager read them, for as long as it keeps that in mind.
    pub(super) loaded: Option<Digest>,
    pub(super) behaviour: Behaviour,
    pub(super) counts: Counts,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            activity: Activity::Inactive,
            enabled: false,
            masked: false,
            loaded: None,
            behaviour: Behaviour::Works,
            counts: Counts::default(),
        }
    }
}

/// What the service manager knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Units {
    /// Whether there is a service manager.
    pub(super) present: bool,
    pub(super) units: BTreeMap<String, Unit>,
    /// How often all unit files were read anew.
    pub(super) reloads: u32,
}

impl UnitFiles for State {
    fn resolve(&self, path: &AbsPath) -> Result<AbsPath> {
        self.tree.resolve(path)
    }

    fn text(&self, path: &AbsPath) -> Result<Option<String>> {
        Ok(self.bytes("read", path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn names(&self, directory: &AbsPath) -> Result<Vec<OsString>> {
        let entries = if self.tree.holds("list", directory)? { self.tree.list(directory)? } else { Vec::new() };
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }
}

impl State {
    fn definition(&self, unit: &str) -> Result<Option<Definition>> {
        unit_file::find(unit, self)
    }

    pub(super) fn status(&self, unit: &str) -> Result<UnitStatus> {
        let definition = self.definition(unit)?;
        let known = self.units.units.get(unit).cloned().unwrap_or_default();
        let file = definition.as_ref().map(|definition| definition.file).unwrap_or_default();
        let masked = known.masked || definition.as_ref().is_some_and(|definition| definition.masked);
        let enablement = match () {
            () if masked => Enablement::Masked,
            () if known.enabled => Enablement::Enabled,
            () if definition.is_some() && !file.installable => Enablement::Static,
            () => Enablement::Disabled,
        };
        let runs = known.activity != Activity::Inactive && definition.is_some();
        let now = definition.map(|definition| definition.digest);
        Ok(UnitStatus {
            exists: now.is_some() || masked || known.loaded.is_some(),
            activity: known.activity,
            enablement,
            stale: (known.loaded.is_some() || runs) && known.loaded != now,
            can_reload: file.reloadable,
        })
    }

    /// Lets the service manager read the files of all units anew.
    fn reload_units(&mut self) -> Result<()> {
        let names: Vec<String> = self.units.units.keys().cloned().collect();
        for name in names {
            let digest = self.definition(&name)?.map(|definition| definition.digest);
            if let Some(unit) = self.units.units.get_mut(&name) {
                let kept = unit.enabled || unit.activity != Activity::Inactive;
                unit.loaded = digest.filter(|_| kept);
            }
        }
        self.units.reloads += 1;
        Ok(())
    }

    pub(super) fn perform(&mut self, name: &str, action: UnitAction, timeout: Duration) -> Result<()> {
        let fail = |kind, cause: &str| Err(Error::new(kind, action.word(), format!("unit {name}"), cause));
        let mut status = self.status(name)?;
        if status.stale {
            self.reload_units()?;
            status = self.status(name)?;
        }
        let for_files = matches!(action, UnitAction::Disable | UnitAction::Mask | UnitAction::Unmask);
        // What runs can be stopped, also where its files are gone.
        let runs_on = action == UnitAction::Stop && matches!(status.activity, Activity::Active | Activity::Activating);
        if !status.exists && !for_files && !runs_on {
            return fail(ErrorKind::NotFound, "there is no such unit");
        }
        let masked = status.enablement == Enablement::Masked;
        match action {
            UnitAction::Start | UnitAction::Restart | UnitAction::Enable if masked => {
                fail(ErrorKind::Denied, "it is masked")
            }
            UnitAction::Enable if status.enablement == Enablement::Static => {
                fail(ErrorKind::Invalid, "its file has no [Install] section that says when to start it")
            }
            UnitAction::Mask if self.is_configured(name)? => {
                fail(ErrorKind::Failed, "a file is where the link has to go, in /etc/systemd/system")
            }
            UnitAction::Enable => self.set_enabled(name, true),
            UnitAction::Disable => self.set_enabled(name, false),
            UnitAction::Mask => self.change_files(name, |unit| {
                unit.masked = true;
                !masked
            }),
            UnitAction::Unmask => {
                self.unmask_file(name)?;
                self.change_files(name, |unit| {
                    unit.masked = false;
                    masked
                })
            }
            UnitAction::Start | UnitAction::Stop | UnitAction::Restart | UnitAction::Reload => {
                self.run_job(name, action, timeout)
            }
        }
    }

    fn set_enabled(&mut self, name: &str, enabled: bool) -> Result<()> {
        self.change_files(name, |unit| std::mem::replace(&mut unit.enabled, enabled) != enabled)
    }

    /// Changes what systemd keeps in links, and lets it see that.
    fn change_files(&mut self, name: &str, change: impl FnOnce(&mut Unit) -> bool) -> Result<()> {
        if change(self.units.units.entry(name.to_owned()).or_default()) {
            self.reload_units()?;
        }
        Ok(())
    }

    fn run_job(&mut self, name: &str, action: UnitAction, timeout: Duration) -> Result<()> {
        let fail = |kind, cause: &str| Err(Error::new(kind, action.word(), format!("unit {name}"), cause));
        let late = format!("its job was still running after {}s", timeout.as_secs());
        let definition = self.definition(name)?;
        let file = definition.as_ref().map(|definition| definition.file).unwrap_or_default();
        let unit = self.units.units.entry(name.to_owned()).or_default();
        let runs = unit.activity == Activity::Active;
        match action {
            UnitAction::Stop => {
                unit.activity = Activity::Inactive;
                unit.loaded = unit.loaded.filter(|_| unit.enabled);
                unit.counts.stops += 1;
                return Ok(());
            }
            // A unit that does not run has nothing to reload, and is not started by it.
            UnitAction::Reload if !runs => return Ok(()),
            UnitAction::Reload if file.reloadable => {
                return match &unit.behaviour {
                    Behaviour::Works => {
                        unit.counts.reloads += 1;
                        Ok(())
                    }
                    Behaviour::Fails(log) => fail(ErrorKind::Failed, log),
                    Behaviour::Hangs => fail(ErrorKind::TimedOut, &late),
                };
            }
            UnitAction::Start if runs => {}
            _ => {
                unit.loaded = definition.map(|definition| definition.digest);
                unit.activity = match &unit.behaviour {
                    Behaviour::Works if file.passing => Activity::Inactive,
                    Behaviour::Works => Activity::Active,
                    Behaviour::Fails(_) => Activity::Failed,
                    Behaviour::Hangs => Activity::Activating,
                };
                unit.loaded = unit.loaded.filter(|_| unit.enabled || unit.activity != Activity::Inactive);
                match &unit.behaviour {
                    Behaviour::Works => {}
                    Behaviour::Fails(log) => return fail(ErrorKind::Failed, log),
                    Behaviour::Hangs => return fail(ErrorKind::TimedOut, &late),
                }
            }
        }
        match action {
            UnitAction::Start => unit.counts.starts += 1,
            _ => unit.counts.restarts += 1,
        }
        Ok(())
    }

    /// Whether something other than a mask is where the link that masks `unit` has to go.
    fn is_configured(&self, unit: &str) -> Result<bool> {
        let Some(path) = unit_file::own_path(unit) else { return Ok(false) };
        Ok(match self.tree.find("look at", &path)? {
            Found::Own(id) => !matches!(
                self.tree.node(id).map(|node| &node.shape),
                Some(Shape::Symlink(target)) if target == "/dev/null"
            ),
            Found::Base(_) | Found::Nothing => false,
        })
    }

    /// Puts a unit on the machine before anything runs; where no text is given, one that can be enabled and reloaded.
    pub(super) fn put_unit(&mut self, name: &str, text: Option<&str>) -> Result<()> {
        let text = text.map_or_else(|| DEFAULT_UNIT.replace("NAME", name), str::to_owned);
        let path = format!("/usr/lib/systemd/system/{name}");
        let path = path.parse().map_err(|cause: String| Error::new(ErrorKind::Invalid, "write", &path, cause))?;
        self.put(&path, &Content::Bytes(text.as_bytes().into()), Attributes::default())?;
        self.units.units.entry(name.to_owned()).or_default();
        Ok(())
    }

    /// Does something with a unit before anything runs, so that it does not count.
    pub(super) fn set_up_unit(&mut self, name: &str, action: UnitAction) -> Result<()> {
        let reloads = self.units.reloads;
        self.perform(name, action, Duration::MAX)?;
        self.units.reloads = reloads;
        self.units.units.entry(name.to_owned()).or_default().counts = Counts::default();
        Ok(())
    }

    /// Takes away the link to `/dev/null` that masks a unit.
    fn unmask_file(&mut self, unit: &str) -> Result<()> {
        for path in unit_file::paths(unit) {
            let node = match self.tree.find("unmask", &path)? {
                Found::Own(id) => self.tree.node(id),
                Found::Base(_) | Found::Nothing => None,
            };
            if matches!(node.map(|node| &node.shape), Some(Shape::Symlink(target)) if target == "/dev/null") {
                self.tree.remove(&path)?;
            }
        }
        Ok(())
    }

    /// What a boot does: nothing runs but what is enabled.
    pub(super) fn boot_units(&mut self) -> Result<()> {
        let names: Vec<String> = self.units.units.keys().cloned().collect();
        for name in names {
            let definition = self.definition(&name)?;
            let masked = self.status(&name)?.enablement == Enablement::Masked;
            let Some(unit) = self.units.units.get_mut(&name) else { continue };
            let file = definition.as_ref().map(|definition| definition.file).unwrap_or_default();
            unit.loaded = definition.filter(|_| unit.enabled).map(|definition| definition.digest);
            unit.activity = match unit.behaviour {
                _ if !unit.enabled || masked || unit.loaded.is_none() || file.passing => Activity::Inactive,
                Behaviour::Works => Activity::Active,
                Behaviour::Fails(_) => Activity::Failed,
                Behaviour::Hangs => Activity::Activating,
            };
        }
        Ok(())
    }

    fn has_manager(&self, operation: &str, unit: &str) -> Result<()> {
        if self.units.present {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, operation, format!("unit {unit}"), "no service manager runs here"))
    }
}

/// Units carry their suffix.
fn check_name(unit: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    match unit.rsplit_once('.') {
        Some((stem, suffix)) if !stem.is_empty() && !suffix.is_empty() && unit.bytes().all(good) => Ok(()),
        _ => Err(Error::new(ErrorKind::Invalid, "look for", format!("unit {unit:?}"), "that is not a unit's name")),
    }
}

impl Services for MemoryMachine {
    fn provider(&self) -> Option<&'static str> {
        self.state().units.present.then_some("systemd")
    }

    fn status(&self, unit: &str) -> Result<UnitStatus> {
        self.operation("look at", format!("unit {unit}"))?;
        let state = self.state();
        state.has_manager("look at", unit)?;
        check_name(unit)?;
        state.status(unit)
    }

    fn perform(&self, unit: &str, action: UnitAction, timeout: Duration) -> Result<()> {
        self.operation(action.word(), format!("unit {unit}"))?;
        let mut state = self.state();
        state.has_manager(action.word(), unit)?;
        check_name(unit)?;
        state.perform(unit, action, timeout)
    }

    fn reload_units(&self) -> Result<()> {
        self.operation("read anew", "the unit files")?;
        let mut state = self.state();
        state.has_manager("read anew", "files")?;
        state.reload_units()
    }
}
