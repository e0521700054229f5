//! Cookbooks to graph, graph to catalog. Pure: takes bytes, gives values.
//!
//! - [`Repository`]: the files of a policy repository, in memory.
//! - [`mod@compile`]: a repository becomes a graph, or everything that is wrong with it; [`render`]: what that looks like.
//! - [`common`]: the properties that every kind has.
//! - [`expression`]: expressions and templates, checked, evaluated and bounded.
//! - [`bind`]: a graph and what is known of a node make a catalog; [`attribute`]: what its attributes are.
//! - [`filter`]: which nodes an expression over facts means.
//! - [`why`]: where a resource and its properties come from.
//! - [`mod@compare`]: what differs between two graphs.
//! - [`json_schema`]: schemas for editors.
//!
//! # Current limitations
//!
//! - No lock files and no foreign cookbook sources: every cookbook is in the repository, in one version.
//! - No queries, exports or signatures.
//! - What can be known only on a node is found there: facts that do not exist, names that collide once they are evaluated, and
//!   the order that resources get from what they give and need.
//! - Of circles between cookbooks, recipes, custom kinds or attributes, one is shown at a time.
//! - Templates cannot include each other. `~` writes booleans as `True` and `False`; `| string` and `{{ }}` do not.
//! - A resource of a custom kind that `when` skips is in no catalog, nor is what it consists of.
//! - A recipe that is not ordered waits for another such with an edge for each pair of their resources.

pub mod attribute;
pub mod bind;
pub mod common;
pub mod compare;
pub mod compile;
pub mod expression;
pub mod filter;
pub mod json_schema;
pub mod render;
pub mod repository;
mod supports;
pub mod why;

pub use compile::{BlobPlace, Compiled, check, compile};
pub use repository::{FileData, Repository};
