//! A transaction as apt's command line: what is asked of apt, and what must be true afterwards.

use std::cmp::Ordering;

use converge_model::system::packages::{Install, PackageFile, PackageState, Transaction};
use converge_model::{Error, ErrorKind, Result};

use super::index::Index;
use super::simulation::Simulation;
use super::version;

/// One call of `apt-get`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// Options and packages, without the simulation's.
    pub(super) words: Vec<String>,
    /// What may be removed, and must be: the names as [`bare`] gives them.
    pub(super) removes: Vec<String>,
    /// What must be installed in the end.
    pub(super) installs: Vec<Goal>,
    /// What is held and may be changed nevertheless, because the hold is managed: the names as [`bare`] gives them.
    pub(super) held: Vec<String>,
}

/// A package that must be installed in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    /// The package.
    pub(super) name: String,
    /// In this version; else in any.
    pub(super) version: Option<String>,
}

/// Checks what would otherwise reach a command line: names that are options, patterns or paths.
///
/// # Errors
/// Where a name or a version is none.
pub(super) fn check(transaction: &Transaction) -> Result<()> {
    let installs = transaction.install.iter().map(|install| &install.name);
    let lists = [&transaction.remove, &transaction.purge, &transaction.hold, &transaction.unhold];
    installs.chain(lists.into_iter().flatten()).try_for_each(|name| check_name(name))?;
    for install in &transaction.install {
        if let Some(version) = &install.version
            && (version.is_empty()
                || !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+~:-".contains(&byte)))
        {
            let subject = format!("package {}", install.name);
            return Err(Error::new(ErrorKind::Invalid, "install", subject, format!("{version:?} is not a version"))
                .with_hint("write it as apt-cache policy shows it, for example 1.22.1-9+deb12u1"));
        }
    }
    Ok(())
}

/// Whether `name` is a package's name, with or without an architecture.
///
/// # Errors
/// Where it is not.
pub(super) fn check_name(name: &str) -> Result<()> {
    let (package, architecture) = name.split_once(':').unwrap_or((name, "any"));
    let word = |text: &str, also: &[u8]| {
        text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
    };
    if word(package, b"+-._") && !package.ends_with('-') && word(architecture, b"-") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "look for", format!("package {name:?}"), "that is not a package's name")
        .with_hint("write it as dpkg does, for example `nginx` or `libc6:i386`"))
}

/// What a transaction does, as an infinitive, and to what.
pub(super) fn words_for(transaction: &Transaction) -> (&'static str, String) {
    let parts = [
        ("install", transaction.install.iter().map(|install| install.name.as_str()).collect::<Vec<_>>()),
        ("remove", transaction.remove.iter().map(String::as_str).collect()),
        ("purge", transaction.purge.iter().map(String::as_str).collect()),
        ("hold", transaction.hold.iter().map(String::as_str).collect()),
        ("unhold", transaction.unhold.iter().map(String::as_str).collect()),
    ];
    let mut used = parts.iter().filter(|(_, names)| !names.is_empty());
    let operation = match (used.next(), used.next()) {
        (Some((operation, _)), None) => operation,
        _ => "change",
    };
    let mut names: Vec<&str> = Vec::new();
    for name in parts.iter().flat_map(|(_, names)| names) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let noun = if names.len() == 1 { "package" } else { "packages" };
    (operation, format!("{noun} {}", names.join(", ")))
}

/// A name without the architecture where it is the machine's own.
pub(super) fn bare<'a>(name: &'a str, native: &str) -> &'a str {
    match name.split_once(':') {
        Some((package, architecture)) if architecture == native || matches!(architecture, "all" | "any" | "native") => {
            package
        }
        _ => name,
    }
}

