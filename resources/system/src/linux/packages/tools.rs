//! The programs of apt and dpkg, and how they are called so that they ask nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use converge_model::property::CommandLine;
use converge_model::system::Commands;
use converge_model::system::commands::{CommandOutput, CommandSpec, Exit, Purpose};
use converge_model::{Error, ErrorKind, Result};

use super::failure::{self, Failure};

/// What keeps everything that apt runs from asking, paging, or speaking another language than the one that is read here.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("APT_LISTBUGS_FRONTEND", "none"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("LC_ALL", "C.UTF-8"),
    ("NEEDRESTART_MODE", "l"),
    ("PAGER", "cat"),
    ("UCF_FORCE_CONFFOLD", "1"),
];

/// Changed configuration files stay as they are. dpkg without a terminal of its own stays in the process group that is
/// ended when the time is up.
const APT_GET: [&str; 11] = [
    "/usr/bin/apt-get",
    "-y",
    "-q",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "APT::Cmd::Pattern-Only=true",
];

/// Starts them.
pub(super) struct Tools {
    commands: Arc<dyn Commands>,
}

impl Tools {
    /// Starts them through `commands`.
    pub(super) fn new(commands: Arc<dyn Commands>) -> Self {
        Self { commands }
    }

    /// Runs `apt-get` for something that changes the machine.
    pub(super) fn apt_get(&self, words: &[String], deadline: Deadline<'_>) -> Result<CommandOutput> {
        let left = deadline.left()?;
        let mut line: Vec<String> = APT_GET.iter().map(|word| (*word).to_owned()).collect();
        line.extend(["-o".to_owned(), format!("DPkg::Lock::Timeout={}", left.as_secs().max(1))]);
        line.extend_from_slice(words);
        self.run(line, Purpose::Change, left)
    }

    /// Runs `apt-get -s`, which changes nothing and needs no lock.
    pub(super) fn simulate(&self, words: &[String], deadline: Deadline<'_>) -> Result<CommandOutput> {
        let mut line = strings(&["/usr/bin/apt-get", "-s", "-q", "-o", "APT::Cmd::Pattern-Only=true"]);
        line.extend_from_slice(words);
        self.run(line, Purpose::Look, deadline.left()?)
    }

    /// Runs something that changes the machine.
    pub(super) fn change(&self, line: Vec<String>, deadline: Deadline<'_>) -> Result<CommandOutput> {
        self.run(line, Purpose::Change, deadline.left()?)
    }

    /// Runs something that only looks.
    pub(super) fn look(&self, line: Vec<String>, timeout: Duration) -> Result<CommandOutput> {
        self.run(line, Purpose::Look, timeout)
    }

    fn run(&self, line: Vec<String>, purpose: Purpose, timeout: Duration) -> Result<CommandOutput> {
        let mut spec = CommandSpec::new(CommandLine::Argv(line), purpose, timeout);
        spec.environment = ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.commands.run(&spec)
    }
}

/// Words as an argument list.
pub(super) fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Until when something must be done, and what it is.
#[derive(Clone, Copy)]
pub(super) struct Deadline<'a> {
    /// What is attempted: an infinitive.
    pub(super) operation: &'a str,
    /// On what.
    pub(super) subject: &'a str,
    /// Until when.
    pub(super) at: Instant,
}

impl Deadline<'_> {
    /// How much time is left.
    ///
    /// # Errors
    /// Where none is.
    pub(super) fn left(&self) -> Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::new(ErrorKind::TimedOut, self.operation, self.subject, "its time is up")
                .with_hint("the next run finishes what was begun; give it a longer `timeout` if it needs one"));
        }
        Ok(left)
    }

    /// The same, but at most `limit` from now.
    #[must_use]
    pub(super) fn at_most(self, limit: Duration) -> Self {
        Self { at: self.at.min(Instant::now() + limit), ..self }
    }

    /// What came of a call: nothing if it ended well.
    ///
    /// # Errors
    /// Where it failed, with why it did, and `state`.
    pub(super) fn judge(&self, program: &str, output: &CommandOutput, state: &[String]) -> Result<()> {
        let text = &output.output.text;
        let ended = format!("{program} {}", output.exit);
        let stopped = |kind| {
            let mut cause = ended.clone();
            failure::append_lines(&mut cause, failure::last_lines(text));
            Error::new(kind, self.operation, self.subject, cause)
        };
        match output.exit {
            Exit::Code(0) | Exit::Assumed => Ok(()),
            Exit::TimedOut => Err(stopped(ErrorKind::TimedOut)
                .with_hint("the next run finishes what was begun; give it a longer `timeout` if it needs one")),
            Exit::Cancelled => Err(stopped(ErrorKind::Cancelled).with_hint("the next run finishes what was begun")),
            Exit::Code(_) | Exit::Signal(_) => Err(failure::explain(&Failure {
                operation: self.operation,
                subject: self.subject,
                ended: &ended,
                state,
                output: text,
            })),
        }
    }
}
