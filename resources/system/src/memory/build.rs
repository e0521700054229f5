//! Putting things on a machine before anything runs.
//!
//! These methods are for tests: they count as no operation, and a mistake in them is a mistake in the test.

#![expect(clippy::panic, reason = "a machine that cannot be set up is a mistake in the test that sets it up")]

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use converge_model::system::accounts::{Password, User};
use converge_model::system::files::Attributes;
use converge_model::system::packages::PackageState;
use converge_model::system::services::{Activity, UnitAction};
use converge_model::{AbsPath, Content};

use super::packages::package_file_text;
use super::{Behaviour, MemoryMachine, Release, Script};

/// Unwraps what a test set up.
fn set<T, E: Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the machine cannot be set up so: {error}"),
    }
}

fn at(path: &str) -> AbsPath {
    set(path.parse())
}

/// # Panics
/// The methods that put something on the machine panic where the path is none, or where reality would not have it so.
impl MemoryMachine {
    /// A machine like a fresh Debian: the usual directories, root and a few users and groups, apt with a fetched index
    /// that has nothing but apt itself, and systemd.
    pub fn debian() -> Self {
        let machine = Self::new();
        for path in [
            "/dev",
            "/etc/apt/sources.list.d",
            "/etc/systemd/system",
            "/home",
            "/opt",
            "/root",
            "/run/systemd/system",
            "/srv",
            "/tmp",
            "/usr/bin",
            "/usr/lib/systemd/system",
            "/usr/local/bin",
            "/usr/share",
            "/var/cache",
            "/var/lib",
            "/var/log",
            "/var/mail",
            "/var/tmp",
        ] {
            machine.directory(path);
        }
        machine.mode("/tmp", 0o1777).mode("/var/tmp", 0o1777).mode("/root", 0o700).special("/dev/null");
        for (link, target) in [("/bin", "usr/bin"), ("/lib", "usr/lib")] {
            machine.symlink(link, target);
        }
        for (name, id) in
            [("root", 0), ("daemon", 1), ("sys", 3), ("adm", 4), ("sudo", 27), ("www-data", 33), ("users", 100)]
        {
            machine.group(name, id);
        }
        machine.group("nogroup", 65_534);
        for (name, id, gid, home, shell) in [
            ("root", 0, 0, "/root", "/bin/bash"),
            ("daemon", 1, 1, "/usr/sbin", "/usr/sbin/nologin"),
            ("www-data", 33, 33, "/var/www", "/usr/sbin/nologin"),
            ("nobody", 65_534, 65_534, "/nonexistent", "/usr/sbin/nologin"),
        ] {
            machine.user_as(User {
                name: name.to_owned(),
                uid: id,
                gid,
                comment: String::new(),
                home: home.to_owned(),
                shell: shell.to_owned(),
            });
        }
        machine.file("/etc/apt/sources.list", "deb http://deb.debian.org/debian bookworm main\n");
        machine.with_packages().with_services();
        machine.package("apt", "2.6.1", Release::default()).installed("apt", "2.6.1");
        machine
    }

    /// Gives the machine a package manager, with an index that is as fresh as can be.
    pub fn with_packages(&self) -> &Self {
        let mut state = self.state();
        state.packages.present = true;
        set(state.fetch_index());
        state.packages.fetches = 0;
        drop(state);
        self
    }

    /// Gives the machine a service manager.
    pub fn with_services(&self) -> &Self {
        self.state().units.present = true;
        self
    }

    /// Takes the service manager away.
    pub fn without_services(&self) -> &Self {
        self.state().units.present = false;
        self
    }

    /// Takes the package manager away.
    pub fn without_packages(&self) -> &Self {
        self.state().packages.present = false;
        self
    }

