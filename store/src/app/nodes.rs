//! What operators ask of nodes, and change of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use converge_model::{Graph, Value};
use converge_policy::attribute;
use converge_policy::bind::NodeIdentity;
use converge_policy::filter::{Decider, Filter};
use converge_protocol::limits::{self, check_name};
use converge_protocol::{Condition, NodeChange, NodeFilter, NodePage, NodeView};

use super::identity::Operator;
use super::{App, Changed};
use crate::error::{StoreError, StoreResult};
use crate::persistence::NodeSelection;

/// Nodes that one request looks at.
const LOOKED_AT: usize = 5_000;
/// How long one request looks.
const LOOKS_FOR: Duration = Duration::from_secs(1);

impl App {
    /// A page of those nodes that a filter means, as far as an operator may look at them.
    pub(crate) fn nodes(&self, by: &Operator, filter: &NodeFilter, limit: usize) -> StoreResult<NodePage> {
        let wanted = Wanted::of(filter)?;
        let decider = wanted.expression.as_ref().map(Filter::decider);
        let (began, now) = (Instant::now(), self.now());
        let mut page = NodePage { items: Vec::new(), next: None, undecided: 0, reason: None };
        let mut selection = NodeSelection {
            scope: &by.0.scope,
            policy: filter.policy.as_deref(),
            group: filter.group.as_deref(),
            tag: filter.tag.as_deref(),
            with_facts: decider.is_some(),
            after: filter.after.clone(),
        };
        let mut looked_at = 0;
        loop {
            let found = self.database.nodes(&selection, limits::PAGE_ITEMS)?;
            for mut node in found.items {
                if page.items.len() == limit {
                    page.next = Some(selection.after);
                    return Ok(page);
                }
                selection.after.clone_from(&node.name);
                looked_at += 1;
                node.conditions = Condition::of(&node, now);
                if wanted.means(&node, decider.as_ref(), &mut page) {
                    node.facts = None;
                    page.items.push(node);
                }
            }
            let Some(next) = found.next else { return Ok(page) };
            selection.after.clone_from(&next);
            if page.items.len() == limit || looked_at >= LOOKED_AT || began.elapsed() >= LOOKS_FOR {
                page.next = Some(next);
                return Ok(page);
            }
        }
    }

    /// One node that an operator may look at.
    pub(crate) fn node_for(&self, by: &Operator, name: &str) -> StoreResult<NodeView> {
        let node = self.node(name)?;
        by.may(&node.policy, Some(&node.group))?;
        Ok(node)
    }

    /// One node.
    pub(super) fn node(&self, name: &str) -> StoreResult<NodeView> {
        let mut node = self.database.node(name)?.ok_or_else(|| StoreError::unknown("node", name))?;
        node.conditions = Condition::of(&node, self.now());
        Ok(node)
    }

    /// Changes what is kept of a node, and tells it if it waits.
    pub(crate) fn change_node(&self, by: &Operator, name: &str, change: &NodeChange) -> StoreResult<NodeView> {
        let node = self.node_for(by, name)?;
        let (policy, group) = (change.policy.as_ref(), change.group.as_ref());
        by.may(policy.unwrap_or(&node.policy), Some(group.unwrap_or(&node.group)))?;
        for (what, name) in [("policy", &change.policy), ("group", &change.group)] {
            name.as_ref().map_or(Ok(()), |name| check_name(what, name)).map_err(StoreError::invalid)?;
        }
        change.add_tags.iter().try_for_each(|tag| check_name("tag", tag)).map_err(StoreError::invalid)?;
        if let Some(policy) = &change.policy
            && !self.database.has_policy(policy)?
        {
            return Err(StoreError::unknown("policy", policy));
        }
        if !change.set.is_empty() {
            self.check_values(name, change)?;
        }
        self.database.change_node(name, change)?;
        tracing::info!(node = name, ?change.policy, ?change.group, ?change.add_tags, ?change.remove_tags, "node changed");
        self.tell_held_requests(Changed::Node(name));
        self.node(name)
    }

