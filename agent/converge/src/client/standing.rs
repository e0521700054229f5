//! How a client and its store get on: whether it answers, and whether it asked to be left alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use converge_model::{Clock, Error, ErrorKind, Timestamp};

use crate::clock::{MachineClock, up_to};
use crate::console::words::moment;

/// How long one client waits in all for a store that is busy. A run does not stand still for longer: it goes on without.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first wait for a store that is busy and does not say for how long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest that a store may ask to be left alone.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// How it is.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How often, and how long, it was waited for.
    waits: u32,
    waited: Duration,
    found: Found,
}

/// What a client found its store to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Whether it answered the last request as it should; nothing where it was asked nothing.
    pub answers: Option<bool>,
    /// Why not.
    pub trouble: Option<Error>,
    /// Until when it wants to be left alone.
    pub leave_alone_until: Option<Timestamp>,
}

impl Standing {
    /// That of a store which asked to be left alone until then.
    pub(super) fn of_one_to_be_left_alone(until: Option<Timestamp>) -> Self {
        let found = Found { leave_alone_until: until, ..Found::default() };
        Self(Mutex::new(Known { found, ..Known::default() }))
    }

    /// What was found.
    pub(super) fn found(&self) -> Found {
        self.known().found.clone()
    }

    /// Refuses to ask a store that is to be left alone.
    ///
    /// # Errors
    /// That it is.
    pub(super) fn may_ask(&self, operation: &str, base: &str) -> converge_model::Result<()> {
        let now = MachineClock.now();
        match self.known().found.leave_alone_until {
            // One that is further off than anybody may ask for is of a clock that was set.
            Some(until) if until > now && until.millis_since(now) <= millis(LONGEST_ASKED * 2) => {
                let cause = format!("it asked to be left alone until {} UTC", moment(until));
                Err(Error::new(ErrorKind::Busy, operation, base, cause)
                    .with_hint("the store has more to do than it can; it is asked again after that"))
            }
            _ => Ok(()),
        }
    }

    /// The store answered as it should.
    pub(super) fn answered(&self) {
        self.known().found = Found { answers: Some(true), ..Found::default() };
    }

    /// It did not.
    pub(super) fn failed(&self, error: &Error) {
        let mut known = self.known();
        known.found.answers = Some(false);
        known.found.trouble = Some(error.clone());
    }

    /// The store is busy, and asked to be left alone for this long, if it said so: how long to wait before asking again.
    /// Nothing where that is more than a run stands still for.
    pub(super) fn wait_for(&self, asked: Option<Duration>) -> Option<Duration> {
        let mut known = self.known();
        let asked = asked.map(|asked| asked.min(LONGEST_ASKED));
        let least = asked.unwrap_or_else(|| FIRST * (1 << known.waits.min(8)));
        let wait = least + up_to(least / 4);
        if known.waited + wait <= PATIENCE {
            known.waits += 1;
            known.waited += wait;
            return Some(wait);
        }
        if asked.is_some() {
            let until = MachineClock.now().0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            known.found.leave_alone_until = Some(Timestamp(until));
        }
        None
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kind of error that an answer with this status is.
pub(super) fn kind_of(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        400 | 409 | 413 | 422 => ErrorKind::Invalid,
        429 | 503 => ErrorKind::Busy,
        _ => ErrorKind::Failed,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_store_is_waited_for_a_while_and_then_left_alone() {
        let standing = Standing::default();
        let second = Duration::from_secs(1);
        let mut waited = Duration::ZERO;
        let mut last = Duration::ZERO;
        while let Some(wait) = standing.wait_for(None) {
            assert!(wait > last, "{wait:?} after {last:?}");
            (waited, last) = (waited + wait, wait);
        }
        assert!(waited > PATIENCE / 3 && waited <= PATIENCE, "{waited:?}");
        assert!(standing.may_ask("ask", "it").is_ok(), "it did not say for how long");

        let standing = Standing::default();
        let wait = standing.wait_for(Some(3 * second)).unwrap();
        assert!(wait >= 3 * second && wait <= 4 * second, "{wait:?}");
        assert_eq!(standing.wait_for(Some(100 * second)), None);
        let error = standing.may_ask("ask", "it").unwrap_err();
        assert!(error.kind == ErrorKind::Busy && error.cause.contains("left alone"), "{error}");
        standing.answered();
        assert!(standing.may_ask("ask", "it").is_ok());
    }

    #[test]
    fn a_store_cannot_silence_a_node_for_ever() {
        let standing = Standing::default();
        assert_eq!(standing.wait_for(Some(Duration::MAX)), None);
        let until = standing.found().leave_alone_until.unwrap();
        assert!(until.millis_since(MachineClock.now()) <= millis(LONGEST_ASKED * 5 / 4));
        // What a clock that was set left behind.
        let far = Timestamp(MachineClock.now().0 + 1_000 * 60 * 60 * 24);
        assert!(Standing::of_one_to_be_left_alone(Some(far)).may_ask("ask", "it").is_ok());
    }
}
