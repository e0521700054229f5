//! A booted systemd: the systemd-nspawn process that holds it, and its first process.
#![expect(clippy::disallowed_methods, reason = "the testbed starts machines on the test host; there is no agent here")]

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::command::{Invocation, host_pid};
use crate::control_group::ENTER;
use crate::error::{Attempt, Result, TestbedError};
use crate::output;
use crate::processes;

/// How long systemd-nspawn may take to end after the machine's first process has.
const END: Duration = Duration::from_secs(20);

/// Rights that nspawn takes from a machine and that a process entering from the test host must not bring along: it could
/// set the test host's clock or load modules into its kernel.
const WITHHELD: &str = "--bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_pacct,-syslog,-mac_admin,\
                        -mac_override,-wake_alarm,-block_suspend";

/// What a boot needs to know.
pub(crate) struct Boot<'a> {
    /// Unique on the test host; nspawn locks by it.
    pub(crate) id: &'a str,
    pub(crate) root: &'a Path,
    /// The `cgroup.procs` of the machine's control group.
    pub(crate) group: &'a Path,
    /// Where the console's output goes.
    pub(crate) console: PathBuf,
    pub(crate) small_disks: &'a [(String, u64)],
    /// The network namespace to boot in; one of its own with loopback only when none is given.
    pub(crate) network_namespace: Option<PathBuf>,
    pub(crate) deadline: Duration,
}

/// A machine that is on.
#[derive(Debug)]
pub(crate) struct Container {
    nspawn: Child,
    init: u32,
    console: PathBuf,
}

impl Container {
    /// Boots and waits until systemd says that it is done.
    pub(crate) fn boot(boot: &Boot) -> Result<Self> {
        let until = Instant::now() + boot.deadline;
        let mut container = Self { nspawn: start(boot)?, init: 0, console: boot.console.clone() };
        let booted = container.find_init(until).and_then(|()| container.await_running(until));
        if let Err(error) = booted {
            let console = output::last(&fs::read_to_string(&boot.console).unwrap_or_default());
            container.kill()?;
            return Err(TestbedError::new(format!(
                "machine {} did not boot: {error}; its console:\n{console}",
                boot.id
            )));
        }
        Ok(container)
    }

    /// A process inside the machine.
    pub(crate) fn invocation(&self) -> Invocation {
        let target = self.init.to_string();
        Invocation::inside(
            [
                "nsenter", "--target", &target, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root",
                "--wd", "setpriv", WITHHELD, "--",
            ],
            std::iter::empty::<&str>(),
        )
    }

    /// Whether the machine is still on; it may have been switched off from inside.
    pub(crate) fn is_on(&mut self) -> bool {
        matches!(self.nspawn.try_wait(), Ok(None))
    }

    /// Shuts down in order, as the power button would.
    pub(crate) fn power_off(mut self, deadline: Duration) -> Result<()> {
        // An error means that it has ended already.
        let _ = kill(host_pid(self.nspawn.id()), Signal::SIGTERM);
        if self.await_end(deadline) {
            return Ok(());
        }
        let console = output::last(&fs::read_to_string(&self.console).unwrap_or_default());
        self.kill()?;
        Err(TestbedError::new(format!(
            "the machine did not shut down within {deadline:?} and was cut off; its console:\n{console}"
        )))
    }

    /// Ends every process of the machine at once. When its first process dies the kernel kills all others, and nspawn
    /// tidies up after itself.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if self.init != 0 {
            // An error means that it has ended already.
            let _ = kill(host_pid(self.init), Signal::SIGKILL);
        }
        if self.init == 0 || !self.await_end(END) {
            self.nspawn.kill().attempt(|| "cannot kill systemd-nspawn".to_owned())?;
            self.nspawn.wait().attempt(|| "cannot wait for systemd-nspawn".to_owned())?;
        }
        Ok(())
    }

    fn await_end(&mut self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        while self.is_on() {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// nspawn's children come and go until the one stands that is the first of its own pid namespace.
    fn find_init(&mut self, until: Instant) -> Result<()> {
        loop {
            let children = processes::children(self.nspawn.id())?;
            if let Some(init) = children.into_iter().find(|child| processes::is_machine_init(*child)) {
                self.init = init;
                return Ok(());
            }
            self.pause(until, "systemd-nspawn started no first process")?;
        }
    }

    fn await_running(&mut self, until: Instant) -> Result<()> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let state = self
                .invocation()
                .argument("systemctl")
                .argument("is-system-running")
                .argument("--wait")
                .deadline(left.max(Duration::from_millis(1)))
                .run();
            match state.as_ref().map_or("", |output| output.text()) {
                "running" => return Ok(()),
                "degraded" => {
                    self.tell_failed_units();
                    return Ok(());
                }
                _ => self.pause(until, "systemd did not come up")?,
            }
        }
    }

    fn tell_failed_units(&self) {
        let units = self.invocation().argument("systemctl").argument("--failed").argument("--no-legend").run();
        if let Ok(output) = units {
            crate::claim::say(&format!("a machine is degraded: {}", output.text()));
        }
    }

    fn pause(&mut self, until: Instant, trouble: &str) -> Result<()> {
        if !self.is_on() {
            return Err(TestbedError::new(format!("{trouble}: systemd-nspawn has ended")));
        }
        if Instant::now() >= until {
            return Err(TestbedError::new(format!("{trouble} before the deadline")));
        }
        thread::sleep(Duration::from_millis(10));
        Ok(())
    }
}

fn start(boot: &Boot) -> Result<Child> {
    let console = File::create(&boot.console).attempt(|| format!("cannot write {}", boot.console.display()))?;
    let errors = console.try_clone().attempt(|| format!("cannot write {}", boot.console.display()))?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(ENTER).arg(boot.group).args([
        "systemd-nspawn",
        "--quiet",
        "--settings=no",
        "--register=no",
        "--keep-unit",
        "--boot",
        "--console=interactive",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
    ]);
    command.arg(format!("--machine={}", boot.id));
    command.arg("--directory").arg(boot.root);
    match &boot.network_namespace {
        Some(path) => command.arg(format!("--network-namespace-path={}", path.display())),
        None => command.arg("--private-network"),
    };
    for (path, bytes) in boot.small_disks {
        command.arg(format!("--tmpfs={path}:size={bytes},mode=755"));
    }
    command
        // Pure cgroup v2, as on every machine of today, also where the test host carries v1 beside it.
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .stdin(Stdio::null())
        .stdout(console)
        .stderr(errors)
        // A Ctrl-C for the test is none for the machine; the next sweep ends it.
        .process_group(0)
        .spawn()
        .attempt(|| "cannot start systemd-nspawn".to_owned())
}
