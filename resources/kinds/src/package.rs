//! `package`: packages of the distribution, or a package file.

use std::time::Duration;

use converge_model::system::packages::{Install, Installed, PackageState, Transaction};
use converge_model::{
    AbsPath, AnyResource, ByName, Change, Changes, Error, ErrorKind, Footprint, Image, Images, Keeper, Key, Kind,
    KindSchema, Properties, Resource, ResourceSpec, Result, Shown, Span, System, Value,
};

use crate::ensure;
use crate::package_names::{self, PackageNames};
use crate::package_verdict::{Judge, Verdict};
use crate::version_constraint::VersionConstraint;

/// The row of the registry.
pub(crate) const KIND: Kind = Kind { schema, build, removal };

/// How long a transaction may take where the recipe says nothing: a slow mirror, and a large package's scripts.
const TRANSACTION_TIME: Duration = Duration::from_secs(30 * 60);

converge_model::choice! {
    /// Whether a package is there.
    pub(crate) enum PackageEnsure {
        /// Installed, in any version that `version` allows.
        Present = "present",
        /// Installed in the newest version.
        Latest = "latest",
        /// Not installed.
        Absent = "absent",
        /// Not installed, without configuration files.
        Purged = "purged",
    }
}

converge_model::properties! {
    /// What a package takes.
    pub(crate) struct PackageProperties {
        /// `present` installs a package that is not there, and leaves one that is. `latest` also upgrades it to what the
        /// package manager prefers. `absent` removes it and keeps its configuration files, `purged` takes these too.
        pub ensure: PackageEnsure = PackageEnsure::Present,
        /// The packages, where it is not the one that the resource is called after: all in one transaction. `name:architecture`
        /// means the package of a foreign architecture.
        pub names: Option<PackageNames>,
        /// The version: exactly "1.2-3"; "1.2.*" for 1.2 and what goes on from it, as 1.2-3 and 1.2.9; "1.2*" for any that
        /// begins so; or conditions that must all hold, as in ">= 1.2, < 2". Versions are compared as the package manager
        /// compares them.
        pub version: Option<VersionConstraint>,
        /// Keep the package from being upgraded or removed by anybody but this resource; `false` ends that. A package that is
        /// held although the recipe does not say so is left as it is.
        pub hold: Option<bool>,
        /// The absolute path of a package file on this machine, to be installed instead of what a repository offers. The
        /// package is right when it has that version, or a newer one unless `allow_downgrade` is set. (It is not called `source`
        /// because that means a cookbook's own file wherever content is given.)
        pub archive: Option<AbsPath>,
        /// Install an older version than the one that is there, where it is needed to be right. Taken for granted where
        /// `version` names exactly one version.
        pub allow_downgrade: Option<bool>,
        /// With `ensure = "latest"`: how old the package manager's index may be before it is fetched anew to tell what is the
        /// latest.
        pub index_age: Span = Span::seconds(24 * 60 * 60),
    }
    rules {
        keeps_what_it_holds(hold, ensure),
        archive_is_one_package(archive, names, ensure),
        archive_says_which_version(archive, version, ensure),
    }
    rules with name { is_called_after_a_package(names) }
}

/// Where `names` does not say which packages, the name does.
fn is_called_after_a_package(name: &str, names: &Option<PackageNames>) -> std::result::Result<(), String> {
    if names.is_some() { Ok(()) } else { package_names::check(name) }
}

fn keeps_what_it_holds(hold: &Option<bool>, ensure: &PackageEnsure) -> std::result::Result<(), String> {
    if ensure.removes() && *hold == Some(true) {
        return Err(format!("`hold = true` says to keep what `ensure = {:?}` takes away", ensure.word()));
    }
    Ok(())
}

fn archive_is_one_package(
    archive: &Option<AbsPath>,
    names: &Option<PackageNames>,
    ensure: &PackageEnsure,
) -> std::result::Result<(), String> {
    if archive.is_some() && !ensure.removes() && names.as_ref().is_some_and(|names| names.len() != 1) {
        return Err("`archive` holds one package; declare one resource for each".to_owned());
    }
    Ok(())
}

fn archive_says_which_version(
    archive: &Option<AbsPath>,
    version: &Option<VersionConstraint>,
    ensure: &PackageEnsure,
) -> std::result::Result<(), String> {
    let says_otherwise = version.is_some() || *ensure == PackageEnsure::Latest;
    if archive.is_some() && !ensure.removes() && says_otherwise {
        return Err("`archive` says which version; leave out `version`, and `latest`".to_owned());
    }
    Ok(())
}

impl PackageEnsure {
    fn removes(self) -> bool {
        matches!(self, PackageEnsure::Absent | PackageEnsure::Purged)
    }
}

