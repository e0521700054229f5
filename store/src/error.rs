//! What the store answers when it does not do what was asked.

use converge_model::{Error, ErrorKind};
use converge_protocol::Problem;

/// Why a request was not done.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The asker's fault, and what to tell him.
    Refused(Problem),
    /// The store's own trouble: told to the log in full, to the asker only that there is some.
    Trouble(Error),
}

/// The result of anything the store does.
pub(crate) type StoreResult<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// Who asks is not known.
    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::refused(401, "unauthorized", "Not authorized", detail)
    }

    /// What was asked about is not there.
    pub(crate) fn unknown(what: &str, name: impl std::fmt::Display) -> Self {
        Self::refused(404, &format!("unknown-{what}"), &format!("Unknown {what}"), format!("there is no {what} {name}"))
    }

    /// What was sent is wrong.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::refused(422, "invalid", "The request is not valid", detail)
    }

    /// What was asked for contradicts what is there.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::refused(409, "conflict", "It contradicts what is there", detail)
    }

    /// What was sent is too large.
    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::refused(413, "too-large", "Too large", detail)
    }

    fn refused(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        StoreError::Refused(Problem::new(status, kind, title).with_detail(detail))
    }

    /// The store itself could not `operation` the `subject`.
    pub(crate) fn trouble(operation: &str, subject: &str, cause: impl std::fmt::Display) -> Self {
        StoreError::Trouble(Error::new(ErrorKind::Failed, operation, subject, cause))
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        StoreError::Trouble(error)
    }
}
