//! Commands of a catalog: as whom, where, with what environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use converge_model::Cancel;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::property::CommandLine;
use converge_model::system::Commands;
use converge_model::system::accounts::User;
use converge_model::system::commands::{CommandOutput, CommandSpec, Purpose};

use super::accounts::Database;
use super::epoch::Epoch;
use super::process::Process;

/// Runs commands as real processes.
pub struct LinuxCommands {
    database: Arc<Database>,
    root: PathBuf,
    epoch: Epoch,
    cancel: Cancel,
}

impl LinuxCommands {
    pub(super) fn new(database: Arc<Database>, root: PathBuf, epoch: Epoch, cancel: Cancel) -> Self {
        Self { database, root, epoch, cancel }
    }

    /// The user that a command names, by name or number; else the agent's own.
    fn user(&self, command: &CommandSpec) -> Result<Option<User>> {
        let Some(name) = &command.user else {
            return self.database.user_numbered(rustix::process::geteuid().as_raw());
        };
        let found = match self.database.user(name)? {
            None => match name.parse() {
                Ok(uid) => self.database.user_numbered(uid)?,
                Err(_) => None,
            },
            found => found,
        };
        found.map(Some).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "run", &command.line, format!("there is no user `{name}` to run it as"))
                .with_hint("declare the user before the command, or correct its name")
        })
    }
}

impl Commands for LinuxCommands {
    fn run(&self, command: &CommandSpec) -> Result<CommandOutput> {
        if self.root.as_os_str() != "/" {
            let cause = format!("it would run on this machine, not in the tree at {}", self.root.display());
            return Err(Error::new(ErrorKind::Unavailable, "run", &command.line, cause)
                .with_hint("leave resources that run commands out of policies for mounted trees"));
        }
        let invalid = |cause: String| Error::new(ErrorKind::Invalid, "run", &command.line, cause);
        let words: Vec<&str> = match &command.line {
            CommandLine::Argv(words) => words.iter().map(String::as_str).collect(),
            CommandLine::Shell(line) => vec!["/bin/sh", "-c", line],
        };
        let (program, arguments) = words.split_first().ok_or_else(|| invalid("it names no program".to_owned()))?;
        if let Some(name) = command.environment.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(invalid(format!("{name:?} cannot be the name of an environment variable")));
        }
        let user = self.user(command)?;
        let euid = rustix::process::geteuid().as_raw();
        let identity = match &user {
            Some(user) if user.uid != euid => Some(self.database.identity(user)?),
            _ => None,
        };
        if identity.is_some() && euid != 0 {
            let who = command.user.as_deref().unwrap_or_default();
            return Err(Error::new(
                ErrorKind::Denied,
                "run",
                &command.line,
                format!("only root may run it as `{who}`"),
            )
            .with_hint("run the agent as root"));
        }
        let mut process = Process::new(program, command.timeout, &self.cancel)
            .arguments(arguments.iter().copied())
            .identity(identity.as_ref())
            .umask(command.umask.unwrap_or(0o022));
        let of_user = user.as_ref().map(environment_of).unwrap_or_else(|| BTreeMap::from([("HOME", "/")]));
        for (name, value) in of_user {
            process = process.variable(name, value);
        }
        for (name, value) in &command.environment {
            process = process.variable(name, value);
        }
        if let Some(directory) = &command.directory {
            process = process.directory(directory.as_path());
        }
        let finished = process.run();
        if command.purpose == Purpose::Change {
            self.epoch.advance();
        }
        finished.map(CommandOutput::from)
    }
}

fn environment_of(user: &User) -> BTreeMap<&'static str, &str> {
    let shell = if user.shell.is_empty() { "/bin/sh" } else { user.shell.as_str() };
    BTreeMap::from([("HOME", user.home.as_str()), ("USER", &user.name), ("LOGNAME", &user.name), ("SHELL", shell)])
}
