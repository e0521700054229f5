//! The packages of a machine in memory: a small apt.

mod steps;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::packages::{Candidate, Installed, PackageFile, PackageState, Packages, Transaction};
use converge_model::{AbsPath, Digest};

use super::{MemoryMachine, State};
use crate::linux::packages::version;

/// A version of a package, and all that comes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The packages it needs.
    pub depends: Vec<String>,
    /// The files it ships. Directories on the way are made.
    pub files: BTreeMap<AbsPath, ShippedFile>,
    /// The units that its script enables and starts.
    pub units: Vec<String>,
    /// The system users that its script makes, each with a group of the same name.
    pub users: Vec<String>,
    /// What its script prints when it fails; nothing where it works.
    pub fails: Option<String>,
}

/// A file that a package ships.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShippedFile {
    /// What it holds.
    pub content: Arc<[u8]>,
    /// Permission bits.
    pub mode: u32,
    /// Whether it is a configuration file: kept where it was edited, and kept when the package is removed.
    pub configuration: bool,
}

impl Release {
    /// The same, needing `package` too.
    #[must_use]
    pub fn needing(mut self, package: &str) -> Self {
        self.depends.push(package.to_owned());
        self
    }

    /// The same, with a file; one below `/etc` is a configuration file.
    #[must_use]
    pub fn shipping(mut self, path: AbsPath, content: impl Into<Arc<[u8]>>) -> Self {
        let configuration = path.as_path().starts_with("/etc");
        self.files.insert(path, ShippedFile { content: content.into(), mode: 0o644, configuration });
        self
    }

    /// The same, starting `unit` once it is installed.
    #[must_use]
    pub fn starting(mut self, unit: &str) -> Self {
        self.units.push(unit.to_owned());
        self
    }

    /// The same, making the system user `name`.
    #[must_use]
    pub fn adding_user(mut self, name: &str) -> Self {
        self.users.push(name.to_owned());
        self
    }

    /// The same, with a script that fails and prints `output`.
    #[must_use]
    pub fn failing(mut self, output: &str) -> Self {
        self.fails = Some(output.to_owned());
        self
    }
}

/// A package on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) installed: Installed,
    pub(super) release: Release,
}

type Releases = BTreeMap<String, BTreeMap<String, Release>>;

/// All that the package manager knows, and what is published where it fetches from.
#[derive(Clone, Debug, Default)]
pub(super) struct Warehouse {
    /// Whether there is a package manager.
    pub(super) present: bool,
    pub(super) packages: BTreeMap<String, Present>,
    /// What is in the repositories, by name and version.
    pub(super) published: Releases,
    /// What the index knew of them when it was fetched.
    pub(super) index: BTreeMap<String, BTreeSet<String>>,
    /// How old the index is.
    pub(super) age: Duration,
    /// What the sources were when the index was fetched.
    pub(super) sources: Option<Digest>,
    /// The versions that the package manager is told to prefer.
    pub(super) pins: BTreeMap<String, String>,
    /// Packages that exist as files, by name and version.
    pub(super) files: Releases,
    /// Who holds the lock, and for how long yet.
    pub(super) lock: Option<(String, Duration)>,
    pub(super) offline: bool,
    /// How often the index was fetched.
    pub(super) fetches: u32,
}

impl Warehouse {
    /// The index becomes what is published.
    pub(super) fn fetch(&mut self, sources: Digest) {
        self.index = self.published.iter().map(|(name, all)| (name.clone(), all.keys().cloned().collect())).collect();
        self.age = Duration::ZERO;
        self.sources = Some(sources);
    }

    fn candidates(&self, name: &str) -> Vec<Candidate> {
        let mut versions: Vec<&String> = self.index.get(name).into_iter().flatten().collect();
        versions.sort_by(|left, right| version::compare(right, left));
        let pin = self.pins.get(name).filter(|pin| versions.contains(pin));
        let preferred = pin.or(versions.first().copied()).cloned();
        let candidate =
            |version: &String| Candidate { version: version.clone(), preferred: preferred.as_ref() == Some(version) };
        versions.into_iter().map(candidate).collect()
    }
}

