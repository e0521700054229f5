//! When what was remembered of the machine may no longer be true.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the moments at which something ran that may have changed anything: a command, a package transaction, the start
/// of a service. What was cached in an earlier epoch is looked at again.
#[derive(Clone, Debug, Default)]
pub struct Epoch(Arc<AtomicU64>);

impl Epoch {
    /// Says that something ran that may have changed anything.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// The epoch that it is now.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
