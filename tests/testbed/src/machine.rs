//! A booted Debian machine: run things on it, look at it, cut its power, and have it gone afterwards.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::apt_repository::AptRepository;
use crate::claim::{Claim, say};
use crate::command::{Invocation, Running};
use crate::container::{Boot, Container};
use crate::error::{Result, TestbedError};
use crate::host_files;
use crate::image::Image;
use crate::network::Connection;
use crate::options::MachineOptions;
use crate::output::Output;
use crate::root_directory;

/// How long an orderly shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(60);

/// Where a machine keeps the packages of its only package source.
const REPOSITORY: &str = "/srv/apt-repository";

/// A machine with systemd as its first process. Dropped, it is cut off and nothing of it stays; a test that panics drops
/// it too, after the end of its journal went to standard error.
#[derive(Debug)]
pub struct Machine {
    options: MachineOptions,
    root: PathBuf,
    container: Option<Container>,
    connection: Option<Connection>,
    claim: Claim,
    /// Holds the base in place under the machine.
    _image: Image,
}

impl Machine {
    /// Boots a machine of its own on the cached base and waits until systemd is done.
    ///
    /// # Errors
    ///
    /// The base cannot be built, or the machine does not boot in time; the error then shows its console.
    pub fn boot(options: impl Into<MachineOptions>) -> Result<Self> {
        let options = options.into();
        check_name(&options.name)?;
        let image = Image::base()?;
        let claim = Claim::new(&options.name)?;
        let connection = options.network.as_ref().map(|network| network.connect(claim.id())).transpose()?;
        let root = root_directory::lay(&claim, &image, &options.name)?;
        let mut machine = Self { options, root, container: None, connection, claim, _image: image };
        machine.power_on()?;
        Ok(machine)
    }

