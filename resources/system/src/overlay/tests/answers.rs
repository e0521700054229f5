//! All that a machine answers about what the operations are about, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use converge_model::system::accounts::User;
use converge_model::system::files::{FileType, Metadata};
use converge_model::system::packages::PackageState;
use converge_model::{AbsPath, Content, System};

use super::operations::{GROUPS, PACKAGES, PATHS, TEXTS, UNITS, USERS};
use crate::overlay::roster::FIRST_SYNTHETIC;

/// The first answers that differ, and nothing where none do.
pub(crate) fn difference(overlay: &dyn System, real: &dyn System) -> Option<String> {
    first_difference(&answers(overlay), &answers(real))
}

/// The first lines that differ.
pub(crate) fn first_difference(overlay: &str, real: &str) -> Option<String> {
    let differing = overlay.lines().zip(real.lines()).find(|(overlay, real)| overlay != real);
    differing.map(|(overlay, real)| format!("\noverlay: {overlay}\nmachine: {real}"))
}

/// Numbers of new accounts are chosen by nobody knows whom: they are told by the name that has them.
fn number(id: u32, name: Option<String>) -> String {
    match name {
        Some(name) => name,
        None if (1000..5000).contains(&id) || id >= FIRST_SYNTHETIC || (100..1000).contains(&id) => "new".to_owned(),
        None => id.to_string(),
    }
}

struct Reader<'a> {
    system: &'a dyn System,
    text: String,
    /// Which paths are the same file.
    identities: BTreeMap<(u64, u64), &'static str>,
}

impl Reader<'_> {
    fn owner(&self, metadata: &Metadata) -> String {
        let accounts = self.system.accounts();
        let user = number(metadata.uid, accounts.user_name(metadata.uid).unwrap());
        let group = number(metadata.gid, accounts.group_name(metadata.gid).unwrap());
        format!("{user}:{group} {:04o}", metadata.mode)
    }

    fn path(&mut self, path: &'static str) {
        let files = self.system.files();
        let at: AbsPath = path.parse().unwrap();
        let metadata = match files.metadata(&at) {
            Err(error) => return self.line(format!("{path}: {:?}", error.kind)),
            Ok(None) => "nothing".to_owned(),
            Ok(Some(metadata)) => {
                let first = *self.identities.entry(metadata.identity).or_insert(path);
                let size = if metadata.file_type == FileType::Directory { 0 } else { metadata.size };
                format!("{} {} {size} {first}", metadata.file_type.words(), self.owner(&metadata))
            }
        };
        let kind = |error: converge_model::Error| error.kind;
        let same = TEXTS.map(|text| {
            let probe = files.probe(&at, Some(&Content::Bytes(text.as_bytes().into()))).map_err(kind);
            probe.map(|probe| probe.map(|probe| (probe.metadata.file_type, probe.same)))
        });
        let blob = Content::Blob(converge_model::BlobRef::of(b"one\n"));
        let blob = files.probe(&at, Some(&blob)).map_err(kind).map(|probe| probe.map(|probe| probe.same));
        let read = files.read(&at, 3).map_err(kind);
        let link = files.read_link(&at).map_err(kind);
        let list = files.list(&at).map_err(kind);
        let resolved = files.resolve(&at).map_err(kind);
        self.line(format!("{path}: {metadata} {same:?} {blob:?} {read:?} {link:?} {resolved:?} {list:?}"));
    }

    fn user(&mut self, name: &str) {
        let accounts = self.system.accounts();
        let text = match accounts.user(name).unwrap() {
            None => "nobody".to_owned(),
            Some(User { uid, gid, home, shell, comment, .. }) => {
                let group = number(gid, accounts.group_name(gid).unwrap());
                let own = accounts.user_name(uid).unwrap();
                format!("{} {own:?} {group} {home} {shell} {comment}", number(uid, None))
            }
        };
        let groups = accounts.supplementary_groups(name).unwrap();
        let password = accounts.password(name).unwrap().map(|password| (password.hash, password.locked));
        self.line(format!("user {name}: {text} {groups:?} {password:?}"));
    }

    fn group(&mut self, name: &str) {
        let accounts = self.system.accounts();
        let group = accounts.group(name).unwrap();
        let text = group.map(|group| {
            let own = accounts.group_name(group.gid).unwrap();
            (number(group.gid, None), own, group.members)
        });
        self.line(format!("group {name}: {text:?}"));
    }

    fn line(&mut self, line: String) {
        writeln!(self.text, "{line}").unwrap();
    }
}

/// Everything there is to ask about files.
pub(crate) fn of_files(system: &dyn System) -> String {
    let mut reader = Reader { system, text: String::new(), identities: BTreeMap::new() };
    for path in PATHS {
        reader.path(path);
    }
    reader.text
}

/// Everything there is to ask.
fn answers(system: &dyn System) -> String {
    let mut reader = Reader { system, text: of_files(system), identities: BTreeMap::new() };
    for user in USERS {
        reader.user(user);
    }
    for group in GROUPS.into_iter().chain(["alice", "bob"]) {
        reader.group(group);
    }
    for unit in UNITS {
        let status = system.services().status(unit).unwrap();
        reader.line(format!("{unit}: {status:?}"));
    }
    for package in PACKAGES {
        let installed = system.packages().installed(package).unwrap();
        let installed = installed.filter(|installed| installed.state != PackageState::ConfigFiles);
        reader.line(format!("{package}: {installed:?}"));
    }
    reader.text
}
