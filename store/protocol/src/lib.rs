//! Wire types of the store's HTTP API, version 1: JSON under `/v1`, errors as RFC 9457 problem documents.
//!
//! A node authorizes each request with a signature by its key (`Authorization: Converge-Key …`), an operator with a token
//! (`Authorization: Bearer …`). Every document ignores fields it does not know, so that a newer side can add some.
//!
//! # Current limitations
//!
//! - Reports and facts are described by the rooms that own them, and not in the API's document.

pub mod authority;
pub mod limits;
pub mod node;
pub mod policy;
pub mod problem;
pub mod report;
pub mod secrets;

pub use authority::{AuditEntry, Role, Scope};
pub use node::{
    Assignment, Condition, EnrollRequest, EnrollResponse, JoinToken, JoinTokenRequest, NodeChange, NodeFilter,
    NodePage, NodeView,
};
pub use policy::{
    GroupAssignment, Manifest, MissingBlobs, NewSignature, PolicyView, RevisionView, SignedManifest, WasLive,
};
pub use problem::Problem;
pub use report::{ReportFilter, ReportSummary};

/// The header that says which version of the software asks. Only for people who read logs.
pub const AGENT_HEADER: &str = "converge-agent";

/// What a [`BlobRef`](converge_model::BlobRef) is on the wire.
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "a description, never a value")]
struct Blob {
    /// SHA-256, in hexadecimal digits.
    digest: String,
    /// Bytes.
    size: u64,
}

/// One page of a longer list.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// What to ask for as `after` to get the next page; nothing where this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
