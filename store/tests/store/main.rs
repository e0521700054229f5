//! A real store on loopback: its API, who may use it, and what it shows of itself.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machine itself"
)]

mod api;
mod attacks;
mod copies;
mod document;
mod roles;
mod running;
mod slow;
mod tls;
mod upkeep;
