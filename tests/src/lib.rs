//! What system tests, scenarios and fault tests share.
//!
//! # Current limitations
//!
//! - A [`scenario`] has one node, one pass a run, and a machine that is put together as `scenario/machine.rs` reads it.
//! - A [`site::Site`] has one machine; networks of machines are in `converge-testbed`.

pub mod scenario;
pub mod site;