    /// The machine's host name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The machine's address in the network it was connected to.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.connection.as_ref().map(Connection::address)
    }

    /// Whether it is on. It may have been switched off from inside.
    pub fn is_on(&mut self) -> bool {
        self.container.as_mut().is_some_and(Container::is_on)
    }

    /// A process inside the machine, to be furnished and then run or spawned. It is root's, starts in `/`, and its
    /// environment is a fresh login's, not the test's.
    ///
    /// # Errors
    ///
    /// The machine is off.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Invocation> {
        let container = self
            .container
            .as_ref()
            .ok_or_else(|| TestbedError::new(format!("machine {} is off; boot it with power_on()", self.name())))?;
        Ok(arguments.into_iter().fold(container.invocation(), Invocation::argument))
    }

    /// Runs a process inside the machine until it ends, one minute at most.
    ///
    /// # Errors
    ///
    /// The machine is off, or the process did not end in time. An exit code other than 0 is no error.
    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        self.command(arguments)?.run()
    }

    /// Runs a script with `sh -eu` inside the machine until it ends, one minute at most.
    ///
    /// # Errors
    ///
    /// As [`Machine::run`].
    pub fn shell(&self, script: &str) -> Result<Output> {
        self.run(["sh", "-euc", script])
    }

    /// Starts a process inside the machine and returns at once.
    ///
    /// # Errors
    ///
    /// The machine is off.
    pub fn spawn(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Running> {
        self.command(arguments)?.spawn()
    }

    /// Writes a file of mode 0644 with its parent directories; an existing one keeps its owner and mode.
    ///
    /// # Errors
    ///
    /// The machine is off, or refuses the file.
    pub fn write_file(&self, path: &str, content: impl Into<Vec<u8>>) -> Result<()> {
        self.command(["sh", "-euc", r#"mkdir -p "$(dirname "$1")"; cat > "$1""#, "sh", path])?
            .input(content)
            .run()?
            .succeeded(&format!("write {path}"))
    }

    /// Reads a file as text; bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// The machine is off, or the file cannot be read.
    pub fn read_file(&self, path: &str) -> Result<String> {
        let output = self.run(["cat", "--", path])?;
        output.succeeded(&format!("read {path}"))?;
        Ok(output.stdout)
    }

    /// Copies a program of the test host to `/usr/local/bin`, executable, under its own name, and gives its new path.
    ///
    /// # Errors
    ///
    /// The program cannot be read, or the machine is off.
    pub fn push_binary(&self, path: &Path) -> Result<String> {
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            return Err(TestbedError::new(format!(
                "cannot copy {} into a machine: it has no plain file name",
                path.display()
            )));
        };
        let target = format!("/usr/local/bin/{name}");
        // Written beside and renamed, so that a running program can be replaced.
        let script = r#"cat > "$1.new"; chmod 755 "$1.new"; mv -f "$1.new" "$1""#;
        self.command(["sh", "-euc", script, "sh", &target])?
            .input(host_files::read(path)?)
            .run()?
            .succeeded(&format!("write {target}"))?;
        Ok(target)
    }

    /// Makes the repository, as it is now, the machine's only package source, and reads its index (`apt-get update`).
    /// Call it again after packages were added.
    ///
    /// # Errors
    ///
    /// The machine is off, or apt refuses the repository.
    pub fn use_apt_repository(&self, repository: &AptRepository) -> Result<()> {
        self.run(["rm", "-rf", REPOSITORY])?.succeeded("remove the old repository")?;
        for (name, bytes) in repository.files()? {
            self.write_file(&format!("{REPOSITORY}/{name}"), bytes)?;
        }
        self.write_file("/etc/apt/sources.list", format!("deb [trusted=yes] file:{REPOSITORY} ./\n"))?;
        self.run(["apt-get", "update"])?.succeeded("apt-get update")
    }

    /// Cuts the power: every process ends at once, none is asked. What was written stays, synced or not, since the test
    /// host's kernel goes on.
    ///
    /// # Errors
    ///
    /// Its processes could not be ended.
    pub fn kill_hard(&mut self) -> Result<()> {
        match self.container.take() {
            Some(mut container) => container.kill(),
            None => Ok(()),
        }
    }

    /// Shuts down in order, and waits for it.
    ///
    /// # Errors
    ///
    /// It did not shut down within a minute and was cut off.
    pub fn power_off(&mut self) -> Result<()> {
        match self.container.take() {
            Some(container) => container.power_off(SHUTDOWN),
            None => Ok(()),
        }
    }

    /// Boots the machine again with the disk it has, after [`Machine::kill_hard`], [`Machine::power_off`] or a shutdown
    /// from inside. Nothing happens when it is on.
    ///
    /// # Errors
    ///
    /// It does not boot in time; the error shows its console.
    pub fn power_on(&mut self) -> Result<()> {
        if self.is_on() {
            return Ok(());
        }
        let group = self.claim.control_group();
        // What an earlier boot left in its group would be seen by the new systemd.
        group.destroy()?;
        self.container = Some(Container::boot(&Boot {
            id: self.claim.id(),
            root: &self.root,
            group: &group.create()?,
            console: self.claim.directory().join("console.log"),
            small_disks: &self.options.small_disks,
            network_namespace: self.connection.as_ref().map(Connection::namespace_path),
            deadline: self.options.boot_deadline,
        })?);
        Ok(())
    }

    /// Shuts down in order and boots again.
    ///
    /// # Errors
    ///
    /// As [`Machine::power_off`] and [`Machine::power_on`].
    pub fn reboot(&mut self) -> Result<()> {
        self.power_off()?;
        self.power_on()
    }

    /// Cuts the machine's cable, or mends it. A machine that was not connected has none.
    ///
    /// # Errors
    ///
    /// The machine was not connected to a network.
    pub fn set_cable(&self, plugged: bool) -> Result<()> {
        match &self.connection {
            Some(connection) => connection.set_cable(plugged),
            None => Err(TestbedError::new(format!(
                "machine {} has no cable: connect it with MachineOptions::network",
                self.name()
            ))),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(journal) = self.run(["journalctl", "--no-pager", "--lines=40"])
        {
            say(&format!("the test failed; the end of the journal of {}:\n{}", self.name(), journal.stdout));
        }
        if let Err(error) = self.kill_hard() {
            say(&format!("could not cut off {}: {error:?}", self.name()));
        }
        // The claim, dropped next, takes the rest away.
    }
}

fn check_name(name: &str) -> Result<()> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if plain && !name.is_empty() && name.len() <= 32 && !name.starts_with('-') {
        Ok(())
    } else {
        Err(TestbedError::new(format!(
            "`{name}` cannot be a machine's name: use 1 to 32 of a-z, 0-9 and -, not - first"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_host_names_are_refused() {
        for name in ["", "-a", "A", "a.b", "a/b", &"a".repeat(33)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["a", "web-1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }
}
