//! Why a bench gave no figures.

use std::fmt;

/// Why there are no figures.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This machine cannot run the bench: what is missing.
    Unable(String),
    /// Something that must work did not: what was attempted, on what, and why it failed.
    Broken(String),
}

/// What every step of a bench returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// An operation on a subject that failed.
    pub(crate) fn of(operation: &str, subject: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::Broken(format!("cannot {operation} {subject}: {cause}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unable(text) | Self::Broken(text)) = self;
        f.write_str(text)
    }
}

impl From<converge_testbed::TestbedError> for Failure {
    fn from(error: converge_testbed::TestbedError) -> Self {
        // Its `Debug` gives the whole chain of causes.
        Self::Broken(format!("{error:?}"))
    }
}