fn schema() -> KindSchema {
    KindSchema {
        name: "package",
        doc: "A package of the distribution. The name is the package's name, or any other with `names`.\n\n\
              The package manager is not asked anything it would have to ask back. The index is fetched only when a wanted \
              package is not in it, or is too old for `latest`. A package that an interrupted run left half installed is \
              finished. `timeout` is how long one transaction may take, the wait for another one included; 30 minutes unless \
              said.",
        names: converge_model::schema::NameSchema { what: "package name", check: check_resource_name, is_path: false },
        properties: PackageProperties::schema(),
        judge: PackageProperties::judge,
        actions: &[],
        example: r#"[package.nginx]
version = ">= 1.22"

[package.tools]
names = ["curl", "htop", "tree"]

[package.telnetd]
ensure = "purged"
"#,
    }
}

fn removal(spec: &ResourceSpec<'_>) -> Option<ByName<Value>> {
    Some(ensure::absent(spec, &["names"]))
}

/// The name of a resource may be anything where `names` says which packages; this much no package may be called.
fn check_resource_name(name: &str) -> Result<(), String> {
    if name.starts_with('-') { Err(format!("{name:?} would be taken for an option")) } else { Ok(()) }
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let properties: PackageProperties = spec.decode()?;
    let names = properties.names.as_deref().cloned().unwrap_or_else(|| vec![spec.id.name().to_owned()]);
    let timeout = spec.timeout.map_or(TRANSACTION_TIME, Span::duration);
    Ok(Box::new(PackageResource { names, properties, timeout }))
}

struct PackageResource {
    names: Vec<String>,
    properties: PackageProperties,
    timeout: Duration,
}

/// One package, as observed and judged.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    name: String,
    installed: Option<Installed>,
    verdict: Verdict,
    /// Whether what is to be installed is older than what is there.
    is_downgrade: bool,
}

impl PackageResource {
    fn allows_downgrade(&self) -> bool {
        let exact = self.properties.version.as_ref().is_some_and(|version| version.exact().is_some());
        self.properties.allow_downgrade.unwrap_or(exact)
    }

    fn see(&self, system: &dyn System, name: &str) -> Result<Seen> {
        let packages = system.packages();
        let installed = packages.installed(name)?;
        let compare = |left: &str, right: &str| packages.compare(left, right);
        let judge = Judge {
            ensure: self.properties.ensure,
            version: self.properties.version.as_ref(),
            allow_downgrade: self.allows_downgrade(),
            compare: &compare,
        };
        // Somebody holds it and this resource does not know why: that is no reason to fail before a newer version is a must.
        let left_alone = self.properties.ensure == PackageEnsure::Latest && self.is_held_by_others(installed.as_ref());
        let judge = if left_alone { Judge { ensure: PackageEnsure::Present, ..judge } } else { judge };
        let verdict = match &self.properties.archive {
            Some(archive) if judge.ensure == PackageEnsure::Present => {
                self.judge_archive(system, name, installed.as_ref(), archive, &judge)?
            }
            _ => judge.verdict(installed.as_ref(), || packages.candidates(name))?,
        };
        let is_downgrade = match (&verdict, &installed) {
            (Verdict::Install(Some(version)), Some(there)) if there.state != PackageState::ConfigFiles => {
                compare(version, &there.version).is_lt()
            }
            _ => false,
        };
        Ok(Seen { name: name.to_owned(), installed, verdict, is_downgrade })
    }

    fn is_held_by_others(&self, installed: Option<&Installed>) -> bool {
        self.properties.hold.is_none() && installed.is_some_and(|installed| installed.held)
    }

    fn judge_archive(
        &self,
        system: &dyn System,
        name: &str,
        installed: Option<&Installed>,
        archive: &AbsPath,
        judge: &Judge<'_>,
    ) -> Result<Verdict> {
        // A file that the same run has yet to write says nothing now; when it is to be installed, it must be there.
        if system.files().metadata(archive)?.is_none() {
            return Ok(Verdict::Install(None));
        }
        let file = system.packages().inspect(archive)?;
        if file.name != name.split(':').next().unwrap_or(name) {
            let cause = format!("it holds the package {}, not {name}", file.name);
            return Err(Error::new(ErrorKind::Invalid, "install", archive, cause)
                .with_hint("name the resource after the package, or mend `archive`"));
        }
        Ok(match installed {
            Some(there) if there.state == PackageState::Installed => {
                match (judge.compare)(&file.version, &there.version) {
                    std::cmp::Ordering::Equal => Verdict::Right,
                    std::cmp::Ordering::Less if !judge.allow_downgrade => Verdict::Right,
                    _ => Verdict::Install(Some(file.version)),
                }
            }
            _ => Verdict::Install(Some(file.version)),
        })
    }

