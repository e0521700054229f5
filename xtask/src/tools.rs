//! What a fresh test host lacks, and installing it.
#![expect(
    clippy::disallowed_macros,
    reason = "xtask is a program of its own on the developer's terminal, not a part of the agent"
)]

use std::collections::BTreeSet;

use crate::process::{run, works};

/// Makes sure that rustfmt and clippy are there, and with `system` what booting machines needs. Says what it does; gives
/// whether all is there at the end.
pub(crate) fn provide(system: bool) -> bool {
    let mut provided = true;
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !works(&["cargo", subcommand, "--version"]) {
            println!("cargo {subcommand} is missing: adding the component {component}");
            provided &= run(&["rustup", "component", "add", component], &[]);
        }
    }
    if system {
        provided &= provide_packages();
    }
    provided
}

/// Other people's programs that tests hold ours against, each with the Debian package that has it.
const JUDGES: [(&str, &str); 1] = [("age", "age")];

/// The tools that are missing, each with its package.
fn missing() -> impl Iterator<Item = (&'static str, &'static str)> {
    let judges = JUDGES.into_iter().filter(|(tool, _)| !works(&[tool, "--version"]));
    converge_testbed::missing_tools().chain(judges)
}

/// Installs the Debian packages of the tools that are missing.
fn provide_packages() -> bool {
    let packages: BTreeSet<&str> = missing().map(|(_, package)| package).collect();
    if packages.is_empty() {
        println!("all tools are there");
        return true;
    }
    if !install(&packages.into_iter().collect::<Vec<_>>()) {
        return false;
    }
    let missing: Vec<&str> = missing().map(|(tool, _)| tool).collect();
    if !missing.is_empty() {
        println!("still missing: {}", missing.join(", "));
    }
    missing.is_empty()
}

/// Installs Debian packages, and gives whether that worked. The package lists are refreshed only when they are missing or
/// too old to install from.
pub(crate) fn install(packages: &[&str]) -> bool {
    println!("installing Debian packages: {}", packages.join(" "));
    let mut install = vec!["apt-get", "install", "-y", "--no-install-recommends"];
    install.extend(packages);
    let quiet = [("DEBIAN_FRONTEND", "noninteractive".to_owned())];
    let installed = run(&install, &quiet) || (run(&["apt-get", "update"], &quiet) && run(&install, &quiet));
    if !installed {
        println!("could not install {}; are you root, on Debian, with a package mirror?", packages.join(" "));
    }
    installed
}
