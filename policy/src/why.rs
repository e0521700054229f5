//! Why a resource is as it is: where it and each of its properties was declared, and who set what they are made from.

mod line;
mod standing;
mod uses;

use converge_model::graph::{ContentSource, Declaration, Position, Property};
use converge_model::{ByName, Dynamic, Graph, KindSchema, Kinds, ResourceId, Value, suggest};
use serde::Serialize;

use crate::attribute::LevelName;
use crate::bind::{BlobReader, Bound, DeclarationIndex, Owner};
use uses::Tracer;

pub use line::{WhyLine, why_line};
pub use standing::standing;

/// A place in the policy repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, relative to the repository.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// Where a resource comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// The resource.
    pub resource: ResourceId,
    /// The cookbook and its version: `nginx 1.4.0`.
    pub cookbook: String,
    /// The recipe of the run list that leads to it: `nginx::tls`.
    pub recipe: String,
    /// Where it is declared.
    pub declared: Place,
    /// The resources of custom kinds that it is part of, outermost first, and where each is declared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<Within>,
    /// For a resource of a custom kind, what it consists of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<ResourceId>,
    /// Why it is skipped, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Everything that is written of it, by name.
    pub properties: Vec<WhyProperty>,
}

/// A resource of a custom kind around another resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Within {
    /// The outer resource.
    pub resource: ResourceId,
    /// Where it is declared.
    pub declared: Place,
}

/// Where a property comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhyProperty {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// What is written, as far as it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// Its value in the catalog, where it has one that may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Its value is a secret, or the resource or the property is sensitive.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// What it is made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
}

/// Something that a value is made from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "use")]
pub enum Use {
    /// An attribute.
    Attribute {
        /// Its cookbook.
        cookbook: String,
        /// Its name.
        name: String,
        /// Its value, where it has one and it may be shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
        /// It is secret.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        secret: bool,
        /// Who set it, earliest first; for a map all whose entries merged.
        set_by: Vec<SetBy>,
    },
    /// A fact, or something of `node`: `facts.os.family`.
    Given {
        /// Its path.
        path: String,
    },
    /// A parameter of the custom kind around the resource.
    Parameter {
        /// Its name.
        name: String,
        /// The resource that was given it.
        of: ResourceId,
        /// Where it was given, or its default is written.
        place: Place,
        /// It is the default.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        default: bool,
        /// What it is made from.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        uses: Vec<Use>,
    },
    /// The turn of a `for_each`.
    Each {
        /// Where that is written.
        place: Place,
        /// What it is made from.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        uses: Vec<Use>,
    },
    /// A template or file of the cookbook.
    Content {
        /// Its path within the repository.
        file: String,
        /// What it is made from.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        uses: Vec<Use>,
    },
}

impl Use {
    /// The same, showing no value: what it is used for is sensitive.
    fn without_values(self) -> Self {
        let all = |uses: Vec<Use>| uses.into_iter().map(Use::without_values).collect();
        match self {
            Use::Attribute { cookbook, name, set_by, .. } => {
                let set_by = set_by.into_iter().map(|setter| SetBy { value: None, ..setter }).collect();
                Use::Attribute { cookbook, name, value: None, secret: true, set_by }
            }
            Use::Given { .. } => self,
            Use::Parameter { name, of, place, default, uses } => {
                Use::Parameter { name, of, place, default, uses: all(uses) }
            }
            Use::Each { place, uses } => Use::Each { place, uses: all(uses) },
            Use::Content { file, uses } => Use::Content { file, uses: all(uses) },
        }
    }
}

/// Who set an attribute, where, to what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetBy {
    /// The level.
    #[serde(flatten)]
    pub level: LevelName,
    /// Where; a node's own value is in no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The value, unless it is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// Says where a resource comes from, all of it or one property. Templates are looked into where `blobs` has them.
