//! An overlay must answer as the machine would, had everything been done for real.

pub(crate) mod answers;
mod assumed;
pub(crate) mod operations;
mod same;
