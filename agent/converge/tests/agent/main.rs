//! The agent as a process, in directories of its own: wrong input, damaged state, signals, and stores that misbehave.
//! Nothing here needs root.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at files and processes itself"
)]

mod acceptance;
mod attacks;
mod bad_input;
mod bad_state;
mod bad_stores;
mod changed_facts;
mod command_line;
mod copies;
mod daemon;
mod desk;
mod interrupted;
mod listener;
mod machines;
mod nodes;
mod revisions;
mod secret_attacks;
mod secret_rules;
mod secrets;
mod signing;
mod status;
mod store_log;
mod trust;
mod undo;
mod why;
mod wrong_clock;
