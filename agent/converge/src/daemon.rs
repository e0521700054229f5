//! The daemon: converges on an interval, each time in a process of its own.
//!
//! A run that crashes takes nothing with it, gives all its memory back, and picks up a new binary by itself. The daemon
//! keeps nothing but the time of the next run.
#![expect(clippy::disallowed_methods, reason = "the daemon starts itself again for every run")]

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use converge_model::{Error, Result, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::cli::{AgentArgs, CommonArgs};
use crate::config::ConfigDir;
use crate::console::Console;
use crate::failure::{Failure, Outcome};

/// The shortest interval.
const SHORTEST: Span = Span::seconds(1);

/// What the daemon waits for.
enum Wake {
    /// SIGTERM or SIGINT: end.
    Stop,
    /// SIGUSR1: converge now.
    Now,
    /// SIGCHLD: the run may have ended.
    Child,
}

/// Converges on an interval until it is asked to stop; then lets the current run end after its current resource.
pub(crate) fn run(args: &AgentArgs, common: &CommonArgs, console: Console) -> Outcome {
    let config = ConfigDir::new(&common.config_dir);
    let interval = args.interval.unwrap_or(config.agent()?.interval);
    if interval < SHORTEST {
        return Err(Failure::input(
            "converge",
            format_args!("every {interval}"),
            format_args!("{SHORTEST} is the least"),
        ));
    }
    if args.policy.policy.is_none() && config.node()?.is_none() {
        return Err(config.not_a_node().into());
    }
    let daemon = Daemon { command: Invocation::new(args, common)?, wakes: listen()?, console };
    console.note(format_args!("converging every {interval}; SIGUSR1 converges now"));
    // Whoever started it as a service may go on.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    Ok(daemon.serve(interval)?)
}

struct Daemon {
    command: Invocation,
    wakes: Receiver<Wake>,
    console: Console,
}

impl Daemon {
    fn serve(&self, interval: Span) -> Result<()> {
        loop {
            let next = Instant::now() + interval.duration();
            if self.converge()? {
                return Ok(());
            }
            loop {
                match self.wakes.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    Ok(Wake::Now) | Err(RecvTimeoutError::Timeout) => break,
                    Ok(Wake::Child) => {}
                }
            }
        }
    }

    /// Runs once, and says whether the daemon was asked to stop meanwhile.
    fn converge(&self) -> Result<bool> {
        let mut child = match self.command.start() {
            Ok(child) => child,
            Err(error) => {
                // No process to be had now says nothing about the next time.
                self.console.note(format_args!("{error}; the next run is tried on time"));
                return Ok(false);
            }
        };
        let mut stopping = false;
        loop {
            if let Some(status) = child.try_wait().map_err(|error| Error::io("wait for", "the run", &error))? {
                self.console.note(ending(status));
                return Ok(stopping);
            }
            // A wake may be missed between two looks; none is missed for longer than this.
            match self.wakes.recv_timeout(Duration::from_secs(1)) {
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    stopping = true;
                    forward(&child);
                }
                Ok(Wake::Now | Wake::Child) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

fn ending(status: ExitStatus) -> String {
    match status.code() {
        Some(0) => "run ended: all is as the policy says".to_owned(),
        Some(code) => format!("run ended with exit code {code}"),
        None => format!("run ended: {status}; the next one goes on from there"),
    }
}

/// Asks the run to end after its current resource.
fn forward(child: &Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended by itself just now.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

fn listen() -> Result<Receiver<Wake>> {
    let trouble = |error: std::io::Error| Error::io("listen for", "signals", &error);
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGCHLD]).map_err(trouble)?;
    let (sender, receiver) = channel();
    let taken = std::thread::Builder::new().name("signals".to_owned()).stack_size(64 << 10).spawn(move || {
        for signal in signals.forever() {
            let wake = match signal {
                SIGUSR1 => Wake::Now,
                SIGCHLD => Wake::Child,
                _ => Wake::Stop,
            };
            if sender.send(wake).is_err() {
                return;
            }
        }
    });
    taken.map(|_| receiver).map_err(trouble)
}

/// How the daemon starts itself for one run.
struct Invocation {
    program: PathBuf,
    arguments: Vec<std::ffi::OsString>,
}

impl Invocation {
    fn new(args: &AgentArgs, common: &CommonArgs) -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| Error::io("find", "the agent's own program", &error))?;
        let mut arguments: Vec<std::ffi::OsString> = vec!["--once".into()];
        let mut add = |flag: &str, value: std::ffi::OsString| arguments.extend([flag.into(), value]);
        add("--config-dir", common.config_dir.clone().into());
        add("--state-dir", common.state_dir.clone().into());
        add("--lock-wait", args.lock_wait.to_string().into());
        if let Some(deadline) = args.deadline {
            add("--deadline", deadline.to_string().into());
        }
        if let Some(policy) = &args.policy.policy {
            add("--policy", policy.clone().into());
        }
        if let Some(group) = &args.policy.group {
            add("--group", group.into());
        }
        if let Some(node) = &args.policy.node {
            add("--node", node.into());
        }
        if common.json {
            arguments.push("--json".into());
        }
        arguments.extend((0..common.verbose).map(|_| "--verbose".into()));
        let color = common.color.to_possible_value();
        arguments.extend(color.map(|value| format!("--color={}", value.get_name()).into()));
        Ok(Self { program, arguments })
    }

    fn start(&self) -> Result<Child> {
        let started = Command::new(&self.program).args(&self.arguments).stdin(std::process::Stdio::null()).spawn();
        started.map_err(|error| Error::io("start", format!("a run ({})", self.program.display()), &error))
    }
}
