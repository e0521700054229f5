//! Putting on a machine what a document says.

use std::fmt::Display;
use std::sync::Arc;

use converge_model::system::accounts::{Password, User};
use converge_model::system::files::Attributes;
use converge_model::system::packages::PackageState;
use converge_model::system::services::{Activity, UnitAction};
use converge_model::{AbsPath, Content, Span};

use super::entries::{
    Account, CommandEntry, Document, FileEntry, PackageEntry, Part, StateEntry, UnitEntry, UserEntry, VersionEntry,
};
use crate::memory::packages::{Present, Release, package_file_text};
use crate::memory::{Behaviour, Effect, MemoryMachine, Script, State};

/// Why a document is no machine.
type Wrong = String;

/// A failure, with the part of the document that led to it.
fn wrong(part: impl Display) -> impl Fn(converge_model::Error) -> Wrong {
    move |error| format!("{part}: {error}")
}

fn bytes(text: &str) -> Arc<[u8]> {
    Arc::from(text.as_bytes())
}

impl Document {
    pub(super) fn put_on(self, machine: &MemoryMachine) -> Result<(), Wrong> {
        let mut state = machine.state();
        for (name, group) in self.groups {
            state.roster.insert_group(&name, group.gid, group.members);
        }
        for (name, user) in self.users {
            user.put_on(&mut state, name)?;
        }
        // Links lead to what is made before them, and places are closed when all is in them.
        let rank = |entry: &FileEntry| match entry {
            FileEntry::Whole(table) if table.absent => 0,
            FileEntry::Whole(table) if table.directory => 1,
            FileEntry::Whole(table) if table.link.is_some() => 3,
            FileEntry::Whole(table) if table.hard_link.is_some() => 4,
            _ => 2,
        };
        let mut files: Vec<_> = self.files.into_iter().collect();
        files.sort_by_key(|(_, entry)| rank(entry));
        for (path, entry) in &files {
            entry.put_on(&mut state, path).map_err(|error| format!("files.{path}: {error}"))?;
        }
        for (name, package) in self.packages {
            package.put_on(&mut state, &name).map_err(wrong(format!("packages.{name}")))?;
        }
        for (name, unit) in self.units {
            unit.put_on(&mut state, &name).map_err(wrong(format!("units.{name}")))?;
        }
        state.commands.scripts.extend(self.commands.into_iter().map(|(line, entry)| (line, entry.script())));
        for (path, entry) in files {
            entry.close(&mut state, path);
        }
        state.packages.offline = self.offline;
        state.packages.age = self.index_age.map(Span::duration).unwrap_or_default();
        state.packages.lock = self.package_lock.map(|lock| (lock.holder, lock.left.duration()));
        state.packages.present &= !self.without.contains(&Part::Packages);
        state.units.present &= !self.without.contains(&Part::Services);
        state.places.capacity = self.capacity;
        Ok(())
    }
}

impl FileEntry {
    fn put_on(&self, state: &mut State, path: &AbsPath) -> Result<(), Wrong> {
        let text = |error: converge_model::Error| error.to_string();
        let table = match self {
            FileEntry::Text(content) => {
                let content = Content::Bytes(bytes(content));
                return state.put(path, &content, Attributes::default()).map_err(text);
            }
            FileEntry::Whole(table) => table,
        };
        if table.absent {
            return state.tree.remove_tree(path).map_err(text);
        }
        state.make_parents(path).map_err(text)?;
        match (&table.content, &table.link, &table.hard_link) {
            (None, None, None) if table.directory => {
                if state.tree.metadata("look at", path).map_err(text)?.is_none() {
                    state.make_directory(path, Attributes::default()).map_err(text)?;
                }
            }
            (None, None, None) if table.special => state.tree.make_special(path).map_err(text)?,
            (None, None, None) => {}
            (Some(content), None, None) => state.write(path, bytes(content), Attributes::default()).map_err(text)?,
            (None, Some(target), None) => state.tree.make_symlink(path, target).map_err(text)?,
            (None, None, Some(existing)) => state.tree.make_hard_link(path, existing).map_err(text)?,
            _ => return Err("it is one of content, directory, link, hard_link and special".to_owned()),
        }
        let number = |account: &Option<Account>, named: &dyn Fn(&str) -> Option<u32>| match account {
            None => Ok(None),
            Some(Account::Number(number)) => Ok(Some(*number)),
            Some(Account::Name(name)) => named(name).map(Some).ok_or_else(|| format!("nobody is called {name}")),
        };
        let uid = number(&table.owner, &|name| Some(state.roster.user(name).ok()??.uid))?;
        let gid = number(&table.group, &|name| Some(state.roster.group(name).ok()??.gid))?;
        let mode = match &table.mode {
            None => None,
            Some(mode) => Some(u32::from_str_radix(mode, 8).map_err(|_| format!("the mode {mode:?} is not octal"))?),
        };
        if uid.is_some() || gid.is_some() || mode.is_some() {
            state.tree.set_attributes(path, Attributes { uid, gid, mode }).map_err(text)?;
        }
        Ok(())
    }

