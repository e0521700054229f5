//! Packages as they would be.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use converge_model::AbsPath;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::Packages;
use converge_model::system::packages::{Candidate, Install, Installed, PackageFile, PackageState, Transaction};

use super::Overlay;
use super::tree::{Data, Found, Node, Shape};

/// The version of a package that is installed here, where nobody knows which it will be.
pub const UNKNOWN_VERSION: &str = "unknown";

/// Where the package manager is told what there is. A plan that changes something there cannot know the candidates.
const SOURCES: [&str; 5] = [
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/apt/preferences",
    "/etc/apt/preferences.d",
    "/etc/apt/apt.conf.d",
];

/// What was done with packages; nothing for one that is gone.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<String, Option<Installed>>);

impl Changes {
    pub(super) fn is_changed(&self) -> bool {
        !self.0.is_empty()
    }
}

fn refuse(kind: ErrorKind, operation: &str, package: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(kind, operation, format!("package {package}"), cause)
}

/// Name and version, as the name of a package file of Debian says them: `NAME_VERSION_ARCHITECTURE.deb`.
fn named(path: &AbsPath) -> Option<PackageFile> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".deb")?;
    let mut parts = stem.splitn(3, '_');
    let (name, version) = (parts.next()?, parts.next()?);
    Some(PackageFile { name: name.to_owned(), version: version.replace("%3a", ":") })
}

