//! `converge push`: converge machines over SSH that need nothing installed.
#![expect(
    clippy::disallowed_methods,
    reason = "where a user's own state is, and who that is, only the environment knows"
)]

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use converge_model::report::{Mode, ReportedError};
use converge_model::{BlobRef, Outcome as Ended, Report, Result};
use serde::Serialize;

use super::compile::Compilation;
use crate::cli::PushArgs;
use crate::console::words::{counts, millis};
use crate::console::{Console, error_text, hidden, report, table};
use crate::failure::{Failure, HAS_CHANGES, Outcome, RUN_FAILED, SUCCESS, TROUBLE};
use crate::push::ssh::Ssh;
use crate::push::wire::{Order, Reply};
use crate::push::{Password, Program, Push, Pushed};
use crate::repository::PolicyRepository;
use crate::state::StateDir;
use crate::state::reports::LocalReports;

/// How many reports of a machine are kept.
const REPORTS: usize = 50;

/// What came of one machine.
#[derive(Debug, Serialize)]
struct Arrival {
    host: String,
    /// The report of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
    /// Why there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ReportedError>,
    #[serde(skip)]
    code: u8,
}

/// Pushes.
pub(crate) fn run(args: &PushArgs, console: Console) -> Outcome {
    if let Some(host) = args.hosts.iter().find(|host| host.starts_with('-') || host.is_empty()) {
        return Err(Failure::input("push to", format!("{host:?}"), "that is no machine"));
    }
    let (repository, name) = PolicyRepository::of_policy(&args.policy)?;
    let compilation = Compilation::of(repository, &name, console)?;
    let graph = compilation.graph.to_bytes()?;
    let order = Order {
        graph: BlobRef::of(&graph),
        blobs: compilation.blobs()?,
        mode: if args.plan { Mode::Plan } else { Mode::Apply },
        group: args.group.clone(),
        by: pusher(),
        lock_wait: args.lock_wait,
        deadline: args.deadline,
        detach: args.detach,
    };
    let asks = args.hosts.len() == 1 && std::io::stdin().is_terminal();
    let push = Push {
        ssh: &Ssh::new(args.ssh_config.as_deref(), &args.ssh_options, asks)?,
        program: &Program::at(args.agent.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe")))?,
        compilation: &compilation,
        graph: &graph,
        order: &order,
        note: &|text| console.note(text),
        password: &Password { ask: &|| hidden::ask("Password for sudo on the machines: "), known: Mutex::default() },
    };
    let crew = Crew { push: &push, args, console, reports: reports_directory(args) };
    let arrivals = crew.push_to_all();
    conclude(args, arrivals, console)
}

/// Those who push, several machines at once.
struct Crew<'a> {
    push: &'a Push<'a>,
    args: &'a PushArgs,
    console: Console,
    reports: Option<PathBuf>,
}

impl Crew<'_> {
    /// What came of each machine, in the order in which they were named.
    fn push_to_all(&self) -> Vec<Arrival> {
        let hosts = &self.args.hosts;
        let mut arrivals = Vec::new();
        for batch in hosts.chunks(self.args.batch.map_or(hosts.len(), |batch| batch.of(hosts.len()))) {
            arrivals.extend(self.push_to(batch));
            if arrivals.iter().any(|arrival| arrival.code != SUCCESS) && self.args.batch.is_some() {
                let left = hosts.len() - arrivals.len();
                self.console
                    .note(format_args!("halted: {left} machines were not begun, because one of this batch failed"));
                break;
            }
        }
        arrivals
    }

    fn push_to(&self, hosts: &[String]) -> Vec<Arrival> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let arrivals = Mutex::new(BTreeMap::new());
        let work = || loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(host) = hosts.get(position) else { return };
            if self.args.fail_fast && failed.load(Ordering::Relaxed) {
                return;
            }
            let arrival = self.push_to_one(host);
            failed.fetch_or(arrival.code != SUCCESS, Ordering::Relaxed);
            arrivals.lock().unwrap_or_else(PoisonError::into_inner).insert(position, arrival);
        };
        thread::scope(|scope| {
            for _ in 1..usize::from(self.args.jobs).min(hosts.len()) {
                // Where no thread can be had, fewer machines are pushed to at once.
                let _ = thread::Builder::new().name("push".to_owned()).spawn_scoped(scope, work);
            }
            work();
        });
        arrivals.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }

    fn push_to_one(&self, host: &str) -> Arrival {
        let kept = |report: &Report| {
            if let Some(Err(error)) = self.reports.as_ref().map(|directory| keep(directory, host, report)) {
                self.console.note(error_text(&error));
            }
        };
        match self.push.to(host, &|reply| self.tell(host, reply)) {
            Ok(Pushed { report, code, earlier }) => {
                for report in &earlier {
                    let summary = report::summary(report);
                    self.say(host, &format!("an earlier push ended there without anybody listening:\n{summary}"));
                }
                earlier.iter().for_each(kept);
                if report.mode == Mode::Apply {
                    kept(&report);
                }
                Arrival { host: host.to_owned(), report: Some(report), error: None, code }
            }
            Err(error) => {
                self.console.note(format_args!("{host}: {}", error_text(&error)));
                let error = Some(ReportedError::from(&error));
                Arrival { host: host.to_owned(), report: None, error, code: TROUBLE }
            }
        }
    }

    /// Shows what happens on a machine. What plans say is shown when all have said it.
    fn tell(&self, host: &str, reply: &Reply) {
        match reply {
            Reply::Started(resources) if std::io::stderr().is_terminal() => {
                self.console.note(format_args!("{host}: looking at {resources} resources"));
            }
            Reply::Resource(resource) if !self.args.plan => self.say(host, &report::resource(resource)),
            Reply::Notified { target, action, outcome, error } if !self.args.plan => {
                self.say(host, &report::notified(target, action, *outcome, error.as_ref()));
            }
            _ => {}
        }
    }

    fn say(&self, host: &str, text: &str) {
        if self.console.is_json() {
            return;
        }
        match self.args.hosts.len() {
            1 => self.console.say(text),
            _ => self.console.say(format_args!("{host}: {text}")),
        }
    }
}

