//! Units as they would be.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::sync::PoisonError;
use std::time::Duration;

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::files::FileType;
use converge_model::system::services::{Activity, Enablement, UnitAction, UnitStatus};
use converge_model::system::{Files, Services};
use converge_model::{AbsPath, Digest};

use super::Overlay;
use super::tree::{Found, Node, Shape};
use super::unit_file::{self, Definition, UnitFiles};

/// How much of a unit file is read.
const LONGEST_UNIT_FILE: u64 = 1 << 20;

/// What was done with units.
#[derive(Debug, Default)]
pub(super) struct Changes {
    units: BTreeMap<String, Change>,
    /// What files that changed here said when all were last read anew; nothing where there was none.
    read: BTreeMap<String, Option<Digest>>,
    /// Whether they were.
    reloaded: bool,
}

/// What was done with a unit; what is nothing is as on the machine below.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    activity: Option<Activity>,
    enabled: Option<bool>,
    masked: Option<bool>,
}

impl Changes {
    pub(super) fn is_changed(&self) -> bool {
        !self.units.is_empty() || self.reloaded
    }
}

/// The files of a unit, on the machine below and here.
#[derive(Clone, Copy)]
struct Definitions {
    before: Option<Definition>,
    now: Option<Definition>,
}

impl Definitions {
    fn differ(self) -> bool {
        self.before != self.now
    }

    /// Whether the administrator masked the unit with a link that is gone here.
    fn mask_is_gone(self) -> bool {
        let masked = |definition: Option<Definition>| definition.is_some_and(|definition| definition.masked);
        masked(self.before) && !masked(self.now)
    }

    fn is_masked(self) -> bool {
        self.now.is_some_and(|now| now.masked)
    }

    /// Whether the unit exists, and whether it is stale, where the service manager read `read` of it here: nothing where
    /// it read nothing.
    fn presence(self, below: &UnitStatus, runs: bool, enabled: bool, read: Option<Option<Digest>>) -> (bool, bool) {
        let loaded = runs || enabled;
        if self.before.is_none() && self.now.is_none() && !matches!(read, Some(Some(_))) {
            // A unit that is made by a generator, or whose files are gone, which is seen only now.
            let gone = below.stale && read.is_some();
            return (below.exists && !gone, below.stale && !gone);
        }
        let now = self.now.map(|now| now.digest);
        match read {
            // What it read before the plan is not what is there, whatever it was.
            None if below.stale => (now.is_some() || loaded, loaded),
            _ => {
                let held = read.unwrap_or(self.before.map(|before| before.digest)).filter(|_| loaded);
                let stale = (held.is_some() || runs) && held != now;
                (now.is_some() || held.is_some(), stale)
            }
        }
    }
}

/// Files as a port has them.
struct Port<'a>(&'a dyn Files);

