//! Which requests were made already. Remembered for as long as their tokens are good, and no longer.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use converge_trust::request_token::{AHEAD_MILLIS, LIFETIME_MILLIS};

/// For how long a token that is good now can stay so: what is older than this is forgotten.
const WINDOW: Duration = Duration::from_millis((LIFETIME_MILLIS + AHEAD_MILLIS).unsigned_abs());

/// What was seen, in two generations: the one that is filled, and the one before it.
#[derive(Default)]
pub(crate) struct Replays(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    began: Duration,
    filling: HashSet<(i64, [u8; 16])>,
    before: HashSet<(i64, [u8; 16])>,
}

impl Replays {
    /// Whether a node's token is seen for the first time. From now on it is not. `now` is of a clock that is never set.
    pub(crate) fn is_first(&self, node: i64, nonce: [u8; 16], now: Duration) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_sub(seen.began);
        if age >= WINDOW {
            let full = std::mem::take(&mut seen.filling);
            seen.before = if age >= 2 * WINDOW { HashSet::new() } else { full };
            seen.began = now;
        }
        !seen.before.contains(&(node, nonce)) && seen.filling.insert((node, nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_once_for_as_long_as_it_is_good() {
        let replays = Replays::default();
        let first = |node: i64, nonce: u8, now: Duration| replays.is_first(node, [nonce; 16], now);
        let begin = Duration::from_secs(7);
        assert!(first(1, 7, begin));
        assert!(first(2, 7, begin), "another node's");
        let second = Duration::from_secs(1);
        for later in [Duration::ZERO, second, WINDOW - second] {
            assert!(!first(1, 7, begin + later), "{later:?}");
        }
        assert!(first(1, 7, begin + 4 * WINDOW), "forgotten when it can be good no more");
    }

    #[test]
    fn what_is_remembered_is_bounded_by_the_window() {
        let replays = Replays::default();
        for number in 0..10_000_u64 {
            let mut nonce = [0; 16];
            nonce[..8].copy_from_slice(&number.to_le_bytes());
            assert!(replays.is_first(1, nonce, Duration::from_millis(number * 100)));
        }
        let seen = replays.0.lock().unwrap();
        assert!(seen.filling.len() + seen.before.len() <= 2 * 651, "{} {}", seen.filling.len(), seen.before.len());
    }
}
