//! The daemon: converges on an interval, each time in a process of its own.
//!
//! A run that crashes takes nothing with it, gives all its memory back, and picks up a new binary by itself. The daemon
//! keeps nothing but the time of the next run, and holds a request at the store meanwhile: what is published begins to be
//! converged within two seconds.
//!
//! SIGUSR1 converges now, SIGHUP reads the interval again, SIGTERM and SIGINT end after the current resource.
#![expect(clippy::disallowed_methods, reason = "the daemon starts itself again for every run")]

mod backoff;
mod news;
mod schedule;
mod told;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use converge_model::{Clock, Error, Result, Span, Timestamp};
use converge_system::linux::facts;
use converge_system::linux::resident::let_go_of_the_program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::cli::{AgentArgs, CommonArgs};
use crate::clock::MachineClock;
use crate::config::ConfigDir;
use crate::console::Console;
use crate::console::words::moment;
use crate::failure::{Failure, Outcome};
use crate::state::StateDir;
use crate::state::daemon::{Notice, Reason};
use news::{Listening, News};
use schedule::Phase;
use told::{Then, Told};

/// The shortest interval.
const SHORTEST: Span = Span::seconds(1);

/// What the daemon waits for.
enum Wake {
    /// SIGTERM or SIGINT: end.
    Stop,
    /// SIGUSR1: converge now.
    Now,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGCHLD: the run may have ended.
    Child,
    /// The store has something to tell.
    News(News),
}

/// Converges on an interval until it is asked to stop; then lets the current run end after its current resource.
pub(crate) fn run(args: &AgentArgs, common: &CommonArgs, console: Console) -> Outcome {
    let config = ConfigDir::new(&common.config_dir);
    let interval = interval(args, &config)?;
    let node = config.node()?;
    if args.policy.policy.is_none() && node.is_none() {
        return Err(config.not_a_node().into());
    }
    let name = match (&args.policy.node, node) {
        (Some(name), _) => name.clone(),
        (None, Some(node)) => node.name,
        (None, None) => facts::hostname()?,
    };
    let state = StateDir::open(&common.state_dir)?;
    let (sender, wakes) = channel();
    listen(sender.clone())?;
    let (notice, left) = Notice::begin(&state, interval)?;
    let store = match &args.policy.policy {
        Some(_) => None,
        None => Some(AtStore::begin(&config, state, sender)?),
    };
    let mut daemon = Daemon {
        args,
        config,
        command: Invocation::new(args, common)?,
        wakes,
        phase: Phase::of(&name),
        watchdog: sd_notify::watchdog_enabled(),
        console,
        store,
        notice,
    };
    console.note(format_args!("converging every {interval}; SIGUSR1 converges now"));
    // Whoever started it as a service may go on.
    tell(&[NotifyState::Ready]);
    if let Some(began) = left {
        let how = "cut off, together with the daemon: somebody killed them, or the machine stopped";
        let mut asked = Asked::default();
        daemon.report_crash(began, how, &mut asked)?;
        if asked.stop {
            return Ok(());
        }
    }
    Ok(daemon.serve(interval)?)
}

/// How often to converge, as a flag says or agent.toml.
fn interval(args: &AgentArgs, config: &ConfigDir) -> Outcome<Span> {
    let interval = args.interval.unwrap_or(config.agent()?.interval);
    if interval < SHORTEST {
        let subject = format_args!("every {interval}");
        return Err(Failure::input("converge", subject, format_args!("{SHORTEST} is the least")));
    }
    Ok(interval)
}

/// Tells the service manager, if there is one.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// The store that a daemon listens to.
struct AtStore {
    told: Told,
    listening: Listening,
    state: StateDir,
}

impl AtStore {
    fn begin(config: &ConfigDir, state: StateDir, wakes: Sender<Wake>) -> Result<Self> {
        let listening = Listening::begin(config.clone(), state.clone(), wakes)?;
        Ok(Self { told: Told::default(), listening, state })
    }
}

