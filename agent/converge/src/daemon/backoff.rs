//! How long to leave a store alone that is in trouble: longer each time, and never as long as the others do.

use std::time::Duration;

use crate::client::LONGEST_ASKED;
use crate::clock::up_to;

/// The first wait, before it is spread.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait that nobody asked for.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Waits that grow from one failure to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure; not shorter than the store asked for. Half of it is chance: nodes that
    /// failed together do not come back together.
    pub(super) fn after_failure(&mut self, asked: Option<Duration>) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let own = full / 2 + up_to(full / 2);
        asked.map_or(own, |asked| {
            let asked = asked.min(LONGEST_ASKED);
            own.max(asked + up_to(asked / 4))
        })
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_no_shorter_than_asked() {
        let mut backoff = Backoff::default();
        let mut full = FIRST;
        for _ in 0..40 {
            let wait = backoff.after_failure(None);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
            full = (full * 2).min(LONGEST);
        }
        backoff.reset();
        let asked = Duration::from_secs(100);
        let wait = backoff.after_failure(Some(asked));
        assert!(wait >= asked && wait <= asked * 5 / 4, "{wait:?}");
        assert!(backoff.after_failure(Some(Duration::MAX)) <= LONGEST_ASKED * 5 / 4);
        assert!(backoff.after_failure(None) <= 4 * FIRST);
    }
}
