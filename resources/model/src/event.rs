//! One fact while a run happens. Console, log and report all stand behind this one stream.

use crate::catalog::Timing;
use crate::change::Changes;
use crate::error::Error;
use crate::id::{ResourceId, RunId};
use crate::outcome::Outcome;
use crate::report::{Conclusion, Mode, ResourceReport};

/// One fact. Nothing in it is secret: values are redacted before they become an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A pass over the catalog begins.
    Started {
        /// The run.
        run: RunId,
        /// Whether it applies or plans.
        mode: Mode,
        /// The policy.
        policy: &'a str,
        /// How many resources there are.
        resources: usize,
    },
    /// A resource's changes are about to be made.
    Applying {
        /// Which.
        id: &'a ResourceId,
        /// What will be changed.
        changes: &'a Changes,
    },
    /// A resource ended.
    Finished {
        /// How.
        resource: &'a ResourceReport,
        /// Its position, from 0.
        position: usize,
    },
    /// A try failed and another follows.
    Retrying {
        /// Which.
        id: &'a ResourceId,
        /// Why.
        error: &'a Error,
        /// How many tries are left.
        left: u32,
    },
    /// A notification is about to be carried out.
    Notifying {
        /// Who acts.
        target: &'a ResourceId,
        /// What it does.
        action: &'a str,
        /// When it was asked to.
        timing: Timing,
    },
    /// A notification ended.
    Notified {
        /// Who acted.
        target: &'a ResourceId,
        /// What it did.
        action: &'a str,
        /// How it ended: updated, would update, failed, unprocessed.
        outcome: Outcome,
        /// Why it failed.
        error: Option<&'a Error>,
    },
    /// A pass over the catalog ended.
    Ended {
        /// How.
        conclusion: &'a Conclusion,
    },
}

/// Who listens.
pub trait EventSink: Send + Sync {
    /// Takes one event. Must not block for long, and cannot fail: a listener's trouble is not the run's.
    fn emit(&self, event: &Event<'_>);
}

/// A sink that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: &Event<'_>) {}
}
