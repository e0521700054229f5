//! `converge undo`: what a run overwrote is put back.

use std::io::IsTerminal;

use converge_engine::RunImages;
use converge_model::Outcome as ResourceOutcome;
use serde_json::json;

use crate::cli::{CommonArgs, RunRef, UndoArgs};
use crate::console::table::table;
use crate::console::words::moment;
use crate::console::{Console, report};
use crate::failure::{Failure, Outcome, SUCCESS};
use crate::run::{Agent, Done, Limits, UndoWish};

/// Lists what can be undone, or shows what undoing a run would change, asks, and does it.
pub(crate) fn run(args: &UndoArgs, common: &CommonArgs, console: Console) -> Outcome {
    let agent = Agent::open(common, console)?;
    let Some(run) = &args.run else {
        let runs = agent.undoable()?;
        let rows: Vec<_> = runs.iter().rev().map(row).collect();
        return console.result(&rows, |_| list(&runs));
    };
    let wanted = RunRef::parse(run).map_err(|cause| Failure::input("undo", "the run", cause))?;
    if !args.plan && !args.yes && (console.is_json() || !std::io::stdin().is_terminal()) {
        return Err(Failure::input("undo", "the run", "nobody is there to be asked")
            .with_hint("say --yes to put back what it overwrote, or --plan to see what that would change"));
    }
    let wish = UndoWish { run: agent.run_to_undo(&wanted)?, only: args.resource.clone(), force: args.force };
    if !args.yes {
        let planned = agent.plan_undo(&wish)?;
        let count = planned.report.count(ResourceOutcome::WouldUpdate);
        if args.plan || count == 0 {
            return end(&planned, console);
        }
        console.note(report::summary(&planned.report));
        if !console.confirm(&format!("\nPut back what run {} overwrote?", wish.run)) {
            console.note("Nothing was changed.");
            return Ok(());
        }
    }
    let limits = Limits {
        lock_wait: args.lock_wait.duration(),
        deadline: agent.config.deadline.map(converge_model::Span::duration),
    };
    end(&agent.undo(&wish, limits)?, console)
}

fn end(Done { report, code }: &Done, console: Console) -> Outcome {
    console.result(report, report::summary)?;
    if *code == SUCCESS { Ok(()) } else { Err(Failure::Said(*code)) }
}

/// How many things a run overwrote, and how many bytes of them are kept.
fn sizes(images: &RunImages) -> (usize, u64) {
    let things = images.resources.iter().map(|resource| resource.images.overwritten.len()).sum();
    (things, images.contents().map(|blob| blob.size).sum())
}

fn row(images: &RunImages) -> serde_json::Value {
    let (things, bytes) = sizes(images);
    json!({
        "run": images.run,
        "started": images.started,
        "policy": images.policy,
        "revision": images.revision,
        "undoes": images.undoes,
        "things": things,
        "bytes": bytes,
    })
}

fn list(runs: &[RunImages]) -> String {
    if runs.is_empty() {
        return "no run can be undone: none has overwritten anything yet, or nothing is kept of it any more".to_owned();
    }
    let rows = runs.iter().rev().map(|images| {
        let (things, bytes) = sizes(images);
        let what = images.undoes.map_or_else(|| images.policy.clone(), |run| format!("undoes {run}"));
        vec![images.run.to_string(), moment(images.started), what, things.to_string(), bytes.to_string()]
    });
    table(&["run", "started (utc)", "policy", "things", "bytes"], rows)
}
