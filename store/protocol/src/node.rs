//! What a node says, and what it is told.

use std::collections::BTreeMap;

use converge_model::{Digest, Outcome, Timestamp, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secrets::JoinScope;

/// `POST /v1/tokens`: a join token is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenRequest {
    /// The policy of the nodes that join with it.
    pub policy: String,
    /// Their group.
    pub group: String,
    /// How many may join; no limit if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// For how many seconds it is good; no limit if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_seconds: Option<u64>,
    /// The node whose place who joins with it takes, without anybody's approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The tags that they get. A node that is there already keeps its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What the secrets of its join string are made from; nothing where they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<JoinScope>,
}

/// The answer: the only time that the token is seen. The store keeps its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JoinToken {
    /// The token.
    pub token: String,
    /// The addresses of the store, the likeliest first.
    pub stores: Vec<String>,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub expires: Option<Timestamp>,
}

/// `POST /v1/enroll`: a machine wants to become a node. Authorized by the join token in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnrollRequest {
    /// The join token.
    pub token: String,
    /// The name it wants. One that is taken by another key has to be approved.
    pub name: String,
    /// Its public key.
    pub key: String,
    /// Signed by that key: that the machine has it.
    pub proof: String,
}

/// The answer. Asked again with the same key, it is the same, or what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnrollResponse {
    /// The identity of the store, which requests are bound to.
    pub store: String,
    /// The node's name.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// Its group.
    pub group: String,
    /// Whether it has to wait: the name is another key's, until an operator approves this one.
    #[serde(default)]
    pub waiting: bool,
}

/// `GET /v1/node`: what the asking node should run. Carries an `ETag`; with `If-None-Match` an unchanged one is answered
/// by 304 without a body; with `?wait=SECONDS` as well, the answer is held until something changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Assignment {
    /// The node's name.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// Its group.
    pub group: String,
    /// Its tags, sorted.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Values of node-settable attributes: cookbook → attribute → value.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    pub attributes: BTreeMap<String, BTreeMap<String, Value>>,
    /// What is live in its group; nothing where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<AssignedRevision>,
}

/// A revision, as a node needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssignedRevision {
    /// Its serial.
    pub serial: u64,
    /// The digest of its manifest: whether it is the one that the node has already. What the manifest says is believed for
    /// its signatures alone.
    #[schemars(with = "String")]
    pub manifest: Digest,
    /// How many signatures it carries.
    pub signatures: u64,
}

/// What the store knows of a node: `GET /v1/nodes`, `GET /v1/nodes/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// Its group.
    pub group: String,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Values of node-settable attributes: cookbook → attribute → value.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    pub attributes: BTreeMap<String, BTreeMap<String, Value>>,
    /// When it enrolled.
    #[schemars(with = "i64")]
    pub enrolled: Timestamp,
    /// When it was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub last_contact: Option<Timestamp>,
    /// The serial that is live in its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_revision: Option<u64>,
    /// The serial that its last whole run converged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_revision: Option<u64>,
    /// How the last run ended that was not cancelled: `succeeded`, `failed`, … A failure stays until a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Since when its runs end so, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub outcome_since: Option<Timestamp>,
    /// Since when its requests are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub revoked: Option<Timestamp>,
    /// How many resources its last whole run found changed, although the run before it had left them right and neither the
    /// revision nor the node's data changed since.
    #[serde(default)]
    pub drift: u64,
    /// How many notifications its last run left to the next one.
    #[serde(default)]
    pub pending: u64,
    /// What is not as it should be, by the store's clock. All is well where it is empty.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<crate::ReportSummary>,
    /// How the resources of that run ended.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, u64>")]
    pub counts: BTreeMap<Outcome, u64>,
    /// What it said of itself; only where one node is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub facts: Option<Value>,
}

/// What can be wrong with a node: one word an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// It was not heard of for [`SILENT_SECONDS`](crate::limits::SILENT_SECONDS).
    Silent,
    /// It never reported a run.
    NeverRan,
    /// Its last run did not succeed.
    Failing,
    /// Its last whole run converged another revision than the one that is live in its group.
    Behind,
    /// Its last whole run found resources that somebody else changed.
    Drifted,
    /// Notifications are still due.
    Pending,
    /// Its requests are refused.
    Revoked,
}

impl Condition {
    /// Every one.
    pub const ALL: [Condition; 7] = [
        Condition::Silent,
        Condition::NeverRan,
        Condition::Failing,
        Condition::Behind,
        Condition::Drifted,
        Condition::Pending,
        Condition::Revoked,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Condition::Silent => "silent",
            Condition::NeverRan => "never-ran",
            Condition::Failing => "failing",
            Condition::Behind => "behind",
            Condition::Drifted => "drifted",
            Condition::Pending => "pending",
            Condition::Revoked => "revoked",
        }
    }

    /// Those that a node is in at `now`.
    pub fn of(node: &NodeView, now: Timestamp) -> Vec<Self> {
        let heard = node.last_contact.unwrap_or(node.enrolled);
        let succeeded = node.outcome.as_deref() == Some("succeeded");
        Self::ALL
            .into_iter()
            .filter(|condition| match condition {
                Condition::Silent => now.0.saturating_sub(heard.0) > crate::limits::SILENT_SECONDS * 1_000,
                Condition::NeverRan => node.outcome.is_none(),
                Condition::Failing => node.outcome.is_some() && !succeeded,
                Condition::Behind => node.wanted_revision.is_some() && node.wanted_revision != node.run_revision,
                Condition::Drifted => node.drift > 0,
                Condition::Pending => node.pending > 0,
                Condition::Revoked => node.revoked.is_some(),
            })
            .collect()
    }
}

/// The query of `GET /v1/nodes`. What is said must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeFilter {
    /// Only those of this policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Only those of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Only those with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only those in this condition; `good` for those in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only those for which this expression over `facts` and `node` is true.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Only those after this place, as the page before said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of nodes, by name. It may be short, and even empty, while there is a next one: the store looks at so many nodes
/// at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodePage {
    /// The nodes.
    pub items: Vec<NodeView>,
    /// What to ask for as `after` to get the next page; nothing where this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// For how many nodes the expression could not be decided: they are not among the items.
    #[serde(default)]
    pub undecided: u64,
    /// Why, for the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `PATCH /v1/nodes/{name}`: what an operator changes of a node. What is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeChange {
    /// Its policy from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Its group from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Tags that it gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_tags: Vec<String>,
    /// Tags that it loses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_tags: Vec<String>,
    /// Values of node-settable attributes: cookbook → attribute → value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    pub set: BTreeMap<String, BTreeMap<String, Value>>,
    /// Attributes that get their published values back: cookbook → attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unset: BTreeMap<String, Vec<String>>,
}
