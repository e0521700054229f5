//! The graph: what is published. The resources of a policy as their author declared them, checked and linked, with what
//! varies between nodes still an expression. One document for the whole fleet, known by its digest.
//!
//! It is canonical: maps are ordered by key, what is at its default is left out, nothing depends on when or where it was
//! compiled. The same repository gives the same bytes.

mod declaration;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::catalog::Orphans;
use crate::digest::{BlobRef, Digest};
use crate::dynamic::Dynamic;
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;

pub use declaration::{ContentSource, Declaration, Notification};

/// The format of the document that this version writes and reads.
pub const FORMAT: u32 = 2;

/// A policy, independent of any node. While it is read, its declarations are still the text that they are written in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph<D = Declaration> {
    /// The format of the document: [`FORMAT`].
    pub format: u32,
    /// The policy's name.
    pub policy: String,
    /// What happens on a node to what left the policy.
    #[serde(default)]
    pub orphans: Orphans,
    /// The files that positions point into, relative to the policy repository. Ascending.
    pub sources: Vec<String>,
    /// The cookbooks that the run list reaches, by name.
    pub cookbooks: Vec<Cookbook>,
    /// What policies and groups set, the later winning over the earlier and all of them over a cookbook's defaults.
    /// Levels for every node come before those of a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<Level>,
    /// The recipes in the order in which they converge, each once: as the run list has them, but required ones first.
    pub recipes: Vec<Recipe<D>>,
    /// The custom kinds that the recipes use, by name: `nginx_site`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, CustomKind>,
    /// Templates and files, by [`template_key`] and [`file_key`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blobs: BTreeMap<String, BlobRef>,
    /// The names of the secrets that its expressions and templates use, or may use: `db/password`. Their values are in no
    /// graph.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<String>,
}

/// The key of a cookbook's template in [`Graph::blobs`].
pub fn template_key(cookbook: &str, path: &str) -> String {
    format!("{cookbook}/templates/{path}")
}

/// The key of a cookbook's file in [`Graph::blobs`].
pub fn file_key(cookbook: &str, path: &str) -> String {
    format!("{cookbook}/files/{path}")
}

/// A place in one of the graph's [sources](Graph::sources). Written as `[source, line, column]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(u32, u32, u32)", into = "(u32, u32, u32)")]
pub struct Position {
    /// Index into [`Graph::sources`].
    pub source: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl From<(u32, u32, u32)> for Position {
    fn from((source, line, column): (u32, u32, u32)) -> Self {
        Self { source, line, column }
    }
}

impl From<Position> for (u32, u32, u32) {
    fn from(position: Position) -> Self {
        (position.source, position.line, position.column)
    }
}

/// A place in the file of what it belongs to. Written as `[line, column]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct Spot {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl From<(u32, u32)> for Spot {
    fn from((line, column): (u32, u32)) -> Self {
        Self { line, column }
    }
}

impl From<Spot> for (u32, u32) {
    fn from(spot: Spot) -> Self {
        (spot.line, spot.column)
    }
}

impl Position {
    /// A place in the same file.
    #[must_use]
    pub fn with_spot(self, Spot { line, column }: Spot) -> Self {
        Self { line, column, ..self }
    }

    /// The place in its file.
    pub fn spot(self) -> Spot {
        Spot { line: self.line, column: self.column }
    }
}

/// A cookbook that the run list reaches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cookbook {
    /// Its name.
    pub name: String,
    /// Its version: `1.4.0`.
    pub version: String,
    /// Where it runs: `debian >= 11`. Empty means anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supports: Vec<String>,
    /// The attributes it declares, by name. Nothing else can be read or set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, AttributeDeclaration>,
}

/// The type of an attribute or parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// Text.
    String,
    /// A 64-bit signed integer.
    Integer,
    /// A double; an integer is taken too.
    Float,
    /// `true` or `false`.
    Boolean,
    /// A list of anything.
    List,
    /// A map from names to anything.
    Map,
}

impl AttributeType {
    /// Every type, with the word for it.
    pub const ALL: [(&'static str, AttributeType); 6] = [
        ("string", AttributeType::String),
        ("integer", AttributeType::Integer),
        ("float", AttributeType::Float),
        ("boolean", AttributeType::Boolean),
        ("list", AttributeType::List),
        ("map", AttributeType::Map),
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, ty)| *ty == self).map_or("", |(word, _)| word)
    }
}

/// A bound of an attribute. An integer stays one, so that none is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// A whole one.
    Integer(i64),
    /// Any other.
    Float(f64),
}