///
/// # Errors
/// Where the node has no such resource, or nothing is written of such a property; with what is near.
pub fn why(
    graph: &Graph,
    bound: &Bound,
    blobs: &dyn BlobReader,
    kinds: &dyn Kinds,
    id: &ResourceId,
    property: Option<&str>,
) -> Result<Why, String> {
    let position = bound.catalog.resources.iter().position(|resource| resource.id == *id);
    let index = position.and_then(|at| bound.declarations.get(at)).or_else(|| bound.custom.get(id));
    let declaration = index.and_then(|index| Some((*index, index.find(graph)?)));
    let Some((index, declaration)) = declaration else { return Err(unknown(graph, bound, id)) };
    let members: Vec<usize> = (0..bound.catalog.resources.len())
        .filter(|&at| bound.catalog.resources[at].origin.within.contains(id))
        .collect();
    let resource = position.and_then(|at| bound.catalog.resources.get(at));
    // The origin of a custom kind's resource is that of what it consists of, up to itself.
    let origin = resource.or_else(|| bound.catalog.resources.get(*members.first()?)).map(|resource| &resource.origin);
    let around: Vec<ResourceId> = origin
        .map(|origin| origin.within.iter().take_while(|outer| *outer != id).cloned().collect())
        .unwrap_or_default();
    let tracer = Tracer { graph, bound, blobs, around: &around };
    let parameters = graph.kinds.get(id.kind()).map(|kind| &kind.parameters);
    let schema = kinds.kind(id.kind()).map(|kind| (kind.schema)());
    let by_kind = |name: &str| {
        schema.as_ref().and_then(|schema: &KindSchema| schema.property(name)).is_some_and(|found| found.sensitive)
    };
    let secret = |name: &str| match resource {
        Some(resource) => resource.sensitive || resource.secret.contains(name) || by_kind(name),
        None => parameters.and_then(|all| all.get(name)).is_some_and(|parameter| parameter.secret),
    };
    let mut properties = Vec::new();
    for (name, dynamic, line) in written(declaration) {
        let hidden = secret(name);
        properties.push(WhyProperty {
            name: name.to_owned(),
            place: place(graph, Position { line, ..declaration.at }),
            // What is sensitive by its kind may stand in an expression as a literal.
            written: show(dynamic, hidden).filter(|_| !by_kind(name)),
            value: resource.and_then(|resource| resource.properties.get(name)).filter(|_| !hidden).cloned(),
            hidden,
            uses: {
                let uses = tracer.uses(dynamic, declaration);
                if by_kind(name) { uses.into_iter().map(Use::without_values).collect() } else { uses }
            },
        });
    }
    properties.extend(content(&tracer, declaration, index, resource.map(|resource| &resource.properties), &secret));
    if let Some(wanted) = property {
        if !properties.iter().any(|property| property.name == wanted) {
            let near = suggest::nearest(wanted, properties.iter().map(|property| property.name.as_str()));
            let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("nothing is written of `{wanted}` of {id}{help}"));
        }
        properties.retain(|property| property.name == wanted);
    }
    Ok(Why {
        resource: id.clone(),
        cookbook: cookbook(graph, index).map_or_else(String::new, |book| format!("{} {}", book.name, book.version)),
        recipe: match (index.owner, origin) {
            (Owner::Recipe(recipe), _) => {
                graph.recipes.get(recipe).map(|recipe| recipe.name.clone()).unwrap_or_default()
            }
            (Owner::Kind(_), origin) => origin.map(|origin| origin.recipe.to_string()).unwrap_or_default(),
        },
        declared: place(graph, declaration.at),
        within: around.iter().filter_map(|outer| within(graph, bound, outer)).collect(),
        members: members.iter().map(|&at| bound.catalog.resources[at].id.clone()).collect(),
        skipped: resource.and_then(|resource| resource.skipped.clone()),
        properties,
    })
}

