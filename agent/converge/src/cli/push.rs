//! What is typed after `converge push` and `converge exec`.

use std::path::PathBuf;

use clap::Args;
use converge_model::Span;

/// `converge push`
#[derive(Debug, Args)]
#[command(
    after_help = "The machines need no agent: it is brought over SSH, by its digest, where it is missing. ssh(1) does the \
    connecting, with its own configuration, agent, jump hosts and checks of host keys.\n\n\
    Exit codes: 0 every machine is as declared; 1 wrong input; 2 a run in which something failed; 3 a machine that could not be \
    reached, or could not run; 4 with --plan, changes, where --detailed-exit-code asks for it."
)]
pub(crate) struct PushArgs {
    /// The machines, as ssh(1) knows them: `web-1`, `admin@web-1`.
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,

    /// The policy: its name in this repository, or its file.
    #[arg(long, value_name = "POLICY")]
    pub policy: PathBuf,

    /// The group of the machines within the policy.
    #[arg(long)]
    pub group: Option<String>,

    /// Show what would change, changing nothing. What many machines would change alike is shown once.
    #[arg(long)]
    pub plan: bool,

    /// Exit with 4 where a plan has changes.
    #[arg(long, requires = "plan")]
    pub detailed_exit_code: bool,

    /// How many machines at once.
    #[command(flatten)]
    pub pace: PaceArgs,

    /// Let the run go on where the connection breaks. The next push collects its report.
    #[arg(long, conflicts_with = "plan")]
    pub detach: bool,

    /// Begin no more resources after this long, and end with a whole report.
    #[arg(long, value_name = "DURATION")]
    pub deadline: Option<Span>,

    /// Wait this long for another run on the machine to end.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub lock_wait: Span,

    /// The agent to bring, where this one is of another architecture than the machine, or is not static.
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,

    /// How machines are reached.
    #[command(flatten)]
    pub ssh: SshArgs,

    /// Where the reports of the machines are kept [default: ~/.local/state/converge/push].
    #[arg(long, value_name = "DIR")]
    pub reports: Option<PathBuf>,
}

/// How many machines are worked on at once, and when no more are begun.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PaceArgs {
    /// So many machines at once.
    #[arg(long, default_value_t = 10, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,

    /// Begin no further machine after one failed.
    #[arg(long)]
    pub fail_fast: bool,

    /// So many machines, or such a part of them, before the next: `5`, `10%`. Halt where one failed.
    #[arg(long, value_name = "SIZE")]
    pub batch: Option<BatchSize>,
}

/// How ssh(1) is called.
#[derive(Clone, Debug, Args)]
pub(crate) struct SshArgs {
    /// An option for ssh(1), as `-o` of it takes one: `Port=2222`; may be repeated.
    #[arg(short = 'o', long = "ssh-option", value_name = "OPTION")]
    pub options: Vec<String>,

    /// The configuration file for ssh(1).
    #[arg(short = 'F', long = "ssh-config", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How many machines of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchSize {
    /// So many.
    Count(usize),
    /// So many of a hundred, at least one.
    Percent(usize),
}

impl BatchSize {
    /// How many of `all` these are.
    pub(crate) fn of(self, all: usize) -> usize {
        match self {
            BatchSize::Count(count) => count,
            BatchSize::Percent(percent) => (all * percent / 100).max(1),
        }
    }
}

impl std::str::FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, size): (&str, fn(usize) -> Self) = match text.strip_suffix('%') {
            Some(number) => (number, BatchSize::Percent),
            None => (text, BatchSize::Count),
        };
        match number.parse() {
            Ok(number) if number > 0 && (number <= 100 || !text.ends_with('%')) => Ok(size(number)),
            _ => Err(format!("{text:?} is neither a number of machines nor a part of them, as `5` and `10%` are")),
        }
    }
}

/// `converge pushed`
#[derive(Debug, Args)]
pub(crate) struct PushedArgs {
    /// The line that says where the conversation begins.
    #[arg(long, value_name = "TEXT")]
    pub mark: String,
}

/// `converge exec`
#[derive(Debug, Args)]
#[command(after_help = "What it prints and how it ended on each machine is kept in ~/.local/state/converge/exec.\n\n\
    Exit codes: 0 it ended with 0 on every machine; 1 wrong input; 2 it did not on some; 3 a machine could not be reached.")]
pub(crate) struct ExecArgs {
    /// The machines, as ssh(1) knows them: `web-1`, `admin@web-1`.
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,

    /// The program and its arguments.
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "script")]
    pub command: Vec<String>,

    /// A script at this desk: it is run there by its first line, or by sh(1).
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub script: Option<PathBuf>,

    /// As root, by a sudo that asks for no password.
    #[arg(long)]
    pub sudo: bool,

    /// End it after this long.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub timeout: Span,

    /// How many machines at once.
    #[command(flatten)]
    pub pace: PaceArgs,

    /// How machines are reached.
    #[command(flatten)]
    pub ssh: SshArgs,
}
