//! Everything the project does around the code, as `cargo xtask COMMAND`.
//!
//! # Current limitations
//!
//! - Missing system packages are installed on Debian only, and only by root.
//! - Benches need a C compiler; those of a node with systemd need what booting a test machine needs.

mod bench;
mod dist;
mod process;
mod release;
mod steps;
mod tally;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::Selection;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Everything the project does around the code")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check and test everything, as CI does; installs what the test host lacks
    Test(Selection),
    /// Measure the agent against floors and against the numbers of the design
    Bench(bench::Selection),
    /// Pack everything that is handed to operators: Debian packages, a tarball, their digests
    Dist,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Test(selection) => steps::test(&selection),
        Command::Bench(selection) => bench::bench(&selection),
        Command::Dist => dist::dist(),
    }
}
