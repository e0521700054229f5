//! `converge nodes`: the nodes of the store, on their separate axes: heard of, converged, up to date with the policy.

use converge_model::Clock;
use converge_protocol::NodeView;

use crate::access;
use crate::cli::StoreAccess;
use crate::clock::MachineClock;
use crate::console::table::table;
use crate::console::words::{ago, counts};
use crate::console::{BAD, Console, GOOD, NOTE, styled};
use crate::failure::Outcome;

/// Lists the nodes.
pub(crate) fn run(args: &StoreAccess, console: Console) -> Outcome {
    let nodes = access::operator(args, None)?.nodes()?;
    console.result(&nodes, |nodes| text(nodes))
}

/// The nodes as a table.
pub(crate) fn text(nodes: &[NodeView]) -> String {
    if nodes.is_empty() {
        return "no nodes yet; `converge token` makes a join string for the first".to_owned();
    }
    let now = MachineClock.now();
    let rows = nodes.iter().map(|node| {
        let contact = node.last_contact.map_or_else(|| "never".to_owned(), |at| ago(at, now));
        let last_run = node.last_run.as_ref().map_or_else(
            || styled(NOTE, "none yet"),
            |run| styled(if run.conclusion == "succeeded" { GOOD } else { BAD }, &run.conclusion),
        );
        vec![
            node.name.clone(),
            node.policy.clone(),
            node.group.clone(),
            contact,
            last_run,
            revision(node),
            node.last_run.as_ref().map(|run| counts(&run.counts)).unwrap_or_default(),
        ]
    });
    table(&["node", "policy", "group", "contact", "last run", "revision", "resources"], rows)
}

/// The revision it ran, against the one it should run.
fn revision(node: &NodeView) -> String {
    match (node.run_revision, node.wanted_revision) {
        (Some(run), Some(wanted)) if run == wanted => styled(GOOD, run),
        (Some(run), Some(wanted)) => styled(NOTE, format_args!("{run}, wanted {wanted}")),
        (None, Some(wanted)) => styled(NOTE, format_args!("none, wanted {wanted}")),
        (Some(run), None) => run.to_string(),
        (None, None) => styled(NOTE, "nothing is live"),
    }
}
