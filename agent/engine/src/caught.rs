//! The line at which a panic of a kind becomes the failure of one resource.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use converge_model::{Error, ErrorKind, ResourceId, Result};

/// Does `work` for the resource `id`; a panic within it is an error like any other.
///
/// What a kind leaves behind when it panics is the machine, which is observed again before anybody relies on it, so
/// nothing of the engine's can be seen half changed.
pub(crate) fn caught<T>(operation: &str, id: &ResourceId, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let cause = format!("the kind `{}` panicked: {}", id.kind(), words(payload.as_ref()));
        Err(Error::new(ErrorKind::Failed, operation, id, cause)
            .with_hint("this is a defect of the agent; report it together with the declaration of the resource"))
    })
}

fn words(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it left no message")
}
