//! Real booted Debian machines for system tests.
//!
//! ```no_run
//! use converge_testbed::{AptRepository, Machine, Package, require_machine};
//!
//! # fn main() -> converge_testbed::Result<()> {
//! if !require_machine() {
//!     return Ok(());
//! }
//! let mut repository = AptRepository::new()?;
//! repository.add(&Package::new("hello", "1.0").file("/usr/share/hello", "hello\n", 0o644))?;
//! let machine = Machine::boot("web")?;
//! machine.use_apt_repository(&repository)?;
//! machine.run(["apt-get", "install", "-y", "hello"])?.assert_ok();
//! machine.run(["systemctl", "is-active", "ssh"])?.assert_text("active");
//! # Ok(())
//! # }
//! ```
//!
//! A machine is a systemd-nspawn container on an overlay of a cached base: systemd is its first process, it has a pure
//! cgroup v2 of its own, its own network (with only the loopback interface unless it joins a [`Network`]), no package
//! source until a test gives it an [`AptRepository`], and no timers. It boots within a second or two. It is gone when
//! its value is dropped; what a killed test left behind is swept by the next one ([`sweep`]).
//!
//! Tests that boot machines are marked `#[ignore = "needs root and a booted machine; run by cargo xtask test"]`, and
//! begin with [`require_machine`].
//!
//! # Current limitations
//!
//! - The test host must be Debian, and machines are of its release.
//! - Machines share the test host's kernel: no kernel modules, no reboot of the kernel, no clock of their own. A power
//!   cut ([`Machine::kill_hard`]) loses nothing that was written, synced or not.
//! - A machine stored in a `static` is never dropped; its leftovers stay until the next test process sweeps them.
//! - A process that [`Machine::run`] starts is in the machine's namespaces but not in its control group.

mod apt_repository;
mod apt_sources;
mod claim;
mod command;
mod container;
mod control_group;
mod digest;
mod error;
mod host_files;
mod image;
mod machine;
mod mounts;
mod network;
mod options;
mod output;
mod package;
mod places;
mod processes;
mod requirement;
mod root_directory;

pub use apt_repository::AptRepository;
pub use claim::sweep;
pub use command::{DEFAULT_DEADLINE, Invocation, Running};
pub use error::{Result, TestbedError};
pub use image::Image;
pub use machine::Machine;
pub use network::Network;
pub use nix::sys::signal::Signal;
pub use options::MachineOptions;
pub use output::Output;
pub use package::{Package, Script};
pub use places::target_directory;
pub use requirement::{
    AGENT_BINARY, PACKAGES, REQUIRE_MACHINES, agent_binary, missing_tools, packages, require_machine,
};
