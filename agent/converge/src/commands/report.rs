//! `converge report`: the runs there were, or one of them.

use converge_model::{Error, ErrorKind, Report, RunId};
use converge_protocol::{ReportFilter, ReportSummary};

use crate::access;
use crate::cli::{CommonArgs, ReportArgs, RunRef};
use crate::client::StoreClient;
use crate::config::ConfigDir;
use crate::console::table::table;
use crate::console::words::{counts, millis, moment};
use crate::console::{Console, report};
use crate::failure::{Failure, Outcome};
use crate::state::StateDir;
use crate::state::reports::LocalReports;

/// Where reports are looked up.
enum Source {
    Machine(LocalReports),
    Store(Box<StoreClient>),
}

/// Lists reports, or shows one.
pub(crate) fn run(args: &ReportArgs, common: &CommonArgs, console: Console) -> Outcome {
    let source = if args.local {
        let keep = ConfigDir::new(&common.config_dir).agent()?.keep_reports;
        Source::Machine(LocalReports::new(&StateDir::open(&common.state_dir)?, keep))
    } else {
        Source::Store(Box::new(access::operator(&args.access, None)?))
    };
    let Some(run) = &args.run else {
        return console.result(&source.list(args, args.limit)?, |reports| text(reports));
    };
    let wanted = RunRef::parse(run).map_err(|cause| Failure::input("show", "the report", cause))?;
    console.result(&source.one(&wanted, args)?, report::whole)
}

impl Source {
    fn list(&self, args: &ReportArgs, limit: usize) -> Outcome<Vec<ReportSummary>> {
        match self {
            Source::Machine(reports) => {
                let runs = reports.runs()?;
                let reports = runs.into_iter().rev().filter_map(|run| reports.read(run));
                let wanted = reports.filter(|report| !args.eventful || is_eventful(report));
                Ok(wanted.take(limit).map(|report| summary(&report)).collect())
            }
            Source::Store(store) => {
                let filter =
                    ReportFilter { node: args.node.clone(), eventful: args.eventful, ..ReportFilter::default() };
                Ok(store.reports(&filter, limit)?)
            }
        }
    }

    fn one(&self, wanted: &RunRef, args: &ReportArgs) -> Outcome<Report> {
        /// How far back a run is found by its first digits.
        const SEARCHED: usize = 5_000;
        let run = match wanted {
            RunRef::Exactly(run) => *run,
            RunRef::Last => self.only(self.list(args, 1)?, "there is none yet")?,
            RunRef::Prefix(prefix) => {
                let mut found = self.list(args, SEARCHED)?;
                found.retain(|report| report.run.to_string().starts_with(prefix));
                self.only(found, &format!("no run begins with {prefix}"))?
            }
        };
        match self {
            Source::Store(store) => Ok(store.report(run)?),
            Source::Machine(reports) => reports.read(run).ok_or_else(|| not_found(&format!("run {run} has none here"))),
        }
    }

    fn only(&self, found: Vec<ReportSummary>, none: &str) -> Outcome<RunId> {
        match found.as_slice() {
            [] => Err(not_found(none)),
            [one] => Ok(one.run),
            [..] => Err(Failure::input("show", "the report", format_args!("{} runs begin so", found.len()))
                .with_hint("give more digits")),
        }
    }
}

fn not_found(cause: &str) -> Failure {
    let hint = "`converge report` lists the runs there are";
    Failure::Input(Error::new(ErrorKind::NotFound, "show", "the report", cause).with_hint(hint))
}

fn is_eventful(report: &Report) -> bool {
    report.has_changes() || !report.conclusion.is_success()
}

fn summary(report: &Report) -> ReportSummary {
    ReportSummary {
        run: report.run,
        node: report.node.clone(),
        policy: report.policy.clone(),
        revision: report.revision,
        started: report.started,
        millis: report.millis,
        conclusion: report.conclusion.words().to_owned(),
        counts: report.counts.clone(),
    }
}

fn text(reports: &[ReportSummary]) -> String {
    if reports.is_empty() {
        return "no reports yet".to_owned();
    }
    let rows = reports.iter().map(|report| {
        vec![
            report.run.to_string(),
            moment(report.started),
            report.node.clone(),
            report.policy.clone(),
            report.revision.map_or_else(|| "-".to_owned(), |serial| serial.to_string()),
            report.conclusion.clone(),
            millis(report.millis),
            counts(&report.counts),
        ]
    });
    table(&["run", "started (utc)", "node", "policy", "revision", "ended", "took", "resources"], rows)
}
