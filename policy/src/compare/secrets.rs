//! What of a graph must not be shown.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use converge_model::graph::{ContentSource, CustomKind, Declaration, Graph, Property};
use converge_model::kind::Kinds;
use converge_model::{Dynamic, Result};

use super::Read;
use crate::expression::{Expressions, check_template};

/// Where a cookbook has its templates.
const TEMPLATES: &str = "templates";
/// Where it has its files.
const FILES: &str = "files";

/// What of a thing must not be shown.
#[derive(Clone, Debug)]
pub(super) enum Hidden {
    /// What goes by these names.
    Named(BTreeSet<String>),
    /// All that it says.
    Everything,
}

impl Default for Hidden {
    fn default() -> Self {
        Hidden::Named(BTreeSet::new())
    }
}

impl Hidden {
    pub(super) fn of(names: impl IntoIterator<Item = &'static str>) -> Self {
        Hidden::Named(names.into_iter().map(str::to_owned).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Hidden::Named(names) => names.contains(name),
            Hidden::Everything => true,
        }
    }
}

/// How deep custom kinds are looked into. No policy that compiles goes as deep.
const DEEPEST: usize = 32;

/// A graph in which what must not be shown is looked for.
pub(super) struct Search<'g> {
    pub(super) graph: &'g Graph,
    kinds: &'g dyn Kinds,
    /// The templates whose content becomes part of what must not be shown, as far as they can be read.
    templates: BTreeMap<&'g str, Option<String>>,
    /// What was found out of custom kinds: the parameters that must not be shown.
    parameters: RefCell<BTreeMap<String, BTreeSet<String>>>,
}

impl<'g> Search<'g> {
    /// Reads what must be read to find it.
    ///
    /// # Errors
    /// Where `read` fails.
    pub(super) fn of(graph: &'g Graph, kinds: &'g dyn Kinds, read: &mut Read<'_>) -> Result<Self> {
        let mut search = Self { graph, kinds, templates: BTreeMap::new(), parameters: RefCell::default() };
        for (_, key) in search.contents().into_iter().filter(|(sort, _)| *sort == TEMPLATES) {
            let text = graph.blobs.get(key).map(&mut *read).transpose()?.flatten();
            search.templates.insert(key, text);
        }
        // That was found without them.
        search.parameters.take();
        Ok(search)
    }

    /// What of a resource must not be shown. Where `sensitive` is an expression, it may be true somewhere.
    pub(super) fn of_declaration(&self, declaration: &Declaration) -> Hidden {
        self.at_depth(declaration, 0)
    }

    fn at_depth(&self, declaration: &Declaration, depth: usize) -> Hidden {
        let is_sensitive = declaration.sensitive.as_ref().is_some_and(|property| property.0 != Dynamic::from(false));
        if is_sensitive || depth > DEEPEST {
            return Hidden::Everything;
        }
        if let Some(custom) = self.graph.kinds.get(&declaration.kind) {
            return Hidden::Named(self.parameters_at(&declaration.kind, custom, depth));
        }
        match self.kinds.kind(&declaration.kind) {
            Some(kind) => Hidden::of((kind.schema)().sensitive_properties()),
            // A kind that this software does not know may have what must not be shown.
            None => Hidden::Everything,
        }
    }

    /// The parameters of a custom kind that must not be shown: those that are secret, and those that go where nothing is shown.
    pub(super) fn parameters(&self, kind: &str, custom: &CustomKind) -> BTreeSet<String> {
        self.parameters_at(kind, custom, 0)
    }

    fn parameters_at(&self, kind: &str, custom: &CustomKind, depth: usize) -> BTreeSet<String> {
        if let Some(known) = self.parameters.borrow().get(kind) {
            return known.clone();
        }
        let mut taken = Taken::default();
        for member in &custom.resources {
            let hidden = self.at_depth(member, depth + 1);
            self.take(member, custom.cookbook, &hidden, &mut taken);
        }
        let hidden =
            custom.parameters.iter().filter(|(name, parameter)| parameter.secret || taken.has(&["param", name]));
        let found: BTreeSet<String> = hidden.map(|(name, _)| name.clone()).collect();
        self.parameters.borrow_mut().insert(kind.to_owned(), found.clone());
        found
    }

    /// The names that become part of what a declaration of a cookbook must not show.
    fn take(&self, declaration: &Declaration, cookbook: usize, hidden: &Hidden, taken: &mut Taken) {
        let mut own = Taken::default();
        let properties = declaration.properties.iter().filter(|(name, _)| hidden.has(name));
        properties.for_each(|(_, Property(value, _))| own.value(value));
        if self.hides_content(declaration, hidden) {
            match declaration.content.as_deref() {
                Some(ContentSource::Template { path, vars, .. }) => {
                    own.value(path);
                    vars.values().for_each(|Property(value, _)| own.value(value));
                    for key in self.meant(cookbook, TEMPLATES, path) {
                        own.template(self.templates.get(key).and_then(Option::as_deref));
                    }
                }
                Some(ContentSource::File { path, .. }) => own.value(path),
                None => {}
            }
        }
        if matches!(hidden, Hidden::Everything) {
            let guards = [&declaration.when, &declaration.only_if, &declaration.not_if, &declaration.for_each];
            guards.into_iter().flatten().for_each(|property| own.value(&property.0));
        }
        if own.has(&["each"]) {
            declaration.for_each.iter().for_each(|property| own.value(&property.0));
        }
        taken.any |= own.any;
        taken.paths.append(&mut own.paths);
    }