    fn close(self, state: &mut State, path: AbsPath) {
        let FileEntry::Whole(table) = self else { return };
        for (closed, places) in [
            (table.immutable, &mut state.places.immutable),
            (table.read_only, &mut state.places.read_only),
            (table.mounted, &mut state.places.mounted),
        ] {
            if closed {
                places.insert(path.clone());
            }
        }
    }
}

impl UserEntry {
    fn put_on(self, state: &mut State, name: String) -> Result<(), Wrong> {
        let group = |group: &str| state.roster.group(group).ok().flatten().map(|group| group.gid);
        let gid = match self.group {
            Some(Account::Number(gid)) => gid,
            Some(Account::Name(other)) => {
                group(&other).ok_or_else(|| format!("users.{name}: there is no group {other}"))?
            }
            None => match group(&name) {
                Some(gid) => gid,
                None => {
                    state.roster.insert_group(&name, self.uid, []);
                    self.uid
                }
            },
        };
        let locked = self.locked.unwrap_or(self.password.is_empty());
        let password = Password { hash: self.password, locked, expires: self.expires };
        let user = User {
            uid: self.uid,
            gid,
            comment: self.comment,
            home: self.home.unwrap_or_else(|| format!("/home/{name}")),
            shell: self.shell.unwrap_or_else(|| "/bin/bash".to_owned()),
            name,
        };
        state.roster.insert_user(user, Some(password));
        Ok(())
    }
}

impl PackageEntry {
    fn put_on(self, state: &mut State, name: &str) -> converge_model::Result<()> {
        for (version, entry) in self.versions {
            let (archive, unpublished) = (entry.archive.clone(), entry.unpublished);
            let release = entry.release();
            let releases = match &archive {
                Some(path) => {
                    let text = Content::Bytes(bytes(&package_file_text(name, &version)));
                    state.put(path, &text, Attributes::default())?;
                    &mut state.packages.files
                }
                None => &mut state.packages.published,
            };
            releases.entry(name.to_owned()).or_default().insert(version.clone(), release);
            if archive.is_none() && !unpublished {
                state.packages.index.entry(name.to_owned()).or_default().insert(version);
            }
        }
        if let Some(version) = self.pinned {
            state.packages.pins.insert(name.to_owned(), version);
        }
        if let Some(version) = self.installed {
            state.put_package(name, &version)?;
            if let Some(Present { installed, .. }) = state.packages.packages.get_mut(name) {
                installed.held = self.held;
                installed.state = match self.state {
                    None | Some(StateEntry::Installed) => PackageState::Installed,
                    Some(StateEntry::Unfinished) => PackageState::Unfinished,
                    Some(StateEntry::Configuration) => PackageState::ConfigFiles,
                };
            }
        }
        Ok(())
    }
}

impl VersionEntry {
    fn release(self) -> Release {
        let release = Release {
            depends: self.depends,
            units: self.units,
            users: self.users,
            fails: self.fails,
            ..Release::default()
        };
        self.files.into_iter().fold(release, |release, (path, text)| release.shipping(path, text.into_bytes()))
    }
}

impl UnitEntry {
    fn put_on(self, state: &mut State, name: &str) -> converge_model::Result<()> {
        state.put_unit(name, self.text.as_deref())?;
        for (asked, action) in
            [(self.enabled, UnitAction::Enable), (self.running, UnitAction::Start), (self.masked, UnitAction::Mask)]
        {
            if asked {
                state.set_up_unit(name, action)?;
            }
        }
        let unit = state.units.units.entry(name.to_owned()).or_default();
        if self.failed {
            unit.activity = Activity::Failed;
        }
        unit.behaviour = match self.fails {
            Some(log) => Behaviour::Fails(log),
            None if self.hangs => Behaviour::Hangs,
            None => Behaviour::Works,
        };
        Ok(())
    }
}

impl CommandEntry {
    fn script(self) -> Script {
        let writes = self.writes.into_iter().map(|(path, text)| Effect::Write(path, text.into_bytes().into()));
        Script {
            effects: writes.chain(self.removes.into_iter().map(Effect::Remove)).collect(),
            code: self.code,
            output: self.output,
            takes: self.takes.map(Span::duration).unwrap_or_default(),
        }
    }
}
