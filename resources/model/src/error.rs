//! Errors that a tired operator can mend: what was attempted, on what, why it failed, what to do next.

use std::fmt;
use std::io;

/// What sort of failure it is, for the code that decides what happens next. People read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is wrong: a property, a name, a document.
    Invalid,
    /// The thing to work on is not there.
    NotFound,
    /// The system refused: permissions, an immutable or read-only place.
    Denied,
    /// No space, no inodes, over a quota.
    NoSpace,
    /// Something else holds it: a lock, a running transaction.
    Busy,
    /// A deadline passed.
    TimedOut,
    /// The run was asked to stop.
    Cancelled,
    /// What it needs is not on this machine: no systemd, no package manager, no network.
    Unavailable,
    /// It was tried and failed: a command's exit code, a package's script.
    Failed,
}

/// One failure. Cheap to clone, so that one failed transaction can be the failure of each of its resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What sort of failure it is.
    pub kind: ErrorKind,
    /// What was attempted: an infinitive, such as `write`.
    pub operation: String,
    /// On what: `/etc/motd`, `package nginx`.
    pub subject: String,
    /// Why it failed.
    pub cause: String,
    /// What to do next, where it is known.
    pub hint: Option<String>,
}

/// The result of anything that can fail on a machine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure to `operation` the `subject` because of `cause`.
    pub fn new(
        kind: ErrorKind,
        operation: impl Into<String>,
        subject: impl fmt::Display,
        cause: impl fmt::Display,
    ) -> Self {
        Self { kind, operation: operation.into(), subject: subject.to_string(), cause: cause.to_string(), hint: None }
    }

    /// A failure that the operating system reported; its kind and a first hint follow from the code.
    pub fn io(operation: impl Into<String>, subject: impl fmt::Display, error: &io::Error) -> Self {
        let (kind, hint) = match error.kind() {
            io::ErrorKind::NotFound => (ErrorKind::NotFound, None),
            io::ErrorKind::PermissionDenied => (
                ErrorKind::Denied,
                Some("run as root, and look for an immutable flag (lsattr) or a security module's denial"),
            ),
            io::ErrorKind::ReadOnlyFilesystem => {
                (ErrorKind::Denied, Some("the file system is mounted read-only; remount it or manage another place"))
            }
            io::ErrorKind::StorageFull => (ErrorKind::NoSpace, Some("free space or inodes there (df, df -i)")),
            io::ErrorKind::QuotaExceeded => (ErrorKind::NoSpace, Some("raise the quota or free space there")),
            io::ErrorKind::TimedOut => (ErrorKind::TimedOut, None),
            io::ErrorKind::ResourceBusy | io::ErrorKind::ExecutableFileBusy => (ErrorKind::Busy, None),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => (ErrorKind::Invalid, None),
            _ => (ErrorKind::Failed, None),
        };
        Self { hint: hint.map(str::to_owned), ..Self::new(kind, operation, subject, error) }
    }

    /// The same error, saying what to do next.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.subject, self.cause)
    }
}

impl std::error::Error for Error {}
