//! Finds what a value is made from: attributes, facts, parameters, loops and templates.

use std::collections::BTreeSet;

use converge_model::graph::{ContentSource, Declaration, Position, Property, template_key};
use converge_model::{Dynamic, Graph, ResourceId};

use super::{Place, SetBy, Use, place};
use crate::bind::{BlobReader, Bound};
use crate::expression::{Expressions, NameUse, check_template};

/// Follows names to what they stand for.
pub(super) struct Tracer<'a> {
    pub(super) graph: &'a Graph,
    pub(super) bound: &'a Bound,
    pub(super) blobs: &'a dyn BlobReader,
    /// The resources of custom kinds around what is traced, outermost first.
    pub(super) around: &'a [ResourceId],
}

impl Tracer<'_> {
    /// What a value in `declaration` is made from, each thing once, in the order of the source.
    pub(super) fn uses(&self, dynamic: &Dynamic, declaration: &Declaration) -> Vec<Use> {
        let mut found: Vec<NameUse> = Vec::new();
        let expressions = Expressions::new();
        expressions.any_names(dynamic, &mut |names| {
            found.extend(names.uses.iter().cloned());
            false
        });
        self.follow(&found, declaration)
    }

    pub(super) fn follow(&self, names: &[NameUse], declaration: &Declaration) -> Vec<Use> {
        let mut seen = BTreeSet::new();
        let mut uses = Vec::new();
        for name in names {
            let path: Vec<&str> = name.path.iter().map(String::as_str).collect();
            let (key, found) = match path[..] {
                ["attr", cookbook, attribute, ..] => (path[..3].join("."), self.attribute(cookbook, attribute)),
                ["param", parameter, ..] => (path[..2].join("."), self.parameter(parameter)),
                ["each", ..] => ("each".to_owned(), self.each(declaration)),
                ["facts" | "node", ..] => (path.join("."), Some(Use::Given { path: path.join(".") })),
                _ => continue,
            };
            if seen.insert(key) {
                uses.extend(found);
            }
        }
        uses
    }

    fn attribute(&self, cookbook: &str, name: &str) -> Option<Use> {
        let attribute = self.bound.attributes.get(cookbook, name)?;
        let set_by = attribute.setters.iter().map(|setter| SetBy {
            level: setter.level.clone(),
            place: setter.at.map(|at| place(self.graph, at)),
            value: Some(setter.value.clone()).filter(|_| !attribute.secret),
        });
        Some(Use::Attribute {
            cookbook: cookbook.to_owned(),
            name: name.to_owned(),
            value: attribute.value.clone().filter(|_| !attribute.secret),
            secret: attribute.secret,
            set_by: set_by.collect(),
        })
    }

    fn parameter(&self, name: &str) -> Option<Use> {
        let (of, around) = self.around.split_last()?;
        let outer = Tracer { around, ..*self };
        let declaration = self.bound.custom.get(of)?.find(self.graph)?;
        let given = declaration.properties.get(name);
        let kind = self.graph.kinds.get(&declaration.kind)?.parameters.get(name)?;
        let (Property(dynamic, spot), at) = match given {
            Some(given) => (given, declaration.at),
            None => (kind.default.as_ref()?, kind.at),
        };
        Some(Use::Parameter {
            name: name.to_owned(),
            of: of.clone(),
            place: self.line(at, spot.line),
            default: given.is_none(),
            uses: outer.uses(dynamic, declaration),
        })
    }

    fn each(&self, declaration: &Declaration) -> Option<Use> {
        let Property(dynamic, spot) = declaration.for_each.as_deref()?;
        Some(Use::Each { place: self.line(declaration.at, spot.line), uses: self.uses(dynamic, declaration) })
    }

    fn line(&self, at: Position, line: u32) -> Place {
        place(self.graph, Position { line, ..at })
    }

    /// What the content of a resource is made from: its template or file, and the names that these use.
    pub(super) fn content(&self, declaration: &Declaration, cookbook: &str) -> Vec<Use> {
        match declaration.content.as_deref() {
            None => Vec::new(),
            Some(ContentSource::File { path, .. }) => {
                let mut uses = self.uses(path, declaration);
                if let Some(path) = path.as_str() {
                    uses.push(Use::Content { file: format!("cookbooks/{cookbook}/files/{path}"), uses: Vec::new() });
                }
                uses
            }
            Some(ContentSource::Template { path, vars, .. }) => {
                let mut uses = self.uses(path, declaration);
                for Property(value, _) in vars.values() {
                    let more = self.uses(value, declaration);
                    uses.extend(more.into_iter().filter(|found| !uses.contains(found)).collect::<Vec<_>>());
                }
                if let Some(path) = path.as_str() {
                    let file = format!("cookbooks/{cookbook}/templates/{path}");
                    uses.push(Use::Content { file, uses: self.template(declaration, cookbook, path) });
                }
                uses
            }
        }
    }

    fn template(&self, declaration: &Declaration, cookbook: &str, path: &str) -> Vec<Use> {
        let blob = self.graph.blobs.get(&template_key(cookbook, path));
        let source = blob.and_then(|blob| self.blobs.read(blob).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
        match source.and_then(|source| check_template(&source).ok()) {
            Some(names) => self.follow(&names.uses, declaration),
            None => Vec::new(),
        }
    }
}
