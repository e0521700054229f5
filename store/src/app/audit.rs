//! The audit log. What changes something is written down before it is done, and what came of it after.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use converge_protocol::authority::AuditFilter;
use converge_protocol::{AuditEntry, Page};

use super::App;
use super::identity::Operator;
use crate::error::StoreResult;
use crate::persistence::Deed;

/// Denied tries that are written down at once, and for each second after that. More would let anybody fill the disk.
const DENIED_AT_ONCE: u32 = 200;
const DENIED_A_SECOND: u32 = 1;

/// How many denied tries may still be written down.
pub(crate) struct Allowance(Mutex<Denied>);

struct Denied {
    left: u32,
    since: Duration,
    left_out: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self(Mutex::new(Denied { left: DENIED_AT_ONCE, since: Duration::ZERO, left_out: 0 }))
    }
}

impl Allowance {
    /// Whether one more is written down; then, how many before it were not.
    fn take(&self, now: Duration) -> Option<u64> {
        let mut denied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = u32::try_from(now.saturating_sub(denied.since).as_secs()).unwrap_or(u32::MAX);
        if passed > 0 {
            denied.left = denied.left.saturating_add(passed.saturating_mul(DENIED_A_SECOND)).min(DENIED_AT_ONCE);
            denied.since = now;
        }
        if denied.left == 0 {
            denied.left_out += 1;
            return None;
        }
        denied.left -= 1;
        Some(std::mem::take(&mut denied.left_out))
    }
}

impl App {
    /// Writes down what is about to be done, and gives the entry's number.
    pub(crate) fn note_deed(&self, deed: &Deed) -> StoreResult<i64> {
        self.database.add_deed(deed, None, self.now())
    }

    /// Writes down what came of it.
    pub(crate) fn note_outcome(&self, id: i64, status: u16, detail: Option<&str>) -> StoreResult<()> {
        self.database.add_outcome(id, status, detail)
    }

    /// Writes down what was denied, as far as there is room for it.
    pub(crate) fn note_denied(&self, deed: &Deed, status: u16, detail: &str) -> StoreResult<()> {
        let Some(left_out) = self.denied.take(Duration::from_micros(self.clock.monotonic_micros())) else {
            return Ok(());
        };
        let detail = match left_out {
            0 => detail.to_owned(),
            count => format!("{detail} (and {count} denied tries before it that were not written down)"),
        };
        self.database.add_deed(deed, Some((status, &detail)), self.now()).map(drop)
    }

    /// A page of the audit log, newest first.
    pub(crate) fn audit(&self, by: &Operator, filter: &AuditFilter, limit: usize) -> StoreResult<Page<AuditEntry>> {
        by.must_have_everything("read the audit log")?;
        self.database.audit(filter, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_tries_are_counted_when_they_are_too_many_to_write_down() {
        let allowance = Allowance::default();
        let now = Duration::from_secs(1_000);
        for _ in 0..DENIED_AT_ONCE {
            assert_eq!(allowance.take(now), Some(0));
        }
        assert_eq!((allowance.take(now), allowance.take(now)), (None, None));
        assert_eq!(allowance.take(now + Duration::from_secs(1)), Some(2));
    }
}
