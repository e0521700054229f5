//! One child process: no terminal, a deadline, capped output, and nothing left of its group afterwards.

#![expect(clippy::disallowed_methods, reason = "the one place that starts processes")]

mod capture;
mod inherited;
mod supervise;

use std::collections::BTreeMap;
use std::io::{PipeReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use converge_model::Cancel;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::commands::{CommandOutput, Exit, Tail};
use rustix::fs::{MemfdFlags, OFlags};
use rustix::process::{Pid, Signal};

use capture::Capture;
use inherited::Inherited;
use supervise::Supervisor;

/// Where commands are looked for. Never the agent's own `PATH`: a run must not depend on who started it.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of an output is kept if nothing else is said, in bytes.
pub const KEPT_OUTPUT: usize = 64 * 1024;

/// As whom a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The primary group's number.
    pub gid: u32,
    /// The numbers of the supplementary groups.
    pub groups: Vec<u32>,
}

/// A process to be run to its end.
#[derive(Debug)]
pub struct Process<'a> {
    program: &'a str,
    arguments: Vec<&'a str>,
    environment: BTreeMap<&'a str, &'a str>,
    directory: &'a Path,
    identity: Option<&'a Identity>,
    umask: u32,
    input: Option<&'a [u8]>,
    timeout: Duration,
    keep: usize,
    cancel: &'a Cancel,
}

/// What came of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// The last part of what it printed to standard output; of standard error too, unless they were to be kept apart.
    pub output: Tail,
    /// The last part of what it printed to standard error, where that was to be kept apart.
    pub errors: Tail,
}

impl Finished {
    /// Whether it exited with 0.
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// How it ended, and the last line it printed: the cause of an error.
    pub fn cause(&self) -> String {
        let last =
            |tail: &Tail| tail.text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
        match last(&self.errors).or_else(|| last(&self.output)) {
            Some(line) => format!("it {}: {line}", self.exit),
            None => format!("it {}", self.exit),
        }
    }
}

impl From<Finished> for CommandOutput {
    fn from(finished: Finished) -> Self {
        Self { exit: finished.exit, output: finished.output }
    }
}

impl<'a> Process<'a> {
    /// A process that runs as the agent's own user, in `/`, with a small clean environment and no input, for at most
    /// `timeout`, and no longer than until `cancel` says that the run is to end now.
    pub fn new(program: &'a str, timeout: Duration, cancel: &'a Cancel) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            environment: BTreeMap::from([("PATH", PATH), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")]),
            directory: Path::new("/"),
            identity: None,
            umask: 0o022,
            input: None,
            timeout,
            keep: KEPT_OUTPUT,
            cancel,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &'a str, value: &'a str) -> Self {
        self.environment.insert(name, value);
        self
    }

    /// Runs it in `directory`.
    #[must_use]
    pub fn directory(self, directory: &'a Path) -> Self {
        Self { directory, ..self }
    }

    /// Runs it as somebody else.
    #[must_use]
    pub fn identity(self, identity: Option<&'a Identity>) -> Self {
        Self { identity, ..self }
    }

    /// Runs it with this file mode creation mask; 022 if not said.
    #[must_use]
    pub fn umask(self, umask: u32) -> Self {
        Self { umask, ..self }
    }

    /// Gives it `input` to read from standard input. It passes through memory only, so it may be a secret.
    #[must_use]
    pub fn input(self, input: &'a [u8]) -> Self {
        Self { input: Some(input), ..self }
    }

    /// Keeps the last `bytes` of its output; [`KEPT_OUTPUT`] if not said.
    #[must_use]
    pub fn keep(self, bytes: usize) -> Self {
        Self { keep: bytes, ..self }
    }

    /// Runs it to its end, standard output and standard error in one, in the order they came.
    ///
    /// # Errors
    /// Where it could not be started. How it ended is in the result.
    pub fn run(&self) -> Result<Finished> {
        let (reader, writer) = pipe(self.program)?;
        let second = writer.try_clone().map_err(|error| Error::io("start", self.program, &error))?;
        let child = self.start(writer.into(), second.into())?;
        self.finish(child, vec![Capture::new(reader, self.keep)])
    }

    /// Runs it to its end, keeping standard error apart.
    ///
    /// # Errors
    /// Where it could not be started. How it ended is in the result.
    pub fn run_apart(&self) -> Result<Finished> {
        let (output, output_writer) = pipe(self.program)?;
        let (errors, errors_writer) = pipe(self.program)?;
        let child = self.start(output_writer.into(), errors_writer.into())?;
        self.finish(child, vec![Capture::new(output, self.keep), Capture::new(errors, self.keep)])
    }

    /// Starts it. The writing ends of its pipes are closed here when this returns, so that their end can be seen.
    fn start(&self, output: OwnedFd, errors: OwnedFd) -> Result<Child> {
        let input = match self.input {
            Some(bytes) => {
                in_memory(bytes).map(Stdio::from).map_err(|error| Error::io("start", self.program, &error))?
            }
            None => Stdio::null(),
        };
        let mut command = Command::new(self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.directory)
            .stdin(input)
            .stdout(output)
            .stderr(errors);
        let inherited = Inherited::of_this_process();
        if self.identity.is_none() && inherited.umask == Some(self.umask) && !inherited.terminal {
            // Nothing is to be done in the child, which then need not be a copy of the agent: that takes half the time.
            command.process_group(0);
        } else {
            enter(&mut command, self.umask, self.identity.cloned());
        }
        command.spawn().map_err(|error| self.not_started(&error))
    }

    fn not_started(&self, error: &std::io::Error) -> Error {
        let failed = Error::io("start", self.program, error);
        if error.kind() == std::io::ErrorKind::NotFound {
            // One code for three reasons: the directory, the program, the interpreter that a script names.
            return if rustix::fs::stat(self.directory).is_err() {
                let cause = format!("its directory {} is not there", self.directory.display());
                Error { cause, hint: Some("make the directory first, or choose another `cwd`".to_owned()), ..failed }
            } else {
                Error {
                    kind: ErrorKind::Unavailable,
                    hint: Some(format!("install it, or name it by its whole path; looked in {PATH}")),
                    ..failed
                }
            };
        }
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            return failed.with_hint("see whether it may be executed, and whether its file system is mounted noexec");
        }
        failed
    }

