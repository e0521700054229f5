//! A kind, as a registry holds it.

use crate::by_name::ByName;
use crate::declared::{Declared, NothingDeclared};
use crate::duration::Span;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ResourceId;
use crate::resource::AnyResource;
use crate::schema::{KindSchema, Properties};
use crate::value::Value;

/// What a kind gets to build one resource from. Made with [`ResourceSpec::new`], so that what is added here later has a
/// default.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSpec<'a> {
    /// Its identity.
    pub id: &'a ResourceId,
    /// The values of the kind's own properties, all evaluated.
    pub properties: &'a ByName<Value>,
    /// How long one step of it may take, where the recipe says so.
    pub timeout: Option<Span>,
    /// What else the catalog declares: a directory that purges asks it what to keep.
    pub declared: &'a dyn Declared,
}

impl<'a> ResourceSpec<'a> {
    /// A resource with these properties, no timeout, and nothing else declared.
    pub fn new(id: &'a ResourceId, properties: &'a ByName<Value>) -> Self {
        Self { id, properties, timeout: None, declared: &NothingDeclared }
    }

    /// The properties, decoded.
    ///
    /// # Errors
    /// Names the resource, the property, and what is wrong with it.
    pub fn decode<P: Properties>(&self) -> Result<P> {
        P::decode(self.id.name(), self.properties).map_err(|cause| self.invalid(cause))
    }

    /// The error that the resource is declared wrongly because of `cause`.
    pub fn invalid(&self, cause: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Invalid, "use", self.id, cause)
    }
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
    pub removal: fn(&ResourceSpec<'_>) -> Option<ByName<Value>>,
}

/// All kinds that an agent has.
pub trait Kinds: Send + Sync {
    /// The kind called `name`.
    fn kind(&self, name: &str) -> Option<&Kind>;

    /// Every kind, in the order of the docs.
    fn all(&self) -> &[Kind];
}
