//! What a test holds on the test host (a directory, mounts, processes, network namespaces), and how it is taken away:
//! by the test itself, or, when the test was killed, by the next one.
//!
//! Each claim has a lock file that its process holds locked; the kernel lets go of the lock when the process ends,
//! however it ends. A claim whose lock is free belongs to nobody and is swept. A registry lock keeps a claim from being
//! swept between its making and its locking.
#![expect(
    clippy::disallowed_methods,
    reason = "the testbed keeps its claims in the test host's file system; there is no agent here"
)]

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::Invocation;
use crate::control_group::ControlGroup;
use crate::error::{Attempt, Result, TestbedError};
use crate::{mounts, places};

/// Counts the claims of this process, to tell two of one name apart.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Leftovers are swept once a process, with its first claim.
static SWEPT: Once = Once::new();

/// Something on the test host that is given back when the value is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    id: String,
    directory: PathBuf,
    lock_path: PathBuf,
    /// Held for its lock only.
    _lock: File,
}

impl Claim {
    /// Claims a fresh, empty directory and an id that no other claim of this test host has. The id begins with `name`,
    /// and is short and plain enough for a host name.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let claims = claims_directory()?;
        SWEPT.call_once(|| {
            if let Err(error) = sweep() {
                say(&format!("could not sweep leftovers of earlier tests: {error:?}"));
            }
        });
        let _registry = registry_lock(&claims)?;
        let id = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lock_path = claims.join(format!("{id}.lock"));
        let lock = locked(&lock_path)?;
        let directory = claims.join(&id);
        fs::create_dir(&directory).attempt(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { id, directory, lock_path, _lock: lock })
    }

    /// The id of the claim.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The directory of the claim.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its control group, made on demand and removed with the claim.
    pub(crate) fn control_group(&self) -> ControlGroup {
        ControlGroup::of(&self.id)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        match release(&self.id, &self.directory) {
            // A claim that could not be released keeps its lock file, so that the next process tries again.
            Ok(()) => drop(fs::remove_file(&self.lock_path)),
            Err(error) => say(&format!("could not clean up after {}: {error:?}", self.id)),
        }
    }
}

/// Takes away what tests left behind that were killed before they could clean up.
///
/// # Errors
///
/// Something could not be taken away; the rest was.
pub fn sweep() -> Result<()> {
    let claims = claims_directory()?;
    let _registry = registry_lock(&claims)?;
    let mut outcome = Ok(());
    for entry in fs::read_dir(&claims).attempt(|| format!("cannot list {}", claims.display()))? {
        let path = entry.attempt(|| format!("cannot list {}", claims.display()))?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".lock")) else {
            continue;
        };
        // No such file: its owner has just given it back.
        let Ok(lock) = File::open(&path) else { continue };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => {
                outcome = Err(error).attempt(|| format!("cannot lock {}", path.display()));
                continue;
            }
        }
        say(&format!("sweeping {id}, left behind by a test that was killed"));
        match release(id, &claims.join(id)) {
            Ok(()) => drop(fs::remove_file(&path)),
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

/// Kills the processes, unmounts, removes network namespaces and the directory; in this order, since each step needs
/// the one before it.
fn release(id: &str, directory: &Path) -> Result<()> {
    ControlGroup::of(id).destroy()?;
    mounts::unmount_below(directory)?;
    remove_network_namespaces(id)?;
    remove_directory(directory)
}

/// The network namespaces of a claim bear its id, alone or with a suffix.
fn remove_network_namespaces(id: &str) -> Result<()> {
    let Ok(namespaces) = fs::read_dir("/run/netns") else {
        return Ok(());
    };
    for entry in namespaces.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name == id || name.strip_prefix(id).is_some_and(|rest| rest.starts_with('.')) {
            let output = Invocation::on_host(["ip", "netns", "delete", name]).run()?;
            if !output.success() {
                return Err(TestbedError::new(format!(
                    "cannot delete the network namespace {name}:\n{}",
                    output.tail()
                )));
            }
        }
    }
    Ok(())
}

/// Removes a directory tree, never across a mount, also where a test made files immutable.
pub(crate) fn remove_directory(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let remove = || {
        Invocation::on_host(["rm", "--recursive", "--force", "--one-file-system", "--"].map(Path::new))
            .argument(directory)
            .run()
    };
    if remove()?.success() {
        return Ok(());
    }
    Invocation::on_host(["chattr", "-R", "-f", "-i", "-a", "--"].map(Path::new)).argument(directory).run()?;
    let output = remove()?;
    if output.success() {
        Ok(())
    } else {
        Err(TestbedError::new(format!("cannot remove {}:\n{}", directory.display(), output.tail())))
    }
}

/// Opens (making it where needed) and locks a file; waits for whoever holds the lock.
pub(crate) fn locked(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .attempt(|| format!("cannot open the lock file {}", path.display()))?;
    file.lock().attempt(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Tells whoever watches the tests, past libtest, which keeps back what passing tests print.
pub(crate) fn say(text: &str) {
    // Nobody to tell is no reason to fail.
    let _ = writeln!(std::io::stderr(), "testbed: {text}");
}

fn claims_directory() -> Result<PathBuf> {
    let claims = places::testbed().join("claims");
    fs::create_dir_all(&claims).attempt(|| format!("cannot make {}", claims.display()))?;
    Ok(claims)
}

fn registry_lock(claims: &Path) -> Result<File> {
    locked(&claims.join("registry"))
}
