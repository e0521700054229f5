//! Converge: a configuration agent for Linux fleets. The binary: command line, daemon, store client, console, node state.
//!
//! The only room that knows all others; it decides nothing about resources and does nothing to the machine by itself.
//!
//! # Current limitations
//!
//! - A daemon of a policy from this machine's disk does not notice that it changed before its next moment.
//! - A push brings no secrets, and does not collect the report of a run that was killed.
//! - A secret that was set is read at a node's next moment: no held request is answered for it.
//! - The keeper's key cannot be changed, and every rule of a store has the same one.

mod access;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod console;
mod daemon;
mod failure;
#[cfg(test)]
mod fuzz;
mod git;
mod identity;
mod publishing;
mod push;
mod repository;
mod run;
mod secrets;
mod signing_key;
#[cfg(test)]
mod simulation;
mod state;
mod tls;

use std::process::ExitCode;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use cli::{AgentArgs, Cli, Command, CommonArgs};
use console::{Console, report};
use failure::{BAD_INPUT, Failure, Outcome, SUCCESS};
use run::crash::Crash;
use run::policy::PolicyChoice;
use run::{Agent, Limits};

/// One run's memory, quickly had; a daemon between two runs holds next to nothing.
#[cfg(target_env = "musl")]
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::typed() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to the parser, and successes to whoever asked for them.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(BAD_INPUT) } else { ExitCode::SUCCESS };
        }
    };
    if let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) {
        let processors = (0..CpuSet::count()).filter(|processor| allowed.is_set(*processor) == Ok(true)).count();
        converge_model::parallel::set_processors(processors);
    }
    let console = Console::new(&cli.common);
    log(&cli);
    say_only_where_it_panicked();
    match dispatch(&cli, console) {
        Ok(()) => ExitCode::from(SUCCESS),
        Err(failure) => {
            console.failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(cli: &Cli, console: Console) -> Outcome {
    let common = &cli.common;
    match &cli.command {
        None if cli.agent.once => once(&cli.agent, common, console),
        None => daemon::run(&cli.agent, common, console),
        Some(Command::Plan(args)) => commands::plan::run(args, common, console),
        Some(Command::Check(args)) => commands::check::run(args, console),
        Some(Command::Init(args)) => commands::init::run(args, console),
        Some(Command::Compile(args)) => commands::compile::run(args, console),
        Some(Command::Schema(args)) => commands::schema::run(args, console),
        Some(Command::Publish(args)) => commands::publish::run(args, console),
        Some(Command::Secret(args)) => commands::secret::run(args, common, console),
        Some(Command::Sign(args)) => commands::sign::run(args, console),
        Some(Command::Revisions(args)) => commands::revisions::run(args, console),
        Some(Command::Diff(args)) => commands::diff::run(args, console),
        Some(Command::Promote(args)) => commands::promote::run(args, console),
        Some(Command::Rollback(args)) => commands::rollback::run(args, console),
        Some(Command::Store(args)) => commands::store::run(args, console),
        Some(Command::Token(args)) => commands::token::run(args, console),
        Some(Command::Enroll(args)) => commands::enroll::run(args, common, console),
        Some(Command::Key(args)) => commands::key::run(args, common, console),
        Some(Command::Push(args)) => commands::push::run(args, console),
        Some(Command::Exec(args)) => commands::exec::run(args, console),
        Some(Command::Pushed(args)) => push::far::run(args, common, console),
        Some(Command::Audit(args)) => commands::audit::run(args, console),
        Some(Command::Nodes(args)) => commands::nodes::run(args, console),
        Some(Command::Node(args)) => commands::node::run(args, console),
        Some(Command::Report(args)) => commands::report::run(args, common, console),
        Some(Command::Status) => commands::status::run(common, console),
        Some(Command::Undo(args)) => commands::undo::run(args, common, console),
        Some(Command::Why(args)) => commands::why::run(args, common, console),
        Some(Command::Completions(args)) => {
            commands::paper::completions(args, console);
            Ok(())
        }
        Some(Command::Manual(args)) => commands::paper::manual(args),
        Some(Command::Facts) => commands::facts::run(common, console),
        Some(Command::Demo(args)) => commands::demo::run(args, common, console),
    }
}

/// `converge --once`
fn once(args: &AgentArgs, common: &CommonArgs, console: Console) -> Outcome {
    let agent = Agent::open(common, console)?;
    let deadline = args.deadline.or(agent.config.deadline).map(converge_model::Span::duration);
    let limits = Limits { lock_wait: args.lock_wait.duration(), deadline };
    if let Some(began) = args.crashed_run {
        let crash = Crash { began: converge_model::Timestamp(began), how: args.crashed_how.clone() };
        return agent.report_crash(&crash, &args.policy, limits);
    }
    let done = agent.converge(PolicyChoice::new(&args.policy, console)?, limits)?;
    console.result(&done.report, report::summary)?;
    if done.code == SUCCESS { Ok(()) } else { Err(Failure::Said(done.code)) }
}

/// A panic is a defect, and its message may hold what must not be shown: only its place is printed. The run goes on, and
/// its report has the resource as failed.
fn say_only_where_it_panicked() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!("a defect in converge {} at {place}; please report it", env!("CARGO_PKG_VERSION"));
    }));
}

/// What the rooms log goes to standard error: warnings, or more with `-v`, or what `--log` says.
fn log(cli: &Cli) {
    let common = &cli.common;
    let level = match common.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let targets = common.log.clone().unwrap_or_else(|| Targets::new().with_default(level));
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr);
    let is_json = matches!(&cli.command, Some(Command::Store(args)) if args.log_json);
    // Without a log there is still everything that is printed.
    let _ = if is_json {
        tracing_subscriber::registry().with(lines.json().flatten_event(true)).with(targets).try_init()
    } else {
        tracing_subscriber::registry().with(lines).with(targets).try_init()
    };
}
