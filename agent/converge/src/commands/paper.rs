//! `converge completions` and `converge manual`: what shells and man(1) know of the command line, out of its one table.

use clap::CommandFactory as _;
use converge_model::Error;
use converge_system::linux::durable;

use crate::cli::{Cli, CompletionsArgs, ManualArgs};
use crate::console::Console;
use crate::failure::Outcome;

/// Prints the completions for a shell.
pub(crate) fn completions(args: &CompletionsArgs, console: Console) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "converge", &mut script);
    console.say(String::from_utf8_lossy(&script).trim_end());
}

/// Writes a manual page for each command.
///
/// # Errors
/// Where the directory cannot be written to.
pub(crate) fn manual(args: &ManualArgs) -> Outcome {
    durable::create_directory(&args.directory, 0o755)?;
    clap_mangen::generate_to(Cli::command(), &args.directory)
        .map_err(|error| Error::io("write", args.directory.display(), &error))?;
    Ok(())
}
