//! The resources of a run as the engine holds them: declared, built, with what they give and need.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

use converge_model::{
    AbsPath, AnyResource, Catalog, CatalogResource, Declared, DeclaredPaths, Error, ErrorKind, Footprint, Kinds,
    ResourceSpec, Result, parallel,
};

use crate::caught::caught;

/// One resource of a run.
pub(crate) struct Item<'a> {
    /// As it was declared; for an orphan, what takes it away.
    pub(crate) declared: &'a CatalogResource,
    /// What converges it; nothing where `when` said no.
    pub(crate) resource: Result<Option<Box<dyn AnyResource>>>,
    /// What it gives and needs; nothing where it could not be built, or `when` said no.
    pub(crate) footprint: Footprint,
    /// Whether it left the policy, and is here to be taken away.
    pub(crate) orphan: bool,
}

impl<'a> Item<'a> {
    fn new(declared: &'a CatalogResource, orphan: bool, kinds: &dyn Kinds, paths: &dyn Declared) -> Self {
        let mut footprint = Footprint::default();
        let resource = if declared.skipped.is_some() {
            Ok(None)
        } else {
            caught("use", &declared.id, || {
                let resource = build(declared, kinds, paths)?;
                footprint = resource.footprint();
                Ok(Some(resource))
            })
        };
        Self { declared, resource, footprint, orphan }
    }

    /// What converges it, if there is something that does.
    pub(crate) fn converger(&self) -> Option<&dyn AnyResource> {
        self.resource.as_ref().ok().and_then(|resource| resource.as_deref())
    }
}

/// Builds all of them; those of a large catalog in parallel.
pub(crate) fn build_all<'a>(catalog: &'a Catalog, kinds: &dyn Kinds) -> Vec<Item<'a>> {
    let paths = PathsWhenAsked::new(catalog, kinds);
    parallel::map(catalog.resources.len(), |position| Item::new(&catalog.resources[position], false, kinds, &paths))
}

/// Builds what takes orphans away.
pub(crate) fn build_orphans<'a>(
    removals: &'a [CatalogResource],
    catalog: &Catalog,
    kinds: &dyn Kinds,
) -> Vec<Item<'a>> {
    let paths = PathsWhenAsked::new(catalog, kinds);
    removals.iter().map(|removal| Item::new(removal, true, kinds, &paths)).collect()
}

/// What a kind builds a resource from.
pub(crate) fn build(
    declared: &CatalogResource,
    kinds: &dyn Kinds,
    paths: &dyn Declared,
) -> Result<Box<dyn AnyResource>> {
    let id = &declared.id;
    let Some(kind) = kinds.kind(id.kind()) else {
        return Err(Error::new(ErrorKind::Invalid, "use", id, format!("this agent knows no kind `{}`", id.kind()))
            .with_hint("the policy was published for a later agent; update the agent on this node"));
    };
    (kind.build)(&ResourceSpec { timeout: declared.timeout, declared: paths, ..spec(declared) })
}

/// The declaration as its kind reads it.
pub(crate) fn spec(declared: &CatalogResource) -> ResourceSpec<'_> {
    ResourceSpec { timeout: declared.timeout, ..ResourceSpec::new(&declared.id, &declared.properties) }
}

/// The declared paths, collected when the first kind asks: hardly any catalog has a directory that purges.
struct PathsWhenAsked<'a> {
    catalog: &'a Catalog,
    kinds: &'a dyn Kinds,
    paths: OnceLock<Arc<DeclaredPaths>>,
}

impl<'a> PathsWhenAsked<'a> {
    fn new(catalog: &'a Catalog, kinds: &'a dyn Kinds) -> Self {
        Self { catalog, kinds, paths: OnceLock::new() }
    }

    fn paths(&self) -> &Arc<DeclaredPaths> {
        self.paths.get_or_init(|| Arc::new(DeclaredPaths::of(self.catalog, self.kinds)))
    }
}

impl std::fmt::Debug for PathsWhenAsked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PathsWhenAsked").field(&self.paths.get()).finish()
    }
}

impl Declared for PathsWhenAsked<'_> {
    fn is_declared(&self, path: &AbsPath) -> bool {
        self.paths().is_declared(path)
    }

    fn children(&self, directory: &AbsPath) -> BTreeSet<OsString> {
        self.paths().children(directory)
    }

    fn all(&self) -> Arc<DeclaredPaths> {
        Arc::clone(self.paths())
    }
}
