//! One call of a tool of shadow-utils, tried again while another tool holds the account files.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use converge_model::Cancel;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::commands::Exit;

use super::database::Database;
use crate::linux::process::{Finished, Process};
use crate::linux::small_file;

/// How long another tool is waited for that holds the account files.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// How long to wait before trying again.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// A tool with its arguments.
pub(super) struct Tool<'a> {
    database: &'a Database,
    root: &'a Path,
    cancel: &'a Cancel,
    program: &'a str,
    operation: &'static str,
    subject: &'a str,
    arguments: Vec<Cow<'a, str>>,
    input: Option<&'a [u8]>,
}

impl<'a> Tool<'a> {
    /// `program`, which is to `operation` the `subject`.
    pub(super) fn new(
        database: &'a Database,
        root: &'a Path,
        cancel: &'a Cancel,
        program: &'a str,
        operation: &'static str,
        subject: &'a str,
    ) -> Self {
        Self { database, root, cancel, program, operation, subject, arguments: Vec::new(), input: None }
    }

    pub(super) fn option(mut self, option: &'a str) -> Self {
        self.arguments.push(option.into());
        self
    }

    pub(super) fn value(self, option: &'a str, value: &'a str) -> Self {
        self.maybe(option, Some(value))
    }

    pub(super) fn maybe(mut self, option: &'a str, value: Option<&'a str>) -> Self {
        if let Some(value) = value {
            self.arguments.extend([option.into(), value.into()]);
        }
        self
    }

    pub(super) fn owned_value(mut self, option: &'a str, value: Option<String>) -> Self {
        if let Some(value) = value {
            self.arguments.extend([option.into(), value.into()]);
        }
        self
    }

    pub(super) fn has_options(&self) -> bool {
        !self.arguments.is_empty()
    }

    /// The account to work on, after all options.
    pub(super) fn name(mut self, name: &'a str) -> Self {
        self.arguments.extend(["--".into(), name.into()]);
        self
    }

    pub(super) fn input(self, input: &'a [u8]) -> Self {
        Self { input: Some(input), ..self }
    }

    /// Runs it, for at most `timeout` a try.
    pub(super) fn run(self, timeout: Duration) -> Result<()> {
        if rustix::process::geteuid().as_raw() != 0 {
            return Err(self
                .error(ErrorKind::Denied, "only root may change accounts")
                .with_hint("run the agent as root"));
        }
        let root = self.root.to_string_lossy();
        let elsewhere = (root != "/").then_some(["--root", &*root]);
        let begun = Instant::now();
        loop {
            let mut process = Process::new(self.program, timeout, self.cancel)
                .arguments(elsewhere.into_iter().flatten())
                .arguments(self.arguments.iter().map(|argument| &**argument));
            if let Some(input) = self.input {
                process = process.input(input);
            }
            let finished = process.run();
            self.database.invalidate();
            let finished = finished.map_err(|error| match error.kind {
                ErrorKind::Unavailable => self
                    .error(ErrorKind::Unavailable, format!("there is no {} on this machine", self.program))
                    .with_hint("install the package `passwd` (Debian) or `shadow-utils` (Fedora)"),
                _ => Error { operation: self.operation.to_owned(), subject: self.subject.to_owned(), ..error },
            })?;
            if finished.succeeded() {
                return Ok(());
            }
            let locked = finished.output.text.contains("cannot lock") || finished.output.text.contains("lock file");
            if !locked || finished.exit == Exit::TimedOut {
                return Err(self.failed(&finished));
            }
            if begun.elapsed() >= LOCK_WAIT || self.cancel.is_asked() {
                return Err(self.error(ErrorKind::Busy, format!("the account files are locked by {}", self.holder())));
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    fn failed(&self, finished: &Finished) -> Error {
        let said: Vec<&str> = finished.output.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let cause = match &said[..] {
            [] => format!("{} {}", self.program, finished.exit),
            lines => lines.join("; "),
        };
        let (kind, hint) = match finished.exit {
            Exit::TimedOut => (ErrorKind::TimedOut, None),
            Exit::Cancelled => (ErrorKind::Cancelled, None),
            // The meaning of 8 is "user currently logged in" for usermod and userdel.
            Exit::Code(8) => (ErrorKind::Busy, Some("end the processes of that user first (loginctl terminate-user)")),
            Exit::Code(4) => (ErrorKind::Failed, Some("choose a number that nobody has")),
            _ => (ErrorKind::Failed, None),
        };
        Error { hint: hint.map(str::to_owned), ..self.error(kind, cause) }
    }

    /// Who holds the lock, as far as its file says so: the tools write their process number there.
    fn holder(&self) -> String {
        let numbers =
            ["etc/passwd.lock", "etc/group.lock", "etc/shadow.lock", "etc/gshadow.lock"].iter().find_map(|file| {
                let text = small_file::read(&self.root.join(file), 64).ok()?;
                let pid: u32 = String::from_utf8_lossy(&text).trim_matches(['\0', '\n', ' ']).parse().ok()?;
                let name = small_file::read(Path::new(&format!("/proc/{pid}/comm")), 64).ok()?;
                Some(format!("process {pid} ({})", String::from_utf8_lossy(&name).trim()))
            });
        numbers.unwrap_or_else(|| "another tool, such as passwd or vipw".to_owned())
    }

    fn error(&self, kind: ErrorKind, cause: impl std::fmt::Display) -> Error {
        Error::new(kind, self.operation, self.subject, cause)
    }
}
