//! A package transaction, step by step, each of which can fail or be the last one.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::accounts::UserSettings;
use converge_model::system::files::Attributes;
use converge_model::system::packages::{Install, Installed, PackageState, Transaction};
use converge_model::system::services::{Activity, UnitAction};
use converge_model::{AbsPath, Content};

use super::{Present, Release, is_unfinished, plain};
use crate::memory::{MemoryMachine, State};

/// What is to be done, once every question is answered.
#[derive(Default)]
struct Plan {
    /// In the order of what needs what.
    install: Vec<(String, String, Release)>,
    /// What goes, and whether with its configuration.
    remove: BTreeMap<String, bool>,
}

fn refuse(kind: ErrorKind, operation: &str, package: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(kind, operation, format!("package {package}"), cause)
}

impl MemoryMachine {
    pub(super) fn carry_out(&self, transaction: &Transaction) -> Result<()> {
        self.state().take_lock(transaction)?;
        // What cannot be finished does not keep others from being installed.
        let unfinished = self.state().unfinished(transaction);
        self.configure(unfinished)?;
        if self.state().must_fetch(transaction)? {
            self.operation("fetch", "the package index")?;
            self.state().fetch_for(transaction)?;
        }
        self.state().look_up(transaction)?;
        self.mark(&transaction.unhold, false)?;
        let plan = self.state().resolve(transaction)?;
        for (name, purge) in &plan.remove {
            self.operation(if *purge { "purge" } else { "remove" }, format!("package {name}"))?;
            self.state().take_away(name, *purge)?;
        }
        for (name, version, release) in &plan.install {
            self.operation("unpack", format!("package {name}"))?;
            self.state().unpack(name, version, release)?;
        }
        let failed = self.configure(plan.install.iter().map(|(name, _, _)| name.clone()).collect())?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.mark(&transaction.hold, true)
    }

    /// Runs the scripts of unpacked packages: all of them, also where one fails. Gives the first failure of a script.
    fn configure(&self, names: Vec<String>) -> Result<Option<Error>> {
        let mut first = None;
        for name in names {
            self.operation("configure", format!("package {name}"))?;
            let outcome = self.state().configure(&name);
            first = first.or(outcome.err());
        }
        Ok(first)
    }

    /// Holds packages, or releases them.
    fn mark(&self, names: &[String], held: bool) -> Result<()> {
        for name in names {
            let so = self.state().packages.packages.get(plain(name)).is_some_and(|present| present.installed.held);
            if so != held {
                self.operation(if held { "hold" } else { "unhold" }, format!("package {name}"))?;
                self.state().hold(name, held)?;
            }
        }
        Ok(())
    }
}

impl State {
    fn take_lock(&mut self, transaction: &Transaction) -> Result<()> {
        self.has_package_manager("change", "packages")?;
        match self.packages.lock.take() {
            Some((holder, left)) if left > transaction.timeout => {
                let cause = format!("the package manager is locked by {holder}");
                self.packages.lock = Some((holder, left));
                Err(Error::new(ErrorKind::Busy, "change", "packages", cause)
                    .with_hint("wait until it is done, or end it, and run again"))
            }
            _ => Ok(()),
        }
    }

    /// What an earlier transaction left in the middle, but for what is to go anyway.
    fn unfinished(&self, transaction: &Transaction) -> Vec<String> {
        let gone: BTreeSet<&str> =
            transaction.remove.iter().chain(&transaction.purge).map(|name| plain(name)).collect();
        let unfinished = self.packages.packages.iter().filter(|(_, present)| is_unfinished(present));
        unfinished.map(|(name, _)| name.clone()).filter(|name| !gone.contains(name.as_str())).collect()
    }

    /// Whether the index is older than its sources, or is without something that is asked for.
    fn must_fetch(&self, transaction: &Transaction) -> Result<bool> {
        let wants = transaction.install.iter().any(|install| install.file.is_none());
        Ok(wants && (self.lacks(transaction) || self.packages.sources != Some(self.sources()?)))
    }

    /// Fetches the index. Where that cannot be done, an old one that has all that is asked for is good enough.
    fn fetch_for(&mut self, transaction: &Transaction) -> Result<()> {
        match self.fetch_index() {
            Err(_) if !self.lacks(transaction) => Ok(()),
            other => other,
        }
    }

    /// Makes sure that everything that is asked for is there to be had.
    fn look_up(&self, transaction: &Transaction) -> Result<()> {
        transaction.install.iter().try_for_each(|install| self.chosen(install).map(drop))
    }

    /// Whether something is asked for that the index does not have.
    fn lacks(&self, transaction: &Transaction) -> bool {
        let missing = |install: &&Install| match (&install.file, self.packages.index.get(plain(&install.name))) {
            (Some(_), _) => false,
            (None, None) => true,
            (None, Some(versions)) => install.version.as_ref().is_some_and(|version| !versions.contains(version)),
        };
        transaction.install.iter().any(|install| missing(&install))
    }

