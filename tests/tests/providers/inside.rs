//! Calls of the providers, made inside a machine.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::expect_used,
    clippy::panic,
    reason = "a test program that is told what to do by its environment, and answers on standard output"
)]

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use converge_model::property::CommandLine;
use converge_model::system::commands::{CommandSpec, Purpose};
use converge_model::system::packages::{Install, Transaction};
use converge_model::system::services::UnitAction;
use converge_model::{Cancel, Error, Key, System};
use converge_system::NoBlobs;
use converge_system::linux::{LinuxSystem, Options};
use converge_testbed::{AptRepository, Invocation, Machine, MachineOptions, Package, Result, require_machine};

/// Names the calls to make: one a line.
const CALLS: &str = "CONVERGE_PROVIDER_CALLS";
const BEGIN: &str = "<<answer ";
const END: &str = " answer>>";

/// A booted machine with this program in it.
pub(crate) struct Inside {
    pub(crate) machine: Machine,
    program: String,
}

impl Inside {
    /// Boots it; nothing where machines cannot be booted.
    pub(crate) fn boot(name: &str) -> Result<Option<Self>> {
        if !require_machine() {
            return Ok(None);
        }
        let machine = Machine::boot(MachineOptions::named(name))?;
        let program = machine.push_binary(&std::env::current_exe().expect("a program knows its path"))?;
        Ok(Some(Self { machine, program }))
    }

    /// Makes the packages the machine's repository.
    pub(crate) fn offer(&self, packages: &[Package]) -> Result<()> {
        let mut repository = AptRepository::new()?;
        for package in packages {
            repository.add(package)?;
        }
        self.machine.use_apt_repository(&repository)
    }

    /// Makes one call, and gives its answer.
    pub(crate) fn call(&self, call: &str) -> Result<String> {
        Ok(self.calls(&[call])?.remove(0))
    }

    /// Makes several calls of the same provider, and gives their answers.
    pub(crate) fn calls(&self, calls: &[&str]) -> Result<Vec<String>> {
        let output = self.invocation(&[], calls)?.run()?.assert_ok();
        let answers = output.stdout.split(BEGIN).skip(1).filter_map(|rest| rest.split(END).next());
        let answers: Vec<String> = answers.map(str::to_owned).collect();
        assert_eq!(answers.len(), calls.len(), "{}", output.stdout);
        Ok(answers)
    }

    /// The process that makes calls, started through `wrapper`.
    pub(crate) fn invocation(&self, wrapper: &[&str], calls: &[&str]) -> Result<Invocation> {
        let own = [self.program.as_str(), "--exact", "inside::calls_are_made", "--ignored", "--nocapture"];
        let invocation = self.machine.command(wrapper.iter().copied().chain(own))?;
        // As somebody's shell may have it, where that locale is not installed.
        Ok(invocation.env("LANG", "ja_JP.UTF-8").env("LC_ALL", "ja_JP.UTF-8").env(CALLS, calls.join("\n")))
    }
}

/// Fails unless `answer` holds each of `parts`.
#[track_caller]
pub(crate) fn assert_says(answer: &str, parts: &[&str]) {
    for part in parts {
        assert!(answer.contains(part), "{part:?} is missing in:\n{answer}");
    }
}

/// The part that runs inside.
#[test]
#[ignore = "does nothing but inside a machine, where the other tests start it"]
fn calls_are_made() {
    let Ok(calls) = std::env::var(CALLS) else { return };
    let options = Options { root: "/".into(), blobs: Arc::new(NoBlobs), cancel: Cancel::new(), stat_cache: None };
    let system = LinuxSystem::new(options).expect("the machine opens");
    for call in calls.lines() {
        let words: Vec<&str> = call.split(' ').collect();
        println!("{BEGIN}{}{END}", answer(&system, &words));
    }
}