impl Overlay<'_> {
    /// Whether it changed here where packages come from.
    fn are_sources_changed(&self) -> Result<bool> {
        let tree = self.tree();
        for path in SOURCES {
            if let Ok(path) = path.parse()
                && tree.holds("look at", &path)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the index cannot be told to lack a package: it is empty, or will be another one. Every index of apt has
    /// apt itself.
    fn is_index_open(&self) -> Result<bool> {
        Ok(self.assumptions.is_opaque()
            || self.are_sources_changed()?
            || self.base.packages().candidates("apt")?.is_empty())
    }

    /// The version that `install` brings.
    fn chosen(&self, install: &Install) -> Result<String> {
        let name = &install.name;
        if let Some(path) = &install.file {
            let file = Packages::inspect(self, path)?;
            return match &install.version {
                Some(version) if self.compare(version, &file.version) != Ordering::Equal => {
                    let cause = format!("{path} holds version {}, not {version}", file.version);
                    Err(refuse(ErrorKind::Invalid, "install", name, cause))
                }
                _ => Ok(file.version),
            };
        }
        let candidates = self.base.packages().candidates(name)?;
        let found = candidates.iter().find(|candidate| match &install.version {
            Some(version) => candidate.version == *version,
            None => candidate.preferred,
        });
        if let Some(found) = found {
            return Ok(found.version.clone());
        }
        let what = install.version.as_ref().map_or_else(|| "it".to_owned(), |version| format!("the version {version}"));
        if self.is_index_open()? {
            self.assumptions.assume(format!(
                "package {name}: the package index does not have {what}, and is taken to have it once it is fetched"
            ));
            return Ok(install.version.clone().unwrap_or_else(|| UNKNOWN_VERSION.to_owned()));
        }
        Err(refuse(ErrorKind::NotFound, "install", name, format!("the package index does not have {what}")).with_hint(
            "mend the name or the version, or declare the repository that has it; a run fetches the index anew first",
        ))
    }

    /// A held package is changed only by who holds it again, or no more.
    fn may_change(&self, name: &str, installed: &Installed, transaction: &Transaction) -> Result<()> {
        let named = |names: &[String]| names.iter().any(|other| other == name);
        let held = installed.held && installed.state != PackageState::ConfigFiles;
        if held && !named(&transaction.hold) && !named(&transaction.unhold) {
            return Err(refuse(ErrorKind::Failed, "change", name, format!("that would change {name}, which is held")));
        }
        Ok(())
    }

    fn known(&self, changes: &Changes, name: &str) -> Result<Option<Installed>> {
        match changes.0.get(name) {
            Some(installed) => Ok(installed.clone()),
            None => self.base.packages().installed(name),
        }
    }
}

impl Packages for Overlay<'_> {
    fn provider(&self) -> Option<&'static str> {
        self.base.packages().provider()
    }

    fn installed(&self, name: &str) -> Result<Option<Installed>> {
        let changes = self.packages.read().unwrap_or_else(PoisonError::into_inner);
        let installed = self.known(&changes, name)?;
        if installed.is_none() && !changes.0.contains_key(name) {
            self.assumptions.doubt();
        }
        Ok(installed)
    }

    fn candidates(&self, name: &str) -> Result<Vec<Candidate>> {
        if self.are_sources_changed()? {
            self.assumptions
                .assume(format!("the versions of {name} are those from before the package sources changed"));
        }
        self.base.packages().candidates(name)
    }

    fn inspect(&self, path: &AbsPath) -> Result<PackageFile> {
        let operation = "read the package file";
        let tree = self.tree();
        let id = match tree.find(operation, path)? {
            Found::Base(below) => return self.base.packages().inspect(&below),
            Found::Nothing => return Err(super::tree::refuse_missing(operation, path)),
            Found::Own(id) => id,
        };
        match tree.node(id) {
            Some(Node { shape: Shape::Regular(Data::Base(below)), .. }) => self.base.packages().inspect(below),
            _ => match named(path) {
                Some(file) => {
                    self.assumptions.assume(format!("{path} is taken to hold what its name says"));
                    Ok(file)
                }
                None => {
                    Err(Error::new(ErrorKind::Unavailable, operation, path, "the plan made it, so it is not there yet")
                        .with_hint(
                            "name the file as Debian does, NAME_VERSION_ARCHITECTURE.deb, so that a plan can tell",
                        ))
                }
            },
        }
    }

    fn compare(&self, left: &str, right: &str) -> Ordering {
        self.base.packages().compare(left, right)
    }

    fn refresh(&self, _age: Duration) -> Result<bool> {
        self.assumptions.assume("the package index is taken as it is: a run may fetch it anew".to_owned());
        Ok(false)
    }

    fn transact(&self, transaction: &Transaction) -> Result<()> {
        let mut changes = self.packages.write().unwrap_or_else(PoisonError::into_inner);
        let mut next: BTreeMap<String, Option<Installed>> = BTreeMap::new();
        let mut opaque: BTreeSet<&str> = BTreeSet::new();
        let versions = transaction.install.iter().map(|install| self.chosen(install)).collect::<Result<Vec<_>>>()?;
        for (names, left) in
            [(&transaction.remove, Some(PackageState::ConfigFiles)), (&transaction.purge, None::<PackageState>)]
        {
            for name in names {
                let Some(installed) = self.known(&changes, name)? else { continue };
                self.may_change(name, &installed, transaction)?;
                if installed.state != PackageState::ConfigFiles {
                    opaque.insert(name);
                }
                next.insert(name.clone(), left.map(|state| Installed { state, held: false, ..installed }));
            }
        }
        for (install, version) in transaction.install.iter().zip(versions) {
            let there = self.known(&changes, &install.name)?;
            let held = there.as_ref().is_some_and(|there| there.held);
            match &there {
                Some(there) if there.state == PackageState::Installed && there.version == version => continue,
                Some(there) => self.may_change(&install.name, there, transaction)?,
                None => {}
            }
            opaque.insert(&install.name);
            next.insert(install.name.clone(), Some(Installed { version, state: PackageState::Installed, held }));
        }
        for (names, held) in [(&transaction.unhold, false), (&transaction.hold, true)] {
            for name in names {
                let there = match next.get(name) {
                    Some(there) => there.clone(),
                    None => self.known(&changes, name)?,
                };
                if let Some(there) = there.filter(|there| there.state != PackageState::ConfigFiles) {
                    next.insert(name.clone(), Some(Installed { held, ..there }));
                }
            }
        }
        changes.0.extend(next);
        drop(changes);
        for name in opaque {
            self.assumptions.assume(format!("what the scripts and files of package {name} change is not known"));
            self.assumptions.obscure(format!("package {name}"));
        }
        Ok(())
    }
}
