//! Why a run may end early: it was asked to, or its time is up.

use std::time::Duration;

use converge_model::{Cancel, Clock};

/// How long a wait goes on before it looks whether the run should stop.
const SLICE: Duration = Duration::from_millis(50);

/// Why a run ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody asked.
    Cancelled,
    /// The run's own deadline passed.
    TimedOut,
}

impl Reason {
    /// Why a resource had no turn.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Reason::Cancelled => "the run was stopped",
            Reason::TimedOut => "the time of the run was up",
        }
    }
}

/// What a run asks before it begins anything.
pub(crate) struct Stop<'a> {
    cancel: &'a Cancel,
    clock: &'a dyn Clock,
    until: Option<u64>,
}

impl<'a> Stop<'a> {
    pub(crate) fn new(cancel: &'a Cancel, clock: &'a dyn Clock, deadline: Option<Duration>) -> Self {
        let until = deadline.map(|deadline| clock.monotonic_micros().saturating_add(micros(deadline)));
        Self { cancel, clock, until }
    }

    /// Whether the run should begin nothing more. Looks at the clock only where the run has a deadline.
    pub(crate) fn asked(&self) -> Option<Reason> {
        if self.cancel.is_asked() {
            return Some(Reason::Cancelled);
        }
        self.until.filter(|until| self.clock.monotonic_micros() >= *until).map(|_| Reason::TimedOut)
    }

    /// `wanted`, or what is left of the run's time where that is less.
    pub(crate) fn at_most(&self, wanted: Duration) -> Duration {
        self.until.map_or(wanted, |until| {
            wanted.min(Duration::from_micros(until.saturating_sub(self.clock.monotonic_micros())))
        })
    }

    /// Waits for `delay`, and says why where it was cut short.
    pub(crate) fn wait(&self, delay: Duration) -> Option<Reason> {
        let mut left = delay;
        loop {
            if let Some(reason) = self.asked() {
                return Some(reason);
            }
            if left.is_zero() {
                return None;
            }
            let slice = left.min(SLICE);
            self.clock.sleep(slice);
            left -= slice;
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
