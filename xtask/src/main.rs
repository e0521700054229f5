//! Everything the project does around the code, as `cargo xtask COMMAND`.
//!
//! # Current limitations
//!
//! - Missing system packages are installed on Debian only, and only by root.

mod process;
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
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Test(selection) => steps::test(&selection),
    }
}