/// What an attribute of a cookbook, or a parameter of a custom kind, may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeDeclaration {
    /// Its type.
    #[serde(rename = "type")]
    pub ty: AttributeType,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Number>,
    /// The greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Number>,
    /// The only values it may have; empty means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<crate::Value>,
    /// A regular expression that the whole of a string must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A node without a value for it cannot converge.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// Its value is shown nowhere.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret: bool,
    /// A single node's value, kept in the store, may override the published one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub node_settable: bool,
    /// Its value where nobody sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Property>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where it is declared.
    pub at: Position,
}

/// Attributes that a policy sets, for every node or for those of one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// The policy that sets them: the graph's own, or one that it includes.
    pub policy: String,
    /// The group whose nodes they are for; every node where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Values by cookbook and attribute.
    pub attributes: BTreeMap<String, BTreeMap<String, Setting>>,
}

/// A value that a policy sets, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// The value.
    pub value: Dynamic,
    /// Where it is set.
    pub at: Position,
}

/// A recipe of the run list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe<D = Declaration> {
    /// Its name as a run list has it, in full: `nginx::default`.
    pub name: String,
    /// Index of its cookbook in [`Graph::cookbooks`].
    pub cookbook: usize,
    /// Its resources do not wait for each other but where an edge says so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unordered: bool,
    /// Indexes in [`Graph::recipes`] of recipes that must not have failed before it: those it requires, and those before
    /// it of cookbooks that its own depends on. Ascending, and less than its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<usize>,
    /// Its resources, in the order in which they are written.
    pub resources: Vec<D>,
}

/// A kind that a cookbook makes of other kinds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomKind {
    /// Index of its cookbook in [`Graph::cookbooks`]; its templates and files are found there.
    pub cookbook: usize,
    /// Its resources do not wait for each other but where an edge says so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unordered: bool,
    /// What it takes, by name: `param.NAME` within it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, AttributeDeclaration>,
    /// What it consists of, in the order in which it is written.
    pub resources: Vec<Declaration>,
}

/// A value as somebody wrote it, and where. Written as `[value, [line, column]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Property(
    /// The value.
    pub Dynamic,
    /// Where it begins.
    pub Spot,
);

// serde hands a reference to what it asks about.
fn is_false(value: &bool) -> bool {
    !*value
}

impl Graph<&RawValue> {
    /// The graph, once its declarations are read: those of a large one on all processors.
    fn read(self) -> std::result::Result<Graph, String> {
        let declarations: Vec<&RawValue> = self.recipes.iter().flat_map(|recipe| &recipe.resources).copied().collect();
        let read = |at: usize| serde_json::from_str::<Declaration>(declarations[at].get());
        let mut read = parallel::map(declarations.len(), read).into_iter();
        let recipe = |Recipe { name, cookbook, unordered, requires, resources }: Recipe<&RawValue>| {
            let resources = read.by_ref().take(resources.len()).collect::<std::result::Result<_, _>>();
            let resources = resources.map_err(|error| format!("a resource of {name}: {error}"))?;
            Ok(Recipe { name, cookbook, unordered, requires, resources })
        };
        let recipes = self.recipes.into_iter().map(recipe).collect::<std::result::Result<_, String>>()?;
        let Self { format, policy, orphans, sources, cookbooks, levels, recipes: _, kinds, blobs, secrets } = self;
        Ok(Graph { format, policy, orphans, sources, cookbooks, levels, recipes, kinds, blobs, secrets })
    }
}

