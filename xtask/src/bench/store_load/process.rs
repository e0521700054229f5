//! The store as a process: started, ended, and what it costs.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own on the developer's terminal, not a part of the agent"
)]

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;

use crate::Trouble;
use crate::wire::Target;

/// Ticks of a second in which the kernel counts CPU time for user space, on every Linux.
const TICKS: f64 = 100.0;

/// A store that runs, until it is dropped.
pub(crate) struct StoreProcess {
    binary: PathBuf,
    data: PathBuf,
    listens: SocketAddr,
    child: Child,
}

impl StoreProcess {
    /// Starts a store in `data`, which need not be there, and waits until it listens.
    pub(crate) fn start(binary: &Path, data: &Path, listen: SocketAddr) -> Result<Self, Trouble> {
        if let Some(parent) = data.parent() {
            fs::create_dir_all(parent)?;
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(data.with_extension("log"))?;
        let mut child = Command::new(binary)
            .args(["store", "--json", "--listen", &listen.to_string(), "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let said = first_document(&mut child)?;
        let address = said["address"].as_str().and_then(|address| address.strip_prefix("https://"));
        let listens = address.ok_or("the store does not say where it listens")?.parse()?;
        Ok(Self { binary: binary.to_owned(), data: data.to_owned(), listens, child })
    }

    /// Where it is, and whom to believe.
    pub(crate) fn target(&self) -> Result<Target, Trouble> {
        Target::new(self.listens, &fs::read(self.data.join("tls/ca.pem"))?)
    }

    /// The first operator's token.
    pub(crate) fn operator(&self) -> Result<String, Trouble> {
        let access: Json = serde_json::from_slice(&fs::read(self.data.join("access.json"))?)?;
        Ok(access["token"].as_str().ok_or("the access file has no token")?.to_owned())
    }

    /// Ends it at once, as a machine does that loses power.
    pub(crate) fn end(&mut self) -> Result<(), Trouble> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after [`StoreProcess::end`], at the same address.
    pub(crate) fn start_again(&mut self) -> Result<(), Trouble> {
        *self = Self::start(&self.binary, &self.data, self.listens)?;
        Ok(())
    }

    /// The CPU time that it used so far, in seconds.
    pub(crate) fn cpu(&self) -> Result<f64, Trouble> {
        cpu(&format!("/proc/{}/stat", self.child.id()))
    }

    /// Bytes of it that are in memory.
    pub(crate) fn resident(&self) -> Result<u64, Trouble> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: u64 = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?.parse()?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for StoreProcess {
    fn drop(&mut self) {
        // One that ended already cannot be ended, and need not be.
        let _ = self.end();
    }
}

/// The CPU time that this process used so far, in seconds.
pub(crate) fn own_cpu() -> Result<f64, Trouble> {
    cpu("/proc/self/stat")
}

fn cpu(stat: &str) -> Result<f64, Trouble> {
    let stat = fs::read_to_string(stat)?;
    // The program's name is in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("no line of /proc/PID/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("no times in /proc/PID/stat")?;
    Ok((user + system) / TICKS)
}

/// The document that the store prints when it listens.
fn first_document(child: &mut Child) -> Result<Json, Trouble> {
    let mut output = child.stdout.take().ok_or("the store has no output")?;
    let mut said = Vec::new();
    let mut byte = [0];
    while output.read(&mut byte)? == 1 {
        said.push(byte[0]);
        if byte[0] == b'\n'
            && let Ok(document) = serde_json::from_slice(&said)
        {
            return Ok(document);
        }
    }
    Err("the store ended before it listened; its log says why".into())
}
