//! What a node says, and what it is told.

use std::collections::BTreeMap;

use converge_model::{BlobRef, Outcome, Timestamp, Value};
use serde::{Deserialize, Serialize};

/// `POST /v1/tokens`: a join token is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// The answer: the only time that the token is seen. The store keeps its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The token.
    pub token: String,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// `POST /v1/enroll`: a machine wants to become a node. Authorized by the join token in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// The join token.
    pub token: String,
    /// The name it wants. One that is taken is refused, but to who has it.
    pub name: String,
    /// The node's token until now, from a machine that is the node of that name and enrols anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// The answer: the only time that the node's token is seen. The store keeps its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnrollResponse {
    /// The node's name.
    pub name: String,
    /// Its token from now on.
    pub token: String,
    /// Its policy.
    pub policy: String,
    /// Its group.
    pub group: String,
}

/// `GET /v1/node`: what the asking node should run. Carries an `ETag`; with `If-None-Match` an unchanged one is answered
/// by 304 without a body; with `?wait=SECONDS` as well, the answer is held until something changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub attributes: BTreeMap<String, BTreeMap<String, Value>>,
    /// What is live in its group; nothing where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<AssignedRevision>,
}

/// A revision, as a node needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedRevision {
    /// Its serial.
    pub serial: u64,
    /// The graph document.
    pub graph: BlobRef,
}

/// What the store knows of a node: `GET /v1/nodes`, `GET /v1/nodes/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub attributes: BTreeMap<String, BTreeMap<String, Value>>,
    /// When it enrolled.
    pub enrolled: Timestamp,
    /// When it was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    pub outcome_since: Option<Timestamp>,
    /// How many resources its last whole run found changed, although the run before it had left them right and neither the
    /// revision nor the node's data changed since.
    #[serde(default)]
    pub drift: u64,
    /// How many notifications its last run left to the next one.
    #[serde(default)]
    pub pending: u64,
    /// Its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<crate::ReportSummary>,
    /// How the resources of that run ended.
    #[serde(default)]
    pub counts: BTreeMap<Outcome, u64>,
    /// What it said of itself; only where one node is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Value>,
}