fn answer(system: &LinuxSystem, words: &[&str]) -> String {
    let (packages, services) = (system.packages(), system.services());
    match words {
        ["providers"] => format!("{:?} {:?}", packages.provider(), services.provider()),
        ["installed", name] => told(packages.installed(name), |installed| match installed {
            None => "none".to_owned(),
            Some(found) => format!("{} {:?}{}", found.version, found.state, if found.held { " held" } else { "" }),
        }),
        ["candidates", name] => told(packages.candidates(name), |candidates| {
            let shown = candidates.iter().map(|one| format!("{}{}", one.version, if one.preferred { "*" } else { "" }));
            shown.collect::<Vec<_>>().join(" ")
        }),
        ["inspect", path] => {
            told(packages.inspect(&path.parse().expect("a path")), |file| format!("{} {}", file.name, file.version))
        }
        ["refresh", seconds] => told(packages.refresh(duration(seconds)), |did| format!("fetched: {did}")),
        ["transact", seconds, changes @ ..] => {
            told(packages.transact(&transaction(seconds, changes)), |()| "done".to_owned())
        }
        ["status", unit] => told(services.status(unit), |status| {
            let flags = [(status.exists, "exists"), (status.stale, "stale"), (status.can_reload, "reloadable")];
            let flags = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word);
            let words = [status.activity.word(), status.enablement.word()].into_iter().chain(flags);
            words.collect::<Vec<_>>().join(" ")
        }),
        ["sweep", units @ ..] => {
            let keys: Vec<Key> = units.iter().map(|unit| Key::Unit((*unit).to_owned())).collect();
            let begun = Instant::now();
            system.prepare(&keys);
            let active = units.iter().filter(|unit| services.status(unit).is_ok_and(|status| status.exists)).count();
            format!("{active} exist; {} us", begun.elapsed().as_micros())
        }
        ["reload_units"] => told(services.reload_units(), |()| "done".to_owned()),
        ["perform", action, unit, seconds] => {
            told(services.perform(unit, unit_action(action), duration(seconds)), |()| "done".to_owned())
        }
        ["run", words @ ..] => {
            let line = CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect());
            let spec = CommandSpec::new(line, Purpose::Change, Duration::from_secs(30));
            told(system.commands().run(&spec), |output| output.exit.to_string())
        }
        _ => panic!("no such call: {words:?}"),
    }
}

fn told<T>(result: std::result::Result<T, Error>, tell: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => tell(value),
        Err(error) => {
            let hint: &dyn Display = match &error.hint {
                Some(hint) => hint,
                None => &"none",
            };
            format!("{:?}: {error}\nhint: {hint}", error.kind)
        }
    }
}

fn duration(seconds: &str) -> Duration {
    Duration::from_secs_f64(seconds.parse().expect("seconds"))
}

/// `name`, `name=version`, `name=/path`, `-name` to remove, `--name` to purge, `hold:name`, `unhold:name`.
fn transaction(seconds: &str, changes: &[&str]) -> Transaction {
    let mut transaction = Transaction { timeout: duration(seconds), ..Transaction::default() };
    for change in changes {
        if let Some(name) = change.strip_prefix("--") {
            transaction.purge.push(name.to_owned());
        } else if let Some(name) = change.strip_prefix('-') {
            transaction.remove.push(name.to_owned());
        } else if let Some(name) = change.strip_prefix("hold:") {
            transaction.hold.push(name.to_owned());
        } else if let Some(name) = change.strip_prefix("unhold:") {
            transaction.unhold.push(name.to_owned());
        } else {
            let (name, rest) = change.split_once('=').map_or((*change, None), |(name, rest)| (name, Some(rest)));
            let file = rest.filter(|rest| rest.starts_with('/'));
            transaction.install.push(Install {
                name: name.to_owned(),
                version: rest.filter(|_| file.is_none()).map(str::to_owned),
                file: file.map(|path| path.parse().expect("a path")),
            });
        }
    }
    transaction
}

fn unit_action(word: &str) -> UnitAction {
    let actions = [
        UnitAction::Start,
        UnitAction::Stop,
        UnitAction::Restart,
        UnitAction::Reload,
        UnitAction::Enable,
        UnitAction::Disable,
        UnitAction::Mask,
        UnitAction::Unmask,
    ];
    actions.into_iter().find(|action| action.word() == word).expect("an action")
}
