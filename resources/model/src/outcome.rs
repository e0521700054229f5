//! How a resource ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The outcome of one resource in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing differed.
    UpToDate,
    /// Something differed, was changed, and was seen to be right afterwards.
    Updated,
    /// Something differs and would be changed: a plan, or an audited resource.
    WouldUpdate,
    /// A guard said no.
    Skipped,
    /// It could not be observed, changed, or did not converge.
    Failed,
    /// Not reached: something it depends on failed, or the run was stopped.
    Unprocessed,
}

impl Outcome {
    /// Every outcome, in the order of tables.
    pub const ALL: [Outcome; 6] = [
        Outcome::UpToDate,
        Outcome::Updated,
        Outcome::WouldUpdate,
        Outcome::Skipped,
        Outcome::Failed,
        Outcome::Unprocessed,
    ];

    /// How people call it.
    pub fn words(self) -> &'static str {
        match self {
            Outcome::UpToDate => "up to date",
            Outcome::Updated => "updated",
            Outcome::WouldUpdate => "would update",
            Outcome::Skipped => "skipped",
            Outcome::Failed => "failed",
            Outcome::Unprocessed => "unprocessed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}
