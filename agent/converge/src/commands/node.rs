//! `converge node`: one node of the store, shown, changed or forgotten.

use converge_model::{Clock, Value};
use converge_protocol::authority::{Approval, WaitingMachine};
use converge_protocol::{NodeChange, NodeView};
use serde_json::json;

use super::nodes::{revision, state};
use crate::access;
use crate::cli::{NodeAction, NodeArgs};
use crate::clock::MachineClock;
use crate::console::Console;
use crate::console::table::table;
use crate::console::words::{ago, counts, moment};
use crate::failure::{Failure, Outcome};

/// Does what was asked with a node.
pub(crate) fn run(args: &NodeArgs, console: Console) -> Outcome {
    let store = access::operator(&args.access, None)?;
    let node = match &args.action {
        NodeAction::Show { name } => store.node(name)?,
        NodeAction::Set { name, values, group, policy } => {
            let mut change = NodeChange { group: group.clone(), policy: policy.clone(), ..NodeChange::default() };
            values.iter().try_for_each(|value| take(&mut change, value))?;
            store.change_node(name, &change)?
        }
        NodeAction::Tag { name, add, remove } => {
            let change = NodeChange { add_tags: add.clone(), remove_tags: remove.clone(), ..NodeChange::default() };
            store.change_node(name, &change)?
        }
        NodeAction::Waiting => return console.result(&store.waiting()?, |waiting| waiting_text(waiting)),
        NodeAction::Approve { name, fingerprint } => {
            let approved = store.approve(name, &Approval { fingerprint: fingerprint.clone() })?;
            let fingerprint = approved.fingerprint.unwrap_or_default();
            let result = json!({ "approved": name, "fingerprint": fingerprint });
            return console
                .result(&result, |_| format!("{name} is the machine with the key {fingerprint} from now on"));
        }
        NodeAction::Revoke { name, undo } => {
            store.set_revoked(name, !undo)?;
            let said = if *undo { "is taken again" } else { "is revoked: every request of it is refused" };
            return console.result(&json!({ "node": name, "revoked": !undo }), |_| format!("node {name} {said}"));
        }
        NodeAction::Forget { name } => {
            store.forget_node(name)?;
            return console.result(&json!({ "forgotten": name }), |_| format!("node {name} is forgotten"));
        }
    };
    console.result(&node, text)
}

/// The machines that wait, as a table.
fn waiting_text(waiting: &[WaitingMachine]) -> String {
    if waiting.is_empty() {
        return "no machine waits".to_owned();
    }
    let now = MachineClock.now();
    let rows = waiting.iter().map(|machine| {
        vec![
            machine.name.clone(),
            machine.fingerprint.clone(),
            machine.policy.clone(),
            machine.group.clone(),
            machine.peer.clone(),
            ago(machine.asked, now),
        ]
    });
    table(&["node", "key", "policy", "group", "from", "asked"], rows)
}

/// Adds `cookbook.attribute=VALUE` to a change.
fn take(change: &mut NodeChange, typed: &str) -> Outcome {
    let wrong = || Failure::input("set", format!("`{typed}`"), "it is not of the form cookbook.attribute=VALUE");
    let (attribute, value) = typed.split_once('=').ok_or_else(wrong)?;
    let (cookbook, attribute) = attribute.split_once('.').ok_or_else(wrong)?;
    if value.is_empty() {
        change.unset.entry(cookbook.to_owned()).or_default().push(attribute.to_owned());
    } else {
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        change.set.entry(cookbook.to_owned()).or_default().insert(attribute.to_owned(), value);
    }
    Ok(())
}

/// A node, an axis a line.
fn text(node: &NodeView) -> String {
    let now = MachineClock.now();
    let since = node.outcome_since.map(|at| format!(", since {} UTC", moment(at))).unwrap_or_default();
    let attributes = serde_json::to_string(&node.attributes).unwrap_or_default();
    let lines = [
        ("state", state(node)),
        ("policy", format!("{} in group {}", node.policy, node.group)),
        ("tags", node.tags.join(", ")),
        ("set for it", if node.attributes.is_empty() { String::new() } else { attributes }),
        ("contact", node.last_contact.map_or_else(|| "never".to_owned(), |at| ago(at, now))),
        ("outcome", node.outcome.as_ref().map_or_else(|| "none yet".to_owned(), |outcome| format!("{outcome}{since}"))),
        ("revision", revision(node)),
        ("drift", format!("{} resources", node.drift)),
        ("pending", format!("{} notifications", node.pending)),
        ("revoked", node.revoked.map(|at| format!("since {} UTC", moment(at))).unwrap_or_default()),
        ("last run", node.last_run.as_ref().map(|run| format!("{} {}", run.run, run.conclusion)).unwrap_or_default()),
        ("resources", counts(&node.counts)),
        ("enrolled", format!("{} UTC", moment(node.enrolled))),
    ];
    let shown = lines.into_iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<String> = shown.map(|(name, value)| format!("  {name:<11} {value}")).collect();
    format!("{}\n{}", node.name, lines.join("\n"))
}
