//! Commands.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::error::Result;
use crate::path::AbsPath;
use crate::property::CommandLine;

/// Why a command is run. A plan runs what only looks, and keeps from running what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It changes the machine in ways that nobody can know.
    Change,
    /// It only looks: a guard.
    Look,
}

/// A command, and all that surrounds it.
#[derive(Clone, Debug)]
pub struct CommandSpec {
    /// What to execute.
    pub line: CommandLine,
    /// Why.
    pub purpose: Purpose,
    /// Where; `/` if not said.
    pub directory: Option<AbsPath>,
    /// Environment on top of a small clean one (`PATH`, `HOME`, `LANG=C.UTF-8`, …).
    pub environment: BTreeMap<String, String>,
    /// As whom; as the process's own user if not said.
    pub user: Option<String>,
    /// With which file mode creation mask; 022 if not said.
    pub umask: Option<u32>,
    /// How long it may take. Then its whole process group is ended.
    pub timeout: Duration,
    /// Paths that are there once it has run: what a plan may assume.
    pub creates: Vec<AbsPath>,
}

impl CommandSpec {
    /// A command that runs as the process's own user, in `/`, for at most `timeout`.
    pub fn new(line: CommandLine, purpose: Purpose, timeout: Duration) -> Self {
        Self {
            line,
            purpose,
            directory: None,
            environment: BTreeMap::new(),
            user: None,
            umask: None,
            timeout,
            creates: Vec::new(),
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Its time was up, and it was ended.
    TimedOut,
    /// The run was stopped, and it was ended.
    Cancelled,
    /// It was not run: a plan takes for granted that it would have succeeded.
    Assumed,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with {code}"),
            Exit::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Exit::TimedOut => f.write_str("did not end in time, and was ended with its whole process group"),
            Exit::Cancelled => f.write_str("was ended because the run was stopped"),
            Exit::Assumed => f.write_str("was assumed to succeed"),
        }
    }
}

/// The last part of what a command printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The text, invalid UTF-8 replaced.
    pub text: String,
    /// How many bytes came before it and were dropped.
    pub dropped: u64,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutput {
    /// How it ended.
    pub exit: Exit,
    /// What it printed to standard output and standard error, in the order it came, the last 64 KiB of it.
    pub output: Tail,
}

/// Runs commands.
pub trait Commands: Send + Sync {
    /// Runs a command to its end: no terminal, no standard input, a process group of its own that is gone afterwards.
    ///
    /// # Errors
    /// Where it could not be started. How it ended is in the result, whatever it is.
    fn run(&self, command: &CommandSpec) -> Result<CommandOutput>;
}
