//! `converge push`: converge machines over SSH that need nothing installed.
#![expect(
    clippy::disallowed_methods,
    reason = "where a user's own state is, and who that is, only the environment knows"
)]

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

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
use crate::push::{Password, Program, Push, Pushed, crew};
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
    /// Reports of earlier pushes that nobody had taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Report>,
    #[serde(skip)]
    code: u8,
}

/// Pushes.
pub(crate) fn run(args: &PushArgs, console: Console) -> Outcome {
    crew::check(&args.hosts)?;
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
    let reports = args.reports.clone().or_else(|| user_state("push"));
    let push = Push {
        ssh: &Ssh::new(&args.ssh, asks)?,
        program: &Program::at(args.agent.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe")))?,
        compilation: &compilation,
        graph: &graph,
        order: &order,
        note: &|text| console.note(text),
        keep: &|host, report| keep(reports.as_deref(), host, report),
        password: &Password { ask: &|| hidden::ask("Password for sudo on the machines: "), known: Mutex::default() },
    };
    let desk = Desk { push: &push, args, console };
    let work = |host: &str| desk.push_to(host);
    let arrivals = crew::spread(&args.hosts, &args.pace, work, |arrival| arrival.code == SUCCESS);
    conclude(args, arrivals, console)
}

/// Where pushes are watched from.
struct Desk<'a> {
    push: &'a Push<'a>,
    args: &'a PushArgs,
    console: Console,
}

impl Desk<'_> {
    fn push_to(&self, host: &str) -> Arrival {
        match self.push.to(host, &|reply| self.tell(host, reply)) {
            Ok(Pushed { report, code, earlier }) => {
                for report in &earlier {
                    let summary = report::summary(report);
                    self.say(host, &format!("an earlier push ended there without anybody listening:\n{summary}"));
                }
                Arrival { host: host.to_owned(), report: Some(report), error: None, earlier, code }
            }
            Err(error) => {
                self.console.note(format_args!("{host}: {}", error_text(&error)));
                let error = Some(ReportedError::from(&error));
                Arrival { host: host.to_owned(), report: None, error, earlier: Vec::new(), code: TROUBLE }
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
    if begun < args.hosts.len() {
        console.note(format_args!("halted: {} machines were not begun", args.hosts.len() - begun));
    }
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
fn keep(directory: Option<&Path>, host: &str, report: &Report) -> Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    let state = StateDir::open(&directory.join(host.replace(['/', '\\'], "_")))?;
    let reports = LocalReports::new(&state, REPORTS);
    reports.newest_of_few()?;
    reports.add(report)
}

/// Where a person's own programs keep what is called `name`.
pub(super) fn user_state(name: &str) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home)?;
    Some(state.join("converge").join(name))
}

/// Who pushes, as far as the machine that it is done from knows: `alice@laptop`.
pub(super) fn pusher() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
    let machine = converge_system::linux::facts::hostname().ok();
    format!("{}@{}", user.as_deref().unwrap_or("somebody"), machine.as_deref().unwrap_or("somewhere"))
}