    /// A file of root's, mode 0644, with the directories that lead to it.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        set(self.state().put(&at(path), &Content::Bytes(Arc::from(content.as_ref())), Attributes::default()));
        self
    }

    /// A directory of root's, mode 0755, with those that lead to it.
    pub fn directory(&self, path: &str) -> &Self {
        let mut state = self.state();
        set(state.make_parents(&at(path)));
        if set(state.tree.metadata("look at", &at(path))).is_none() {
            set(state.tree.make_directory(&at(path), Attributes::default()));
        }
        drop(state);
        self
    }

    /// A symbolic link of root's.
    pub fn symlink(&self, path: &str, target: &str) -> &Self {
        let mut state = self.state();
        set(state.make_parents(&at(path)));
        set(state.tree.make_symlink(&at(path), target));
        drop(state);
        self
    }

    /// A further name of a file.
    pub fn hard_link(&self, path: &str, existing: &str) -> &Self {
        let mut state = self.state();
        set(state.make_parents(&at(path)));
        set(state.tree.make_hard_link(&at(path), &at(existing)));
        drop(state);
        self
    }

    /// A pipe, socket or device.
    pub fn special(&self, path: &str) -> &Self {
        let mut state = self.state();
        set(state.make_parents(&at(path)));
        set(state.tree.make_special(&at(path)));
        drop(state);
        self
    }

    /// Gives what is at `path` to somebody.
    pub fn owner(&self, path: &str, uid: u32, gid: u32) -> &Self {
        let attributes = Attributes { uid: Some(uid), gid: Some(gid), mode: None };
        set(self.state().tree.set_attributes(&at(path), attributes));
        self
    }

    /// Sets the mode of what is at `path`.
    pub fn mode(&self, path: &str, mode: u32) -> &Self {
        let attributes = Attributes { mode: Some(mode), ..Attributes::default() };
        set(self.state().tree.set_attributes(&at(path), attributes));
        self
    }

    /// Takes away what is at `path`, and all below it.
    pub fn erase(&self, path: &str) -> &Self {
        set(self.state().tree.remove_tree(&at(path)));
        self
    }

    /// What is at `path` from now on cannot be changed: a file system that is mounted read-only.
    pub fn read_only(&self, path: &str) -> &Self {
        self.state().places.read_only.insert(at(path));
        self
    }

    /// What is at `path` from now on cannot be changed, replaced or removed; in a directory, nothing can come or go.
    pub fn immutable(&self, path: &str) -> &Self {
        self.state().places.immutable.insert(at(path));
        self
    }

    /// Everything can be changed again.
    pub fn writable(&self) -> &Self {
        let mut state = self.state();
        state.places.read_only.clear();
        state.places.immutable.clear();
        drop(state);
        self
    }

    /// What is at `path` is a mount point: it can be rewritten, but not replaced or removed.
    pub fn mounted(&self, path: &str) -> &Self {
        self.state().places.mounted.insert(at(path));
        self
    }

    /// How many bytes all regular files may have together; nothing for no limit.
    pub fn capacity(&self, bytes: Option<u64>) -> &Self {
        self.state().places.capacity = bytes;
        self
    }

    /// A user and a group of the same name and number, with a home below `/home` that is not made.
    pub fn user(&self, name: &str, id: u32) -> &Self {
        self.group(name, id);
        self.user_as(User {
            name: name.to_owned(),
            uid: id,
            gid: id,
            comment: String::new(),
            home: format!("/home/{name}"),
            shell: "/bin/bash".to_owned(),
        })
    }

    /// A user as given, whose password is locked.
    pub fn user_as(&self, user: User) -> &Self {
        let password = Password { hash: String::new(), locked: true, expires: None };
        self.state().roster.insert_user(user, Some(password));
        self
    }

    /// A group without members.
    pub fn group(&self, name: &str, gid: u32) -> &Self {
        self.group_of(name, gid, &[])
    }

    /// A group with members.
    pub fn group_of(&self, name: &str, gid: u32, members: &[&str]) -> &Self {
        self.state().roster.insert_group(name, gid, members.iter().map(|member| (*member).to_owned()));
        self
    }

    /// A version of a package that can be installed, and that the index has.
    pub fn package(&self, name: &str, version: &str, release: Release) -> &Self {
        self.publish(name, version, release);
        let mut state = self.state();
        state.packages.index.entry(name.to_owned()).or_default().insert(version.to_owned());
        drop(state);
        self
    }

    /// A version of a package that can be installed once the index is fetched anew.
    pub fn publish(&self, name: &str, version: &str, release: Release) -> &Self {
        let mut state = self.state();
        state.packages.published.entry(name.to_owned()).or_default().insert(version.to_owned(), release);
        drop(state);
        self
    }

    /// A package is installed. Where the version is one that was published, its files are there too; units do not run.
    pub fn installed(&self, name: &str, version: &str) -> &Self {
        set(self.state().put_package(name, version));
        self
    }

    /// How far an installed package is, and whether it is held.
    pub fn package_state(&self, name: &str, package_state: PackageState, held: bool) -> &Self {
        match self.state().packages.packages.get_mut(name) {
            Some(present) => {
                present.installed.state = package_state;
                present.installed.held = held;
            }
            None => panic!("the package {name} is not installed"),
        }
        self
    }

    /// The script of every version of a package works from now on.
    pub fn mend_package(&self, name: &str) -> &Self {
        let mut state = self.state();
        for release in state.packages.published.get_mut(name).into_iter().flatten() {
            release.1.fails = None;
        }
        if let Some(present) = state.packages.packages.get_mut(name) {
            present.release.fails = None;
        }
        drop(state);
        self
    }

    /// A package that is a file on the machine.
    pub fn package_file(&self, path: &str, name: &str, version: &str, release: Release) -> &Self {
        self.file(path, package_file_text(name, version));
        let mut state = self.state();
        state.packages.files.entry(name.to_owned()).or_default().insert(version.to_owned(), release);
        drop(state);
        self
    }

    /// The version that the package manager is told to prefer.
    pub fn pin(&self, name: &str, version: &str) -> &Self {
        self.state().packages.pins.insert(name.to_owned(), version.to_owned());
        self
    }

    /// Somebody holds the package manager's lock, for so long.
    pub fn lock_packages(&self, holder: &str, left: Duration) -> &Self {
        self.state().packages.lock = Some((holder.to_owned(), left));
        self
    }

    /// How old the package index is.
    pub fn index_age(&self, age: Duration) -> &Self {
        self.state().packages.age = age;
        self
    }

    /// The package index is empty, as on a machine that never fetched it.
    pub fn without_index(&self) -> &Self {
        let mut state = self.state();
        state.packages.index.clear();
        state.packages.age = Duration::MAX;
        drop(state);
        self
    }

    /// Whether nothing can be fetched.
    pub fn offline(&self, offline: bool) -> &Self {
        self.state().packages.offline = offline;
        self
    }

    /// A unit whose file, below `/usr/lib/systemd/system`, can be enabled and reloaded.
    pub fn unit(&self, name: &str) -> &Self {
        set(self.state().put_unit(name, None));
        self
    }

    /// A unit with this file, below `/usr/lib/systemd/system`.
    pub fn unit_with(&self, name: &str, text: &str) -> &Self {
        set(self.state().put_unit(name, Some(text)));
        self
    }

    /// A unit runs.
    pub fn running(&self, unit: &str) -> &Self {
        self.act(unit, UnitAction::Start)
    }

    /// A unit starts at boot.
    pub fn enabled(&self, unit: &str) -> &Self {
        self.act(unit, UnitAction::Enable)
    }

    /// A unit cannot be started.
    pub fn masked(&self, unit: &str) -> &Self {
        self.act(unit, UnitAction::Mask)
    }

    /// A unit failed some time ago.
    pub fn failed(&self, unit: &str) -> &Self {
        self.state().units.units.entry(unit.to_owned()).or_default().activity = Activity::Failed;
        self
    }

    /// How a unit behaves from now on.
    pub fn behaviour(&self, unit: &str, behaviour: Behaviour) -> &Self {
        self.state().units.units.entry(unit.to_owned()).or_default().behaviour = behaviour;
        self
    }

    fn act(&self, name: &str, action: UnitAction) -> &Self {
        set(self.state().set_up_unit(name, action));
        self
    }

    /// What a command line does. `*` in it stands for anything; of two that fit the one given last counts.
    pub fn command(&self, line: &str, script: Script) -> &Self {
        self.state().commands.scripts.push((line.to_owned(), script));
        self
    }

    /// The machine starts again: `/run` and `/tmp` are empty, only enabled units run, nobody holds a lock, and a new
    /// process can work on it.
    pub fn reboot(&self) {
        self.revive();
        let mut state = self.state();
        for directory in ["/run", "/tmp"] {
            let paths = set(state.below(&at(directory)));
            for path in paths.iter().filter(|path| **path != at(directory)) {
                set(state.tree.remove(path));
            }
        }
        state.packages.lock = None;
        set(state.boot_units());
    }
}
