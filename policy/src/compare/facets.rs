//! A graph taken apart: every thing in it, and what it says under which name.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::graph::{AttributeDeclaration, ContentSource, Declaration, Graph, Level, Property};
use serde_json::json;

use super::secrets::{Hidden, Search};
use super::{Facet, Key, add};
use crate::why::show;

/// One thing.
#[derive(Default)]
pub(super) struct Entry<'g> {
    /// What it says.
    pub(super) facets: BTreeMap<String, Facet<'g>>,
    /// What of it must not be shown.
    pub(super) hidden: Hidden,
}

impl Entry<'_> {
    pub(super) fn is_hidden(&self, facet: &str) -> bool {
        self.hidden.has(facet)
    }
}

/// Everything in a graph.
pub(super) fn entries<'g>(search: &Search<'g>) -> BTreeMap<Key, Entry<'g>> {
    let graph = search.graph;
    let mut all = BTreeMap::new();
    add(&mut all, ("policy", "", graph.policy.clone()), policy(graph));
    let secret = search.attributes();
    for cookbook in &graph.cookbooks {
        let words = [("version", cookbook.version.clone()), ("supports", cookbook.supports.join(", "))];
        add(&mut all, ("cookbook", "", cookbook.name.clone()), of_words(words));
        for (name, declaration) in &cookbook.attributes {
            let is_secret = secret.contains(&(cookbook.name.clone(), name.clone()));
            let name = format!("{}.{name}", cookbook.name);
            add(&mut all, ("attribute", "", name), attribute(declaration, is_secret));
        }
    }
    for level in &graph.levels {
        settings(&mut all, graph, level, &secret);
    }
    for recipe in &graph.recipes {
        for declaration in &recipe.resources {
            add(&mut all, ("resource", &recipe.name, name(declaration)), resource(declaration, search));
        }
    }
    for (kind, custom) in &graph.kinds {
        let unordered = Entry {
            facets: of_words([("ordered", (!custom.unordered).to_string())]).facets,
            hidden: Hidden::default(),
        };
        add(&mut all, ("custom kind", "", kind.clone()), unordered);
        let secret = search.parameters(kind, custom);
        for (parameter, declaration) in &custom.parameters {
            let is_secret = secret.contains(parameter);
            add(&mut all, ("parameter", kind, parameter.clone()), attribute(declaration, is_secret));
        }
        for declaration in &custom.resources {
            add(&mut all, ("resource", kind, name(declaration)), resource(declaration, search));
        }
    }
    for (key, blob) in &graph.blobs {
        // `cookbook/templates/path`: what follows the sort may hold slashes of its own.
        let mut parts = key.splitn(3, '/');
        let (cookbook, sort, path) = (parts.next(), parts.next(), parts.next());
        let sort = if sort == Some("templates") { "template" } else { "file" };
        let name = format!("{}/{}", cookbook.unwrap_or_default(), path.unwrap_or_default());
        let facets = BTreeMap::from([("content".to_owned(), Facet::Content(*blob))]);
        add(&mut all, (sort, "", name), Entry { facets, hidden: Hidden::default() });
    }
    all
}

fn of_words<'g, const N: usize>(words: [(&str, String); N]) -> Entry<'g> {
    let said = words.into_iter().filter(|(_, words)| !words.is_empty());
    Entry {
        facets: said.map(|(name, words)| (name.to_owned(), Facet::Words(words))).collect(),
        hidden: Hidden::default(),
    }
}

fn policy<'g>(graph: &Graph) -> Entry<'g> {
    let recipes: Vec<&str> = graph.recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    let unordered: Vec<&str> =
        graph.recipes.iter().filter(|recipe| recipe.unordered).map(|recipe| recipe.name.as_str()).collect();
    of_words([
        ("orphans", json!(graph.orphans).as_str().unwrap_or_default().to_owned()),
        ("recipes", recipes.join(", ")),
        ("unordered", unordered.join(", ")),
    ])
}

