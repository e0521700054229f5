//! A machine whose changes are kept in memory, on top of another: where a plan runs.

pub(crate) mod roster;
pub(crate) mod tree;
pub(crate) mod unit_file;