    /// Forgets a node, with its reports.
    pub(crate) fn forget_node(&self, by: &Operator, name: &str) -> StoreResult<()> {
        self.node_for(by, name)?;
        while self.database.forget_reports(name)? {}
        self.database.forget_node(name)?;
        tracing::info!(node = name, "node forgotten");
        self.tell_held_requests(Changed::Node(name));
        Ok(())
    }

    /// Holds values against what the revision that is live for the node declares: a wrong one would fail each of its runs.
    fn check_values(&self, name: &str, change: &NodeChange) -> StoreResult<()> {
        let node = self.database.node(name)?.ok_or_else(|| StoreError::unknown("node", name))?;
        let policy = change.policy.as_ref().unwrap_or(&node.policy);
        let group = change.group.as_ref().unwrap_or(&node.group);
        let graph = self.live_graph(policy, group)?;
        for (cookbook, values) in &change.set {
            let declared = graph.cookbooks.iter().find(|declared| declared.name == *cookbook);
            let declared = declared.ok_or_else(|| {
                StoreError::invalid(format!(
                    "policy {policy}, as it is live in group {group}, uses no cookbook {cookbook}"
                ))
            })?;
            for (attribute, value) in values {
                let wrong = |cause: &str| StoreError::invalid(format!("attribute {cookbook}.{attribute}: {cause}"));
                let declaration =
                    declared.attributes.get(attribute).ok_or_else(|| wrong("the cookbook declares none"))?;
                if !declaration.node_settable {
                    return Err(wrong("it cannot be set for a single node; its cookbook does not say `node_settable`"));
                }
                attribute::check(declaration, value).map_err(|cause| {
                    wrong(if declaration.secret { "the value is not what it should be" } else { &cause })
                })?;
            }
        }
        Ok(())
    }

    fn live_graph(&self, policy: &str, group: &str) -> StoreResult<Graph> {
        let blob = self.database.live_graph(policy, group)?.ok_or_else(|| {
            StoreError::conflict(format!(
                "nothing of policy {policy} is live in group {group} yet: publish it there first"
            ))
        })?;
        let bytes = self.blobs.read(&blob)?;
        Ok(Graph::from_bytes(&bytes)?)
    }
}

/// What a filter asks for that the database does not decide.
struct Wanted {
    good: bool,
    condition: Option<Condition>,
    expression: Option<Filter>,
}

impl Wanted {
    fn of(filter: &NodeFilter) -> StoreResult<Self> {
        let expression = filter.expression.as_deref().map(|source| {
            if source.len() > limits::EXPRESSION_BYTES {
                return Err(StoreError::invalid(format!("an expression may have {} bytes", limits::EXPRESSION_BYTES)));
            }
            Filter::parse(source).map_err(|error| {
                let help = error.help.map(|help| format!("; {help}")).unwrap_or_default();
                StoreError::invalid(format!("the expression `{source}`: {}{help}", error.message))
            })
        });
        let good = filter.state.as_deref() == Some("good");
        let condition = filter.state.as_deref().filter(|_| !good).map(|word| {
            let known = Condition::ALL.into_iter().find(|condition| condition.word() == word);
            let words: Vec<&str> = Condition::ALL.into_iter().map(Condition::word).collect();
            known.ok_or_else(|| StoreError::invalid(format!("{word:?} is no state: say good, {}", words.join(", "))))
        });
        Ok(Self { good, condition: condition.transpose()?, expression: expression.transpose()? })
    }

    /// Whether a node is meant. Where that cannot be told, the page says so.
    fn means(&self, node: &NodeView, decider: Option<&Decider<'_>>, page: &mut NodePage) -> bool {
        if self.good && !node.conditions.is_empty() {
            return false;
        }
        if self.condition.is_some_and(|condition| !node.conditions.contains(&condition)) {
            return false;
        }
        let Some(decider) = decider else { return true };
        let identity = NodeIdentity {
            name: node.name.clone(),
            policy: node.policy.clone(),
            group: Some(node.group.clone()),
            tags: node.tags.clone(),
        };
        let nothing = Value::Map(BTreeMap::new());
        decider.means(&identity, node.facts.as_ref().unwrap_or(&nothing)).unwrap_or_else(|cause| {
            page.undecided += 1;
            page.reason.get_or_insert_with(|| format!("node {}: {cause}", node.name));
            false
        })
    }
}
