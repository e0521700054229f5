//! What the store answers when it does not do what was asked.

use converge_model::{Error, ErrorKind};
use converge_protocol::Problem;

/// Why a request was not done.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The asker's fault, and what to tell him.
    Refused(Box<Problem>),
    /// The store's own trouble: told to the log in full, to the asker only that there is some.
    Trouble(Error),
}

/// The result of anything the store does.
pub(crate) type StoreResult<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// Who asks is not known.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::refused(401, "unauthorized", "Not authorized", detail)
    }

    /// Who asks is known, and may not.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::refused(403, "forbidden", "Not allowed", detail)
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

    /// What was sent is of a kind that is not taken.
    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::refused(415, "unsupported-media-type", "Unsupported media type", detail)
    }

    /// What was sent came too slowly.
    pub(crate) fn too_slow(detail: impl Into<String>) -> Self {
        Self::refused(408, "too-slow", "Too slow", detail)
    }

    /// The route is there, but not for this method.
    pub(crate) fn wrong_method(detail: impl Into<String>) -> Self {
        Self::refused(405, "wrong-method", "Wrong method", detail)
    }

    /// More is asked for than can be done now. Whoever is told so comes back later, and not all at the same moment.
    pub(crate) fn busy() -> Self {
        Self::later(2, 28, "more is asked of the store than it can do at once; try again later")
    }

    /// More requests are held than the store holds. Whoever is told so learns of changes when it asks the next time.
    pub(crate) fn holds_too_many() -> Self {
        Self::later(30, 90, "the store holds as many requests as it can; ask without `wait`, or later")
    }

    /// Whoever is told so comes back after `soonest` seconds, or up to `spread` seconds later.
    fn later(soonest: u64, spread: u64, detail: &str) -> Self {
        let mut random = [0; 1];
        // Without random bytes all come back at the same moment, and are told so again.
        let _ = getrandom::fill(&mut random);
        let seconds = soonest + u64::from(random[0]) % spread;
        let problem = Problem::new(503, "busy", "The store is busy").with_detail(detail);
        StoreError::Refused(Box::new(Problem { retry_after: Some(seconds), ..problem }))
    }

    /// The store cannot do its work, for now.
    pub(crate) fn not_ready(detail: impl Into<String>) -> Self {
        Self::refused(503, "not-ready", "The store is not ready", detail)
    }

    fn refused(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        StoreError::Refused(Box::new(Problem::new(status, kind, title).with_detail(detail)))
    }

    /// What is to be told where nobody asked over the network.
    pub(crate) fn into_trouble(self) -> Error {
        match self {
            StoreError::Trouble(error) => error,
            StoreError::Refused(problem) => {
                Error::new(ErrorKind::Failed, "open", "the store", problem.detail.unwrap_or(problem.title))
            }
        }
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
