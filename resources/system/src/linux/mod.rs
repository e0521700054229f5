//! The real machine.

pub mod packages;
pub mod services;
