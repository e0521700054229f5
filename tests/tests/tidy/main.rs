//! Rules of the house, each a test that fails on the line that breaks it.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machine itself"
)]

mod arrows;
mod dependencies;
mod documents;
mod licences;
mod sources;
mod tree;