/// Prints what came of all machines, and gives the exit code for it.
fn conclude(args: &PushArgs, arrivals: Vec<Arrival>, console: Console) -> Outcome {
    let would_change =
        |arrival: &Arrival| arrival.report.as_ref().is_some_and(|report| report.count(Ended::WouldUpdate) > 0);
    let changes = arrivals.iter().any(would_change);
    console.result(&arrivals, |arrivals| {
        let plans = if args.plan { plans(arrivals) } else { String::new() };
        format!("{plans}{}", outcomes(arrivals))
    })?;
    let begun = arrivals.len();
    let worst = arrivals.iter().map(|arrival| arrival.code).max().unwrap_or(SUCCESS);
    match worst {
        SUCCESS if begun < args.hosts.len() => Err(Failure::Said(RUN_FAILED)),
        SUCCESS if args.detailed_exit_code && changes => Err(Failure::Said(HAS_CHANGES)),
        SUCCESS => Ok(()),
        worst => Err(Failure::Said(worst)),
    }
}

/// What the machines would change, each sort of plan once, with the machines that share it.
fn plans(arrivals: &[Arrival]) -> String {
    let mut sharing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for arrival in arrivals {
        let Some(report) = &arrival.report else { continue };
        let eventful = report.resources.iter().filter(|resource| resource.outcome != Ended::UpToDate);
        let text: Vec<String> = eventful.map(report::resource).collect();
        if !text.is_empty() {
            sharing.entry(text.join("\n")).or_default().push(&arrival.host);
        }
    }
    sharing.into_iter().map(|(text, hosts)| format!("{}:\n{text}\n\n", hosts.join(", "))).collect()
}

/// A row for each machine.
fn outcomes(arrivals: &[Arrival]) -> String {
    let rows = arrivals.iter().map(|arrival| match (&arrival.report, &arrival.error) {
        (Some(report), _) => vec![
            arrival.host.clone(),
            report.conclusion.words().to_owned(),
            counts(&report.counts),
            millis(report.millis),
        ],
        (None, error) => {
            let why = error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
            vec![arrival.host.clone(), "not converged".to_owned(), why, String::new()]
        }
    });
    table::table(&["host", "run", "resources", "time"], rows)
}

/// Keeps the report of a machine at the desk of who pushed.
fn keep(directory: &Path, host: &str, report: &Report) -> Result<()> {
    let name = host.replace(['/', '\\'], "_");
    let state = StateDir::open(&directory.join(name))?;
    LocalReports::new(&state, REPORTS).add(report)
}

fn reports_directory(args: &PushArgs) -> Option<PathBuf> {
    let state = || {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
        state.map(|state| state.join("converge/push"))
    };
    args.reports.clone().or_else(state)
}

/// Who pushes, as far as the machine that it is done from knows: `alice@laptop`.
fn pusher() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
    let machine = converge_system::linux::facts::hostname().ok();
    format!("{}@{}", user.as_deref().unwrap_or("somebody"), machine.as_deref().unwrap_or("somewhere"))
}
