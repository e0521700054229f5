//! `converge facts`: what the agent learns of this machine.

use converge_system::linux::facts;

use crate::cli::CommonArgs;
use crate::config::ConfigDir;
use crate::console::{Console, NOTE, styled};
use crate::failure::Outcome;

/// Prints the facts. They are a document, so they are JSON either way.
pub(crate) fn run(common: &CommonArgs, console: Console) -> Outcome {
    let facts = facts::of_machine(&ConfigDir::new(&common.config_dir).facts_directory());
    let all = facts.all();
    for remark in facts.take_remarks() {
        console.note(format_args!("{} {remark}", styled(NOTE, "remark:")));
    }
    console.document(&all)
}
