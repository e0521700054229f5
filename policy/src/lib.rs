//! Cookbooks to graph, graph to catalog. Pure: takes bytes, gives values.
//!
//! - [`Repository`]: the files of a policy repository, in memory.
//! - [`common`]: the properties that every kind has.
//! - [`expression`]: expressions and templates, checked, evaluated and bounded.
//!
//! # Current limitations
//!
//! - No lock files and no foreign cookbook sources: every cookbook is in the repository, in one version.
//! - No queries, exports, secrets or signatures.

pub mod attribute;
pub mod bind;
pub mod common;
pub mod compile;
pub mod expression;
pub mod json_schema;
pub mod render;
pub mod repository;

pub use compile::{BlobPlace, Compiled, check, compile};
pub use repository::{FileData, Repository};
