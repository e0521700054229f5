//! A kind, as a registry holds it.

use std::collections::BTreeMap;

use crate::duration::Span;
use crate::error::Result;
use crate::id::ResourceId;
use crate::resource::AnyResource;
use crate::schema::KindSchema;
use crate::value::Value;

/// What a kind gets to build one resource from.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceSpec<'a> {
    /// Its identity.
    pub id: &'a ResourceId,
    /// The values of the kind's own properties, all evaluated.
    pub properties: &'a BTreeMap<String, Value>,
    /// How long one step of it may take, where the recipe says so.
    pub timeout: Option<Span>,
}

/// One kind: a row of the registry.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What an author sees.
    pub schema: fn() -> KindSchema,
    /// Decodes a resource.
    pub build: fn(&ResourceSpec<'_>) -> Result<Box<dyn AnyResource>>,
    /// The properties that take such a resource away again when it left the policy; nothing where there is nothing to
    /// take away (a command that was run).
    pub removal: fn(&ResourceSpec<'_>) -> Option<BTreeMap<String, Value>>,
}

/// All kinds that an agent has.
pub trait Kinds: Send + Sync {
    /// The kind called `name`.
    fn kind(&self, name: &str) -> Option<&Kind>;

    /// Every kind, in the order of the docs.
    fn all(&self) -> &[Kind];
}
