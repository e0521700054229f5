//! What can be typed after `converge undo`.

use clap::Args;
use converge_model::Span;

/// `converge undo`
#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// The run to undo, or the first digits of it; `last` is the newest that overwrote anything. Without it, the runs are
    /// listed that can be undone.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,

    /// Only this: a resource as the run's report names it, or a path. Can be said more than once.
    #[arg(long, value_name = "NAME", requires = "run")]
    pub resource: Vec<String>,

    /// Show what would be put back, and change nothing.
    #[arg(long, requires = "run", conflicts_with = "yes")]
    pub plan: bool,

    /// Do not ask.
    #[arg(long, short, requires = "run")]
    pub yes: bool,

    /// Put back also what a later run touched, or somebody changed since.
    #[arg(long, requires = "run")]
    pub force: bool,

    /// Wait this long for another run on this machine to end.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub lock_wait: Span,
}
