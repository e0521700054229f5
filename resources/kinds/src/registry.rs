//! The table of kinds. Adding one is a file of its own, and a line here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use converge_model::{Kind, Kinds};

const KINDS: &[Kind] = &[
    crate::file::KIND,
    crate::directory::KIND,
    crate::link::KIND,
    crate::package::KIND,
    crate::service::KIND,
    crate::user::KIND,
    crate::group::KIND,
    crate::execute::KIND,
];

/// The kinds that ship.
pub struct Registry {
    by_name: BTreeMap<&'static str, &'static Kind>,
}

/// The kinds that ship. The same table at every call.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> =
        LazyLock::new(|| Registry { by_name: KINDS.iter().map(|kind| ((kind.schema)().name, kind)).collect() });
    &REGISTRY
}

impl Kinds for Registry {
    fn kind(&self, name: &str) -> Option<&Kind> {
        self.by_name.get(name).copied()
    }

    fn all(&self) -> &[Kind] {
        KINDS
    }
}
