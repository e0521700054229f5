//! What a process did: how it ended and what it wrote.
#![expect(clippy::panic, reason = "the assert_* calls end a test the way assert! does")]

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::error::{Result, TestbedError};

/// How many characters of output an error or a failed assertion shows at most.
const SHOWN_OUTPUT: usize = 4_000;

/// How a process ended and what it wrote; bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// How the process ended.
    pub status: ExitStatus,
    /// All it wrote to its standard output.
    pub stdout: String,
    /// All it wrote to its standard error.
    pub stderr: String,
}

impl Output {
    /// Whether the exit code was 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// The exit code; none when a signal ended the process.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output without white space at its end.
    pub fn text(&self) -> &str {
        self.stdout.trim_end()
    }

    /// For the testbed's own steps: an error unless the exit code was 0. `operation` says what the step was to do.
    pub(crate) fn succeeded(&self, operation: &str) -> Result<()> {
        if self.success() {
            return Ok(());
        }
        Err(TestbedError::new(format!("cannot {operation}: `{}` {}:\n{}", self.command, self.ending(), self.tail())))
    }

    /// Fails the test unless the exit code was 0; the message shows the output.
    #[track_caller]
    pub fn assert_ok(self) -> Self {
        self.assert_code(0)
    }

    /// Fails the test unless the exit code was `code`; the message shows the output.
    #[track_caller]
    pub fn assert_code(self, code: i32) -> Self {
        if self.code() != Some(code) {
            panic!("`{}` should have ended with {code}, but {}:\n{}", self.command, self.ending(), self.tail());
        }
        self
    }

    /// Fails the test unless standard output, without white space at its end, is `wanted`.
    #[track_caller]
    pub fn assert_text(self, wanted: &str) -> Self {
        let output = self.assert_ok();
        assert_eq!(output.text(), wanted, "unexpected output of `{}`", output.command);
        output
    }

    /// How the process ended, in words.
    fn ending(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("ended with {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended in a way the kernel does not name".to_owned(),
        }
    }

    /// The last part of both outputs.
    pub(crate) fn tail(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", last(&self.stdout), last(&self.stderr))
    }
}

/// The last [`SHOWN_OUTPUT`] characters of a text.
pub(crate) fn last(text: &str) -> String {
    let text = text.trim_end();
    let skipped = text.chars().count().saturating_sub(SHOWN_OUTPUT);
    text.chars().skip(skipped).collect()
}
