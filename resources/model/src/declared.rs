//! What a catalog declares below a directory: what a directory that purges keeps.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::kind::Kinds;
use crate::path::AbsPath;

/// What else is declared, as far as a kind may ask.
pub trait Declared: fmt::Debug + Sync {
    /// Whether something is declared at `path` itself.
    fn is_declared(&self, path: &AbsPath) -> bool;

    /// The names declared directly in `directory`: of what is declared there, and of the directories on the way to what
    /// is declared further below.
    fn children(&self, directory: &AbsPath) -> BTreeSet<OsString>;

    /// Every declared path, to be kept: one of them may lead elsewhere once it is there.
    fn all(&self) -> Arc<DeclaredPaths>;
}

/// Nothing else is declared.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingDeclared;

impl Declared for NothingDeclared {
    fn is_declared(&self, _path: &AbsPath) -> bool {
        false
    }

    fn children(&self, _directory: &AbsPath) -> BTreeSet<OsString> {
        BTreeSet::new()
    }

    fn all(&self) -> Arc<DeclaredPaths> {
        Arc::default()
    }
}

/// A set of declared paths.
#[derive(Clone, Debug, Default)]
pub struct DeclaredPaths(BTreeSet<AbsPath>);

impl DeclaredPaths {
    /// The paths that `catalog` declares. What `when` ruled out is not declared on this node; what a guard may yet skip is.
    pub fn of(catalog: &Catalog, kinds: &dyn Kinds) -> Self {
        let path_kinds: BTreeSet<&str> = kinds
            .all()
            .iter()
            .map(|kind| (kind.schema)())
            .filter(|kind| kind.names.is_path)
            .map(|kind| kind.name)
            .collect();
        catalog
            .resources
            .iter()
            .filter(|resource| resource.skipped.is_none() && path_kinds.contains(resource.id.kind()))
            .filter_map(|resource| resource.id.name().parse().ok())
            .collect()
    }
}

impl DeclaredPaths {
    /// The paths in order, component by component.
    pub fn iter(&self) -> impl Iterator<Item = &AbsPath> {
        self.0.iter()
    }
}

impl FromIterator<AbsPath> for DeclaredPaths {
    fn from_iter<I: IntoIterator<Item = AbsPath>>(paths: I) -> Self {
        Self(paths.into_iter().collect())
    }
}

impl Declared for DeclaredPaths {
    fn is_declared(&self, path: &AbsPath) -> bool {
        self.0.contains(path)
    }

    fn all(&self) -> Arc<DeclaredPaths> {
        Arc::new(self.clone())
    }

    /// Paths are ordered component by component, so that all below a directory follow it without a gap.
    fn children(&self, directory: &AbsPath) -> BTreeSet<OsString> {
        self.0
            .range(directory..)
            .take_while(|path| path.is_within(directory))
            .filter_map(|path| path.as_path().strip_prefix(directory).ok()?.components().next())
            .map(|component| component.as_os_str().to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_what_is_declared_below_and_nothing_beside() {
        let path = |text: &str| text.parse::<AbsPath>().unwrap();
        let declared: DeclaredPaths =
            ["/a", "/a/x", "/a/d/e/f", "/a-b/y", "/a.b", "/ab/z"].into_iter().map(path).collect();
        let names = |directory: &str| declared.children(&path(directory)).into_iter().collect::<Vec<_>>();
        assert_eq!(names("/a"), ["d", "x"]);
        assert_eq!(names("/a/d"), ["e"]);
        assert_eq!(names("/"), ["a", "a-b", "a.b", "ab"]);
        assert!(names("/a/x").is_empty() && names("/b").is_empty());
        assert!(declared.is_declared(&path("/a/x")) && !declared.is_declared(&path("/a/d")));
    }
}
