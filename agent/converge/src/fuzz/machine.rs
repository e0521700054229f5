//! The files of a machine that the agent looks at: accounts, packages, units, what the system is.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use converge_model::Cancel;
use converge_model::System as _;
use converge_system::NoBlobs;
use converge_system::linux::{LinuxSystem, Options, facts};
use tempfile::TempDir;

use super::Target;
use crate::simulation::directory;

/// Each file, with what an honest one holds.
const FILES: [(&str, &str); 12] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice,,,:/home/alice:/bin/sh\n+::::::\n"),
    ("etc/group", "root:x:0:\nstaff:x:50:alice,root\nalice:x:1000:\n"),
    ("etc/shadow", "root:*:19000:0:99999:7:::\nalice:$y$j9T$abc$def:19000:0:99999:7::20000:\n"),
    ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian GNU/Linux 12'\nID_LIKE=\"a b\"\n"),
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 a.example.org a\n::1 localhost\n"),
    ("etc/resolv.conf", "nameserver 10.0.0.1\nsearch example.org\n"),
    ("var/lib/dpkg/status", DPKG),
    ("var/lib/dpkg/updates/0001", DPKG),
    ("etc/facts.d/own.json", "{\"rack\": 7}"),
    ("etc/facts.d/own.toml", "rack = 7\n[a]\nb = [1, 2]\n"),
    (
        "etc/systemd/system/x.service",
        "[Unit]\nDescription=x\\\n y\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=a.target\n",
    ),
];
const DPKG: &str = "Package: bash\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b2\nDescription: a\n shell\n .\n more\n\n\
    Package: zsh\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1:5.9-4\nProvides: sh (= 1), x\n\n";

pub(super) fn targets() -> Vec<Target> {
    let machine = Rc::new(Machine::new());
    FILES
        .iter()
        .map(|(path, sample)| {
            let machine = machine.clone();
            Target::new(path, &[sample], move |bytes| {
                let path = machine.0.path().join(path);
                std::fs::write(&path, bytes).unwrap();
                machine.look();
                std::fs::write(&path, sample).unwrap();
            })
        })
        .collect()
}

struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let directory = directory();
        for (path, sample) in FILES {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, sample).unwrap();
        }
        Self(directory)
    }

    /// Looks at all that there is.
    fn look(&self) {
        let root: &Path = self.0.path();
        drop(facts::below(root, &root.join("etc/facts.d")).all());
        let options =
            Options { root: root.to_owned(), blobs: Arc::new(NoBlobs), cancel: Cancel::new(), stat_cache: None };
        let Ok(system) = LinuxSystem::new(options) else { return };
        let accounts = system.accounts();
        for name in ["root", "alice"] {
            drop((accounts.user(name), accounts.password(name), accounts.supplementary_groups(name)));
            drop((accounts.group(name), accounts.uid_of(name), accounts.gid_of(name)));
        }
        drop((accounts.user_name(1_000), accounts.group_name(50)));
        for package in ["bash", "zsh", "sh"] {
            drop(system.packages().installed(package));
        }
        drop(system.services().status("x.service"));
    }
}
