//! `converge secret list`: for whom secrets are, who has read them, and what is due.

use converge_model::Timestamp;
use converge_protocol::secrets::{RuleView, SecretsDocument, Selector};
use serde::Serialize;

use crate::client::StoreClient;
use crate::console::Console;
use crate::console::table::table;
use crate::console::words::moment;
use crate::failure::Outcome;
use crate::secrets::{Keeper, Standing};

/// A rule, without anything secret.
#[derive(Debug, Serialize)]
struct Listed {
    rule: String,
    nodes: Selector,
    secrets: Vec<String>,
    changed: Timestamp,
    changed_by: String,
    /// The nodes that it means and that have its key.
    with_key: usize,
    /// Those of them that have read it.
    have_read: usize,
    /// Those that wait for an operator to let them in.
    waiting: Vec<String>,
    /// Nodes that have its key and that it means no more.
    left: Vec<String>,
    /// Whether it should get another key.
    rotation_due: bool,
}

/// Lists every rule.
pub(super) fn list(store: &StoreClient, keeper: &Keeper, console: Console) -> Outcome {
    let mut rules = Vec::new();
    for view in store.secret_rules()? {
        let document = keeper.open(&view)?;
        rules.push(listed(document, view, keeper));
    }
    console.result(&rules, |rules| {
        if rules.is_empty() {
            return "there are no secrets".to_owned();
        }
        table(&["rule", "for", "secrets", "have the key", "have read", "changed", "due"], rules.iter().map(row))
    })
}

fn listed(document: SecretsDocument, view: RuleView, keeper: &Keeper) -> Listed {
    let waits = |standing| matches!(standing, Standing::Unproven);
    let waiting = view.nodes.iter().filter(|node| waits(keeper.standing(&document, &[], node)));
    Listed {
        waiting: waiting.map(|node| node.node.clone()).collect(),
        with_key: view.nodes.iter().filter(|node| node.has_key || node.has_read).count(),
        have_read: view.nodes.iter().filter(|node| node.has_read).count(),
        rotation_due: !view.left.is_empty(),
        rule: document.rule,
        nodes: document.nodes,
        secrets: document.secrets.into_keys().collect(),
        changed: view.changed,
        changed_by: view.changed_by,
        left: view.left,
    }
}

fn row(rule: &Listed) -> Vec<String> {
    let mut due = Vec::new();
    if rule.rotation_due {
        due.push(format!("rotation: {} left", rule.left.join(", ")));
    }
    if !rule.waiting.is_empty() {
        due.push(format!("a grant: {} waits", rule.waiting.join(", ")));
    }
    let secrets = if rule.secrets.is_empty() { "none".to_owned() } else { rule.secrets.join("\n") };
    vec![
        rule.rule.clone(),
        rule.nodes.to_string(),
        secrets,
        rule.with_key.to_string(),
        rule.have_read.to_string(),
        format!("{} by {}", moment(rule.changed), rule.changed_by),
        due.join("; "),
    ]
}