/// The name without the machine's own architecture.
pub(super) fn plain(name: &str) -> &str {
    name.strip_suffix(":amd64").or_else(|| name.strip_suffix(":all")).unwrap_or(name)
}

/// The text of a package file that the machine understands.
pub(super) fn package_file_text(name: &str, version: &str) -> String {
    format!("Package: {name}\nVersion: {version}\n")
}

fn parse_package_file(text: &str) -> Option<PackageFile> {
    let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned());
    Some(PackageFile { name: field("Package:")?, version: field("Version:")? })
}

impl State {
    /// What the sources of the package manager are now.
    fn sources(&self) -> Result<Digest> {
        let mut all = Vec::new();
        for root in ["/etc/apt/sources.list", "/etc/apt/sources.list.d"] {
            let Ok(root) = root.parse::<AbsPath>() else { continue };
            for path in self.below(&root)? {
                if let Ok(bytes) = self.bytes("read", &path) {
                    all.extend_from_slice(path.as_path().as_os_str().as_encoded_bytes());
                    all.extend_from_slice(&bytes);
                }
            }
        }
        Ok(Digest::of(&all))
    }

    /// Fetches the index.
    pub(super) fn fetch_index(&mut self) -> Result<()> {
        if self.packages.offline {
            return Err(Error::new(ErrorKind::Unavailable, "fetch", "the package index", "there is no network")
                .with_hint("look at the machine's network, or at its package sources"));
        }
        let sources = self.sources()?;
        self.packages.fetch(sources);
        self.packages.fetches += 1;
        Ok(())
    }

    fn inspect(&self, path: &AbsPath) -> Result<PackageFile> {
        let bytes = self.bytes("read the package file", path)?;
        parse_package_file(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "read the package file", path, "it is not a package of the distribution")
        })
    }

    fn has_package_manager(&self, operation: &str, subject: &str) -> Result<()> {
        if self.packages.present {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, operation, subject, "no package manager that is known is here"))
    }
}

impl Packages for MemoryMachine {
    fn provider(&self) -> Option<&'static str> {
        self.state().packages.present.then_some("apt")
    }

    fn installed(&self, name: &str) -> Result<Option<Installed>> {
        self.operation("look up", format!("package {name}"))?;
        let state = self.state();
        state.has_package_manager("look up", &format!("package {name}"))?;
        Ok(state.packages.packages.get(plain(name)).map(|present| present.installed.clone()))
    }

    fn candidates(&self, name: &str) -> Result<Vec<Candidate>> {
        self.operation("look up", format!("versions of package {name}"))?;
        let state = self.state();
        state.has_package_manager("look up", &format!("package {name}"))?;
        Ok(state.packages.candidates(plain(name)))
    }

    fn inspect(&self, path: &AbsPath) -> Result<PackageFile> {
        self.operation("read the package file", path)?;
        self.state().inspect(path)
    }

    fn compare(&self, left: &str, right: &str) -> Ordering {
        version::compare(left, right)
    }

    fn refresh(&self, age: Duration) -> Result<bool> {
        self.operation("refresh", "the package index")?;
        let mut state = self.state();
        state.has_package_manager("refresh", "the package index")?;
        if state.packages.age <= age && state.packages.sources == Some(state.sources()?) {
            return Ok(false);
        }
        match state.fetch_index() {
            Ok(()) => Ok(true),
            // An old index is better than none.
            Err(_) if !state.packages.index.is_empty() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn transact(&self, transaction: &Transaction) -> Result<()> {
        self.operation("change", "packages")?;
        self.carry_out(transaction)
    }
}

fn is_unfinished(present: &Present) -> bool {
    present.installed.state == PackageState::Unfinished
}
