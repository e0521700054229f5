//! A booted machine as the site of a bench.

use std::path::Path;

use converge_testbed::{Machine, missing_tools};
use nix::unistd::Uid;

use super::disk;
use super::failure::{Failure, Result};
use super::repository::{Agent, Repository};
use super::site::{Ended, Host, Site, Tools, line, run, text};

/// Where the bench lives in the machine.
const DIRECTORY: &str = "/root/bench";
/// Where the tracer's libraries are: the machine has no package source to install them from.
const LIBRARIES: &str = "/root/bench/libraries";

/// A booted machine, with the programs of the benches.
#[derive(Debug)]
pub(crate) struct Guest {
    machine: Machine,
    tools: Tools,
}

impl Guest {
    /// Boots a machine and brings the programs over.
    pub(crate) fn boot(host: &Host) -> Result<Self> {
        if !Uid::effective().is_root() {
            return Err(Failure::Unable("booting a machine needs root".to_owned()));
        }
        let missing: Vec<&str> = missing_tools().map(|(_, package)| package).collect();
        if !missing.is_empty() {
            let packages = missing.join(" ");
            return Err(Failure::Unable(format!("booting a machine needs the Debian packages {packages}")));
        }
        let machine = Machine::boot("bench")?;
        let push = |program: &str| machine.push_binary(Path::new(program));
        let on_host = host.tools();
        let tools = Tools {
            agent: push(&on_host.agent)?,
            meter: push(&on_host.meter)?,
            floor: push(&on_host.floor)?,
            strace: on_host.strace.is_some().then(|| bring_tracer(&machine)).transpose()?,
            trace: format!("{DIRECTORY}/trace"),
        };
        let guest = Self { machine, tools };
        guest.must(&line(["mkdir", "--parents", DIRECTORY]))?;
        Ok(guest)
    }

    /// Brings a compiled policy over.
    pub(crate) fn bring(&self, repository: &Repository) -> Result<Agent> {
        let words = ["tar", "--extract", "--directory", DIRECTORY];
        let unpacked = self.machine.command(words)?.input(repository.archive()?).run()?;
        if !unpacked.success() {
            return Err(Failure::of("unpack", "the policy in the machine", unpacked.stderr));
        }
        Ok(Agent::new(&self.tools.agent, Path::new(DIRECTORY)))
    }

    /// Writes a file into the bench's directory of the machine, and gives its path there.
    pub(crate) fn write(&self, name: &str, content: Vec<u8>) -> Result<String> {
        let path = format!("{DIRECTORY}/{name}");
        self.machine.write_file(&path, content)?;
        Ok(path)
    }
}

impl Site for Guest {
    fn run(&self, line: &[String]) -> Result<Ended> {
        let output = self.machine.run(line)?;
        Ok(Ended { code: output.code(), stdout: output.stdout, stderr: output.stderr })
    }

    fn read(&self, path: &str) -> Result<String> {
        Ok(self.machine.read_file(path)?)
    }

    fn tools(&self) -> &Tools {
        &self.tools
    }
}

/// Copies the host's tracer into the machine, with the libraries it needs. The traced program does not see them.
fn bring_tracer(machine: &Machine) -> Result<Vec<String>> {
    let found = run(&line(["sh", "-c", "command -v strace && ldd \"$(command -v strace)\""]), None)?;
    let program = found.stdout.lines().next().unwrap_or_default();
    let pushed = machine.push_binary(Path::new(program))?;
    // `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f…)`
    let libraries = found.stdout.lines().filter_map(|line| line.split_once(" => ")?.1.split_whitespace().next());
    for library in libraries.map(Path::new) {
        let name = library.file_name().map(|name| text(Path::new(name))).unwrap_or_default();
        machine.write_file(&format!("{LIBRARIES}/{name}"), disk::read_bytes(library)?)?;
    }
    Ok(line(["env", &format!("LD_LIBRARY_PATH={LIBRARIES}"), &pushed, "-E", "LD_LIBRARY_PATH"]))
}
