//! Each change that the agent makes to its own files, for a simulation: it may end the process before one, and knows what a
//! power cut would take back.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

/// Who looks on.
pub trait Watch {
    /// What is at `path` is about to be replaced, added to or removed.
    fn changing(&self, path: &Path);

    /// What is at `path` survives a power cut from here on.
    fn durable(&self, path: &Path);
}

thread_local! {
    static WATCH: RefCell<Option<Rc<dyn Watch>>> = const { RefCell::new(None) };
}

/// Has `watch` look on at what this thread does; nobody, where there is none.
pub fn watch(watch: Option<Rc<dyn Watch>>) {
    WATCH.set(watch);
}

pub(super) fn changing(path: &Path) {
    if let Some(watch) = WATCH.with_borrow(Clone::clone) {
        watch.changing(path);
    }
}

pub(super) fn durable(path: &Path) {
    if let Some(watch) = WATCH.with_borrow(Clone::clone) {
        watch.durable(path);
    }
}
