//! The record of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{Origin, Timing};
use crate::change::Changes;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::{ResourceId, RunId};
use crate::outcome::Outcome;

/// The version of the report document. A reader refuses what is greater.
pub const REPORT_FORMAT: u32 = 1;

/// Whether a run changes the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It does.
    Apply,
    /// It predicts.
    Plan,
}

/// How a run as a whole ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Conclusion {
    /// Every resource had its turn, and none failed.
    Succeeded,
    /// Some resource or notification failed.
    Failed,
    /// It was asked to stop.
    Cancelled,
    /// Its time was up.
    TimedOut,
    /// The process ended before the run did; found and written by the next one.
    Crashed,
    /// It never came to converging: the policy could not be had or bound.
    NotStarted {
        /// Why.
        error: ReportedError,
    },
}

impl Conclusion {
    /// Whether all is well.
    pub fn is_success(&self) -> bool {
        *self == Conclusion::Succeeded
    }

    /// How people call it.
    pub fn words(&self) -> &'static str {
        match self {
            Conclusion::Succeeded => "succeeded",
            Conclusion::Failed => "failed",
            Conclusion::Cancelled => "cancelled",
            Conclusion::TimedOut => "timed out",
            Conclusion::Crashed => "crashed",
            Conclusion::NotStarted { .. } => "not started",
        }
    }
}

/// An error as a report keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedError {
    /// What was attempted, on what, why it failed.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&Error> for ReportedError {
    fn from(error: &Error) -> Self {
        Self { message: error.to_string(), hint: error.hint.clone() }
    }
}

/// How one resource ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceReport {
    /// Which.
    pub id: ResourceId,
    /// How.
    pub outcome: Outcome,
    /// What was, or would be, changed. On a failure: what was to be changed.
    #[serde(default, skip_serializing_if = "Changes::is_empty")]
    pub changes: Changes,
    /// Skipped: which guard. Unprocessed: blocked by whom. Orphan: that it left the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ReportedError>,
    /// A failure that the policy tells to ignore.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
    /// Only observed, because the policy says `audit`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// What the plan took for granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub micros: u64,
    /// Where it was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How one notification ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationReport {
    /// Who acted.
    pub target: ResourceId,
    /// What it did.
    pub action: String,
    /// When it was asked to.
    pub timing: Timing,
    /// Who asked. Empty where an earlier run did, and was cut off.
    pub sources: Vec<ResourceId>,
    /// Updated: carried out. Would update: a plan, or an audited target. Skipped: its target was. Failed; unprocessed:
    /// still due, and carried out by the next run.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ReportedError>,
}

/// The whole record of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// The node's name; empty where it has none.
    pub node: String,
    /// The policy, and the revision of it where it came from a store.
    pub policy: String,
    /// The revision's serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The run that it undid, where it was for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<RunId>,
    /// Whether it changed the machine or predicted.
    pub mode: Mode,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub millis: u64,
    /// How it ended.
    pub conclusion: Conclusion,
    /// How often the graph was bound and converged; 1 unless the run changed facts.
    pub passes: u32,
    /// How many resources ended how. Holds all of them, also those not listed below.
    pub counts: BTreeMap<Outcome, u64>,
    /// Every resource in order; without those up to date where [`Report::condensed`] made it.
    pub resources: Vec<ResourceReport>,
    /// Every notification, in the order carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<NotificationReport>,
    /// What an operator should know of the run as a whole: the store was out of reach, state was rebuilt, a report cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

impl Report {
    /// How many resources ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or(0)
    }

    /// Whether the run changed, or would change, anything.
    pub fn has_changes(&self) -> bool {
        self.count(Outcome::Updated) + self.count(Outcome::WouldUpdate) > 0 || !self.notifications.is_empty()
    }

    /// The same report, listing only what was not up to date: what travels to the store.
    #[must_use]
    pub fn condensed(mut self) -> Self {
        self.resources.retain(|resource| resource.outcome != Outcome::UpToDate || !resource.assumptions.is_empty());
        self
    }
}
