//! What stands in the way of a path, in words that say how to mend it.

use converge_model::system::files::FileType;
use converge_model::{AbsPath, Error, ErrorKind};

/// Something else is at `path`, and is not replaced: people decide whether it may go.
pub(crate) fn in_the_way(operation: &str, path: &AbsPath, found: FileType, hint: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, operation, path, format!("a {} is in the way", found.words())).with_hint(hint)
}

/// The same error; where something was not found, saying what to declare so that the directory of `path` is there.
pub(crate) fn with_parent_hint(error: Error, path: &AbsPath) -> Error {
    match path.parent() {
        Some(parent) if error.kind == ErrorKind::NotFound && error.hint.is_none() => {
            error.with_hint(format!("if {parent} is missing, declare `directory[{parent}]`"))
        }
        _ => error,
    }
}