fn attribute(declaration: &AttributeDeclaration, is_secret: bool) -> Entry<'_> {
    let mut entry = of_words([
        ("type", declaration.ty.word().to_owned()),
        ("minimum", declaration.minimum.map(|bound| json!(bound).to_string()).unwrap_or_default()),
        ("maximum", declaration.maximum.map(|bound| json!(bound).to_string()).unwrap_or_default()),
        ("one_of", declaration.one_of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        ("pattern", declaration.pattern.clone().unwrap_or_default()),
        ("required", declaration.required.to_string()),
        ("secret", declaration.secret.to_string()),
        ("node_settable", declaration.node_settable.to_string()),
        ("description", declaration.description.clone()),
    ]);
    entry.facets.extend(declaration.default.iter().map(|default| ("default".to_owned(), default.into())));
    if is_secret {
        entry.hidden = Hidden::of(["default", "one_of"]);
    }
    entry
}

fn settings<'g>(
    all: &mut BTreeMap<Key, Entry<'g>>,
    graph: &Graph,
    level: &'g Level,
    secret: &BTreeSet<(String, String)>,
) {
    let group = level.group.as_ref().map(|group| format!(", group {group}")).unwrap_or_default();
    let place = format!("policy {}{group}", level.policy);
    for (cookbook, values) in &level.attributes {
        let declared = graph.cookbooks.iter().find(|declared| declared.name == *cookbook);
        for (name, setting) in values {
            let is_declared = declared.is_some_and(|declared| declared.attributes.contains_key(name));
            let facets = BTreeMap::from([("value".to_owned(), Facet::Written(&setting.value))]);
            // Of what is not declared it cannot be told: it is not shown.
            let is_secret = !is_declared || secret.contains(&(cookbook.clone(), name.clone()));
            let hidden = if is_secret { Hidden::Everything } else { Hidden::default() };
            add(all, ("setting", &place, format!("{cookbook}.{name}")), Entry { facets, hidden });
        }
    }
}

/// What a resource is called: its name may be an expression.
fn name(declaration: &Declaration) -> String {
    format!("{}[{}]", declaration.kind, show(&declaration.name, false).unwrap_or_default())
}

fn resource<'g>(declaration: &'g Declaration, search: &Search<'_>) -> Entry<'g> {
    let mut facets: BTreeMap<String, Facet<'g>> =
        declaration.properties.iter().map(|(name, property)| (name.clone(), property.into())).collect();
    facets.extend(declaration.settings().map(|(name, property)| (name.to_owned(), property.into())));
    let words = |property: &Property| show(&property.0, false).unwrap_or_default();
    for (name, edges) in [("requires", &declaration.requires), ("before", &declaration.before)] {
        let edges: BTreeSet<String> = edges.iter().map(words).collect();
        said(&mut facets, name, edges);
    }
    for (name, edges) in [("notifies", &declaration.notifies), ("subscribes", &declaration.subscribes)] {
        let edge = |edge: &converge_model::graph::Notification| {
            let whom = show(&edge.resource, false).unwrap_or_default();
            format!("{} of {whom}, {}", edge.action, json!(edge.timing).as_str().unwrap_or_default())
        };
        said(&mut facets, name, edges.iter().map(edge).collect());
    }
    match declaration.content.as_deref() {
        Some(ContentSource::Template { path, vars, .. }) => {
            facets.insert("template".to_owned(), Facet::Written(path));
            facets.extend(vars.iter().map(|(name, var)| (format!("vars.{name}"), var.into())));
        }
        Some(ContentSource::File { path, .. }) => drop(facets.insert("source".to_owned(), Facet::Written(path))),
        None => {}
    }
    Entry { facets, hidden: search.of_declaration(declaration) }
}

fn said<'g>(facets: &mut BTreeMap<String, Facet<'g>>, name: &str, words: BTreeSet<String>) {
    if !words.is_empty() {
        let words: Vec<String> = words.into_iter().collect();
        facets.insert(name.to_owned(), Facet::Words(words.join("; ")));
    }
}
