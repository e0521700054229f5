//! SIGINT and SIGTERM: the first ends a run after the current resource, the second kills what is running.
//!
//! Signals are caught, not blocked: a blocked signal would stay blocked in every command that a run starts.

use converge_model::{Cancel, Error, ErrorKind, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Lets SIGINT and SIGTERM ask `cancel`, for the life of the process.
///
/// # Errors
/// Where signals cannot be caught.
pub(crate) fn end_runs(cancel: &Cancel) -> Result<()> {
    let trouble = |error: std::io::Error| Error::new(ErrorKind::Unavailable, "listen for", "signals", error);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(trouble)?;
    let cancel = cancel.clone();
    let taken = std::thread::Builder::new().name("signals".to_owned()).stack_size(64 << 10).spawn(move || {
        for _ in signals.forever() {
            if cancel.is_asked() {
                cancel.now();
            } else {
                cancel.after_current();
            }
        }
    });
    taken.map(drop).map_err(trouble)
}