    /// Why what is to be done with a package must not be done.
    fn refusal(&self, seen: &Seen) -> Option<Error> {
        let subject = format!("the package {}", seen.name);
        if seen.verdict != Verdict::Right && self.is_held_by_others(seen.installed.as_ref()) {
            return Some(
                Error::new(ErrorKind::Invalid, "change", subject, "it is on hold, and the recipe does not say so")
                    .with_hint("set `hold = false` to end that, or `hold = true` to change it and hold it again"),
            );
        }
        match (&seen.verdict, &seen.installed) {
            (Verdict::NoVersion(known), _) if !known.is_empty() => {
                let shown = known.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
                let wanted = self.properties.version.as_ref().map(ToString::to_string).unwrap_or_default();
                let cause = format!("no version is `{wanted}`; known are {shown}");
                Some(
                    Error::new(ErrorKind::NotFound, "install", subject, cause)
                        .with_hint("mend `version`, or declare the repository that has it"),
                )
            }
            (Verdict::Install(Some(version)), Some(there)) if seen.is_downgrade && !self.allows_downgrade() => {
                let cause = format!("{} is installed, and what is wanted is older: {version}", there.version);
                Some(
                    Error::new(ErrorKind::Invalid, "downgrade", subject, cause)
                        .with_hint("set `allow_downgrade = true` if that is meant"),
                )
            }
            _ => None,
        }
    }

    /// The transaction that makes right what was seen.
    fn transaction_of(&self, seen: &[Seen]) -> Transaction {
        let mut transaction = Transaction { timeout: self.timeout, ..Transaction::default() };
        for package in seen {
            match &package.verdict {
                Verdict::Right => {}
                // The package manager tells best why it knows nothing of a package. A plan takes it to be found in time.
                Verdict::NoVersion(_) => {
                    transaction.install.push(Install { name: package.name.clone(), version: None, file: None });
                }
                Verdict::Install(version) => transaction.install.push(Install {
                    name: package.name.clone(),
                    version: version.clone(),
                    file: self.properties.archive.clone(),
                }),
                Verdict::Remove => transaction.remove.push(package.name.clone()),
                Verdict::Purge => transaction.purge.push(package.name.clone()),
            }
            // A held package may be changed only where it is said to be held, also where it is held already.
            let changed_while_held =
                matches!(package.verdict, Verdict::Install(_)) && self.properties.hold == Some(true);
            match self.hold_change(package) {
                Some(false) => transaction.unhold.push(package.name.clone()),
                Some(true) => transaction.hold.push(package.name.clone()),
                None if changed_while_held => transaction.hold.push(package.name.clone()),
                None => {}
            }
        }
        transaction
    }

    /// Whether the package is to be held, where that is not so already. What is removed holds nothing.
    fn hold_change(&self, seen: &Seen) -> Option<bool> {
        let held = seen.installed.as_ref().is_some_and(|installed| installed.held);
        self.properties.hold.filter(|&hold| hold != held)
    }

    /// Judges anew, with a fresh index, the packages of which no known version is allowed.
    fn see_again(&self, system: &dyn System, seen: &[Seen]) -> Result<Vec<Seen>> {
        if !seen.iter().any(|package| matches!(package.verdict, Verdict::NoVersion(_))) {
            return Ok(seen.to_vec());
        }
        system.packages().refresh(Duration::ZERO)?;
        seen.iter().map(|package| self.see(system, &package.name)).collect()
    }

    /// One package, as it is and as it is to be.
    fn image(&self, seen: &Seen, images: &mut Images) {
        let name = &seen.name;
        let gone = || (None, Some(PackageEnsure::Absent.word().into()));
        let there = seen.installed.as_ref().filter(|there| there.state != PackageState::ConfigFiles);
        let as_before = there.map(|there| Value::from(there.version.clone()));
        let (before, after) = match (&seen.verdict, &as_before) {
            (Verdict::Right, _) => ((None, None), (None, None)),
            (Verdict::Remove, _) => ((as_before, None), gone()),
            (Verdict::Purge, _) => {
                images.lost.push(format!("the configuration files of the package {name} are not put back"));
                if as_before.is_none() {
                    return;
                }
                ((as_before, None), gone())
            }
            (Verdict::Install(_) | Verdict::NoVersion(_), None) => {
                images.lost.push(format!(
                    "what came along with the package {name} stays: packages that it needs, its configuration and data"
                ));
                (gone(), (None, None))
            }
            (Verdict::Install(version), Some(_)) => ((as_before, None), (version.clone().map(Value::from), None)),
            (Verdict::NoVersion(_), Some(_)) => ((as_before, None), (None, None)),
        };
        // What is gone holds nothing.
        let hold = |ensure: &Option<Value>, held: Option<bool>| held.filter(|_| ensure.is_none()).map(Value::Boolean);
        let change = self.hold_change(seen);
        let image = |(version, ensure): (Option<Value>, Option<Value>), held: Option<bool>| {
            let hold = hold(&ensure, held);
            Image::new("package", name, [("ensure", ensure), ("hold", hold), ("version", version)])
        };
        images.push(image(before, change.map(|hold| !hold)), image(after, change));
    }

