//! The vocabulary of Converge: what every room knows, and nothing that does anything.
//!
//! - What a cookbook says: [`Value`], [`ResourceId`], [`Diagnostic`], the schema of a kind ([`KindSchema`], [`properties!`]).
//! - What a kind promises: [`Resource`] over a [`System`], [`Changes`], [`Footprint`].
//! - What travels: [`Graph`], [`Catalog`], [`Report`], [`Event`].
//!
//! # Current limitations
//!
//! - Paths in resource names are UTF-8, because TOML is; only entries found by listing a directory may be anything else.
//! - Times are whole milliseconds since the Unix epoch; leap seconds do not exist.

pub mod by_name;
pub mod cancel;
pub mod catalog;
pub mod change;
pub mod clock;
pub mod declared;
pub mod diagnostic;
pub mod digest;
pub mod duration;
pub mod dynamic;
pub mod error;
pub mod event;
pub mod facts;
pub mod graph;
pub mod id;
pub mod image;
pub mod kind;
pub mod order;
pub mod outcome;
pub mod parallel;
pub mod path;
pub mod property;
pub mod report;
pub mod resource;
pub mod schema;
pub mod suggest;
pub mod system;
mod text;
pub mod value;

pub use by_name::ByName;
pub use cancel::Cancel;
pub use catalog::{Catalog, CatalogResource, Condition, Guard, Notify, Origin, Timing};
pub use change::{Change, ChangeKind, Changes, Shown};
pub use clock::{Clock, Timestamp};
pub use declared::{Declared, DeclaredPaths, NothingDeclared};
pub use diagnostic::{Diagnostic, Severity, SourceSpan};
pub use digest::{BlobRef, Digest};
pub use duration::Span;
pub use dynamic::Dynamic;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventSink};
pub use facts::{FactSource, Facts};
pub use graph::Graph;
pub use id::{ResourceId, RunId};
pub use image::{Image, Images, Keeper, Kept, Overwritten};
pub use kind::{Kind, Kinds, ResourceSpec};
pub use outcome::Outcome;
pub use path::AbsPath;
pub use property::{AccountName, CommandLine, Content, Mode, OneOrMany, PropertyType};
pub use report::{Report, ResourceReport};
pub use resource::{AnyResource, Footprint, Key, Observed, Resource};
pub use schema::{KindSchema, Properties, PropertySchema, TypeSchema};
pub use system::System;
pub use value::Value;