struct Daemon<'a> {
    args: &'a AgentArgs,
    config: ConfigDir,
    command: Invocation,
    wakes: Receiver<Wake>,
    phase: Phase,
    /// How long the service manager waits for a sign of life.
    watchdog: Option<Duration>,
    console: Console,
    /// The store; nothing where the policy is this machine's own.
    store: Option<AtStore>,
    /// What others can know of it.
    notice: Notice,
}

/// What was asked for while a run went on.
#[derive(Default)]
struct Asked {
    stop: bool,
    now: bool,
    reload: bool,
}

impl Daemon<'_> {
    fn serve(&mut self, mut interval: Span) -> Result<()> {
        loop {
            let began = Instant::now();
            let asked = self.converge()?;
            if asked.stop {
                return Ok(());
            }
            if asked.reload {
                interval = self.reload(interval);
            }
            if asked.now {
                continue;
            }
            let mut next = self.next(interval, began);
            let mut news = self.listen();
            loop {
                let until = news.map_or(next, |news| news.min(next));
                self.say_what_is_next(
                    interval,
                    until,
                    if news == Some(until) { Reason::News } else { Reason::Interval },
                );
                let_go_of_the_program();
                match self.wake(until) {
                    Some(Wake::Stop) => return Ok(()),
                    Some(Wake::Now) | None => break,
                    Some(Wake::Reload) => {
                        interval = self.reload(interval);
                        next = self.next(interval, began);
                    }
                    Some(Wake::Child) => {}
                    Some(Wake::News(told)) => {
                        if self.hear(told) {
                            news = self.listen();
                        }
                    }
                }
            }
        }
    }

    /// Takes in what there is to tell of the store, and says whether that is a change.
    fn hear(&mut self, news: News) -> bool {
        match news {
            News::Changed(tag) => {
                self.notice.heard();
                if let Some(store) = &mut self.store {
                    store.told.hear(tag);
                }
                return true;
            }
            News::Reached => {
                if self.notice.heard() {
                    self.console.note("the store answers again");
                }
            }
            News::Trouble(error, wait) => {
                self.notice.unheard(error.to_string(), wait);
                let wait = Span::seconds(wait.as_secs().max(1));
                self.console.note(format_args!("{error}; it is asked again in {wait}"));
            }
        }
        false
    }

    /// When to converge what the store told; where it told nothing new, listens on.
    fn listen(&mut self) -> Option<Instant> {
        let AtStore { told, listening, state } = self.store.as_mut()?;
        let store = self.config.node().ok().flatten().map(|node| node.store);
        let now = Instant::now();
        match told.then(state, store.as_deref(), now) {
            Then::Converge(wait) => Some(now + wait),
            Then::Listen(known) => {
                listening.wait(known);
                None
            }
        }
    }

    /// When to converge next, where the last run began then.
    fn next(&self, interval: Span, began: Instant) -> Instant {
        let now = MachineClock.now();
        let wait = self.phase.wait(interval.duration(), now, began.elapsed());
        Instant::now() + wait
    }

    /// Lets others know when it converges next.
    fn say_what_is_next(&mut self, interval: Span, until: Instant, why: Reason) {
        let wait = until.saturating_duration_since(Instant::now());
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        // To the second: what is said again is the same.
        let at = Timestamp(MachineClock.now().0.saturating_add(millis) / 1_000 * 1_000);
        if self.notice.waiting(interval, at, why) {
            tell(&[NotifyState::Status(&format!("converges next at {} UTC", moment(at)))]);
        }
    }

    /// The interval that is configured now; what is wrong is said, and changes nothing.
    fn reload(&self, before: Span) -> Span {
        let interval = interval(self.args, &self.config).unwrap_or_else(|failure| {
            self.console.failure(&failure);
            before
        });
        self.console.note(format_args!("converging every {interval}"));
        interval
    }

    /// What wakes the daemon until then, if anything does. The service manager hears meanwhile that the daemon is well.
    fn wake(&self, until: Instant) -> Option<Wake> {
        loop {
            if self.watchdog.is_some() {
                tell(&[NotifyState::Watchdog]);
            }
            let left = until.saturating_duration_since(Instant::now());
            let wait = self.watchdog.map_or(left, |limit| left.min(limit / 3));
            match self.wakes.recv_timeout(wait) {
                Ok(wake) => return Some(wake),
                Err(RecvTimeoutError::Disconnected) => return Some(Wake::Stop),
                Err(RecvTimeoutError::Timeout) if wait == left => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Runs once, and gives what was asked for meanwhile.
    fn converge(&mut self) -> Result<Asked> {
        let mut asked = Asked::default();
        if let Some(store) = &mut self.store {
            store.told.begin_run(Instant::now());
        }
        let began = self.notice.converging();
        tell(&[NotifyState::Status("converging")]);
        if let Some(status) = self.run(&[], &mut asked)? {
            self.console.note(ending(status));
            if let Some(how) = crash(status) {
                self.report_crash(began, &how, &mut asked)?;
            }
        }
        Ok(asked)
    }

    /// Has a run that ended without a report reported: by a process of its own, which converges nothing. Where that one ends
    /// the same way, nothing more is tried.
    fn report_crash(&mut self, began: Timestamp, how: &str, asked: &mut Asked) -> Result<()> {
        let arguments = ["--crashed-run".to_owned(), began.0.to_string(), "--crashed-how".to_owned(), how.to_owned()];
        let ended = self.run(&arguments, asked)?;
        if !ended.is_some_and(|status| status.success()) {
            self.console
                .note("the run that ended so could not be reported; what it changed is reported by the next one");
        }
        Ok(())
    }

    /// Starts a run and waits for its end; nothing where it cannot be started. Notes what is asked for meanwhile.
    fn run(&mut self, arguments: &[String], asked: &mut Asked) -> Result<Option<ExitStatus>> {
        let mut child = match self.command.start(arguments) {
            Ok(child) => child,
            Err(error) => {
                // No process to be had now says nothing about the next time.
                self.console.note(format_args!("{error}; the next run is tried on time"));
                return Ok(None);
            }
        };
        loop {
            if let Some(status) = child.try_wait().map_err(|error| Error::io("wait for", "the run", &error))? {
                return Ok(Some(status));
            }
            // A wake may be missed between two looks; none is missed for longer than this.
            match self.wake(Instant::now() + Duration::from_secs(1)) {
                Some(Wake::Stop) => {
                    asked.stop = true;
                    forward(&child);
                }
                Some(Wake::Now) => asked.now = true,
                Some(Wake::Reload) => asked.reload = true,
                Some(Wake::News(news)) => drop(self.hear(news)),
                Some(Wake::Child) | None => {}
            }
        }
    }
}

/// How a run ended that could not report itself; nothing of one that could.
fn crash(status: ExitStatus) -> Option<String> {
    /// What a process that panics exits with.
    const PANICKED: i32 = 101;
    match (status.code(), status.signal()) {
        (Some(PANICKED), _) => Some("ended by a defect in converge; the journal of the service says where".to_owned()),
        (Some(_), _) => None,
        (None, Some(signal)) => {
            let name =
                Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string());
            Some(format!("killed by {name}"))
        }
        (None, None) => Some("cut off".to_owned()),
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

/// Has signals wake the daemon.
fn listen(wakes: Sender<Wake>) -> Result<()> {
    let trouble = |error: std::io::Error| Error::io("listen for", "signals", &error);
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD]).map_err(trouble)?;
    let taken = std::thread::Builder::new().name("signals".to_owned()).stack_size(64 << 10).spawn(move || {
        for signal in signals.forever() {
            let wake = match signal {
                SIGUSR1 => Wake::Now,
                SIGHUP => Wake::Reload,
                SIGCHLD => Wake::Child,
                _ => Wake::Stop,
            };
            if wakes.send(wake).is_err() {
                return;
            }
        }
    });
    taken.map(drop).map_err(trouble)
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

    fn start(&self, more: &[String]) -> Result<Child> {
        let mut command = Command::new(&self.program);
        let started = command.args(&self.arguments).args(more).stdin(std::process::Stdio::null()).spawn();
        started.map_err(|error| Error::io("start", format!("a run ({})", self.program.display()), &error))
    }
}
