//! What went wrong in the testbed, with what it was trying to do.

use std::error::Error;
use std::fmt;

/// A failure of the testbed itself, never of what a test looks at.
///
/// `Display` gives what was attempted on what; the cause is in [`Error::source`]. `Debug` gives the whole chain, because
/// that is what a test returning `Result` prints.
pub struct TestbedError {
    attempt: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What every fallible call of the testbed returns.
pub type Result<T> = std::result::Result<T, TestbedError>;

impl TestbedError {
    /// An error that has no cause below it: the text says operation, subject, cause and next step.
    pub fn new(text: impl Into<String>) -> Self {
        Self { attempt: text.into(), cause: None }
    }
}

impl fmt::Display for TestbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attempt)
    }
}

impl fmt::Debug for TestbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attempt)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for TestbedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// Says what was attempted when a call fails.
pub(crate) trait Attempt<T> {
    /// Wraps the error into one whose text is `text()`, keeping the error as its cause.
    fn attempt(self, text: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Attempt<T> for std::result::Result<T, E> {
    fn attempt(self, text: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| TestbedError { attempt: text(), cause: Some(error.into()) })
    }
}
