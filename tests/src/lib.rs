//! What system tests, scenarios and fault tests share.
//!
//! # Current limitations
//!
//! - A [`site::Site`] has one machine; networks of machines are in `converge-testbed`.

pub mod scenario;
pub mod site;