    fn finish(&self, mut child: Child, mut captures: Vec<Capture>) -> Result<Finished> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| {
            Error::new(ErrorKind::Failed, "run", self.program, "the kernel gave it a number that is none")
        })?;
        let exit = Supervisor { pid, cancel: self.cancel }.supervise(&mut captures, self.timeout);
        if let Ok(Some(exit)) = &exit {
            // Not reaped until here, so that its number, and with it the group's, could not be given to anybody else.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            child.wait().map_err(|error| Error::io("wait for", self.program, &error))?;
            for capture in &mut captures {
                capture.read_available();
            }
            let mut tails = captures.into_iter().map(Capture::into_tail);
            let (output, errors) = (tails.next().unwrap_or_default(), tails.next().unwrap_or_default());
            return Ok(Finished { exit: *exit, output, errors });
        }
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        match exit {
            Err(errno) => Err(Error::io("wait for", self.program, &errno.into())),
            Ok(_) => Err(Error::new(
                ErrorKind::TimedOut,
                "end",
                self.program,
                "it was still there five seconds after SIGKILL; it hangs inside the kernel, often on a dead network disk",
            )
            .with_hint(format!("look at /proc/{}/stack and at the mounts it uses", pid.as_raw_nonzero()))),
        }
    }
}

fn pipe(program: &str) -> Result<(PipeReader, std::io::PipeWriter)> {
    let (reader, writer) = std::io::pipe().map_err(|error| Error::io("start", program, &error))?;
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK).map_err(|errno| Error::io("start", program, &errno.into()))?;
    Ok((reader, writer))
}

/// A file in memory that holds `bytes`, to be read from the beginning. Unlike a pipe it never blocks who fills it.
fn in_memory(bytes: &[u8]) -> std::io::Result<std::fs::File> {
    use std::io::Seek as _;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Lets the child leave the agent's session, so that it has no terminal to wait for and its group can be ended whole, and
/// become who it is to be.
#[expect(unsafe_code, reason = "nothing safe runs in the child between fork and exec")]
fn enter(command: &mut Command, umask: u32, identity: Option<Identity>) {
    use rustix::thread::{Gid, Uid};
    let groups: Vec<Gid> =
        identity.iter().flat_map(|identity| &identity.groups).map(|gid| Gid::from_raw(*gid)).collect();
    let become_user = move || {
        rustix::process::setsid()?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        if let Some(identity) = &identity {
            let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
            rustix::thread::set_thread_groups(&groups)?;
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child, which has one thread. It makes bare system calls, allocates nothing,
    // and takes no lock.
    unsafe {
        command.pre_exec(become_user);
    }
}