impl Request {
    /// The call that installs and removes; `files` says what the package files among the installs hold, in their order.
    ///
    /// # Errors
    /// Where a file holds another package than it should, or something essential would be removed.
    pub(super) fn new(transaction: &Transaction, files: &[Option<PackageFile>], index: &Index) -> Result<Self> {
        let mut request = Self { words: vec!["install".to_owned()], ..Self::default() };
        let mut downgrades = false;
        let mut words = Vec::new();
        for (install, file) in transaction.install.iter().zip(files) {
            let goal = goal(install, file.as_ref(), index)?;
            let installed = index.find(&goal.name).and_then(|entry| entry.installed());
            downgrades |= match (&goal.version, installed) {
                (Some(wanted), Some(installed)) if installed.state != PackageState::ConfigFiles => {
                    version::compare(wanted, &installed.version) == Ordering::Less
                }
                _ => false,
            };
            words.push(match (&install.file, &install.version) {
                (Some(path), _) => path.to_string(),
                (None, Some(version)) => format!("{}={version}", install.name),
                (None, None) => install.name.clone(),
            });
            request.installs.push(goal);
        }
        let purges_only = transaction.remove.is_empty() && !transaction.purge.is_empty();
        for (name, purge) in
            transaction.remove.iter().map(|name| (name, false)).chain(transaction.purge.iter().map(|name| (name, true)))
        {
            let Some(entry) = index.find(name) else { continue };
            let gone = match entry.installed().map(|installed| installed.state) {
                None => true,
                Some(PackageState::ConfigFiles) => !(purge && purges_only),
                Some(_) => false,
            };
            if gone {
                continue;
            }
            if entry.essential {
                let cause = "it is essential: the system would not work without it";
                return Err(Error::new(ErrorKind::Denied, "remove", format!("package {name}"), cause)
                    .with_hint("take it out of the policy"));
            }
            words.push(format!("{name}-"));
            request.removes.push(bare(name, index.native()).to_owned());
        }
        if words.is_empty() {
            return Ok(Self::default());
        }
        request.held = transaction.hold.iter().map(|name| bare(name, index.native()).to_owned()).collect();
        let is_held = |name: &String| index.find(name).is_some_and(|entry| entry.held);
        let options = [
            ("--purge", purges_only),
            ("--allow-downgrades", downgrades),
            ("--allow-change-held-packages", transaction.hold.iter().any(is_held)),
        ];
        request.words.extend(options.iter().filter(|(_, used)| *used).map(|(option, _)| (*option).to_owned()));
        request.words.append(&mut words);
        Ok(request)
    }

    /// The call that takes the configuration files of what was removed before.
    pub(super) fn purge(transaction: &Transaction, index: &Index) -> Self {
        let left: Vec<String> = transaction
            .purge
            .iter()
            .filter(|name| index.find(name).and_then(|entry| entry.installed()).is_some())
            .cloned()
            .collect();
        if left.is_empty() {
            return Self::default();
        }
        let removes = left.iter().map(|name| bare(name, index.native()).to_owned()).collect();
        let words = ["purge".to_owned()].into_iter().chain(left).collect();
        Self { words, removes, ..Self::default() }
    }

    /// The options and packages of the real call. The simulation has looked already, but another process may get in
    /// between.
    pub(super) fn guarded_words(&self) -> Vec<String> {
        let guard = self.removes.is_empty().then(|| "--no-remove".to_owned());
        self.words.iter().cloned().chain(guard).collect()
    }

    /// Whether there is nothing to ask for.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// What is not as it must be after what `simulation` said would happen, in words; nothing where all is.
    pub(super) fn unmet(&self, simulation: &Simulation, index: &Index) -> Vec<String> {
        let mut unmet = Vec::new();
        for goal in &self.installs {
            let name = &goal.name;
            let wanted = goal.version.as_deref().or_else(|| simulation.version_of(bare(name, index.native())));
            match index.find(name).map(|entry| (entry, entry.installed())) {
                None | Some((_, None)) => unmet.push(format!("{name} is not installed")),
                Some((entry, Some(installed))) if installed.state != PackageState::Installed => {
                    unmet.push(format!("{name} is {}", entry.progress.word()));
                }
                Some((_, Some(installed))) => {
                    if wanted.is_some_and(|wanted| version::compare(wanted, &installed.version) != Ordering::Equal) {
                        unmet.push(format!("{name} is still {}", installed.version));
                    }
                }
            }
        }
        for name in &self.removes {
            let Some(entry) = index.find(name) else { continue };
            if matches!(entry.installed(), Some(installed) if installed.state != PackageState::ConfigFiles) {
                unmet.push(format!("{name} is {}", entry.progress.word()));
            }
        }
        unmet
    }
}

fn goal(install: &Install, file: Option<&PackageFile>, index: &Index) -> Result<Goal> {
    let subject = || format!("package {}", install.name);
    let Some(path) = &install.file else {
        return Ok(Goal { name: install.name.clone(), version: install.version.clone() });
    };
    let Some(file) = file else {
        return Err(Error::new(ErrorKind::Invalid, "install", subject(), format!("{path} was not inspected")));
    };
    if bare(&install.name, index.native()) != file.name {
        let cause = format!("{path} holds package {}", file.name);
        return Err(Error::new(ErrorKind::Invalid, "install", subject(), cause)
            .with_hint("name the resource after the package in the file"));
    }
    if let Some(wanted) = &install.version
        && version::compare(wanted, &file.version) != Ordering::Equal
    {
        let cause = format!("{path} holds version {}, not {wanted}", file.version);
        return Err(Error::new(ErrorKind::Invalid, "install", subject(), cause));
    }
    Ok(Goal { name: install.name.clone(), version: Some(file.version.clone()) })
}
