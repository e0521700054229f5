//! Time as a value that is handed in, so that a run can be repeated.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds from `earlier` to `self`; 0 where the clock went back.
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// Where a room gets the time from.
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump in both directions.
    fn now(&self) -> Timestamp;
    /// Microseconds on a clock that never goes back, from an arbitrary start.
    fn monotonic_micros(&self) -> u64;
    /// Waits. A clock that a test moves by hand moves itself instead.
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
