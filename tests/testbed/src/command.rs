//! Processes the testbed starts: always with a deadline, a process group of their own and captured output.
#![expect(
    clippy::disallowed_methods,
    reason = "the testbed drives the test host's own tools; the System's ports belong to the agent under test"
)]

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::error::{Attempt, Result, TestbedError};
use crate::output::Output;
use crate::processes;

/// How long a process may take when the test does not say.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait for the rest of the output after the process ended. A daemon it left behind may hold the pipe open
/// for ever.
const OUTPUT_GRACE: Duration = Duration::from_millis(300);

/// What a process in a machine finds in its environment, and nothing else: not the test host's.
const MACHINE_ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
];

/// A process about to be started, on the test host or inside a machine.
#[derive(Debug, Clone)]
#[must_use = "nothing starts before `run` or `spawn`"]
pub struct Invocation {
    enter: Vec<OsString>,
    arguments: Vec<OsString>,
    inherits_environment: bool,
    environment: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    deadline: Duration,
}

impl Invocation {
    /// A process on the test host, with the test host's environment.
    pub(crate) fn on_host(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self {
            enter: Vec::new(),
            arguments: owned(arguments),
            inherits_environment: true,
            environment: Vec::new(),
            input: Vec::new(),
            deadline: DEFAULT_DEADLINE,
        }
    }

    /// A process that `enter` (nsenter and its options) takes into a machine; its environment is a fresh login's.
    pub(crate) fn inside(
        enter: impl IntoIterator<Item = impl AsRef<OsStr>>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let environment = MACHINE_ENVIRONMENT.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { enter: owned(enter), inherits_environment: false, environment, ..Self::on_host(arguments) }
    }

    /// Adds one more argument at the end.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Sets one environment variable; the last one of a name counts.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// What the process reads on its standard input; nothing unless set.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// After this time [`Invocation::run`] kills the process and fails; [`DEFAULT_DEADLINE`] unless set. A process
    /// started by [`Invocation::spawn`] has the deadline of [`Running::wait`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts the process and waits until it ends.
    ///
    /// # Errors
    ///
    /// The process could not be started, or it ran past its deadline and was killed. An exit code other than 0 is no
    /// error: look at the [`Output`].
    pub fn run(self) -> Result<Output> {
        let deadline = self.deadline;
        self.spawn()?.wait(deadline)
    }

    /// Starts the process and returns at once.
    ///
    /// # Errors
    ///
    /// The process could not be started.
    pub fn spawn(self) -> Result<Running> {
        let entered = !self.enter.is_empty();
        let line: Vec<&OsString> = self.enter.iter().chain(&self.arguments).collect();
        let Some((program, rest)) = line.split_first() else {
            return Err(TestbedError::new("cannot start a process without a program: the argument list is empty"));
        };
        let mut command = Command::new(program);
        command
            .args(rest)
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if !self.inherits_environment {
            command.env_clear();
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let shown = shown(&self.arguments);
        let mut child = command.spawn().attempt(|| format!("cannot start `{shown}` through {}", program.display()))?;
        if let Some(mut pipe) = child.stdin.take() {
            let input = self.input;
            // A process that ends without reading its input is no error.
            thread::spawn(move || drop(pipe.write_all(&input)));
        }
        Ok(Running {
            stdout: Capture::of(child.stdout.take()),
            stderr: Capture::of(child.stderr.take()),
            child,
            entered,
            shown,
            ended: None,
        })
    }
}

/// A started process. Dropped while it still runs, it is killed with its process group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Whether the child is nsenter, whose own child is the process that was asked for.
    entered: bool,
    shown: String,
    stdout: Capture,
    stderr: Capture,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Whether the process has not ended yet.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn is_running(&mut self) -> Result<bool> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().attempt(|| format!("cannot learn the state of `{}`", self.shown))?;
        }
        Ok(self.ended.is_none())
    }

    /// Waits until the process ends.
    ///
    /// # Errors
    ///
    /// The process still ran after `deadline`; it was killed with its process group. The error shows the end of its output.
    pub fn wait(mut self, deadline: Duration) -> Result<Output> {
        let until = Instant::now() + deadline;
        let mut pause = Duration::from_micros(500);
        while self.is_running()? {
            if Instant::now() >= until {
                self.kill();
                let output = self.collect(ExitStatus::from_raw(Signal::SIGKILL as i32));
                return Err(TestbedError::new(format!(
                    "`{}` did not end within {deadline:?} and was killed; its output so far:\n{}",
                    self.shown,
                    output.tail()
                )));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
        let status = self.ended.unwrap_or_default();
        Ok(self.collect(status))
    }

    /// Sends a signal to the process alone, as `kill` would; not to its children.
    ///
    /// # Errors
    ///
    /// The process has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.is_running()? {
            return Err(TestbedError::new(format!("cannot send {signal} to `{}`: it has ended", self.shown)));
        }
        let target = self.target_pid()?;
        kill(target, signal).attempt(|| format!("cannot send {signal} to `{}`", self.shown))
    }

    /// Kills the process and whatever shares its process group, at once; harmless when it has ended.
    pub fn kill(&mut self) {
        if self.is_running().unwrap_or(true) {
            // Both may fail when the process ends in this very moment, which is what is wanted.
            let _ = killpg(host_pid(self.child.id()), Signal::SIGKILL);
            self.ended = self.child.wait().ok();
        }
    }

    /// What the process has written to its standard output so far.
    pub fn stdout_so_far(&self) -> String {
        self.stdout.text()
    }

    /// The pid, on the test host, of the process that was asked for. nsenter needs a moment before it has forked it.
    fn target_pid(&self) -> Result<Pid> {
        let own = self.child.id();
        if !self.entered {
            return Ok(host_pid(own));
        }
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(child) = processes::children(own)?.first() {
                return Ok(host_pid(*child));
            }
            if Instant::now() >= until {
                return Err(TestbedError::new(format!(
                    "cannot find the process of `{}` inside the machine: nsenter never started it",
                    self.shown
                )));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn collect(&self, status: ExitStatus) -> Output {
        let until = Instant::now() + OUTPUT_GRACE;
        while Instant::now() < until && !(self.stdout.is_complete() && self.stderr.is_complete()) {
            thread::sleep(Duration::from_micros(200));
        }
        Output { command: self.shown.clone(), status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Collects what comes out of a pipe, on a thread of its own.
#[derive(Debug)]
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Capture {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = pipe.map(|mut pipe| {
            thread::spawn(move || {
                let mut buffer = [0; 64 * 1024];
                while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                    sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn is_complete(&self) -> bool {
        self.reader.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn owned(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Vec<OsString> {
    arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect()
}

fn shown(arguments: &[OsString]) -> String {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// The kernel's pids fit an `i32`; the standard library hands them out as `u32`.
pub(crate) fn host_pid(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed())
}
