//! Whether this test host can boot machines; and saying so where it cannot.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "the switch is for test processes, not for the agent; and a required test that cannot run must fail"
)]

use std::path::PathBuf;

use nix::unistd::Uid;

use crate::claim::say;
use crate::error::{Result, TestbedError};
use crate::places;

/// The programs a test host needs, each with the Debian package that has it. `cargo xtask test` installs what is missing.
const TOOLS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("dpkg-deb", "dpkg"),
    ("chattr", "e2fsprogs"),
];

/// The environment variable that makes a test fail which cannot run, where it would only say so.
pub const REQUIRE_MACHINES: &str = "CONVERGE_REQUIRE_MACHINES";

/// The environment variable that names the agent to be tested.
pub const AGENT_BINARY: &str = "CONVERGE_BINARY";

/// The environment variable that names the folder of packages to test.
pub const PACKAGES: &str = "CONVERGE_PACKAGES";

/// Whether machines can be booted here. Where not, it says loudly on standard error that the test did not run, and the
/// test should return. With `CONVERGE_REQUIRE_MACHINES=1` (as `cargo xtask test` sets it) it fails the test instead.
#[track_caller]
#[must_use]
pub fn require_machine() -> bool {
    let missing = missing();
    if missing.is_empty() {
        return true;
    }
    let text = format!(
        "DID NOT RUN: {}: {}; run it by `cargo xtask test` as root",
        std::thread::current().name().unwrap_or("a system test"),
        missing.join(", ")
    );
    if std::env::var_os(REQUIRE_MACHINES).is_some_and(|value| value == "1") {
        panic!("{text}");
    }
    say(&text);
    false
}

/// The agent's binary that system tests copy into machines: what `CONVERGE_BINARY` names, else the one built last, of
/// `target/release/converge` and `target/debug/converge`.
///
/// # Errors
///
/// There is none; the error says how to build it.
pub fn agent_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(AGENT_BINARY) {
        return Ok(PathBuf::from(path));
    }
    ["release", "debug"]
        .into_iter()
        .map(|profile| places::target_directory().join(profile).join("converge"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
        .ok_or_else(|| TestbedError::new("there is no agent to test; build it: `cargo build --release -p converge`"))
}

/// The folder of the packages that system tests install: what `CONVERGE_PACKAGES` names, else the one packed last.
pub fn packages() -> PathBuf {
    std::env::var_os(PACKAGES).map_or_else(|| places::target_directory().join("dist"), PathBuf::from)
}

/// The programs that machines need and this test host has not, each with the Debian package that has it.
pub fn missing_tools() -> impl Iterator<Item = (&'static str, &'static str)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = move |tool: &str| std::env::split_paths(&path).any(|directory| directory.join(tool).is_file());
    TOOLS.iter().copied().filter(move |(tool, _)| !found(tool))
}

/// What keeps machines from booting here.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !Uid::effective().is_root() {
        missing.push("not root".to_owned());
    }
    missing.extend(missing_tools().map(|(tool, package)| format!("no {tool} (Debian package {package})")));
    missing
}
