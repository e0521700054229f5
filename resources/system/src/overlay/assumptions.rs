//! What a plan takes for granted, in words.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many causes a doubt names.
const NAMED: usize = 3;

/// What was assumed, and what makes the machine differ in ways that nobody can know.
#[derive(Debug, Default)]
pub(super) struct Assumptions {
    /// Whether there is any cause: looked at by every read.
    opaque: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since they were last taken, in the order they were made.
    pending: Vec<String>,
    /// What was not done for real, and may have changed anything: `package nginx`.
    causes: Vec<String>,
    /// Whether something was looked at that a cause may have changed, since the last time.
    doubted: bool,
}

impl Assumptions {
    /// Something is taken for granted.
    pub(super) fn assume(&self, text: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.pending.contains(&text) {
            state.pending.push(text);
        }
    }

    /// From now on `cause` may have changed anything.
    pub(super) fn obscure(&self, cause: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.causes.contains(&cause) {
            state.causes.push(cause);
        }
        self.opaque.store(true, Ordering::Release);
    }

    /// Whether something may have changed anything.
    pub(super) fn is_opaque(&self) -> bool {
        self.opaque.load(Ordering::Acquire)
    }

    /// What may have changed anything, in a few words; nothing where nothing did.
    pub(super) fn causes(&self) -> Option<String> {
        if !self.is_opaque() {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let more = state.causes.len().saturating_sub(NAMED);
        let named = state.causes.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        Some(if more > 0 { format!("{named} and {more} more") } else { named })
    }

    /// Something was looked at as it is now, although a cause may have changed it.
    pub(super) fn doubt(&self) {
        if self.is_opaque() {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).doubted = true;
        }
    }

    /// What was assumed since the last time.
    pub(super) fn take(&self) -> Vec<String> {
        let causes = self.causes();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut state.pending);
        if std::mem::take(&mut state.doubted)
            && let Some(causes) = causes
        {
            taken.push(format!("looked at as it is now, before what may come of {causes}"));
        }
        taken
    }
}