fn unknown(graph: &Graph, bound: &Bound, id: &ResourceId) -> String {
    let names = bound.catalog.resources.iter().map(|resource| &resource.id).chain(bound.custom.keys());
    let alike: Vec<String> = names.filter(|other| other.kind() == id.kind()).map(ResourceId::to_string).collect();
    let near = suggest::nearest(&id.to_string(), alike.iter().take(10_000).map(String::as_str));
    let help = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("policy `{}` declares no {id} on this node{help}", graph.policy)
}

fn within(graph: &Graph, bound: &Bound, id: &ResourceId) -> Option<Within> {
    let declaration = bound.custom.get(id)?.find(graph)?;
    Some(Within { resource: id.clone(), declared: place(graph, declaration.at) })
}

pub(crate) fn place(graph: &Graph, at: Position) -> Place {
    Place { file: graph.file(at).to_owned(), line: at.line }
}

fn cookbook(graph: &Graph, index: DeclarationIndex) -> Option<&converge_model::graph::Cookbook> {
    graph.cookbooks.get(match index.owner {
        Owner::Recipe(recipe) => graph.recipes.get(recipe)?.cookbook,
        Owner::Kind(kind) => graph.kinds.values().nth(kind)?.cookbook,
    })
}

/// Everything that is written of a resource but its content, with its line.
fn written(declaration: &Declaration) -> Vec<(&str, &Dynamic, u32)> {
    let mut all = vec![("name", &declaration.name, declaration.at.line)];
    let own = declaration.properties.iter();
    all.extend(own.map(|(name, Property(dynamic, at))| (name.as_str(), dynamic, at.line)));
    all.extend(declaration.settings().map(|(name, Property(dynamic, at))| (name, dynamic, at.line)));
    for (name, properties) in [("requires", &declaration.requires), ("before", &declaration.before)] {
        all.extend(properties.iter().map(|Property(dynamic, at)| (name, dynamic, at.line)));
    }
    for (name, others) in [("notifies", &declaration.notifies), ("subscribes", &declaration.subscribes)] {
        all.extend(others.iter().map(|other| (name, &other.resource, other.at.line)));
    }
    all
}

/// What is written. Literal text of a secret property is not shown; an expression names its secrets and holds none.
pub(crate) fn show(dynamic: &Dynamic, hidden: bool) -> Option<String> {
    match dynamic {
        Dynamic::Expression(source) => Some(format!("{{{{ {source} }}}}")),
        _ if hidden => None,
        Dynamic::Literal(Value::Blob(blob)) => Some(format!("({} bytes)", blob.size)),
        Dynamic::Literal(value) => Some(value.to_string()),
        Dynamic::Text(source) => Some(source.clone()),
        Dynamic::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| show(item, false)).collect();
            items.map(|items| format!("[{}]", items.join(", ")))
        }
        Dynamic::Map(entries) => {
            let entries: Option<Vec<String>> = entries
                .iter()
                .map(|(name, value)| show(value, false).map(|value| format!("{name} = {value}")))
                .collect();
            entries.map(|entries| format!("{{ {} }}", entries.join(", ")))
        }
    }
}

/// The property whose value comes from a template or file.
fn content(
    tracer: &Tracer<'_>,
    declaration: &Declaration,
    index: DeclarationIndex,
    properties: Option<&ByName<Value>>,
    secret: &dyn Fn(&str) -> bool,
) -> Option<WhyProperty> {
    let graph = tracer.graph;
    let (name, path, line) = match declaration.content.as_deref()? {
        ContentSource::Template { path, at, .. } => ("template", path, at.line),
        ContentSource::File { path, at } => ("source", path, at.line),
    };
    // The kind's own name for it is known by what was not written.
    let made = properties?.keys().find(|name| !declaration.properties.contains_key(name));
    let hidden = made.is_some_and(|made| secret(made));
    let cookbook = cookbook(graph, index)?;
    Some(WhyProperty {
        name: made.cloned().unwrap_or_else(|| name.to_owned()),
        place: place(graph, Position { line, ..declaration.at }),
        written: show(path, false).map(|path| format!("{name} {path}")),
        value: None,
        hidden,
        uses: tracer.content(declaration, &cookbook.name),
    })
}
