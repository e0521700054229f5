//! Where a bench runs: this machine, or one that was booted for it.
#![expect(
    clippy::disallowed_methods,
    reason = "xtask is a program of its own on the developer's terminal, not a part of the agent"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use converge_testbed::target_directory;

use super::disk::{self, Attic};
use super::failure::{Failure, Result};
use crate::process::works;
use crate::tools;

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A machine that runs what a bench measures.
pub(crate) trait Site {
    /// Runs a command line until it ends.
    fn run(&self, line: &[String]) -> Result<Ended>;

    /// Reads a text file.
    fn read(&self, path: &str) -> Result<String>;

    /// The programs of the benches there.
    fn tools(&self) -> &Tools;

    /// Runs a command line that must end well, and gives what it wrote to standard output.
    fn must(&self, line: &[String]) -> Result<String> {
        let ended = self.run(line)?;
        match ended.code {
            Some(0) => Ok(ended.stdout),
            code => {
                let ending = code.map_or("by a signal".to_owned(), |code| format!("with {code}"));
                let cause = format!("it ended {ending}: {}{}", last(&ended.stderr), last(&ended.stdout));
                Err(Failure::of("run", line.join(" "), cause))
            }
        }
    }
}

/// The end of an output, enough to see what happened.
pub(crate) fn last(text: &str) -> String {
    let skipped = text.chars().count().saturating_sub(2_000);
    text.trim_end().chars().skip(skipped).collect()
}

/// Where the programs of the benches are, on the machine where they run.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// The agent, as it ships.
    pub(crate) agent: String,
    /// `meter.c`, compiled.
    pub(crate) meter: String,
    /// `floor.c`, compiled.
    pub(crate) floor: String,
    /// The beginning of a command line that traces the rest of it; none where nothing can be traced.
    pub(crate) strace: Option<Vec<String>>,
    /// Where the tracer writes.
    pub(crate) trace: String,
}

/// This machine.
#[derive(Debug)]
pub(crate) struct Host {
    tools: Tools,
}

impl Host {
    /// Where everything is that benches make.
    pub(crate) fn directory() -> PathBuf {
        target_directory().join("bench")
    }

    /// Where directories wait that benches no longer want.
    pub(crate) fn attic() -> Attic {
        Attic::of(&Self::directory())
    }

    /// Makes this machine ready: compiles the C programs, and looks for the tracer, installing it where it is missing.
    pub(crate) fn prepare(agent: &Path) -> Result<Self> {
        let directory = Self::directory();
        let compiled = |name: &str| {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/bench/{name}.c"));
            compile(&source, &directory.join("bin").join(name))
        };
        let tools = Tools {
            agent: text(agent),
            meter: compiled("meter")?,
            floor: compiled("floor")?,
            strace: strace(),
            trace: text(&directory.join("trace")),
        };
        Ok(Self { tools })
    }
}

impl Site for Host {
    fn run(&self, line: &[String]) -> Result<Ended> {
        run(line, None)
    }

    fn read(&self, path: &str) -> Result<String> {
        disk::read(Path::new(path))
    }

    fn tools(&self) -> &Tools {
        &self.tools
    }
}

/// Runs a command line on this machine, in a directory where one is named.
pub(crate) fn run(line: &[String], directory: Option<&Path>) -> Result<Ended> {
    let Some((program, rest)) = line.split_first() else {
        return Err(Failure::Broken("cannot run a command line without a program".to_owned()));
    };
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null());
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    let output = command.output().map_err(|error| Failure::of("start", program, error))?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A path as an argument. All paths here are made of the workspace's own, which cargo takes as UTF-8 only.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A command line.
pub(crate) fn line<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// Compiles a C program, static, so that it starts in no time and also in a test machine.
fn compile(source: &Path, program: &Path) -> Result<String> {
    if !works(&["cc", "--version"]) {
        return Err(Failure::Unable("there is no C compiler: install the Debian package gcc and libc6-dev".to_owned()));
    }
    if let Some(directory) = program.parent() {
        disk::make_directory(directory)?;
    }
    let (source, program) = (text(source), text(program));
    let words = ["cc", "-O2", "-Wall", "-Wextra", "-static", "-pthread", "-o", &program, &source];
    let ended = run(&line(words), None)?;
    match ended.code {
        Some(0) => Ok(program),
        _ => Err(Failure::of("compile", source, ended.stderr)),
    }
}

/// The tracer, where there is one that may trace.
fn strace() -> Option<Vec<String>> {
    if !works(&["strace", "--version"]) && !tools::install(&["strace"]) {
        return None;
    }
    works(&["strace", "--output", "/dev/null", "true"]).then(|| line(["strace"]))
}
