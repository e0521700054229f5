//! `converge exec`: one command or script on many machines, over SSH.

use std::collections::BTreeMap;

use converge_model::report::ReportedError;
use converge_model::{Clock as _, Timestamp};
use converge_system::linux::durable::{self, Durability};
use serde::Serialize;

use super::push::{pusher, user_state};
use crate::cli::ExecArgs;
use crate::clock::{MachineClock, new_run};
use crate::console::{Console, error_text, table};
use crate::failure::{Failure, Outcome, RUN_FAILED, SUCCESS, TROUBLE};
use crate::push::crew;
use crate::push::exec::{Ended, Exec, Work};
use crate::push::ssh::Ssh;
use crate::state;

/// The longest script, in bytes.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// What was run, where, and how it ended: what is kept of it.
#[derive(Debug, Serialize)]
struct Record<'a> {
    by: String,
    started: Timestamp,
    command: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    sudo: bool,
    machines: Vec<Machine>,
}

/// How it ended on one machine.
#[derive(Debug, Serialize)]
struct Machine {
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    output: String,
    /// Whether the first part of the output is missing.
    is_cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ReportedError>,
}

/// Runs it.
pub(crate) fn run(args: &ExecArgs, console: Console) -> Outcome {
    crew::check(&args.hosts)?;
    let script = args.script.as_ref().map(|path| {
        durable::read(path, LONGEST_SCRIPT)?.ok_or_else(|| Failure::input("read", path.display(), "it is not there"))
    });
    let script = script.transpose()?;
    let started = MachineClock.now();
    let exec = Exec {
        ssh: &Ssh::new(&args.ssh, false)?,
        work: script.as_deref().map_or(Work::Command(&args.command), Work::Script),
        sudo: args.sudo,
        timeout: args.timeout.duration(),
    };
    let machines = crew::spread(&args.hosts, &args.pace, |host| on(&exec, host, console), |end| end.code == Some(0));
    let record = Record {
        by: pusher(),
        started,
        command: &args.command,
        script: script.map(|script| String::from_utf8_lossy(&script).into_owned()),
        sudo: args.sudo,
        machines,
    };
    keep(&record, console)?;
    console.result(&record, |record| format!("{}{}", outputs(&record.machines), codes(&record.machines)))?;
    let left = args.hosts.len() - record.machines.len();
    if left > 0 {
        console.note(format_args!("halted: {left} machines were not begun"));
    }
    match record.machines.iter().map(|machine| machine.code).max_by_key(|code| severity(*code)) {
        Some(worst) if severity(worst) != SUCCESS => Err(Failure::Said(severity(worst))),
        _ if left > 0 => Err(Failure::Said(RUN_FAILED)),
        _ => Ok(()),
    }
}

fn severity(code: Option<i32>) -> u8 {
    match code {
        Some(0) => SUCCESS,
        Some(_) => RUN_FAILED,
        None => TROUBLE,
    }
}

fn on(exec: &Exec<'_>, host: &str, console: Console) -> Machine {
    match exec.on(host) {
        Ok(Ended { code, output, is_cut }) => {
            Machine { host: host.to_owned(), code: Some(code), output, is_cut, error: None }
        }
        Err(error) => {
            console.note(format_args!("{host}: {}", error_text(&error)));
            let error = Some(ReportedError::from(&error));
            Machine { host: host.to_owned(), code: None, output: String::new(), is_cut: false, error }
        }
    }
}

/// Keeps the record at the desk of who ran it.
fn keep(record: &Record<'_>, console: Console) -> Outcome {
    let Some(directory) = user_state("exec") else { return Ok(()) };
    let name = format!("{}.json", new_run(&MachineClock, None)?);
    let kept = durable::create_directory(&directory, 0o700)
        .and_then(|()| state::save(&directory.join(name), record, Durability::Soon));
    if let Err(error) = kept {
        console.note(error_text(&error));
    }
    Ok(())
}

/// What the machines printed, each sort once, with the machines that share it.
fn outputs(machines: &[Machine]) -> String {
    let mut sharing: BTreeMap<(&str, bool), Vec<&str>> = BTreeMap::new();
    for machine in machines.iter().filter(|machine| !machine.output.is_empty()) {
        sharing.entry((&machine.output, machine.is_cut)).or_default().push(&machine.host);
    }
    let text = |((output, is_cut), hosts): ((&str, bool), Vec<&str>)| {
        let cut = if is_cut { "(the first part is left out)\n" } else { "" };
        format!("{}:\n{cut}{}\n\n", hosts.join(", "), output.trim_end())
    };
    sharing.into_iter().map(text).collect()
}

fn codes(machines: &[Machine]) -> String {
    let rows = machines.iter().map(|machine| {
        let code = match machine.code {
            Some(124) => "124 (its time was up)".to_owned(),
            Some(code) => code.to_string(),
            None => "not run".to_owned(),
        };
        vec![machine.host.clone(), code]
    });
    table::table(&["host", "exit code"], rows)
}
