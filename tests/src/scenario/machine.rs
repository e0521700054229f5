//! A machine, or what somebody does to one, written in TOML.

#![expect(clippy::panic, reason = "a machine that cannot be set up is a mistake in the scenario")]

use std::collections::BTreeMap;
use std::time::Duration;

use converge_model::AbsPath;
use converge_system::memory::{Behaviour, MemoryMachine, Release, Script};
use serde::Deserialize;

/// What is put on a machine, in the order of the fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MachineText {
    /// No service manager runs.
    without_services: bool,
    /// What is taken away, with all below it.
    erase: Vec<String>,
    groups: BTreeMap<String, u32>,
    users: BTreeMap<String, u32>,
    directories: Vec<String>,
    files: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
    owners: BTreeMap<String, (u32, u32)>,
    modes: BTreeMap<String, String>,
    /// Versions that can be had, by package and version.
    packages: BTreeMap<String, BTreeMap<String, ReleaseText>>,
    installed: BTreeMap<String, String>,
    held: Vec<String>,
    /// Packages whose scripts work from now on.
    mend: Vec<String>,
    units: BTreeMap<String, UnitText>,
    /// What command lines do; `*` stands for anything.
    commands: BTreeMap<String, ScriptText>,
    /// Everything that could not be changed can be again.
    writable: bool,
    immutable: Vec<String>,
    read_only: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReleaseText {
    depends: Vec<String>,
    files: BTreeMap<String, String>,
    starts: Vec<String>,
    users: Vec<String>,
    fails: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UnitText {
    /// The unit file; nothing for one that can be enabled and reloaded.
    text: Option<String>,
    /// The unit is there already, and only behaves otherwise.
    known: bool,
    running: bool,
    enabled: bool,
    masked: bool,
    /// What it logs when it fails to start or to reload.
    fails: Option<String>,
    hangs: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ScriptText {
    code: i32,
    output: String,
    writes: BTreeMap<String, String>,
    seconds: u64,
}

impl MachineText {
    /// Reads what a scenario says.
    ///
    /// # Panics
    /// Where it is no such document.
    pub(super) fn read(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("the machine of the scenario: {error}"))
    }

    /// Puts it on a machine.
    pub(super) fn apply(&self, machine: &MemoryMachine) {
        if self.without_services {
            machine.without_services();
        }
        if self.writable {
            machine.writable();
        }
        for path in &self.erase {
            machine.erase(path);
        }
        for (name, id) in &self.groups {
            machine.group(name, *id);
        }
        for (name, id) in &self.users {
            machine.user(name, *id);
        }
        for path in &self.directories {
            machine.directory(path);
        }
        for (path, text) in &self.files {
            machine.file(path, text);
        }
        for (path, to) in &self.links {
            machine.symlink(path, to);
        }
        for (path, (uid, gid)) in &self.owners {
            machine.owner(path, *uid, *gid);
        }
        for (path, mode) in &self.modes {
            let mode = u32::from_str_radix(mode, 8).unwrap_or_else(|error| panic!("the mode {mode}: {error}"));
            machine.mode(path, mode);
        }
        for (name, versions) in &self.packages {
            for (version, release) in versions {
                machine.package(name, version, release.release());
            }
        }
        for (name, version) in &self.installed {
            machine.installed(name, version);
        }
        for name in &self.held {
            machine.package_state(name, converge_model::system::packages::PackageState::Installed, true);
        }
        for name in &self.mend {
            machine.mend_package(name);
        }
        self.units.iter().for_each(|(name, unit)| unit.apply(name, machine));
        for (line, script) in &self.commands {
            machine.command(line, script.script());
        }
        for path in &self.immutable {
            machine.immutable(path);
        }
        for path in &self.read_only {
            machine.read_only(path);
        }
    }
}

fn path(text: &str) -> AbsPath {
    text.parse().unwrap_or_else(|error| panic!("the path {text}: {error}"))
}

impl ReleaseText {
    fn release(&self) -> Release {
        let mut release = self.depends.iter().fold(Release::default(), |release, name| release.needing(name));
        release = self.files.iter().fold(release, |release, (at, text)| release.shipping(path(at), text.as_bytes()));
        release = self.starts.iter().fold(release, |release, unit| release.starting(unit));
        release = self.users.iter().fold(release, |release, user| release.adding_user(user));
        Release { fails: self.fails.clone(), ..release }
    }
}

impl UnitText {
    fn apply(&self, name: &str, machine: &MemoryMachine) {
        match &self.text {
            _ if self.known => machine,
            Some(text) => machine.unit_with(name, text),
            None => machine.unit(name),
        };
        if self.enabled {
            machine.enabled(name);
        }
        if self.running {
            machine.running(name);
        }
        if self.masked {
            machine.masked(name);
        }
        machine.behaviour(
            name,
            match &self.fails {
                Some(log) => Behaviour::Fails(log.clone()),
                None if self.hangs => Behaviour::Hangs,
                None => Behaviour::Works,
            },
        );
    }
}

impl ScriptText {
    fn script(&self) -> Script {
        let script = Script::exits(self.code).printing(&self.output).taking(Duration::from_secs(self.seconds));
        self.writes.iter().fold(script, |script, (at, text)| script.writing(path(at), text.as_bytes()))
    }
}