    fn hold(&mut self, name: &str, held: bool) -> Result<()> {
        match self.packages.packages.get_mut(plain(name)) {
            Some(present) if present.installed.state == PackageState::ConfigFiles => {}
            Some(present) => present.installed.held = held,
            None if !self.packages.index.contains_key(plain(name)) => {
                return Err(refuse(ErrorKind::NotFound, "hold", name, "there is no such package"));
            }
            // What is not installed cannot be seen to be held.
            None => {}
        }
        Ok(())
    }

    fn resolve(&self, transaction: &Transaction) -> Result<Plan> {
        let mut plan = Plan::default();
        for (names, purge) in [(&transaction.remove, false), (&transaction.purge, true)] {
            for name in names {
                let name = plain(name).to_owned();
                if let Some(present) = self.packages.packages.get(&name) {
                    self.may_change(&name, present, transaction)?;
                    plan.remove.insert(name, purge);
                }
            }
        }
        for install in &transaction.install {
            let (name, version, release) = self.chosen(install)?;
            self.plan_install(name, version, release, Some(transaction), &mut plan)?;
        }
        self.refuse_surprises(&plan)?;
        Ok(plan)
    }

    /// A held package is changed only by who holds it again.
    fn may_change(&self, name: &str, present: &Present, transaction: &Transaction) -> Result<()> {
        let held = present.installed.held && present.installed.state != PackageState::ConfigFiles;
        if held && !transaction.hold.iter().any(|hold| plain(hold) == name) {
            return Err(refuse(ErrorKind::Failed, "change", name, format!("that would change {name}, which is held")));
        }
        Ok(())
    }

    /// Nothing goes that nobody asked for.
    fn refuse_surprises(&self, plan: &Plan) -> Result<()> {
        for (name, present) in &self.packages.packages {
            let there = present.installed.state != PackageState::ConfigFiles && !plan.remove.contains_key(name);
            let needed = present.release.depends.iter().find(|need| plan.remove.contains_key(*need));
            if let (true, Some(gone)) = (there, needed) {
                let cause = format!("that would also remove {name}, which nobody asked for");
                return Err(refuse(ErrorKind::Failed, "remove", gone, cause));
            }
        }
        Ok(())
    }

    fn chosen(&self, install: &Install) -> Result<(String, String, Release)> {
        let name = plain(&install.name).to_owned();
        let (version, releases) = match &install.file {
            Some(path) => {
                let file = self.inspect(path)?;
                if file.name != name {
                    return Err(refuse(ErrorKind::Invalid, "install", &name, format!("{path} holds {}", file.name)));
                }
                (file.version, &self.packages.files)
            }
            None => {
                let candidates = self.packages.candidates(&name);
                let wanted = |version: &String| candidates.iter().any(|candidate| candidate.version == *version);
                let version = match &install.version {
                    Some(version) if wanted(version) => version.clone(),
                    Some(version) => {
                        let cause = format!("no source has the version {version}");
                        return Err(refuse(ErrorKind::NotFound, "install", &name, cause));
                    }
                    None => match candidates.iter().find(|candidate| candidate.preferred) {
                        Some(candidate) => candidate.version.clone(),
                        None => return Err(refuse(ErrorKind::NotFound, "install", &name, "no source has it")),
                    },
                };
                (version, &self.packages.published)
            }
        };
        match releases.get(&name).and_then(|all| all.get(&version)) {
            Some(release) => Ok((name, version, release.clone())),
            None => {
                Err(refuse(ErrorKind::Failed, "fetch", &name, format!("the version {version} is not there any more")))
            }
        }
    }

    /// A package comes, and what it needs comes first.
    fn plan_install(
        &self,
        name: String,
        version: String,
        release: Release,
        asked: Option<&Transaction>,
        plan: &mut Plan,
    ) -> Result<()> {
        if plan.install.iter().any(|(planned, _, _)| *planned == name) {
            return Ok(());
        }
        if let Some(present) = self.packages.packages.get(&name) {
            let whole = present.installed.state == PackageState::Installed;
            match asked {
                None if whole => return Ok(()),
                Some(_) if whole && present.installed.version == version => return Ok(()),
                Some(transaction) => self.may_change(&name, present, transaction)?,
                None => {}
            }
        }
        if self.packages.offline {
            return Err(refuse(ErrorKind::Unavailable, "fetch", &name, "there is no network"));
        }
        // Its place is reserved before its needs are looked at, so that two packages may need each other.
        let needs = release.depends.clone();
        plan.install.push((name.clone(), version, release));
        for need in needs {
            let install = Install { name: need.clone(), version: None, file: None };
            let present = self.packages.packages.get(&need).map(|present| present.installed.state);
            if present == Some(PackageState::Installed) {
                continue;
            }
            let (need, version, release) = self.chosen(&install).map_err(|error| {
                refuse(ErrorKind::Failed, "install", &name, format!("it needs {need}, and {}", error.cause))
            })?;
            self.plan_install(need, version, release, None, plan)?;
        }
        if let Some(at) = plan.install.iter().position(|(planned, _, _)| *planned == name) {
            let this = plan.install.remove(at);
            plan.install.push(this);
        }
        Ok(())
    }

