//! The commands of a machine in memory: a few that every machine has, and those that a test scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::property::CommandLine;
use converge_model::system::Commands;
use converge_model::system::commands::{CommandOutput, CommandSpec, Exit, Purpose, Tail};
use converge_model::system::files::{Attributes, FileType};
use converge_model::{AbsPath, Content};

use super::{MemoryMachine, State};

/// One thing that a scripted command does to the machine.
#[derive(Clone)]
pub enum Effect {
    /// A file with this content is there. Directories on the way are made.
    Write(AbsPath, Arc<[u8]>),
    /// A directory is there.
    Directory(AbsPath),
    /// Nothing is there any more.
    Remove(AbsPath),
    /// Anything else.
    Act(Act),
}

/// What [`Effect::Act`] does.
pub type Act = Arc<dyn Fn(&MemoryMachine) -> Result<()> + Send + Sync>;

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Write(path, bytes) => write!(f, "Write({path}, {} bytes)", bytes.len()),
            Effect::Directory(path) => write!(f, "Directory({path})"),
            Effect::Remove(path) => write!(f, "Remove({path})"),
            Effect::Act(_) => f.write_str("Act"),
        }
    }
}

/// What a scripted command does, each effect being one operation, and how it ends.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What it does, in this order.
    pub effects: Vec<Effect>,
    /// Its exit code.
    pub code: i32,
    /// What it prints.
    pub output: String,
    /// How long it takes. Where that is more than it may take, it is ended before it has any effect.
    pub takes: Duration,
}

impl Script {
    /// A command that does nothing, and ends with `code`.
    pub fn exits(code: i32) -> Self {
        Self { code, ..Self::default() }
    }

    /// The same, printing `output`.
    #[must_use]
    pub fn printing(self, output: &str) -> Self {
        Self { output: output.to_owned(), ..self }
    }

    /// The same, taking so long.
    #[must_use]
    pub fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    /// The same, with a further effect.
    #[must_use]
    pub fn doing(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// The same, writing a file.
    #[must_use]
    pub fn writing(self, path: AbsPath, content: impl Into<Arc<[u8]>>) -> Self {
        self.doing(Effect::Write(path, content.into()))
    }
}

/// A command that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRecord {
    /// As it would be typed.
    pub line: String,
    /// Why it was run.
    pub purpose: Purpose,
    /// In which directory.
    pub directory: Option<AbsPath>,
    /// As whom.
    pub user: Option<String>,
    /// The environment that was asked for.
    pub environment: BTreeMap<String, String>,
    /// The file mode creation mask that was asked for.
    pub umask: Option<u32>,
    /// How it ended.
    pub exit: Exit,
}

/// What commands there are, and which were run.
#[derive(Clone, Debug, Default)]
pub(super) struct Scripts {
    /// By command line; `*` stands for anything.
    pub(super) scripts: Vec<(String, Script)>,
    pub(super) records: Vec<CommandRecord>,
}

impl Scripts {
    /// The script for a line: the one that was given last.
    fn find(&self, line: &str) -> Option<Script> {
        self.scripts.iter().rev().find(|(pattern, _)| matches(pattern, line)).map(|(_, script)| script.clone())
    }
}

fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|line| {
            rest.is_empty() || (0..=line.len()).any(|at| line.is_char_boundary(at) && matches(rest, &line[at..]))
        }),
    }
}

/// A command's exit code and what it printed.
type Ended = (i32, String);

fn words(line: &CommandLine) -> Vec<Vec<String>> {
    match line {
        CommandLine::Argv(words) => vec![words.clone()],
        CommandLine::Shell(line) => {
            line.split("&&").map(|part| part.split_whitespace().map(unquoted).collect()).collect()
        }
    }
}

fn unquoted(word: &str) -> String {
    word.trim_matches(|c| c == '\'' || c == '"').to_owned()
}

impl State {
    /// The commands that every machine has; nothing for any other.
    fn builtin(&mut self, words: &[String]) -> Option<Ended> {
        let (program, arguments) = words.split_first()?;
        let program = program.rsplit('/').next().unwrap_or(program);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let outcome = match (program, arguments.as_slice()) {
            ("true" | ":", _) => Ok((0, String::new())),
            ("false", _) => Ok((1, String::new())),
            ("exit", [code]) => Ok((code.parse().unwrap_or(2), String::new())),
            ("echo", words) => Ok((0, format!("{}\n", words.join(" ")))),
            ("test", [flag, path]) => self.test(flag, path).map(|holds| (i32::from(!holds), String::new())),
            ("cat", [path]) => absolute(path).and_then(|path| self.bytes("read", &path)).map(|bytes| (0, text(&bytes))),
            ("grep", ["-q", pattern, path]) => absolute(path)
                .and_then(|path| self.bytes("read", &path))
                .map(|bytes| (i32::from(!text(&bytes).contains(pattern)), String::new())),
            ("touch", [path]) => absolute(path).and_then(|path| self.touch(&path)).map(|()| (0, String::new())),
            ("mkdir", ["-p", path]) => {
                absolute(path).and_then(|path| self.make_path(&path)).map(|()| (0, String::new()))
            }
            ("mkdir", [path]) => absolute(path)
                .and_then(|path| self.make_directory(&path, Attributes::default()))
                .map(|()| (0, String::new())),
            ("rm", ["-rf" | "-r", path]) => {
                absolute(path).and_then(|path| self.erase(&path)).map(|()| (0, String::new()))
            }
            ("rm", ["-f", path] | [path]) => {
                absolute(path).and_then(|path| self.remove(&path)).map(|()| (0, String::new()))
            }
            _ => return None,
        };
        Some(outcome.unwrap_or_else(|error| (1, format!("{program}: {error}\n"))))
    }

