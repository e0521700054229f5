//! Reports of runs. `POST /v1/reports` takes a [`Report`](converge_model::Report), condensed, by run id: twice is once.
//! `GET /v1/reports/{run}` gives it back; `GET /v1/reports` lists summaries, newest first.

use std::collections::BTreeMap;

use converge_model::{Outcome, RunId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportSummary {
    /// The run.
    #[schemars(with = "String")]
    pub run: RunId,
    /// The node.
    pub node: String,
    /// The policy.
    pub policy: String,
    /// The revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// When it began, by the node's clock.
    #[schemars(with = "i64")]
    pub started: Timestamp,
    /// How long it took.
    pub millis: u64,
    /// How it ended: `succeeded`, `failed`, …
    pub conclusion: String,
    /// How its resources ended.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub counts: BTreeMap<Outcome, u64>,
}

/// The query of `GET /v1/reports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportFilter {
    /// Only of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Only those where something was not up to date or the run did not succeed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub eventful: bool,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those after this place, as the page before said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
