//! Packages of the distribution: what is installed, and the transactions that change it.
//!
//! The one provider is apt, with dpkg below it. What is installed is read from dpkg's own database; what could be
//! installed is asked of `apt-cache`; and changes are made by `apt-get`, never through a shell, never with a question
//! left open. A transaction is simulated first: what would remove or change anything that nobody asked for is refused,
//! with its list.
//!
//! # Current limitations
//!
//! - A virtual package is installed under the name of the one that provides it, never under its own.
//! - A bare name is the package of the machine's own architecture; another one is asked for as `name:architecture`.
//! - A package that is there as a dependency of another is not marked as asked for.
//! - A proxy is taken from apt's configuration, not from the environment.
//! - A package that was never installed cannot be seen to be held.

mod apt;
mod database;
mod failure;
mod index;
mod lists;
mod lock;
mod offers;
mod policy;
mod request;
mod simulation;
mod tools;
pub(crate) mod version;

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use converge_model::system::packages::{Candidate, Installed, PackageFile, Transaction};
use converge_model::system::{Commands, Packages};
use converge_model::{AbsPath, Cancel, Error, ErrorKind, Result};

use apt::Apt;

/// The packages of a machine.
pub struct LinuxPackages {
    apt: Option<Apt>,
}

impl LinuxPackages {
    /// The packages of the machine, or of the tree below `root`, where they can only be looked at. Processes are started
    /// through `commands`; waiting for a lock ends when `cancel` asks.
    pub fn new(root: &Path, commands: Arc<dyn Commands>, cancel: Cancel) -> Self {
        Self { apt: Apt::detect(root, commands, cancel) }
    }

    /// Told which packages will be asked about, so that what needs a process can be asked for together. Starts none.
    pub fn prepare(&self, names: &[&str]) {
        if let Some(apt) = &self.apt {
            apt.expect(names);
        }
    }

    fn apt(&self, operation: &str, subject: impl FnOnce() -> String) -> Result<&Apt> {
        self.apt.as_ref().ok_or_else(|| {
            let cause = format!(
                "{} has no apt-get with a dpkg database, and no other package manager is known",
                distribution()
            );
            Error::new(ErrorKind::Unavailable, operation, subject(), cause).with_hint(
                "guard the resource with a condition on the facts, so that it is skipped on this distribution",
            )
        })
    }
}

impl std::fmt::Debug for LinuxPackages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinuxPackages").field("provider", &self.provider()).finish_non_exhaustive()
    }
}

impl Packages for LinuxPackages {
    fn provider(&self) -> Option<&'static str> {
        self.apt.as_ref().map(|_| "apt")
    }

    fn installed(&self, name: &str) -> Result<Option<Installed>> {
        self.apt("look for", || format!("package {name}"))?.installed(name)
    }

    fn candidates(&self, name: &str) -> Result<Vec<Candidate>> {
        self.apt("look for", || format!("package {name}"))?.candidates(name)
    }

    fn inspect(&self, path: &AbsPath) -> Result<PackageFile> {
        self.apt("read", || format!("package file {path}"))?.inspect(path)
    }

    fn compare(&self, left: &str, right: &str) -> Ordering {
        version::compare(left, right)
    }

    fn refresh(&self, age: Duration) -> Result<bool> {
        self.apt("fetch", || "the package index".to_owned())?.refresh(age)
    }

    fn transact(&self, transaction: &Transaction) -> Result<()> {
        let (operation, subject) = request::words_for(transaction);
        self.apt(operation, || subject)?.transact(transaction)
    }
}

/// What the distribution calls itself.
fn distribution() -> String {
    #![expect(clippy::disallowed_methods, reason = "os-release is looked at for a message, and may be missing")]
    let text = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    let text = text.unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "this distribution".to_owned(), |name| name.trim_matches(['"', '\'']).to_owned())
}