impl Graph {
    /// The document's bytes.
    ///
    /// # Errors
    /// Where a value cannot be written as JSON; no value that a cookbook can hold is such.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| {
            Error::new(ErrorKind::Invalid, "write", format!("the graph of policy {}", self.policy), error)
        })
    }

    /// Reads a document. Every index in the result points to something.
    ///
    /// # Errors
    /// Where the bytes are no graph, or one of another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let invalid = |cause: String| Error::new(ErrorKind::Invalid, "read", "a graph", cause);
        // Looking through all of it once is cheaper than through each of its texts.
        let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
        // A document of another format may fail anywhere; its format says why.
        let written: Graph<&RawValue> =
            serde_json::from_str(text).map_err(|error| match serde_json::from_str::<Version>(text) {
                Ok(version) if version.format != FORMAT => other_format(version.format),
                _ => invalid(error.to_string()),
            })?;
        if written.format != FORMAT {
            return Err(other_format(written.format));
        }
        let graph = written.read().map_err(invalid)?;
        graph.check_indexes().map_err(invalid)?;
        Ok(graph)
    }

    /// The digest by which the fleet knows it: that of [`Graph::to_bytes`].
    ///
    /// # Errors
    /// As [`Graph::to_bytes`].
    pub fn digest(&self) -> Result<Digest> {
        self.to_bytes().map(|bytes| Digest::of(&bytes))
    }

    /// Every blob that converging it can need: templates, files, and long contents written in a recipe. Some may come
    /// twice.
    pub fn blob_refs(&self) -> impl Iterator<Item = BlobRef> {
        let recipes = self.recipes.iter().flat_map(|recipe| &recipe.resources);
        let declarations = recipes.chain(self.kinds.values().flat_map(|kind| &kind.resources));
        let written = declarations.flat_map(|declaration| declaration.properties.values());
        let written = written.filter_map(|Property(value, _)| match value {
            Dynamic::Literal(crate::Value::Blob(blob)) => Some(*blob),
            _ => None,
        });
        self.blobs.values().copied().chain(written)
    }

    /// The file that a position points into.
    pub fn file(&self, position: Position) -> &str {
        self.sources.get(position.source as usize).map_or("", String::as_str)
    }

    fn check_indexes(&self) -> std::result::Result<(), String> {
        let within = |index: usize, count: usize, what: &str, whose: &str| {
            if index < count { Ok(()) } else { Err(format!("{whose} points to {what} {index} of {count}")) }
        };
        let declarations = |whose: &str, declarations: &[Declaration]| {
            declarations
                .iter()
                .try_for_each(|each| within(each.at.source as usize, self.sources.len(), "source", whose))
        };
        for recipe in &self.recipes {
            within(recipe.cookbook, self.cookbooks.len(), "cookbook", &recipe.name)?;
            recipe.requires.iter().try_for_each(|&other| within(other, self.recipes.len(), "recipe", &recipe.name))?;
            declarations(&recipe.name, &recipe.resources)?;
        }
        for (name, kind) in &self.kinds {
            within(kind.cookbook, self.cookbooks.len(), "cookbook", name)?;
            declarations(name, &kind.resources)?;
        }
        Ok(())
    }
}

fn other_format(format: u32) -> Error {
    Error::new(
        ErrorKind::Invalid,
        "read",
        "a graph",
        format!("it has format {format}, and this version reads {FORMAT}"),
    )
    .with_hint("use the same version of converge where it is published and where it is read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Timing;

    fn graph() -> Graph {
        let file = Declaration {
            kind: "file".into(),
            name: Dynamic::from("/etc/motd"),
            at: Position { source: 0, line: 3, column: 1 },
            properties: [("content".to_owned(), Property(Dynamic::Text("on {{ node.name }}".into()), (4, 11).into()))]
                .into(),
            notifies: vec![Notification {
                action: "reload".into(),
                resource: Dynamic::from("service[x]"),
                timing: Timing::Immediate,
                at: (5, 23).into(),
            }],
            ..Declaration::default()
        };
        Graph {
            format: FORMAT,
            policy: "web".into(),
            sources: vec!["cookbooks/base/recipes/default.toml".into()],
            cookbooks: vec![Cookbook { name: "base".into(), version: "1.0.0".into(), ..Cookbook::default() }],
            recipes: vec![Recipe { name: "base::default".into(), resources: vec![file], ..Recipe::default() }],
            ..Graph::default()
        }
    }

    #[test]
    fn a_graph_survives_its_bytes_and_leaves_out_what_is_at_its_default() {
        let bytes = graph().to_bytes().unwrap();
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            concat!(
                r#"{"format":2,"policy":"web","orphans":"report","sources":["cookbooks/base/recipes/default.toml"],"#,
                r#""cookbooks":[{"name":"base","version":"1.0.0"}],"recipes":[{"name":"base::default","cookbook":0,"#,
                r#""resources":[{"kind":"file","name":"/etc/motd","at":[0,3,1],"#,
                r#""properties":{"content":[{"$text":"on {{ node.name }}"},[4,11]]},"#,
                r#""notifies":[{"action":"reload","resource":"service[x]","timing":"immediate","at":[5,23]}]}]}]}"#,
            )
        );
        assert_eq!(Graph::from_bytes(&bytes).unwrap(), graph());
    }

    #[test]
    fn a_graph_that_points_nowhere_or_has_another_format_is_refused() {
        type Spoil = fn(&mut Graph);
        let cases: [(Spoil, &str); 4] = [
            (|graph| graph.recipes[0].cookbook = 1, "base::default points to cookbook 1 of 1"),
            (|graph| graph.recipes[0].requires.push(9), "points to recipe 9 of 1"),
            (|graph| graph.recipes[0].resources[0].at.source = 1, "points to source 1 of 1"),
            (|graph| graph.format = 1, "it has format 1"),
        ];
        for (spoil, expected) in cases {
            let mut graph = graph();
            spoil(&mut graph);
            let error = Graph::from_bytes(&graph.to_bytes().unwrap()).unwrap_err();
            assert!(error.cause.contains(expected), "{error}");
        }
        let later = Graph::from_bytes(br#"{"format":7,"waves":[]}"#).unwrap_err();
        assert!(later.cause.contains("format 7") && later.hint.is_some(), "{later}");
        assert!(Graph::from_bytes(b"\xff").is_err());
    }
}
