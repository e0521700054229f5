//! How a command ends badly: what to print, and with which code to exit.

use converge_model::{Diagnostic, Error, ErrorKind};

/// Nothing went wrong.
pub(crate) const SUCCESS: u8 = 0;
/// The input is wrong: a flag, a file, a policy.
pub(crate) const BAD_INPUT: u8 = 1;
/// A run ended, and not everything converged.
pub(crate) const RUN_FAILED: u8 = 2;
/// The machine or the store is in trouble.
pub(crate) const TROUBLE: u8 = 3;
/// `plan --detailed-exit-code`: the plan has changes.
pub(crate) const HAS_CHANGES: u8 = 4;

/// Why a command ended badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something that was given is wrong.
    Input(Error),
    /// The policy repository is wrong, here and here.
    Policy(Vec<Diagnostic>),
    /// The machine or the store is in trouble.
    Trouble(Error),
    /// All was said already; only the code is left.
    Said(u8),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Input(_) | Failure::Policy(_) => BAD_INPUT,
            Failure::Trouble(_) => TROUBLE,
            Failure::Said(code) => *code,
        }
    }

    /// Wrong input: what was attempted, on what, and why it cannot be.
    pub(crate) fn input(operation: &str, subject: impl std::fmt::Display, cause: impl std::fmt::Display) -> Self {
        Failure::Input(Error::new(ErrorKind::Invalid, operation, subject, cause))
    }

    /// The same, saying what to do next.
    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        match self {
            Failure::Input(error) => Failure::Input(error.with_hint(hint)),
            Failure::Trouble(error) => Failure::Trouble(error.with_hint(hint)),
            other => other,
        }
    }
}

impl From<Error> for Failure {
    /// What the input got wrong is the input's failure, everything else the machine's.
    fn from(error: Error) -> Self {
        if error.kind == ErrorKind::Invalid { Failure::Input(error) } else { Failure::Trouble(error) }
    }
}

/// The result of a command.
pub(crate) type Outcome<T = ()> = std::result::Result<T, Failure>;
