//! The agent as it ships: one static binary where this machine can build one, else one for this machine.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "xtask is a program of its own on the developer's terminal, not a part of the agent"
)]

use std::path::PathBuf;

use crate::process::{answer, run, works};
use crate::tools;

/// The target of the static binary.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// The C compiler of [`TARGET`], and the Debian package that has it.
const COMPILER: (&str, &str) = ("musl-gcc", "musl-tools");

/// How the allocator is compiled: it takes no orders from the environment of a program that runs as root, and gives the
/// memory of a process that ends back with the process.
const FLAGS: &str = "-DMI_NO_GETENV -DMI_SKIP_COLLECT_ON_EXIT";

/// The agent that `CONVERGE_BINARY` names, else the one that is built; nothing where it cannot be built.
pub(crate) fn given_or_built() -> Option<PathBuf> {
    std::env::var_os(converge_testbed::AGENT_BINARY).map(PathBuf::from).or_else(build)
}

/// Builds the agent, and gives where it is; nothing where it cannot be built.
pub(crate) fn build() -> Option<PathBuf> {
    let mut line = vec!["cargo", "build", "--release", "--package", "converge"];
    let mut environment = Vec::new();
    let mut place = converge_testbed::target_directory();
    if can_be_static() {
        line.extend(["--target", TARGET]);
        environment.push(("CC_x86_64_unknown_linux_musl", COMPILER.0.to_owned()));
        environment.push(("CFLAGS_x86_64_unknown_linux_musl", FLAGS.to_owned()));
        place.push(TARGET);
    } else {
        println!("{TARGET} cannot be had here: the agent is linked to this machine's libc");
    }
    run(&line, &environment).then(|| place.join("release/converge"))
}

/// Whether a static binary can be built, after adding what it needs where that is missing.
fn can_be_static() -> bool {
    let has_library = || {
        let place = answer(&["rustc", "--print", "target-libdir", "--target", TARGET]);
        place.is_some_and(|place| PathBuf::from(place).is_dir())
    };
    cfg!(target_arch = "x86_64")
        && (works(&[COMPILER.0, "--version"]) || tools::install(&[COMPILER.1]))
        && (has_library() || (run(&["rustup", "target", "add", TARGET], &[]) && has_library()))
}