    /// The attributes that must not be shown: those that are secret, those that go where nothing is shown, and those that any
    /// of these is made from.
    pub(super) fn attributes(&self) -> BTreeSet<(String, String)> {
        let mut taken = Taken::default();
        for (cookbook, declaration) in self.declarations() {
            self.take(declaration, cookbook, &self.of_declaration(declaration), &mut taken);
        }
        for (kind, custom) in &self.graph.kinds {
            let hidden = self.parameters(kind, custom);
            let defaults = hidden.iter().filter_map(|name| custom.parameters.get(name)?.default.as_ref());
            defaults.for_each(|Property(value, _)| taken.value(value));
        }
        let mut found = BTreeSet::new();
        loop {
            let before = found.len();
            for cookbook in &self.graph.cookbooks {
                for (name, declaration) in &cookbook.attributes {
                    let is_hidden = declaration.secret || taken.has(&["attr", &cookbook.name, name]);
                    if is_hidden && found.insert((cookbook.name.clone(), name.clone())) {
                        declaration.default.iter().for_each(|Property(value, _)| taken.value(value));
                        let set = self
                            .graph
                            .levels
                            .iter()
                            .filter_map(|level| level.attributes.get(&cookbook.name)?.get(name));
                        set.for_each(|setting| taken.value(&setting.value));
                    }
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// Every declaration, with the index of its cookbook.
    fn declarations(&self) -> impl Iterator<Item = (usize, &'g Declaration)> + use<'g> {
        let of_recipes = self.graph.recipes.iter().map(|recipe| (recipe.cookbook, &recipe.resources));
        let of_kinds = self.graph.kinds.values().map(|kind| (kind.cookbook, &kind.resources));
        of_recipes
            .chain(of_kinds)
            .flat_map(|(cookbook, all)| all.iter().map(move |declaration| (cookbook, declaration)))
    }

    /// The templates and files whose content becomes part of what must not be shown: their sorts and names.
    pub(super) fn contents(&self) -> Vec<(&'static str, &'g str)> {
        let mut found = Vec::new();
        for (cookbook, declaration) in self.declarations() {
            let (sort, path) = match declaration.content.as_deref() {
                Some(ContentSource::Template { path, .. }) => (TEMPLATES, path),
                Some(ContentSource::File { path, .. }) => (FILES, path),
                None => continue,
            };
            if self.hides_content(declaration, &self.of_declaration(declaration)) {
                found.extend(self.meant(cookbook, sort, path).map(|key| (sort, key)));
            }
        }
        found
    }

    fn hides_content(&self, declaration: &Declaration, hidden: &Hidden) -> bool {
        let content = self.kinds.kind(&declaration.kind).and_then(|kind| {
            let schema = (kind.schema)();
            schema.content_property().map(|property| property.name)
        });
        content.map_or(matches!(hidden, Hidden::Everything), |content| hidden.has(content))
    }

    /// What a path leads to below a cookbook's folder. One that is an expression may lead to any.
    fn meant<'a>(&self, cookbook: usize, sort: &str, path: &'a Dynamic) -> impl Iterator<Item = &'g str> + use<'a, 'g> {
        let below = self.graph.cookbooks.get(cookbook).map(|cookbook| format!("{}/{sort}/", cookbook.name));
        let is_meant = move |key: &&str| {
            let rest = below.as_ref().and_then(|below| key.strip_prefix(below.as_str()));
            rest.is_some_and(|rest| path.as_str().is_none_or(|path| path == rest))
        };
        self.graph.blobs.keys().map(String::as_str).filter(is_meant)
    }
}

/// The names that become part of something.
#[derive(Default)]
struct Taken {
    /// What cannot be read may take any.
    any: bool,
    /// Each name, with the keys that are looked up in it.
    paths: BTreeSet<Vec<String>>,
}

impl Taken {
    fn value(&mut self, dynamic: &Dynamic) {
        let paths = &mut self.paths;
        let is_unread = Expressions::new().any_names(dynamic, &mut |names| {
            paths.extend(names.uses.iter().map(|name| name.path.clone()));
            false
        });
        self.any |= is_unread;
    }

    fn template(&mut self, text: Option<&str>) {
        match text.and_then(|text| check_template(text).ok()) {
            Some(names) => self.paths.extend(names.uses.into_iter().map(|name| name.path)),
            None => self.any = true,
        }
    }

    /// Whether it takes this, something in it, or something that it is in.
    fn has(&self, path: &[&str]) -> bool {
        let is_on_the_way = |taken: &Vec<String>| taken.iter().zip(path).all(|(one, other)| one == other);
        self.any || self.paths.iter().any(is_on_the_way)
    }
}

/// Whether a thing is one of those contents.
pub(super) fn is_content(hidden: &BTreeSet<(&str, &str)>, sort: &str, name: &str) -> bool {
    let folder = match sort {
        "template" => TEMPLATES,
        "file" => FILES,
        _ => return false,
    };
    let key = name.split_once('/').map(|(cookbook, path)| format!("{cookbook}/{folder}/{path}"));
    key.is_some_and(|key| hidden.contains(&(folder, key.as_str())))
}
