//! The providers of packages and services, on booted machines: apt against a local repository, systemd as it is.
//!
//! The provider runs inside the machine: this test's own program is copied there and executes itself ([`inside`]). What it
//! did is checked with the machine's own tools.

mod inside;
mod packages;
mod services;
