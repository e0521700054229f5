//! Policies, their revisions, and where those are live.

use std::collections::BTreeMap;

use converge_model::{BlobRef, Digest, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The format of manifests that this software writes, and the only one it reads.
pub const MANIFEST_FORMAT: u32 = 1;

/// What a revision consists of. Its author signs the bytes of this document: they are kept and handed on as they are.
/// A reader that does not know all of it refuses it: what it passed over could be what limits it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// The policy.
    pub policy: String,
    /// Higher than that of every revision of the policy before, by 1 where nothing was lost.
    pub serial: u64,
    /// The only groups that it is for, ascending; all where it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The graph document.
    #[schemars(with = "crate::Blob")]
    pub graph: BlobRef,
    /// Every blob that the graph names, ascending by digest, no doubles.
    #[schemars(with = "Vec<crate::Blob>")]
    pub blobs: Vec<BlobRef>,
    /// The commit it was made from, where the repository is under git; `-dirty` after it where that is not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When its author made it, by his clock.
    #[schemars(with = "i64")]
    pub published: Timestamp,
}

impl Manifest {
    /// Whether it is for nodes of this group.
    pub fn is_for(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|own| own == group)
    }
}

/// `POST /v1/policies/{name}/revisions`: a revision is published. All its blobs must be there already, and its serial must
/// be higher than that of the newest one, by [`crate::limits::SERIAL_STEP`] at most. `GET /v1/policies/{name}/revisions/{serial}/signed` gives it to operators and to the policy's nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedManifest {
    /// The document of a [`Manifest`], byte for byte as it was signed.
    pub manifest: String,
    /// Its signatures, as `ssh-keygen -Y sign -n converge-revision` makes them.
    pub signatures: Vec<String>,
}

/// `POST /v1/policies/{name}/revisions/{serial}/signatures`: somebody else signs a revision too. Twice is once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewSignature {
    /// The signature.
    pub signature: String,
}

/// A published revision. `GET /v1/policies/{name}/revisions` lists them, newest first: to the operator, and to the nodes of
/// that policy, so that a node can say since when something has been as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionView {
    /// The policy.
    pub policy: String,
    /// Grows with each revision of the policy.
    pub serial: u64,
    /// When it was published.
    #[schemars(with = "i64")]
    pub published: Timestamp,
    /// Who published it, as the audit log calls them; nodes are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What it consists of.
    pub manifest: Manifest,
    /// How many signatures it carries. Whether they are good, each node sees for itself.
    #[serde(default)]
    pub signatures: u64,
    /// The groups in which it is live.
    #[serde(default)]
    pub live_in: Vec<String>,
}

/// A policy: `GET /v1/policies`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// Its newest revision.
    pub newest: u64,
    /// The serial that is live in each group.
    pub groups: BTreeMap<String, u64>,
}

/// `PUT /v1/policies/{name}/groups/{group}`: what shall be live there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupAssignment {
    /// The revision.
    pub serial: u64,
}

/// What was live in a group from a moment on: `GET /v1/policies/{policy}/groups/{group}`, newest first. The first is live now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WasLive {
    /// The revision.
    pub serial: u64,
    /// Since when.
    #[schemars(with = "i64")]
    pub since: Timestamp,
    /// Who made it so, as the audit log calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// `POST /v1/blobs/missing`: which of these does the store lack? The answer is the same document with those it lacks.
/// A blob itself is put with `PUT /v1/blobs/{sha256}` and got with `GET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingBlobs {
    /// The digests.
    #[schemars(with = "Vec<String>")]
    pub digests: Vec<Digest>,
}
