//! The resources of one run, in order, with nothing left to evaluate but guards.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::by_name::ByName;
use crate::duration::Span;
use crate::id::ResourceId;
use crate::path::AbsPath;
use crate::property::CommandLine;
use crate::value::Value;

/// What to do with owned resources that left the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orphans {
    /// Say so.
    #[default]
    Report,
    /// Take them away, last declared first.
    Remove,
}

/// The resources of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Catalog {
    /// The policy it was bound from.
    pub policy: String,
    /// What happens to what left the policy.
    pub orphans: Orphans,
    /// The resources. Every index in `requires` points to an earlier one: the order is a valid order.
    pub resources: Vec<CatalogResource>,
}

/// One resource of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CatalogResource {
    /// Its identity.
    pub id: ResourceId,
    /// The values of the kind's own properties.
    pub properties: ByName<Value>,
    /// The properties that hold a secret: shown nowhere.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub secret: BTreeSet<String>,
    /// Why it is skipped, where `when` said no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Decided when its turn comes; all must agree.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guard>,
    /// Positions of resources that must not have failed before it: written `requires` and `before`, subscriptions, and
    /// its predecessor in an ordered recipe. Ascending, no doubles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<usize>,
    /// Whom it notifies when it was updated: its own `notifies`, and the `subscribes` of others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notifies: Vec<Notify>,
    /// How long one step may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How often to try again after a failure to apply, and how long to wait before each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// A failure does not block what depends on it, and does not fail the run.
    pub ignore_failure: bool,
    /// No value of it is shown anywhere.
    pub sensitive: bool,
    /// Observe and report, never change.
    pub audit: bool,
    /// Where it was declared.
    pub origin: Origin,
}

/// How often to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// Tries after the first; at most 100.
    pub count: u32,
    /// The wait before each.
    pub delay: Span,
}

/// A condition decided on the machine when the resource's turn comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Go on only if it holds.
    OnlyIf(Condition),
    /// Go on only if it does not hold.
    NotIf(Condition),
}

/// What a guard looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// A command holds if it exits with 0, and does not hold if it exits with anything else. It could not be decided where
    /// it was ended, or where 126 or 127 come with words: then it was not found, or could not be executed.
    Command(CommandLine),
    /// A path holds if something is there.
    Exists(AbsPath),
}

/// Whom to notify, and of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Notify {
    /// The position of the resource that acts.
    pub target: usize,
    /// What it does: `reload`.
    pub action: String,
    /// When.
    pub timing: Timing,
}

/// When a notification is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// At the end of the run, once, however many asked.
    #[default]
    Delayed,
    /// At once, after the change.
    Immediate,
}

/// Where a resource was declared. Its texts are those of many others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The cookbook and its version: `nginx 1.4.0`.
    pub cookbook: Arc<str>,
    /// The recipe as a run list names it: `nginx::tls`.
    pub recipe: Arc<str>,
    /// The file within the policy repository.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The resource of a custom kind that it is part of, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<ResourceId>,
}
