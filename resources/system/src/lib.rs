//! The only door to Linux, the overlay that plans, and the in-memory machine that tests use.
//!
//! - [`linux::LinuxSystem`] is the real machine behind the ports of `converge_model::system`.
//! - [`overlay`] keeps the changes of a plan in memory, on top of any other machine.
//! - [`memory`] is a whole machine in memory, with faults on demand.
//! - [`BlobSource`] is where all three get the bytes that a catalog names only by their digest.
//!
//! # Current limitations
//!
//! - See [`linux`], [`overlay`] and [`memory`].

pub mod blobs;
pub mod linux;
pub mod memory;
pub mod overlay;

pub use blobs::{BlobSource, NoBlobs};
