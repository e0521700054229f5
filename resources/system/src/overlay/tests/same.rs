//! Random changes, carried out on a machine and on an overlay over it: every answer afterwards is the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use converge_model::system::accounts::User;
use converge_model::system::files::{FileType, Metadata};
use converge_model::system::packages::PackageState;
use converge_model::system::services::Enablement;
use converge_model::{AbsPath, Content, System};
use proptest::prelude::*;

use super::operations::{
    GROUPS, Operation, PACKAGES, PATHS, TEXTS, UNITS, USERS, account_operation, file_operation, package_operation,
    unit_operation,
};
use crate::memory::{MemoryMachine, Release};
use crate::overlay::Overlay;
use crate::overlay::roster::FIRST_SYNTHETIC;

/// A machine with something of everything that the operations are about.
fn machine() -> MemoryMachine {
    let machine = MemoryMachine::debian();
    for (name, id) in [("alice", 5000), ("bob", 5001)] {
        machine.user(name, id);
    }
    machine.group_of("staff", 6000, &["alice", "root"]).group("empty", 6001);
    machine.file("/home/alice/notes", "one\n").owner("/home/alice", 5000, 5000).owner("/home/alice/notes", 5000, 5000);
    machine.file("/etc/skel/.profile", "two\n");
    machine.file("/srv/a", "one\n").hard_link("/srv/b", "/srv/a").directory("/srv/d/e").file("/srv/d/a", "two\n");
    machine.symlink("/srv/l", "d").symlink("/tmp/theirs", "/srv/d").owner("/tmp/theirs", 5000, 5000);
    machine.file("/usr/bin/tool", "one\n").special("/srv/d/e/f");
    machine.unit("web.service").enabled("web.service").running("web.service");
    machine.unit_with("job.service", "[Service]\nType=oneshot\n");
    for (name, version) in [("p", "1"), ("p", "2"), ("q", "1")] {
        machine.package(name, version, Release::default());
    }
    machine.installed("q", "1");
    machine
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

/// The first answers that differ, and nothing where none do.
fn difference(overlay: &dyn System, real: &dyn System) -> Option<String> {
    let (overlay, real) = (answers(overlay), answers(real));
    let differing = overlay.lines().zip(real.lines()).find(|(overlay, real)| overlay != real);
    differing.map(|(overlay, real)| format!("\noverlay: {overlay}\nmachine: {real}"))
}

/// Everything there is to ask.
fn answers(system: &dyn System) -> String {
    let mut reader = Reader { system, text: String::new(), identities: BTreeMap::new() };
    for path in PATHS {
        reader.path(path);
    }
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

fn check(before: &[Operation], operations: &[Operation]) -> Result<(), TestCaseError> {
    let base = machine();
    for operation in before {
        let _ = operation.carry_out(&base);
    }
    let statuses = UNITS.map(|unit| base.services().status(unit).unwrap());
    // What is beneath a mask cannot be known, nor what the service manager read of files that have changed since.
    prop_assume!(statuses.iter().all(|status| status.enablement != Enablement::Masked));
    let stale = statuses.iter().any(|status| status.stale);
    let is_known =
        |operation: &&Operation| !stale || matches!(operation, Operation::Perform(..) | Operation::ReloadUnits);
    let (real, dump) = (base.clone(), base.dump());
    let overlay = Overlay::new(&base);
    prop_assert_eq!(difference(&overlay, &real), None, "before any change");
    for operation in operations.iter().filter(is_known) {
        prop_assert_eq!(operation.carry_out(&overlay), operation.carry_out(&real), "{:?}", operation);
    }
    // Only at the end: a shorter sequence is another case.
    if let Some(difference) = difference(&overlay, &real) {
        return Err(TestCaseError::fail(difference));
    }
    prop_assert_eq!(base.dump(), dump, "the machine below was changed");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_are_as_they_would_be(
        before in prop::collection::vec(file_operation(), 0..8),
        operations in prop::collection::vec(file_operation(), 1..16),
    ) {
        check(&before, &operations)?;
    }

    #[test]
    fn accounts_and_what_belongs_to_them_are_as_they_would_be(
        operations in prop::collection::vec(prop_oneof![3 => account_operation(), 1 => file_operation()], 1..12),
    ) {
        check(&[], &operations)?;
    }

    #[test]
    fn units_are_as_they_would_be(
        before in prop::collection::vec(unit_operation(), 0..6),
        operations in prop::collection::vec(unit_operation(), 1..12),
    ) {
        check(&before, &operations)?;
    }

    #[test]
    fn packages_are_as_they_would_be(
        before in prop::collection::vec(package_operation(), 0..4),
        operations in prop::collection::vec(package_operation(), 1..6),
    ) {
        let base = machine();
        for operation in &before {
            let _ = operation.carry_out(&base);
        }
        let (real, dump) = (base.clone(), base.dump());
        let overlay = Overlay::new(&base);
        let installed = |system: &dyn System| PACKAGES.map(|package| {
            let installed = system.packages().installed(package).unwrap();
            installed.filter(|installed| installed.state != PackageState::ConfigFiles)
        });
        for operation in &operations {
            // Once a package was changed, whatever is missing is taken to come with it.
            let opaque = overlay.assumptions.is_opaque();
            let (predicted, done) = (operation.carry_out(&overlay), operation.carry_out(&real));
            if opaque && predicted != done {
                break;
            }
            prop_assert_eq!(predicted, done, "{:?}", operation);
            if done.is_err() {
                // How far it came is not foreseen.
                break;
            }
            prop_assert_eq!(installed(&overlay), installed(&real), "after {:?}", operation);
        }
        prop_assert_eq!(base.dump(), dump, "the machine below was changed");
    }
}
