//! What of a graph must not be shown.

use std::collections::BTreeSet;

use converge_model::Dynamic;
use converge_model::graph::{ContentSource, Declaration, Graph};
use converge_model::kind::Kinds;

use crate::why::show;

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

/// What of a resource must not be shown. Where `sensitive` is an expression, it may be true somewhere.
pub(super) fn of_declaration(declaration: &Declaration, graph: &Graph, kinds: &dyn Kinds) -> Hidden {
    at_depth(declaration, graph, kinds, 0)
}

fn at_depth(declaration: &Declaration, graph: &Graph, kinds: &dyn Kinds, depth: usize) -> Hidden {
    let is_sensitive = declaration.sensitive.as_ref().is_some_and(|property| property.0 != Dynamic::from(false));
    if is_sensitive || depth > DEEPEST {
        return Hidden::Everything;
    }
    if let Some(custom) = graph.kinds.get(&declaration.kind) {
        // What becomes of a parameter that goes where nothing is shown is not shown either, whatever it is declared to be.
        let deep = |member: &Declaration| hidden_texts(member, &at_depth(member, graph, kinds, depth + 1));
        let inner: Vec<String> = custom.resources.iter().flat_map(deep).collect();
        let is_hidden = |name: &str, secret: bool| {
            secret || inner.iter().any(|text| text.contains(&format!("param.{name}")) || text.contains("param["))
        };
        let hidden = custom.parameters.iter().filter(|(name, parameter)| is_hidden(name, parameter.secret));
        return Hidden::Named(hidden.map(|(name, _)| name.clone()).collect());
    }
    match kinds.kind(&declaration.kind) {
        Some(kind) => Hidden::of((kind.schema)().sensitive_properties()),
        // A kind that this software does not know may have what must not be shown.
        None => Hidden::Everything,
    }
}

/// What is written where nothing may be shown.
fn hidden_texts(declaration: &Declaration, hidden: &Hidden) -> Vec<String> {
    let properties = declaration.properties.iter().filter(|(name, _)| hidden.has(name));
    properties.filter_map(|(_, property)| show(&property.0, false)).collect()
}

/// The attributes that must not be shown: those that are secret, and those that go where nothing is shown.
pub(super) fn attributes(graph: &Graph, kinds: &dyn Kinds) -> BTreeSet<(String, String)> {
    let declarations = graph.recipes.iter().flat_map(|recipe| &recipe.resources);
    let declarations = declarations.chain(graph.kinds.values().flat_map(|kind| &kind.resources));
    let texts: Vec<String> = declarations
        .flat_map(|declaration| hidden_texts(declaration, &of_declaration(declaration, graph, kinds)))
        .collect();
    let goes_there = |cookbook: &str, name: &str| {
        let forms = [format!("attr.{cookbook}.{name}"), format!("attr.{cookbook}[")];
        texts.iter().any(|text| text.contains("attr[") || forms.iter().any(|form| text.contains(form)))
    };
    let mut found = BTreeSet::new();
    for cookbook in &graph.cookbooks {
        for (name, declaration) in &cookbook.attributes {
            if declaration.secret || goes_there(&cookbook.name, name) {
                found.insert((cookbook.name.clone(), name.clone()));
            }
        }
    }
    found
}

/// The templates and files whose content becomes part of what must not be shown: their sorts and names. A path that is an
/// expression may lead to any of its cookbook.
pub(super) fn contents<'g>(graph: &'g Graph, kinds: &dyn Kinds) -> impl Iterator<Item = (&'g str, &'g str)> {
    let of_recipes = graph.recipes.iter().map(|recipe| (recipe.cookbook, &recipe.resources));
    let of_kinds = graph.kinds.values().map(|kind| (kind.cookbook, &kind.resources));
    let mut found = Vec::new();
    for (cookbook, declarations) in of_recipes.chain(of_kinds) {
        let Some(cookbook) = graph.cookbooks.get(cookbook) else { continue };
        for declaration in declarations {
            let (sort, path) = match declaration.content.as_deref() {
                Some(ContentSource::Template { path, .. }) => ("templates", path),
                Some(ContentSource::File { path, .. }) => ("files", path),
                None => continue,
            };
            let content = kinds.kind(&declaration.kind).and_then(|kind| {
                let schema = (kind.schema)();
                schema.content_property().map(|property| property.name)
            });
            let hidden = of_declaration(declaration, graph, kinds);
            if !content.map_or(matches!(hidden, Hidden::Everything), |content| hidden.has(content)) {
                continue;
            }
            let below = format!("{}/{sort}/", cookbook.name);
            let is_meant = |key: &&String| {
                key.strip_prefix(&below).is_some_and(|rest| path.as_str().is_none_or(|path| path == rest))
            };
            found.extend(graph.blobs.keys().filter(is_meant).map(|key| (sort, key.as_str())));
        }
    }
    found.into_iter()
}

/// Whether a thing is one of those contents.
pub(super) fn is_content(hidden: &BTreeSet<(&str, &str)>, sort: &str, name: &str) -> bool {
    let folder = match sort {
        "template" => "templates",
        "file" => "files",
        _ => return false,
    };
    let key = name.split_once('/').map(|(cookbook, path)| format!("{cookbook}/{folder}/{path}"));
    key.is_some_and(|key| hidden.contains(&(folder, key.as_str())))
}
