//! SIGINT and SIGTERM: the first ends a run after the current resource, the second kills what is running.
//!
//! Signals are caught, not blocked: a blocked signal would stay blocked in every command that a run starts.
#![expect(unsafe_code, reason = "a handler of signals; what it may do is said where it is registered")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use converge_model::{Cancel, Error, ErrorKind, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::register;

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
        let cancel = cancel.clone();
        let ask = move || match cancel.is_asked() {
            true => cancel.now(),
            false => cancel.after_current(),
        };
        // SAFETY: the handler loads and stores one atomic number, and nothing else.
        unsafe { register(signal, ask) }.map_err(trouble)?;
    }
    Ok(())
}
