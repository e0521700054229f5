//! Changes to a machine as values, so that random ones can be carried out twice.

use std::time::Duration;

use converge_model::error::{ErrorKind, Result};
use converge_model::system::accounts::{GroupSettings, UserSettings};
use converge_model::system::files::Attributes;
use converge_model::system::packages::{Install, Transaction};
use converge_model::system::services::UnitAction;
use converge_model::{AbsPath, Content, System};
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) const PATHS: [&str; 19] = [
    "/srv",
    "/srv/a",
    "/srv/b",
    "/srv/d",
    "/srv/d/a",
    "/srv/d/e",
    "/srv/d/e/f",
    "/srv/l",
    "/srv/l/a",
    "/srv/l/e/f",
    "/tmp/theirs",
    "/tmp/theirs/a",
    "/home/alice",
    "/home/alice/notes",
    "/home/new",
    "/home/new/.profile",
    "/bin/tool",
    "/usr/bin/tool",
    "/none/x",
];
pub(crate) const TEXTS: [&str; 3] = ["", "one\n", "two\n"];
const TARGETS: [&str; 7] = ["/srv/d", "d", "../srv/d/e", "a", "/srv/l", "/none", "/dev/null"];
pub(crate) const USERS: [&str; 4] = ["alice", "bob", "carol", "root"];
pub(crate) const GROUPS: [&str; 4] = ["staff", "empty", "crew", "carol"];
pub(crate) const UNITS: [&str; 3] = ["web.service", "job.service", "new@1.service"];
const UNIT_PATHS: [&str; 5] = [
    "/etc/systemd/system/web.service",
    "/etc/systemd/system/web.service.d/more.conf",
    "/lib/systemd/system/job.service",
    "/etc/systemd/system/new@.service",
    "/usr/lib/systemd/system/web.service",
];
const UNIT_TEXTS: [&str; 3] = [
    "[Service]\nExecStart=/bin/a\n",
    "[Service]\nExecReload=/bin/b\n[Install]\nWantedBy=multi-user.target\n",
    "[Service]\nType=oneshot\n[Install]\nWantedBy=timers.target\n",
];
pub(crate) const PACKAGES: [&str; 3] = ["p", "q", "missing"];

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Write(AbsPath, &'static str, Attributes),
    SetAttributes(AbsPath, Attributes),
    MakeDirectory(AbsPath, Attributes),
    MakeSymlink(AbsPath, &'static str),
    MakeHardLink(AbsPath, AbsPath),
    Remove(AbsPath),
    RemoveTree(AbsPath),
    AddUser(&'static str, UserSettings),
    ModifyUser(&'static str, UserSettings),
    RemoveUser(&'static str, bool),
    AddGroup(&'static str, GroupSettings),
    ModifyGroup(&'static str, GroupSettings),
    RemoveGroup(&'static str),
    Perform(&'static str, UnitAction),
    ReloadUnits,
    Transact(Transaction),
}

impl Operation {
    /// Carries it out; what sort of failure it was is part of the answer.
    pub(crate) fn carry_out(&self, system: &dyn System) -> Result<(), ErrorKind> {
        let (files, accounts, services) = (system.files(), system.accounts(), system.services());
        let long = Duration::from_secs(60);
        let done = match self {
            Operation::Write(path, text, attributes) => {
                files.write(path, &Content::Bytes(text.as_bytes().into()), *attributes, None)
            }
            Operation::SetAttributes(path, attributes) => files.set_attributes(path, *attributes),
            Operation::MakeDirectory(path, attributes) => files.make_directory(path, *attributes),
            Operation::MakeSymlink(path, target) => files.make_symlink(path, target),
            Operation::MakeHardLink(path, existing) => files.make_hard_link(path, existing),
            Operation::Remove(path) => files.remove(path),
            Operation::RemoveTree(path) => files.remove_tree(path),
            Operation::AddUser(name, settings) => accounts.add_user(name, settings),
            Operation::ModifyUser(name, settings) => accounts.modify_user(name, settings),
            Operation::RemoveUser(name, home) => accounts.remove_user(name, *home),
            Operation::AddGroup(name, settings) => accounts.add_group(name, settings),
            Operation::ModifyGroup(name, settings) => accounts.modify_group(name, settings),
            Operation::RemoveGroup(name) => accounts.remove_group(name),
            Operation::Perform(unit, action) => services.perform(unit, *action, long),
            Operation::ReloadUnits => services.reload_units(),
            Operation::Transact(transaction) => system.packages().transact(transaction),
        };
        done.map_err(|error| error.kind)
    }
}

fn path() -> impl Strategy<Value = AbsPath> {
    select(&PATHS[..]).prop_map(|path| path.parse().unwrap())
}

/// Numbers that no new account gets by itself.
fn number() -> impl Strategy<Value = Option<u32>> {
    select(&[None, Some(0), Some(33), Some(5000)][..])
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let mode = select(&[None, None, Some(0o600), Some(0o755), Some(0o4755), Some(0o777)][..]);
    (number(), number(), mode).prop_map(|(uid, gid, mode)| Attributes { uid, gid, mode })
}

pub(crate) fn file_operation() -> impl Strategy<Value = Operation> {
    let text = || select(&TEXTS[..]);
    prop_oneof![
        4 => (path(), text(), attributes()).prop_map(|(path, text, attributes)| Operation::Write(path, text, attributes)),
        2 => (path(), attributes()).prop_map(|(path, attributes)| Operation::SetAttributes(path, attributes)),
        3 => (path(), attributes()).prop_map(|(path, attributes)| Operation::MakeDirectory(path, attributes)),
        2 => (path(), select(&TARGETS[..])).prop_map(|(path, target)| Operation::MakeSymlink(path, target)),
        2 => (path(), path()).prop_map(|(path, existing)| Operation::MakeHardLink(path, existing)),
        2 => path().prop_map(Operation::Remove),
        1 => path().prop_map(Operation::RemoveTree),
    ]
}

fn names(all: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    let some = proptest::sample::subsequence(all, 0..=2)
        .prop_map(|names| Some(names.into_iter().map(str::to_owned).collect()));
    prop_oneof![Just(None), some]
}

fn user_settings() -> impl Strategy<Value = UserSettings> {
    let uid = select(&[None, None, Some(5000), Some(5002)][..]);
    let group = select(&[None, None, Some("staff"), Some("crew"), Some("6001"), Some("6009")][..]);
    let home = select(&[None, None, Some("/home/new"), Some("/srv/d")][..]);
    let password = select(&[None, Some("$6$x"), Some("!"), Some("")][..]);
    let locked = select(&[None, Some(true), Some(false)][..]);
    (uid, group, names(&GROUPS), home, password, (locked, any::<bool>(), any::<bool>())).prop_map(
        |(uid, group, groups, home, password, (locked, manage_home, system))| UserSettings {
            uid,
            group: group.map(str::to_owned),
            groups,
            home: home.map(str::to_owned),
            manage_home,
            password: password.map(str::to_owned),
            locked,
            system,
            ..UserSettings::default()
        },
    )
}

fn group_settings() -> impl Strategy<Value = GroupSettings> {
    let gid = select(&[None, Some(6000), Some(6002), Some(6003)][..]);
    (gid, names(&USERS), any::<bool>()).prop_map(|(gid, members, system)| GroupSettings { gid, members, system })
}

pub(crate) fn account_operation() -> impl Strategy<Value = Operation> {
    let user = || select(&USERS[..3]);
    let group = || select(&GROUPS[..3]);
    prop_oneof![
        (user(), user_settings()).prop_map(|(user, settings)| Operation::AddUser(user, settings)),
        (user(), user_settings()).prop_map(|(user, settings)| Operation::ModifyUser(user, settings)),
        (user(), any::<bool>()).prop_map(|(user, home)| Operation::RemoveUser(user, home)),
        (group(), group_settings()).prop_map(|(group, settings)| Operation::AddGroup(group, settings)),
        (group(), group_settings()).prop_map(|(group, settings)| Operation::ModifyGroup(group, settings)),
        group().prop_map(Operation::RemoveGroup),
    ]
}

pub(crate) fn unit_operation() -> impl Strategy<Value = Operation> {
    let path = || select(&UNIT_PATHS[..]).prop_map(|path| path.parse::<AbsPath>().unwrap());
    let actions = [
        UnitAction::Start,
        UnitAction::Stop,
        UnitAction::Restart,
        UnitAction::Reload,
        UnitAction::Enable,
        UnitAction::Disable,
        UnitAction::Mask,
        UnitAction::Unmask,
    ];
    let attributes = Attributes::default();
    prop_oneof![
        3 => (path(), select(&UNIT_TEXTS[..])).prop_map(move |(path, text)| Operation::Write(path, text, attributes)),
        1 => path().prop_map(move |path| Operation::MakeDirectory(path.parent().unwrap(), attributes)),
        1 => path().prop_map(Operation::Remove),
        1 => path().prop_map(|path| Operation::MakeSymlink(path, "/dev/null")),
        6 => (select(&UNITS[..]), select(actions.to_vec())).prop_map(|(unit, action)| Operation::Perform(unit, action)),
        1 => Just(Operation::ReloadUnits),
    ]
}

pub(crate) fn package_operation() -> impl Strategy<Value = Operation> {
    let some = || {
        proptest::sample::subsequence(&PACKAGES[..2], 0..=1)
            .prop_map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let version = select(&[None, None, Some("1"), Some("2"), Some("9")][..]);
    let install = (proptest::option::of(select(&PACKAGES[..])), version).prop_map(|(name, version)| {
        let install = |name: &str| Install { name: name.to_owned(), version: version.map(str::to_owned), file: None };
        name.map(install).into_iter().collect::<Vec<_>>()
    });
    (install, some(), some(), some(), some()).prop_map(|(install, remove, purge, hold, unhold)| {
        let timeout = Duration::from_secs(60);
        // What shall both come and go is no transaction that anybody asks for.
        let (remove, purge) = if install.is_empty() { (remove, purge) } else { Default::default() };
        Operation::Transact(Transaction { install, remove, purge, hold, unhold, timeout })
    })
}