impl UnitFiles for Port<'_> {
    fn resolve(&self, path: &AbsPath) -> Result<AbsPath> {
        // What leads nowhere, or in a circle, is no unit file.
        Ok(self.0.resolve(path).unwrap_or_else(|_| path.clone()))
    }

    fn text(&self, path: &AbsPath) -> Result<Option<String>> {
        match self.0.metadata(path)? {
            Some(metadata) if metadata.file_type == FileType::Regular => {
                match self.0.read(path, LONGEST_UNIT_FILE) {
                    Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
                    // Not everybody may read all of them, and the service manager has told what follows from them.
                    Err(error) if error.kind == ErrorKind::Denied => Ok(Some(String::new())),
                    Err(error) => Err(error),
                }
            }
            _ => Ok(None),
        }
    }

    fn names(&self, directory: &AbsPath) -> Result<Vec<OsString>> {
        match self.0.metadata(directory)? {
            Some(metadata) if metadata.file_type == FileType::Directory => {
                Ok(self.0.list(directory)?.into_iter().map(|entry| entry.name).collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Overlay<'_> {
    fn units(&self) -> std::sync::RwLockReadGuard<'_, Changes> {
        self.units.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn units_mut(&self) -> std::sync::RwLockWriteGuard<'_, Changes> {
        self.units.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The unit directories in which something changed here.
    fn changed_unit_directories(&self) -> Result<Vec<AbsPath>> {
        let tree = self.tree();
        if !tree.is_changed() {
            return Ok(Vec::new());
        }
        let mut changed = Vec::new();
        for directory in unit_file::directories() {
            let real = tree.resolve(&directory)?;
            if tree.holds("look at", &real)? {
                changed.push(real);
            }
        }
        Ok(changed)
    }

    /// The units whose files may have changed here, drop-ins included.
    fn changed_units(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for directory in self.changed_unit_directories()? {
            let tree = self.tree();
            let Found::Own(id) = tree.find("look at", &directory)? else { continue };
            if let Some(Node { shape: Shape::Directory { entries, .. }, .. }) = tree.node(id) {
                let names_here = entries.keys().filter_map(|name| name.to_str());
                names.extend(names_here.map(|name| name.strip_suffix(".d").unwrap_or(name).to_owned()));
            }
        }
        Ok(names)
    }

    fn definitions(&self, unit: &str, changed: bool) -> Result<Definitions> {
        let before = unit_file::find(unit, &Port(self.base.files()))?;
        let now = if changed { unit_file::find(unit, &Port(self))? } else { before };
        Ok(Definitions { before, now })
    }

    fn predict(&self, unit: &str) -> Result<UnitStatus> {
        let below = self.base.services().status(unit)?;
        let changed = !self.changed_unit_directories()?.is_empty();
        if changed || self.units().is_changed() {
            return self.predict_from(unit, below, self.definitions(unit, changed)?);
        }
        if !below.exists {
            return Ok(self.taken_to_come(unit, below));
        }
        self.assumptions.doubt();
        Ok(below)
    }

    /// What a unit would be that is `below` on the machine below, where something changed with units or their files.
    fn predict_from(&self, unit: &str, below: UnitStatus, files: Definitions) -> Result<UnitStatus> {
        let units = self.units();
        let change = units.units.get(unit).copied().unwrap_or_default();
        let activity = change.activity.unwrap_or(below.activity);
        let masked_below = below.enablement == Enablement::Masked;
        let masked = files.is_masked() || change.masked.unwrap_or(masked_below && !files.mask_is_gone());
        let enabled = change.enabled.unwrap_or(below.enablement == Enablement::Enabled);
        let hidden = masked_below || change.enabled.is_some();
        let file = files.now.map(|now| now.file).filter(|_| files.differ() || hidden);
        let enablement = match file {
            _ if masked => Enablement::Masked,
            _ if enabled => Enablement::Enabled,
            Some(file) if !file.installable => Enablement::Static,
            None if below.enablement == Enablement::Static && !files.differ() => Enablement::Static,
            _ => Enablement::Disabled,
        };
        let own = unit_file::names(unit).iter().find_map(|name| units.read.get(name).copied());
        let read = own.or(units.reloaded.then_some(files.before.map(|before| before.digest)));
        let (exists, stale) = files.presence(&below, activity != Activity::Inactive, enabled, read);
        let can_reload = match file {
            Some(file) => file.reloadable,
            None => below.can_reload && !files.differ(),
        };
        let status = UnitStatus { exists: exists || masked, activity, enablement, stale, can_reload };
        drop(units);
        if masked_below && !masked && change.enabled.is_none() {
            self.assumptions
                .assume(format!("{unit} is taken to be disabled: its mask hides whether it starts at boot"));
        }
        if !status.exists {
            return Ok(self.taken_to_come(unit, status));
        }
        if change.activity.is_none() {
            // Scripts of packages start, stop and replace units.
            self.assumptions.doubt();
        }
        Ok(status)
    }

    /// A unit that nobody knows is taken to come with what is opaque.
    fn taken_to_come(&self, unit: &str, status: UnitStatus) -> UnitStatus {
        let Some(causes) = self.assumptions.causes() else { return status };
        self.assumptions
            .assume(format!("the unit {unit} is taken to come with {causes}, disabled until told otherwise"));
        UnitStatus { exists: true, can_reload: true, ..status }
    }

    fn change_unit(&self, unit: &str, change: impl FnOnce(&mut Change)) {
        change(self.units_mut().units.entry(unit.to_owned()).or_default());
    }

    /// Whether something other than a mask is where the link that masks `unit` has to go.
    fn is_configured(&self, unit: &str) -> Result<bool> {
        let Some(path) = unit_file::own_path(unit) else { return Ok(false) };
        let found = self.tree().metadata("look at", &path)?.map(|metadata| metadata.file_type);
        Ok(match found {
            None => false,
            Some(FileType::Symlink) => Files::read_link(self, &path)? != "/dev/null",
            Some(_) => true,
        })
    }

    /// Takes away the links to `/dev/null` that mask a unit.
    fn unmask_files(&self, unit: &str) -> Result<()> {
        for path in unit_file::paths(unit) {
            let found = self.tree().metadata("look at", &path)?.map(|metadata| metadata.file_type);
            if found == Some(FileType::Symlink) && Files::read_link(self, &path)? == "/dev/null" {
                self.tree_mut().remove(&path)?;
            }
        }
        Ok(())
    }
}

impl Services for Overlay<'_> {
    fn provider(&self) -> Option<&'static str> {
        self.base.services().provider()
    }

    fn status(&self, unit: &str) -> Result<UnitStatus> {
        if !self.is_changed() {
            return self.base.services().status(unit);
        }
        self.predict(unit)
    }

    fn perform(&self, unit: &str, action: UnitAction, _timeout: Duration) -> Result<()> {
        let fail = |kind, cause: &str| Err(Error::new(kind, action.word(), format!("unit {unit}"), cause));
        let mut status = self.predict(unit)?;
        if status.stale {
            self.reload_units()?;
            status = self.predict(unit)?;
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
                return fail(ErrorKind::Denied, "it is masked");
            }
            UnitAction::Enable if status.enablement == Enablement::Static => {
                return fail(ErrorKind::Invalid, "its file has no [Install] section that says when to start it");
            }
            UnitAction::Mask if self.is_configured(unit)? => {
                return fail(ErrorKind::Failed, "a file is where the link has to go, in /etc/systemd/system");
            }
            UnitAction::Start if status.activity == Activity::Active => {}
            // A unit that does not run has nothing to reload, and is not started by it.
            UnitAction::Reload if status.activity != Activity::Active || status.can_reload => {}
            UnitAction::Start | UnitAction::Restart | UnitAction::Reload => {
                let file = unit_file::find(unit, &Port(self))?.map(|definition| definition.file).unwrap_or_default();
                let activity = if file.passing { Activity::Inactive } else { Activity::Active };
                self.change_unit(unit, |change| change.activity = Some(activity));
                // It is started with its files as they are.
                self.read_files(unit)?;
            }
            UnitAction::Stop => self.change_unit(unit, |change| change.activity = Some(Activity::Inactive)),
            UnitAction::Enable | UnitAction::Disable => {
                let enabled = action == UnitAction::Enable;
                let before = self.units().units.get(unit).and_then(|change| change.enabled);
                let before = before.unwrap_or(status.enablement == Enablement::Enabled);
                self.change_files(unit, before != enabled, |change| change.enabled = Some(enabled))?;
            }
            UnitAction::Mask => self.change_files(unit, !masked, |change| change.masked = Some(true))?,
            UnitAction::Unmask => {
                self.unmask_files(unit)?;
                self.change_files(unit, masked, |change| change.masked = Some(false))?;
            }
        }
        Ok(())
    }

    fn reload_units(&self) -> Result<()> {
        let mut units = self.changed_units()?;
        units.extend(self.units().read.keys().cloned());
        for unit in units {
            self.read_files(&unit)?;
        }
        self.units_mut().reloaded = true;
        Ok(())
    }
}

impl Overlay<'_> {
    /// The service manager reads the files of a unit.
    fn read_files(&self, unit: &str) -> Result<()> {
        let now = unit_file::find(unit, &Port(self))?;
        self.units_mut().read.insert(unit.to_owned(), now.map(|now| now.digest));
        Ok(())
    }

    /// Changes what the service manager keeps in links, and lets it see that where it did change.
    fn change_files(&self, unit: &str, changed: bool, change: impl FnOnce(&mut Change)) -> Result<()> {
        self.change_unit(unit, change);
        if changed { self.reload_units() } else { Ok(()) }
    }
}
