//! What is typed after `converge completions` and `converge manual`.

use std::path::PathBuf;

use clap::Args;

/// `converge completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `converge manual`
#[derive(Debug, Args)]
pub(crate) struct ManualArgs {
    /// The directory to write a page for each command to.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
