//! A machine as a TOML document: the "before" of a scenario.
//!
//! ```toml
//! base = "debian"                       # or "empty"; debian where nothing is said
//! capacity = 1000000                    # bytes that all regular files may have together
//! offline = true                        # nothing can be fetched
//! without = ["services"]                # no service manager; likewise `packages`, no package manager
//! index_age = "2d"                      # how old the package index is
//! package_lock = { holder = "unattended-upgrades (4711)", left = "5m" }
//!
//! [files]
//! "/etc/motd" = "hello\n"
//! "/etc/key" = { content = "secret", mode = "0600", owner = "alice", group = "adm", immutable = true }
//! "/srv/www" = { directory = true, read_only = true }
//! "/etc/alias" = { link = "motd" }
//! "/etc/second" = { hard_link = "/etc/motd" }
//! "/run/pipe" = { special = true }
//! "/etc/hosts" = { content = "", mounted = true }
//! "/root" = { absent = true }           # what the base brings
//!
//! [groups.crew]
//! gid = 2000
//! members = ["alice"]
//!
//! [users.alice]                         # with a group of the same name and number unless `group` says another
//! uid = 1000
//! home = "/home/alice"                  # not made; declare it among the files
//! password = "$6$…"
//! locked = false
//!
//! [packages.web]
//! installed = "1.0"
//! state = "unfinished"                  # or "configuration"
//! held = true
//! pinned = "1.0"
//! [packages.web.versions."1.0"]
//! depends = ["lib"]
//! files = { "/etc/web.conf" = "shipped\n" }
//! units = ["web.service"]
//! users = ["web"]
//! fails = "what its script prints"
//! unpublished = true                    # the index has it only after it was fetched anew
//! archive = "/srv/web_1.0_all.deb"      # it is in this file, not in a repository
//!
//! [units."web.service"]
//! text = "[Service]\n…"                 # a unit that can be enabled and reloaded where nothing is said
//! running = true
//! enabled = true
//! masked = true
//! failed = true
//! fails = "what its log says"           # from now on; likewise `hangs = true`
//!
//! [commands."make *"]                   # `*` stands for anything
//! code = 0
//! output = ""
//! takes = "3s"
//! writes = { "/srv/built" = "x" }
//! removes = ["/srv/source"]
//! ```

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use converge_model::system::accounts::{Password, User};
use converge_model::system::files::Attributes;
use converge_model::system::packages::PackageState;
use converge_model::system::services::UnitAction;
use converge_model::{AbsPath, Content, Span};
use serde::Deserialize;

use super::packages::{Present, Release, package_file_text};
use super::services::Behaviour;
use super::{Effect, MemoryMachine, Script, State};

/// Why a document is no machine.
type Wrong = String;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    base: Base,
    capacity: Option<u64>,
    offline: bool,
    without: Vec<Part>,
    index_age: Option<Span>,
    package_lock: Option<Lock>,
    files: BTreeMap<AbsPath, FileEntry>,
    groups: BTreeMap<String, GroupEntry>,
    users: BTreeMap<String, UserEntry>,
    packages: BTreeMap<String, PackageEntry>,
    units: BTreeMap<String, UnitEntry>,
    commands: BTreeMap<String, CommandEntry>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Base {
    #[default]
    Debian,
    Empty,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Services,
    Packages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    holder: String,
    left: Span,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileEntry {
    Text(String),
    Whole(Box<FileTable>),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileTable {
    content: Option<String>,
    directory: bool,
    link: Option<String>,
    hard_link: Option<AbsPath>,
    special: bool,
    absent: bool,
    mode: Option<String>,
    owner: Option<Account>,
    group: Option<Account>,
    immutable: bool,
    read_only: bool,
    mounted: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Account {
    Name(String),
    Number(u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupEntry {
    gid: u32,
    #[serde(default)]
    members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    uid: u32,
    group: Option<Account>,
    #[serde(default)]
    comment: String,
    home: Option<String>,
    shell: Option<String>,
    #[serde(default)]
    password: String,
    locked: Option<bool>,
    expires: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PackageEntry {
    installed: Option<String>,
    state: Option<StateEntry>,
    held: bool,
    pinned: Option<String>,
    versions: BTreeMap<String, VersionEntry>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateEntry {
    Installed,
    Unfinished,
    Configuration,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct VersionEntry {
    depends: Vec<String>,
    files: BTreeMap<AbsPath, String>,
    units: Vec<String>,
    users: Vec<String>,
    fails: Option<String>,
    unpublished: bool,
    archive: Option<AbsPath>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UnitEntry {
    text: Option<String>,
    running: bool,
    enabled: bool,
    masked: bool,
    failed: bool,
    fails: Option<String>,
    hangs: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CommandEntry {
    code: i32,
    output: String,
    takes: Option<Span>,
    writes: BTreeMap<AbsPath, String>,
    removes: Vec<AbsPath>,
}

impl MemoryMachine {
    /// The machine that a document describes; see [`document`](self) for what it may say.
    ///
    /// # Errors
    /// Says what in the document is wrong, or could not be so on a machine.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let document: Document = toml::from_str(text).map_err(|error| error.to_string())?;
        let machine = match document.base {
            Base::Debian => Self::debian(),
            Base::Empty => Self::new(),
        };
        document.put_on(&machine)?;
        Ok(machine)
    }
}

/// A failure, with the part of the document that led to it.
fn wrong(part: impl Display) -> impl Fn(converge_model::Error) -> Wrong {
    move |error| format!("{part}: {error}")
}

fn bytes(text: &str) -> Arc<[u8]> {
    Arc::from(text.as_bytes())
}

impl Document {
    fn put_on(self, machine: &MemoryMachine) -> Result<(), Wrong> {
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
            unit.activity = converge_model::system::services::Activity::Failed;
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
