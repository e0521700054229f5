//! The machine's clocks, and identities that come from them and from the kernel's randomness.
#![expect(clippy::disallowed_methods, reason = "the one place where the time is asked for")]

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use converge_model::{Clock, Error, ErrorKind, Result, RunId, Timestamp};

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        #[cfg(test)]
        if let Some(world) = crate::simulation::world() {
            return world.agent_time();
        }
        // A clock before 1970 is a broken one; 1970 is as good as any for it.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_micros(&self) -> u64 {
        #[cfg(test)]
        if let Some(world) = crate::simulation::world() {
            return world.monotonic_micros();
        }
        static START: OnceLock<Instant> = OnceLock::new();
        let since = START.get_or_init(Instant::now).elapsed();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Fills `bytes` by chance.
///
/// # Errors
/// Where the kernel has no randomness to give.
pub(crate) fn random(bytes: &mut [u8]) -> std::result::Result<(), getrandom::Error> {
    #[cfg(test)]
    if let Some(world) = crate::simulation::world() {
        world.fill(bytes);
        return Ok(());
    }
    getrandom::fill(bytes)
}

/// The identity of a run that begins now. It sorts behind `last`, this machine's newest run, even where the clock was set
/// back since: reports are kept and sent in the order of their runs.
///
/// # Errors
/// Where the kernel has no randomness to give.
pub(crate) fn new_run(clock: &dyn Clock, last: Option<RunId>) -> Result<RunId> {
    let mut random = [0; 16];
    self::random(&mut random).map_err(|error| Error::new(ErrorKind::Unavailable, "name", "the run", error))?;
    let run = RunId::new(clock.now().0, u128::from_ne_bytes(random));
    Ok(match last {
        Some(last) if last >= run => RunId::new(last.millis().saturating_add(1), u128::from_ne_bytes(random)),
        _ => run,
    })
}

/// Somewhere from nothing to `most`, by chance: what many machines would do at the same moment, each does at its own.
pub(crate) fn up_to(most: Duration) -> Duration {
    let mut random = [0; 4];
    // Without random bytes it is nothing: sooner than the others, and at least not with them.
    let _ = self::random(&mut random);
    most.mul_f64(f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_failed_together_are_spread() {
        let waits: Vec<_> = (0..1_000).map(|_| up_to(Duration::from_secs(10)).as_secs()).collect();
        for second in 0..10 {
            let count = waits.iter().filter(|wait| **wait == second).count();
            assert!((40..=180).contains(&count), "{count} in second {second}");
        }
    }
}