    fn take_away(&mut self, name: &str, purge: bool) -> Result<()> {
        let Some(present) = self.packages.packages.get(name).cloned() else { return Ok(()) };
        for unit in &present.release.units {
            if let Some(unit) = self.units.units.get_mut(unit) {
                unit.activity = Activity::Inactive;
                unit.loaded = None;
            }
        }
        for (path, file) in &present.release.files {
            if purge || !file.configuration {
                self.remove(path)?;
            }
        }
        let keeps = present.release.files.values().any(|file| file.configuration);
        match self.packages.packages.get_mut(name) {
            Some(left) if keeps && !purge => left.installed.state = PackageState::ConfigFiles,
            _ => {
                self.packages.packages.remove(name);
            }
        }
        Ok(())
    }

    fn unpack(&mut self, name: &str, version: &str, release: &Release) -> Result<()> {
        let old = self.packages.packages.get(name).cloned();
        let held = old.as_ref().is_some_and(|old| old.installed.held);
        let installed = Installed { version: version.to_owned(), state: PackageState::Unfinished, held };
        self.packages.packages.insert(name.to_owned(), Present { installed, release: release.clone() });
        for (path, file) in &release.files {
            let was = old.as_ref().and_then(|old| old.release.files.get(path));
            let edited = match (self.bytes("read", path), was) {
                (Ok(now), Some(was)) => now != was.content,
                (Ok(_), None) => true,
                (Err(_), was) => was.is_some(),
            };
            if file.configuration && edited {
                continue;
            }
            self.make_parents(path)?;
            let attributes = Attributes { uid: Some(0), gid: Some(0), mode: Some(file.mode) };
            self.write(path, file.content.clone(), attributes)?;
        }
        let gone = old.into_iter().flat_map(|old| old.release.files);
        for (path, _) in gone.filter(|(path, file)| !file.configuration && !release.files.contains_key(path)) {
            self.remove(&path)?;
        }
        Ok(())
    }

    fn configure(&mut self, name: &str) -> Result<()> {
        let Some(present) = self.packages.packages.get(name).cloned() else { return Ok(()) };
        if let Some(output) = &present.release.fails {
            return Err(refuse(ErrorKind::Failed, "configure", name, format!("its script failed: {output}")));
        }
        for user in &present.release.users {
            if self.roster.user(user)?.is_none() {
                let home = Some("/nonexistent".to_owned());
                let shell = Some("/usr/sbin/nologin".to_owned());
                self.roster.add_user(user, &UserSettings { home, shell, system: true, ..UserSettings::default() })?;
            }
        }
        for unit in &present.release.units {
            let _ = self.perform(unit, UnitAction::Enable, std::time::Duration::from_secs(90));
            let _ = self.perform(unit, UnitAction::Restart, std::time::Duration::from_secs(90));
            if let Some(unit) = self.units.units.get_mut(unit) {
                unit.counts = crate::memory::Counts::default();
            }
        }
        if let Some(present) = self.packages.packages.get_mut(name) {
            present.installed.state = PackageState::Installed;
        }
        Ok(())
    }

    /// Makes the directories that lead to `path`.
    pub(in crate::memory) fn make_parents(&mut self, path: &AbsPath) -> Result<()> {
        let mut missing = Vec::new();
        for directory in std::iter::successors(path.parent(), AbsPath::parent) {
            if self.tree.metadata("make the directory", &directory)?.is_some() {
                break;
            }
            missing.push(directory);
        }
        for directory in missing.into_iter().rev() {
            self.make_directory(&directory, Attributes::default())?;
        }
        Ok(())
    }

    /// A package that is installed before anything runs, with its files where it is known.
    pub(in crate::memory) fn put_package(&mut self, name: &str, version: &str) -> Result<()> {
        let release = self.packages.published.get(name).and_then(|all| all.get(version)).cloned().unwrap_or_default();
        for (path, file) in &release.files {
            let attributes = Attributes { mode: Some(file.mode), ..Attributes::default() };
            self.put(path, &Content::Bytes(file.content.clone()), attributes)?;
        }
        let installed = Installed { version: version.to_owned(), state: PackageState::Installed, held: false };
        self.packages.packages.insert(name.to_owned(), Present { installed, release });
        Ok(())
    }

    /// A file that is put on the machine before anything runs.
    pub(in crate::memory) fn put(&mut self, path: &AbsPath, content: &Content, attributes: Attributes) -> Result<()> {
        self.make_parents(path)?;
        if let Content::Bytes(bytes) = content {
            self.write(path, bytes.clone(), attributes)?;
        }
        Ok(())
    }
}
