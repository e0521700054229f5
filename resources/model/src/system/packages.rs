//! Packages of the distribution.

use std::cmp::Ordering;
use std::time::Duration;

use crate::error::Result;
use crate::path::AbsPath;

/// The version of a package that only a plan has installed, where nobody can know which it will be.
pub const UNKNOWN_VERSION: &str = "unknown";

/// What the package manager knows of an installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its version, or [`UNKNOWN_VERSION`].
    pub version: String,
    /// How far it is installed.
    pub state: PackageState,
    /// Whether it is kept from being upgraded or removed.
    pub held: bool,
}

/// How far a package is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageState {
    /// Wholly.
    Installed,
    /// Removed; its configuration files are still there.
    ConfigFiles,
    /// In the middle: unpacked, half configured, waiting for triggers.
    Unfinished,
}

/// A version that could be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The version.
    pub version: String,
    /// Whether the package manager would choose it by itself.
    pub preferred: bool,
}

/// What to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The package.
    pub name: String,
    /// Exactly this version, also where it is older; else what the package manager prefers.
    pub version: Option<String>,
    /// From this package file instead of a repository.
    pub file: Option<AbsPath>,
}

/// What a package file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Changes to packages that are made together, or not at all where the package manager can help it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// To be installed, upgraded or downgraded.
    pub install: Vec<Install>,
    /// To be removed; configuration files stay.
    pub remove: Vec<String>,
    /// To be removed with their configuration files.
    pub purge: Vec<String>,
    /// To be held afterwards. What is held already may be installed in another version only if it is named here too.
    pub hold: Vec<String>,
    /// To be held no more.
    pub unhold: Vec<String>,
    /// How long it may take, downloads included.
    pub timeout: Duration,
}

impl Transaction {
    /// Adds another's changes; the longer timeout counts.
    pub fn join(&mut self, other: Transaction) {
        self.install.extend(other.install);
        self.remove.extend(other.remove);
        self.purge.extend(other.purge);
        self.hold.extend(other.hold);
        self.unhold.extend(other.unhold);
        self.timeout = self.timeout.max(other.timeout);
    }
}

/// The packages of a machine.
pub trait Packages: Send + Sync {
    /// The package manager: `apt`; nothing where there is none that is known.
    fn provider(&self) -> Option<&'static str>;

    /// What is installed under `name` (also `name:architecture`); nothing where it never was, or was purged.
    fn installed(&self, name: &str) -> Result<Option<Installed>>;

    /// The versions of `name` that could be installed, newest first, from the index as it is. May start a process.
    fn candidates(&self, name: &str) -> Result<Vec<Candidate>>;

    /// What the package file at `path` says of itself.
    fn inspect(&self, path: &AbsPath) -> Result<PackageFile>;

    /// Compares two versions as the package manager does.
    fn compare(&self, left: &str, right: &str) -> Ordering;

    /// Fetches the index anew where it is older than `age`, or older than the sources it is made from. Says whether it did.
    fn refresh(&self, age: Duration) -> Result<bool>;

    /// Carries out a transaction without asking anything: waits for the package manager's lock and names its holder when
    /// the time is up; finishes what was interrupted before; fetches the index where a package is not in it.
    fn transact(&self, transaction: &Transaction) -> Result<()>;
}
