//! The request to stop a run: after the current resource, or at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const RUNNING: u8 = 0;
const SOFT: u8 = 1;
const HARD: u8 = 2;

/// A shared flag that a signal handler sets and a run reads. Once asked, it stays asked.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicU8>);

impl Cancel {
    /// A flag that nobody has raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to end after the resource that is being converged. Safe in a signal handler.
    pub fn after_current(&self) {
        self.0.fetch_max(SOFT, Ordering::SeqCst);
    }

    /// Asks the run to end now: running commands are killed with their process group.
    pub fn now(&self) {
        self.0.fetch_max(HARD, Ordering::SeqCst);
    }

    /// Whether the run should start nothing more.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst) != RUNNING
    }

    /// Whether what is running should be killed.
    pub fn is_now(&self) -> bool {
        self.0.load(Ordering::SeqCst) == HARD
    }
}
