//! `converge store backup` and `restore`: what they say.

use std::path::Path;

use converge_store::BackupSummary;

use crate::clock::MachineClock;
use crate::console::Console;
use crate::console::words::moment;
use crate::failure::{Failure, Outcome, TROUBLE};

/// Copies a store.
pub(super) fn backup(data: &Path, to: &Path, console: Console) -> Outcome {
    let made = converge_store::backup(data, to, &MachineClock)?;
    console.result(&made, |made| format!("copied the store in {} to {}", data.display(), holds(made)))?;
    if made.lost.is_empty() {
        return Ok(());
    }
    console.note(format_args!(
        "{} blobs that revisions need were gone or damaged in the store: {}. The copy holds all else; publish the policies again \
         from their repositories, and copy again",
        made.lost.len(),
        made.lost.iter().map(converge_model::Digest::short).collect::<Vec<_>>().join(", ")
    ));
    Err(Failure::Said(TROUBLE))
}

/// Makes a store of a copy, and says what has to be done where it is older than what nodes ran.
pub(super) fn restore(from: &Path, data: &Path, console: Console) -> Outcome {
    let made = converge_store::restore(from, data)?;
    console.result(&made, |made| {
        let policies = made.policies.iter().map(|(policy, newest)| {
            format!("  {policy}: newest revision {newest}; `converge publish {policy} --serial N`, with N above what its nodes ran")
        });
        let policies: Vec<String> = policies.collect();
        format!(
            "a store is in {}, as it was on {} UTC\n\
             What happened after that it does not know. Nodes never go back: where they ran later revisions than these, they go on \
             with those and refuse the earlier until something later is published.\n{}\n\
             Revoke again which nodes and operators were revoked since; nodes that joined or changed their keys since enrol again.",
            holds(made),
            moment(made.made),
            policies.join("\n")
        )
    })
}

fn holds(made: &BackupSummary) -> String {
    let BackupSummary { path, nodes, policies, blobs, bytes, .. } = made;
    format!("{}: {nodes} nodes, {} policies, {blobs} blobs, {bytes} bytes", path.display(), policies.len())
}
