//! When the daemon converges next.

use std::time::Duration;

use converge_model::{Digest, Timestamp};

/// The moment of each interval that is a node's own. It stays the same when the daemon starts again, and the moments of a
/// fleet are spread evenly: nodes that started together do not ask their store together for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase(u64);

impl Phase {
    /// That of the node called so.
    pub(super) fn of(node: &str) -> Self {
        let digest = Digest::of(node.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// How long to wait at `now` for the node's next moment, where the last run began `ago`. One that comes less than half
    /// an interval after that is left out.
    pub(super) fn wait(self, interval: Duration, now: Timestamp, ago: Duration) -> Duration {
        let interval = interval.as_millis().max(1);
        let own = u128::from(self.0) % interval;
        let now = u128::from(now.0.unsigned_abs());
        let wait = interval - (now % interval + interval - own) % interval;
        let wait = if 2 * (wait + ago.as_millis()) < interval { wait + interval } else { wait };
        Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1_800);

    #[test]
    fn a_node_converges_at_its_own_moment_of_every_interval() {
        let phase = Phase::of("web-1");
        let own = u128::from(phase.0) % INTERVAL.as_millis();
        for now in [0, 1, 1_800_000_000_000, 1_800_000_000_000 + 1_234_567, i64::MAX - 10_000_000] {
            for ago in [Duration::ZERO, Duration::from_secs(30), INTERVAL / 2, 5 * INTERVAL] {
                let wait = phase.wait(INTERVAL, Timestamp(now), ago);
                let begins = u128::from(now.unsigned_abs()) + wait.as_millis();
                assert_eq!(begins % INTERVAL.as_millis(), own, "{now} {ago:?}");
                assert!(
                    !wait.is_zero() && wait + ago >= INTERVAL / 2 && wait < INTERVAL * 3 / 2,
                    "{now} {ago:?} {wait:?}"
                );
            }
        }
    }

    #[test]
    fn the_nodes_of_a_fleet_are_spread_over_the_interval() {
        let mut tenths = [0; 10];
        for number in 0..10_000 {
            let wait = Phase::of(&format!("web-{number}")).wait(INTERVAL, Timestamp(0), INTERVAL);
            tenths[usize::try_from((wait.as_millis() - 1) * 10 / INTERVAL.as_millis()).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1_150).contains(count)), "{tenths:?}");
    }
}
