//! Numbered operations, and the plan of which of them fail.

use std::fmt::Display;

use converge_model::error::{Error, ErrorKind, Result};

/// One call of a port, or one step inside a call that is not atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number, counted from 1 since the fault plan was set.
    pub number: u64,
    /// What it does: `write`, `start`, `unpack`.
    pub name: String,
    /// On what.
    pub subject: String,
}

impl Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.number, self.name, self.subject)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Once { at: u64, kind: ErrorKind },
    From { at: u64, kind: ErrorKind },
    Crash { at: u64 },
}

/// Which operations fail, and how. Operations are counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Nothing fails.
    pub fn none() -> Self {
        Self::default()
    }

    /// The operation numbered `at` fails; those after it work.
    pub fn once(at: u64, kind: ErrorKind) -> Self {
        Self(vec![Fault::Once { at, kind }])
    }

    /// The operation numbered `at` fails, and all after it.
    pub fn lasting(at: u64, kind: ErrorKind) -> Self {
        Self(vec![Fault::From { at, kind }])
    }

    /// The process is gone at the operation numbered `at`, before that one had any effect: it and all after it fail with
    /// an error that [`is_crash`] knows, until the machine is revived.
    pub fn crash(at: u64) -> Self {
        Self(vec![Fault::Crash { at }])
    }

    /// Both plans; of two faults at one operation the first counts.
    #[must_use]
    pub fn and(mut self, other: Faults) -> Self {
        self.0.extend(other.0);
        self
    }
}

const CRASH: &str = "the run was killed here";

/// Whether `error` is that of a crash which a fault plan asked for.
pub fn is_crash(error: &Error) -> bool {
    error.cause == CRASH
}

/// The operations since the fault plan was set.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) operations: Vec<Operation>,
    faults: Faults,
    fired: bool,
    crashed: bool,
}

impl Log {
    pub(super) fn new(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    pub(super) fn fired(&self) -> bool {
        self.fired
    }

    pub(super) fn revive(&mut self) {
        self.crashed = false;
        self.faults.0.retain(|fault| !matches!(fault, Fault::Crash { .. }));
    }

    pub(super) fn begin(&mut self, name: &str, subject: &dyn Display) -> Result<()> {
        let number = self.operations.len() as u64 + 1;
        let subject = subject.to_string();
        self.operations.push(Operation { number, name: name.to_owned(), subject: subject.clone() });
        let fault = self.faults.0.iter().find(|fault| match fault {
            Fault::Once { at, .. } => *at == number,
            Fault::From { at, .. } | Fault::Crash { at } => *at <= number,
        });
        self.fired |= fault.is_some();
        self.crashed |= matches!(fault, Some(Fault::Crash { .. }));
        if self.crashed {
            return Err(Error::new(ErrorKind::Unavailable, name, subject, CRASH));
        }
        match fault {
            Some(Fault::Once { kind, .. } | Fault::From { kind, .. }) => {
                Err(Error::new(*kind, name, subject, format!("the fault plan lets operation {number} fail")))
            }
            Some(Fault::Crash { .. }) | None => Ok(()),
        }
    }
}
