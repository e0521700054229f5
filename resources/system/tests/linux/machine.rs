//! A directory to work in, a system over it, and what a hostile machine does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use converge_model::system::Files;
use converge_model::{AbsPath, Cancel, Content, Digest, System};
use converge_system::linux::{LinuxSystem, Options, StatCacheOptions};
use nix::mount::{MsFlags, mount};
use rustix::thread::{Gid, Uid};

/// The user whom the tests are afraid of.
pub(crate) const STRANGER: u32 = 65534;

pub(crate) struct Machine {
    pub(crate) system: LinuxSystem,
    directory: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with_blobs(BTreeMap::new())
    }

    pub(crate) fn with_blobs(blobs: BTreeMap<Digest, Arc<[u8]>>) -> Self {
        Self { system: system("/", blobs), directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn files(&self) -> &dyn Files {
        self.system.files()
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> AbsPath {
        self.local(name).to_str().unwrap().parse().unwrap()
    }

    pub(crate) fn local(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The names in a directory.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.local(name)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        std::fs::write(self.local(name), text).unwrap();
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.local(name)).unwrap()
    }

    /// A directory that everybody may write to, as /tmp, with a link of a stranger's to `target`.
    pub(crate) fn plant(&self, target: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir(self.local("shared")).unwrap();
        std::fs::set_permissions(self.local("shared"), std::fs::Permissions::from_mode(0o1777)).unwrap();
        std::os::unix::fs::symlink(target, self.local("shared/planted")).unwrap();
        std::os::unix::fs::lchown(self.local("shared/planted"), Some(STRANGER), Some(STRANGER)).unwrap();
    }
}

pub(crate) fn system(root: &str, blobs: BTreeMap<Digest, Arc<[u8]>>) -> LinuxSystem {
    remembering(root, blobs, None)
}

pub(crate) fn remembering(
    root: &str,
    blobs: BTreeMap<Digest, Arc<[u8]>>,
    stat_cache: Option<StatCacheOptions>,
) -> LinuxSystem {
    let options = Options { root: root.into(), blobs: Arc::new(blobs), cancel: Cancel::new(), stat_cache };
    LinuxSystem::new(options).unwrap()
}

pub(crate) fn bytes(text: &str) -> Content {
    Content::Bytes(text.as_bytes().into())
}

/// Whether the test runs as root; else says that it did not run.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        did_not_run("it needs root");
    }
    root
}

/// Says that a test did not run, where it is seen even though the test passes; with `CONVERGE_REQUIRE_MACHINES=1` it fails.
pub(crate) fn did_not_run(why: &str) {
    use std::io::Write as _;
    let text = format!("DID NOT RUN: {}: {why}", std::thread::current().name().unwrap_or("a test"));
    assert!(std::env::var_os("CONVERGE_REQUIRE_MACHINES").is_none_or(|value| value != "1"), "{text}");
    // The test harness keeps what is printed by macros to itself.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Gives the calling thread, and what it starts, mounts of their own. Gone with the thread.
pub(crate) fn private_mounts() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_PRIVATE | MsFlags::MS_REC, None::<&str>).unwrap();
}

/// Lets the calling thread be the stranger.
pub(crate) fn become_stranger() {
    let (uid, gid) = (Uid::from_raw(STRANGER), Gid::from_raw(STRANGER));
    rustix::thread::set_thread_groups(&[gid]).unwrap();
    rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
    rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
}
