//! The bench `daemon`: how much memory the idle daemon holds, and whether that grows from run to run.
#![expect(
    clippy::disallowed_methods,
    reason = "xtask is a program of its own on the developer's terminal, not a part of the agent"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::disk;
use super::failure::{Failure, Result};
use super::figures::{Figures, Limit, Row};
use super::repository::{Agent, Repository};
use super::site::Host;

/// Bytes of a megabyte.
const MEGABYTE: f64 = 1e6;
/// What a daemon that does not grow may still hold more after many runs: a few pages that were not touched before.
const GROWTH: f64 = 0.1;

/// How long after a run the daemon is idle for sure.
const SETTLING: Duration = Duration::from_secs(1);

/// The idle daemon: after its first run, and after many.
pub(crate) fn daemon(host: &Host, quick: bool) -> Result<Vec<Row>> {
    let repository = Repository::new("daemon")?;
    repository.write_cookbook("little", "")?;
    let file = format!("[file.\"{}\"]\ncontent = \"little\\n\"\n", repository.path("file").display());
    repository.write("cookbooks/little/recipes/default.toml", file)?;
    repository.write_policy(&["little".to_owned()])?;
    let runs = if quick { 100 } else { 10_000 };
    let mut daemon = Daemon::start(&repository.compile(host)?)?;
    daemon.await_run()?;
    let before = daemon.memory()?;
    for _ in 0..runs {
        daemon.converge()?;
    }
    let after = daemon.memory()?;
    let grown = (after.resident as f64 - before.resident as f64) / MEGABYTE;
    let rows = [
        ("daemon", "the idle daemon after its first run".to_owned(), before.resident),
        ("daemon-after-runs", format!("the idle daemon after {runs} more runs"), after.resident),
        (
            "daemon-proportional",
            "the same, each page divided by how many processes share it".to_owned(),
            after.proportional,
        ),
    ];
    let mut rows = rows.map(|(name, what, bytes)| Row::alone(name, Figures::idle(&what, bytes)));
    let resident = |bytes: u64| Limit { what: "resident", figure: bytes as f64 / MEGABYTE, bound: 6.0, unit: "MB" };
    rows[0].limits.push(resident(before.resident));
    rows[1].limits.push(resident(after.resident));
    rows[1].limits.push(Limit { what: "growth", figure: grown, bound: GROWTH, unit: "MB" });
    Ok(rows.into())
}

/// What a process holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Memory {
    /// All its pages that are in memory.
    resident: u64,
    /// The same, each shared page divided by how many share it.
    proportional: u64,
}

impl Memory {
    /// Reads what `/proc/PID/smaps_rollup` says.
    fn of(document: &str) -> Option<Self> {
        let bytes = |key: &str| {
            let line = document.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
        };
        Some(Self { resident: bytes("Rss:")?, proportional: bytes("Pss:")? })
    }
}

/// A daemon that runs for the bench. It is ended when the value is dropped.
#[derive(Debug)]
struct Daemon {
    process: Child,
    messages: BufReader<ChildStderr>,
}

impl Daemon {
    fn start(agent: &Agent) -> Result<Self> {
        let line = agent.with(&["--interval", "1h"]);
        let Some((program, arguments)) = line.split_first() else {
            return Err(Failure::Broken("the agent has no program".to_owned()));
        };
        let broken = |cause: std::io::Error| Failure::of("start", "the daemon", cause);
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(broken)?;
        match process.stderr.take() {
            Some(stderr) => Ok(Self { process, messages: BufReader::new(stderr) }),
            None => Err(Failure::Broken("the daemon has no standard error".to_owned())),
        }
    }

    /// Waits for the end of a run, which must have succeeded.
    fn await_run(&mut self) -> Result<()> {
        let mut said = String::new();
        loop {
            let begin = said.len();
            let count = self.messages.read_line(&mut said).map_err(|error| Failure::of("read", "the daemon", error))?;
            let line = &said[begin..];
            if line.starts_with("run ended: all is as the policy says") {
                return Ok(());
            }
            if count == 0 || line.starts_with("run ended") {
                return Err(Failure::of("wait for", "a run of the daemon", format!("it says: {said}")));
            }
        }
    }

    /// Has it converge now, and waits until it did.
    fn converge(&mut self) -> Result<()> {
        self.signal(Signal::SIGUSR1)?;
        self.await_run()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.process.id()).map_err(|error| Failure::of("signal", "the daemon", error))?;
        kill(Pid::from_raw(id), signal).map_err(|error| Failure::of("signal", "the daemon", error))
    }

    /// What it holds while it waits. It says that a run ended before it begins to.
    fn memory(&self) -> Result<Memory> {
        std::thread::sleep(SETTLING);
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let document = disk::read(Path::new(&path))?;
        Memory::of(&document).ok_or_else(|| Failure::of("read", path, "it names no Rss and Pss"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A daemon that ended already cannot be signalled, and need not be.
        let _ = self.signal(Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let document =
            "5581-7ffc ---p 00000000 00:00 0    [rollup]\nRss:    3412 kB\nPss:    1201 kB\nPss_Dirty:  96 kB\n";
        let memory = Memory { resident: 3412 * 1024, proportional: 1201 * 1024 };
        assert_eq!(Memory::of(document), Some(memory));
        assert_eq!(Memory::of("Rss: 12 kB\n"), None);
    }
}
