//! An error of the API: an RFC 9457 problem document, `application/problem+json`.

use converge_model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A stable word for programs: `unknown-revision`. Relative to the API's documentation.
    #[serde(rename = "type")]
    pub kind: String,
    /// What sort of problem it is, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was attempted, on what, why it failed, what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request, as the store's log names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// After how many seconds to try again; also in the `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The store's time, where the asker's clock differs too much from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub time: Option<Timestamp>,
}

/// The kind of a refusal of what was asked at another time than the store's: [`Problem::time`] says what it is there.
pub const WRONG_CLOCK: &str = "wrong-clock";
/// The kind of a refusal of a key that is not, or no more, the node's.
pub const WRONG_KEY: &str = "wrong-key";

impl Problem {
    /// A problem of a kind.
    pub fn new(status: u16, kind: &str, title: impl Into<String>) -> Self {
        let kind = kind.to_owned();
        Self { kind, title: title.into(), status, detail: None, request: None, retry_after: None, time: None }
    }

    /// The same, saying more.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}
