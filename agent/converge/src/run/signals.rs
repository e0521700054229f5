//! SIGINT and SIGTERM: the first ends a run after the current resource, the second kills what is running.
//!
//! Signals are caught, not blocked: a blocked signal would stay blocked in every command that a run starts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use converge_model::{Cancel, Error, ErrorKind, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Whether a person is being asked something: then the first signal ends the process, as it would any other.
static ASKING: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Does `ask` with signals that end the process.
pub(crate) fn while_asking<T>(ask: impl FnOnce() -> T) -> T {
    ASKING.store(true, Ordering::SeqCst);
    let answer = ask();
    ASKING.store(false, Ordering::SeqCst);
    answer
}

/// Lets SIGINT and SIGTERM ask `cancel`, for the life of the process.
///
/// # Errors
/// Where signals cannot be caught.
pub(crate) fn end_runs(cancel: &Cancel) -> Result<()> {
    let trouble = |error: std::io::Error| Error::new(ErrorKind::Unavailable, "listen for", "signals", error);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&ASKING)).map_err(trouble)?;
    }
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
