//! The real machine, on a real machine. What needs root says loudly that it did not run without.
#![allow(clippy::disallowed_methods, reason = "the machine is prepared behind the system's back")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod accounts;
mod commands;
mod facts;
mod files;
mod hostile;
mod machine;
mod removal;