    fn test(&self, flag: &str, path: &str) -> Result<bool> {
        let path = absolute(path)?;
        let real = if flag == "-L" { path } else { self.tree.resolve(&path)? };
        let found = self.tree.metadata("look at", &real)?.map(|metadata| metadata.file_type);
        Ok(match flag {
            "-f" => found == Some(FileType::Regular),
            "-d" => found == Some(FileType::Directory),
            "-L" => found == Some(FileType::Symlink),
            _ => found.is_some(),
        })
    }

    fn touch(&mut self, path: &AbsPath) -> Result<()> {
        if self.tree.metadata("look at", path)?.is_some() {
            return Ok(());
        }
        self.write(path, Arc::from(&b""[..]), Attributes::default())
    }

    fn make_path(&mut self, path: &AbsPath) -> Result<()> {
        self.make_parents(path)?;
        match self.tree.metadata("look at", path)? {
            Some(metadata) if metadata.file_type == FileType::Directory => Ok(()),
            _ => self.make_directory(path, Attributes::default()),
        }
    }

    fn erase(&mut self, path: &AbsPath) -> Result<()> {
        for path in self.below(path)? {
            self.remove(&path)?;
        }
        Ok(())
    }
}

fn absolute(path: &str) -> Result<AbsPath> {
    path.parse().map_err(|cause| Error::new(ErrorKind::Invalid, "use", path, cause))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl MemoryMachine {
    fn execute(&self, command: &CommandSpec) -> Result<(Exit, String)> {
        let script = self.state().commands.find(&command.line.to_string());
        if let Some(script) = script {
            return self.play(&script, command.timeout);
        }
        let mut output = String::new();
        for words in words(&command.line) {
            let seconds = match words.as_slice() {
                [program, seconds] if program == "sleep" => seconds.parse::<u64>().ok(),
                _ => None,
            };
            if let Some(seconds) = seconds {
                if Duration::from_secs(seconds) > command.timeout {
                    return Ok((Exit::TimedOut, output));
                }
                continue;
            }
            let (builtin, script) = {
                let mut state = self.state();
                (state.builtin(&words), state.commands.find(&words.join(" ")))
            };
            let (code, printed) = match builtin {
                Some(ended) => ended,
                None => match script {
                    Some(script) => match self.play(&script, command.timeout)? {
                        (Exit::Code(code), printed) => (code, printed),
                        ended => return Ok(ended),
                    },
                    None if matches!(command.line, CommandLine::Argv(_)) => {
                        let program = words.first().map_or("", String::as_str);
                        return Err(Error::new(ErrorKind::Unavailable, "start", program, "there is no such program"));
                    }
                    None => (127, format!("{}: command not found\n", words.first().map_or("", String::as_str))),
                },
            };
            output.push_str(&printed);
            if code != 0 {
                return Ok((Exit::Code(code), output));
            }
        }
        Ok((Exit::Code(0), output))
    }

    fn play(&self, script: &Script, timeout: Duration) -> Result<(Exit, String)> {
        if script.takes > timeout {
            return Ok((Exit::TimedOut, script.output.clone()));
        }
        for effect in &script.effects {
            self.operation("take effect of", format!("{effect:?}"))?;
            match effect {
                Effect::Write(path, bytes) => {
                    self.state().put(path, &Content::Bytes(Arc::clone(bytes)), Attributes::default())?;
                }
                Effect::Directory(path) => self.state().make_path(path)?,
                Effect::Remove(path) => self.state().erase(path)?,
                Effect::Act(act) => act(self)?,
            }
        }
        Ok((Exit::Code(script.code), script.output.clone()))
    }

    /// What must be right before a process can start.
    fn may_start(&self, command: &CommandSpec) -> Result<()> {
        let state = self.state();
        let refuse = |cause: String| Err(Error::new(ErrorKind::NotFound, "run", &command.line, cause));
        if let Some(user) = &command.user
            && state.roster.user(user)?.is_none()
            && !user.parse().is_ok_and(|uid| matches!(state.roster.user_name(uid), Ok(Some(_))))
        {
            return refuse(format!("there is no user {user}"));
        }
        if let Some(directory) = &command.directory {
            let real = state.tree.resolve(directory)?;
            let found = state.tree.metadata("look at", &real)?.map(|metadata| metadata.file_type);
            if found != Some(FileType::Directory) {
                return refuse(format!("there is no directory {directory}"));
            }
        }
        Ok(())
    }
}

impl Commands for MemoryMachine {
    fn run(&self, command: &CommandSpec) -> Result<CommandOutput> {
        self.operation("run", &command.line)?;
        self.may_start(command)?;
        let (exit, output) = self.execute(command)?;
        self.state().commands.records.push(CommandRecord {
            line: command.line.to_string(),
            purpose: command.purpose,
            directory: command.directory.clone(),
            user: command.user.clone(),
            environment: command.environment.clone(),
            umask: command.umask,
            exit,
        });
        Ok(CommandOutput { exit, output: Tail { text: output, dropped: 0 } })
    }
}
