//! Whether a resource is there, and the properties that take it away.

use converge_model::{ByName, Change, ResourceSpec, Shown, Value};

converge_model::choice! {
    /// Whether a resource is there.
    pub(crate) enum Ensure {
        /// It is there.
        Present = "present",
        /// It is not.
        Absent = "absent",
    }
}

/// The properties that take the resource away: `ensure = "absent"`, and those of `keep` that are declared, because they say
/// what is to be taken away.
pub(crate) fn absent(spec: &ResourceSpec<'_>, keep: &[&str]) -> ByName<Value> {
    let kept = keep.iter().filter_map(|&name| Some((name.to_owned(), spec.properties.get(name)?.clone())));
    kept.chain([("ensure".to_owned(), Value::from(Ensure::Absent))]).collect()
}

/// The change that makes it.
pub(crate) fn created() -> Change {
    Change::new("ensure", Shown::Absent, Shown::text(Ensure::Present.word()))
}

/// The change that takes it away.
pub(crate) fn removed(found: &str) -> Change {
    Change::new("ensure", Shown::text(found), Shown::Absent)
}
