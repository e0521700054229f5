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

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
Package: dpkg\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21\n\n\
Package: hello\nStatus: install ok installed\nArchitecture: all\nVersion: 2.0\n\n\
Package: kept\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 3\n\n\
Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 4\n\n\
Package: half\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 5\n";

    fn index() -> Index {
        let mut index = Index::default();
        index.add_status(STATUS.as_bytes());
        index.finish();
        index
    }

    /// As the arguments read: `name`, `name=version`, `-remove`, `+purge`, `hold:name`.
    fn transaction(text: &str) -> Transaction {
        let mut transaction = Transaction::default();
        for word in text.split_whitespace() {
            match (word.strip_prefix('-'), word.strip_prefix('+'), word.strip_prefix("hold:")) {
                (Some(name), ..) => transaction.remove.push(name.to_owned()),
                (_, Some(name), _) => transaction.purge.push(name.to_owned()),
                (.., Some(name)) => transaction.hold.push(name.to_owned()),
                _ => {
                    let (name, version) = word.split_once('=').map_or((word, None), |(name, rest)| (name, Some(rest)));
                    let version = version.map(str::to_owned);
                    transaction.install.push(Install { name: name.to_owned(), version, file: None });
                }
            }
        }
        transaction
    }

    #[test]
    fn a_transaction_becomes_two_calls_at_most() {
        for (asked, first, second) in [
            ("", "", ""),
            ("hello new:i386", "install hello new:i386 --no-remove", ""),
            ("hello=1.0", "install --allow-downgrades hello=1.0 --no-remove", ""),
            ("hello=2.1 kept=3", "install hello=2.1 kept=3 --no-remove", ""),
            ("kept=2 hold:kept", "install --allow-downgrades --allow-change-held-packages kept=2 --no-remove", ""),
            ("gone=1 hold:hello", "install gone=1 --no-remove", ""),
            ("new -hello", "install new hello-", ""),
            ("-hello -gone -never", "install hello-", ""),
            ("+hello +never", "install --purge hello-", "purge hello"),
            ("+gone", "install --purge gone-", "purge gone"),
            ("-half +gone", "install half-", "purge gone"),
            ("hold:hello", "", ""),
        ] {
            let (transaction, index) = (transaction(asked), index());
            let files = vec![None; transaction.install.len()];
            let shown =
                |request: &Request| if request.is_empty() { String::new() } else { request.guarded_words().join(" ") };
            assert_eq!(shown(&Request::new(&transaction, &files, &index).unwrap()), first, "{asked}");
            // As if the first call had left everything as it is.
            assert_eq!(shown(&Request::purge(&transaction, &index)), second, "{asked}");
        }
        let refused = Request::new(&transaction("-dpkg"), &[], &index()).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{refused}");
    }

    #[test]
    fn what_is_not_as_it_must_be_is_named() {
        let simulation = Simulation { installs: vec![("hello".to_owned(), "2.1".to_owned())], ..Simulation::default() };
        for (asked, unmet) in [
            ("hello=2.0", ""),
            ("hello", "hello is still 2.0"),
            ("kept half never gone", "half is half-configured, never is not installed, gone is config-files"),
            ("-gone -never", ""),
            ("-hello", "hello is installed"),
        ] {
            let transaction = transaction(asked);
            let files = vec![None; transaction.install.len()];
            let request = Request::new(&transaction, &files, &index()).unwrap();
            assert_eq!(request.unmet(&simulation, &index()).join(", "), unmet, "{asked}");
        }
    }

    #[test]
    fn only_names_and_versions_reach_a_command_line() {
        for name in ["nginx", "g++", "libc6:i386", "0ad", "python3.11", "Foo_bar"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "-y", "nginx-", "a b", "a/b", "a=1", "a;b", "a\n", "a:", ":a", "a*", "ä", "./a", "^a"] {
            assert_eq!(check_name(name).unwrap_err().kind, ErrorKind::Invalid, "{name}");
        }
        for (version, fine) in [("1:2.0~rc1-1+b2", true), ("", false), ("1|2", false), ("1/2", false), ("1;", false)] {
            assert_eq!(check(&transaction(&format!("a={version}"))).is_ok(), fine, "{version:?}");
        }
    }
}
