//! `converge nodes`: the nodes of the store, on their separate axes: heard of, converged, up to date with the policy.

use converge_model::Clock;
use converge_protocol::{NodeFilter, NodeView};

use crate::access;
use crate::cli::NodesArgs;
use crate::clock::MachineClock;
use crate::console::table::table;
use crate::console::words::{ago, counts};
use crate::console::{BAD, Console, GOOD, NOTE, styled};
use crate::failure::Outcome;

/// Lists the nodes that the flags mean.
pub(crate) fn run(args: &NodesArgs, console: Console) -> Outcome {
    let filter = NodeFilter {
        policy: args.policy.clone(),
        group: args.group.clone(),
        tag: args.tag.clone(),
        state: args.state.clone(),
        expression: args.r#where.clone(),
        ..NodeFilter::default()
    };
    let found = access::operator(&args.access, None)?.nodes(&filter)?;
    if let Some(reason) = &found.reason {
        // Also where results are JSON: a node of which it cannot be told is not one that is not meant.
        tracing::warn!("of {} nodes it could not be told whether they are meant ({reason})", found.undecided);
    }
    let is_all = filter == NodeFilter::default();
    console.result(
        &found.items,
        |nodes| if nodes.is_empty() && !is_all { "no such nodes".to_owned() } else { text(nodes) },
    )
}

/// What is not as it should be with a node, or that all is well.
pub(crate) fn state(node: &NodeView) -> String {
    let words: Vec<&str> = node.conditions.iter().map(|condition| condition.word()).collect();
    if words.is_empty() { styled(GOOD, "good") } else { styled(BAD, words.join(", ")) }
}

/// The nodes as a table.
pub(crate) fn text(nodes: &[NodeView]) -> String {
    if nodes.is_empty() {
        return "no nodes yet; `converge token create` makes a join string for the first".to_owned();
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
            state(node),
            node.policy.clone(),
            node.group.clone(),
            contact,
            last_run,
            revision(node),
            node.last_run.as_ref().map(|run| counts(&run.counts)).unwrap_or_default(),
        ]
    });
    table(&["node", "state", "policy", "group", "contact", "last run", "revision", "resources"], rows)
}

/// The revision it ran, against the one it should run.
pub(crate) fn revision(node: &NodeView) -> String {
    match (node.run_revision, node.wanted_revision) {
        (Some(run), Some(wanted)) if run == wanted => styled(GOOD, run),
        (Some(run), Some(wanted)) => styled(NOTE, format_args!("{run}, wanted {wanted}")),
        (None, Some(wanted)) => styled(NOTE, format_args!("none, wanted {wanted}")),
        (Some(run), None) => run.to_string(),
        (None, None) => styled(NOTE, "nothing is live"),
    }
}