    /// How a property is called: with the package where there are several.
    fn property(&self, property: &str, package: &Seen) -> String {
        if self.names.len() == 1 { property.to_owned() } else { format!("{property} of {}", package.name) }
    }

    fn compare_package(&self, package: &Seen, changes: &mut Changes) {
        let there = package.installed.as_ref().filter(|installed| installed.state != PackageState::ConfigFiles);
        let version = there.map(|there| there.version.clone());
        let mut add = |property, from, to| changes.push(Change::new(self.property(property, package), from, to));
        match &package.verdict {
            Verdict::Right => {}
            Verdict::Remove => add("ensure", Shown::maybe(version), Shown::text(self.properties.ensure.word())),
            Verdict::Purge => {
                let from = version.unwrap_or_else(|| "configuration files".to_owned());
                add("ensure", Shown::text(from), Shown::text(self.properties.ensure.word()));
            }
            Verdict::Install(_) | Verdict::NoVersion(_) => {
                if there.is_none() {
                    add("ensure", Shown::Absent, Shown::text(self.properties.ensure.word()));
                }
                if there.is_some_and(|there| there.state == PackageState::Unfinished) {
                    add("state", Shown::text("half installed"), Shown::text("installed"));
                }
                let wanted = match &package.verdict {
                    Verdict::Install(chosen) => chosen.clone(),
                    _ => self.properties.version.as_ref().map(ToString::to_string),
                };
                if let Some(wanted) = wanted.filter(|wanted| Some(wanted) != version.as_ref()) {
                    add("version", Shown::maybe(version), Shown::text(wanted));
                } else if let (Some(archive), Some(version)) = (&self.properties.archive, version) {
                    add("version", Shown::text(version), Shown::text(format!("that of {archive}")));
                }
            }
        }
        if let Some(hold) = self.hold_change(package) {
            add("hold", Shown::text(!hold), Shown::text(hold));
        }
    }
}

impl Resource for PackageResource {
    type State = Vec<Seen>;

    fn observe(&self, system: &dyn System) -> Result<Vec<Seen>> {
        if system.packages().provider().is_none() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "look for",
                format!("the package {}", self.names.join(", ")),
                "this machine has no package manager that Converge knows",
            )
            .with_hint("guard the resource with `when`"));
        }
        if self.properties.ensure == PackageEnsure::Latest {
            system.packages().refresh(self.properties.index_age.duration())?;
        }
        self.names.iter().map(|name| self.see(system, name)).collect()
    }

    fn diff(&self, state: &Vec<Seen>) -> Changes {
        let mut changes = Changes::none();
        for package in state {
            self.compare_package(package, &mut changes);
        }
        changes
    }

    fn apply(&self, system: &dyn System, state: &Vec<Seen>, _changes: &Changes) -> Result<()> {
        let seen = self.see_again(system, state)?;
        match seen.iter().find_map(|package| self.refusal(package)) {
            Some(refusal) => Err(refusal),
            None => system.packages().transact(&self.transaction_of(&seen)),
        }
    }

    fn images(&self, _: &dyn System, state: &Vec<Seen>, _changes: &Changes, _: &dyn Keeper) -> Result<Images> {
        let mut images = Images::default();
        for seen in state.iter().filter(|seen| seen.verdict != Verdict::Right || self.hold_change(seen).is_some()) {
            self.image(seen, &mut images);
        }
        Ok(images)
    }

    fn footprint(&self) -> Footprint {
        let gives = self.names.iter().cloned().map(Key::Package).chain([Key::Everything]).collect();
        let needs = [Key::PackageSources].into_iter().chain(self.properties.archive.clone().map(Key::Path)).collect();
        Footprint { gives, needs }
    }

    /// Nothing where `apply` would refuse, or has to look again first: that is told better alone.
    fn transaction(&self, state: &Vec<Seen>, changes: &Changes) -> Option<Transaction> {
        let alone =
            |package: &Seen| matches!(package.verdict, Verdict::NoVersion(_)) || self.refusal(package).is_some();
        let refused = state.iter().any(alone);
        (!changes.is_empty() && !refused).then(|| self.transaction_of(state))
    }
}
