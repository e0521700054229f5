//! Policies, their revisions, and where those are live.

use std::collections::BTreeMap;

use converge_model::{BlobRef, Digest, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /v1/policies/{name}/revisions`: a revision is published. All its blobs must be there already. What is equal to the
/// newest revision is answered with that one, and makes none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The policy.
    pub policy: String,
    /// The graph document.
    pub graph: BlobRef,
    /// Every blob that the graph names, ascending by digest, no doubles.
    pub blobs: Vec<BlobRef>,
    /// The commit it was made from, where the repository is under git; `-dirty` after it where that is not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// A published revision. `GET /v1/policies/{name}/revisions` lists them, newest first: to the operator, and to the nodes of
/// that policy, so that a node can say since when something has been as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionView {
    /// The policy.
    pub policy: String,
    /// Grows by one with each revision of the policy.
    pub serial: u64,
    /// When it was published.
    pub published: Timestamp,
    /// What it consists of.
    pub manifest: Manifest,
    /// The groups in which it is live.
    #[serde(default)]
    pub live_in: Vec<String>,
}

/// A policy: `GET /v1/policies`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// Its newest revision.
    pub newest: u64,
    /// The serial that is live in each group.
    pub groups: BTreeMap<String, u64>,
}

/// `PUT /v1/policies/{name}/groups/{group}`: what shall be live there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAssignment {
    /// The revision.
    pub serial: u64,
}

/// `POST /v1/blobs/missing`: which of these does the store lack? The answer is the same document with those it lacks.
/// A blob itself is put with `PUT /v1/blobs/{sha256}` and got with `GET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingBlobs {
    /// The digests.
    pub digests: Vec<Digest>,
}
