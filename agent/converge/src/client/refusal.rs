//! What a store's answer that is not the one that was asked for means.

use converge_model::ErrorKind;

/// The kind of error that an answer with this status is.
pub(super) fn kind_of(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        400 | 409 | 413 | 422 => ErrorKind::Invalid,
        429 | 503 => ErrorKind::Busy,
        _ => ErrorKind::Failed,
    }
}
