//! What a file tree refuses, in the words of the real machine.

use std::fmt::Display;

use converge_model::AbsPath;
use converge_model::error::{Error, ErrorKind};
use converge_model::system::files::FileType;

/// Nothing is at the path.
pub(crate) fn refuse_missing(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::NotFound, operation, path, "nothing is there")
}

/// A directory is in the way.
pub(crate) fn refuse_directory(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::Failed, operation, path, "a directory is there")
}

/// It is something else than it must be.
pub(crate) fn refuse_type(operation: &str, path: &AbsPath, is: FileType, must: &str) -> Error {
    Error::new(ErrorKind::Failed, operation, path, format!("it is a {}, not a {must}", is.words()))
}

pub(super) fn refuse_existing(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::Failed, operation, path, "something is there already")
}

pub(super) fn refuse_full(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::Failed, operation, path, "the directory is not empty")
}

pub(super) fn refuse_root(operation: &str) -> Error {
    Error::new(ErrorKind::Invalid, operation, "/", "it is the root directory")
}

pub(super) fn refuse_parent(operation: &str, path: &AbsPath, directory: impl Display) -> Error {
    Error::new(ErrorKind::NotFound, operation, path, format!("the directory {directory} is not there"))
}

pub(super) fn refuse_way(operation: &str, path: &AbsPath, ancestor: &AbsPath) -> Error {
    Error::new(ErrorKind::Failed, operation, path, format!("{ancestor} is not a directory"))
}

pub(super) fn refuse_planted(operation: &str, path: &AbsPath, link: &AbsPath) -> Error {
    Error::new(
        ErrorKind::Denied,
        operation,
        path,
        format!("{link} is a symbolic link that somebody other than root may have planted"),
    )
    .with_hint("manage the path it points to, or let only root write to the directory that holds the link")
}

pub(super) fn refuse_loop(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::Failed, operation, path, "it leads through more than 40 symbolic links")
}

pub(super) fn refuse_link_mode(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::Invalid, operation, path, "a symbolic link has no mode of its own")
}

pub(super) fn refuse_linked_directory(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::Invalid, operation, path, "only files have hard links, and it is a directory")
}

pub(super) fn refuse_target(operation: &str, path: &AbsPath) -> Error {
    Error::new(ErrorKind::Invalid, operation, path, "its target is empty or holds a NUL byte")
}
