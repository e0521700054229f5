//! The engine on a machine in memory, with the kinds that ship and some that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, reason = "tests")]

mod faults;
mod guards;
mod kinds;
mod notifications;
mod order;
mod orphans;
mod plans;
mod redaction;
mod stops;
mod turns;
mod world;
