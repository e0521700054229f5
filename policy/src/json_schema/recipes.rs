//! Schemas of recipes and custom kinds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use converge_model::graph::CustomKind;
use converge_model::{KindSchema, Kinds};
use serde_json::{Map, Value as Json, json};

use super::declarations::{declarations, definitions};
use super::types::{alternatives, declared, expression, property};
use crate::common::{MOST_RETRIES, common_properties};

/// A reference to a resource.
const REFERENCE: &str = "^[a-z][a-z0-9_]*\\[.+\\]$";

/// The schemas of all kinds.
pub(super) struct Recipes<'a> {
    kinds: Vec<KindSchema>,
    custom: &'a BTreeMap<String, CustomKind>,
}

impl<'a> Recipes<'a> {
    pub(super) fn new(kinds: &dyn Kinds, custom: &'a BTreeMap<String, CustomKind>) -> Self {
        Self { kinds: kinds.all().iter().map(|kind| (kind.schema)()).collect(), custom }
    }

    /// A recipe.
    pub(super) fn recipe(&self) -> Json {
        self.document(
            Map::from_iter([(
                "requires".to_owned(),
                json!({
                    "type": "array",
                    "items": { "type": "string" },
                    "description": "Recipes of the run list whose failure leaves this one unprocessed."
                }),
            )]),
            "What the recipe is for.",
        )
    }

    /// A custom kind.
    pub(super) fn custom_kind(&self) -> Json {
        let parameters = declarations("What it takes, by name: `param.NAME` within it.", false);
        self.document(Map::from_iter([("parameters".to_owned(), parameters)]), "What the kind is for.")
    }

    fn document(&self, mut properties: Map<String, Json>, description: &str) -> Json {
        properties.insert("description".to_owned(), json!({ "type": "string", "description": description }));
        properties.insert(
            "ordered".to_owned(),
            json!({
                "type": "boolean",
                "default": true,
                "description": "With false, resources do not wait for each other but where an edge says so."
            }),
        );
        let mut all = definitions();
        let mut kind = |name: &str, doc: String, schema: Json| {
            all[name] = schema;
            let resources = json!({ "type": "object", "additionalProperties": { "$ref": format!("#/definitions/{name}") }, "description": doc });
            properties.insert(name.to_owned(), resources);
        };
        for schema in &self.kinds {
            kind(schema.name, format!("{}\n\n{}", schema.doc, schema.example.trim()), self.built_in(schema));
        }
        for (name, custom) in self.custom {
            kind(name, format!("The custom kind {name}."), self.custom(custom));
        }
        let mut document = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        });
        if self.custom.is_empty() {
            all["custom"] = self.any_custom();
            document["patternProperties"] = json!({
                "^[a-z][a-z0-9]*_[a-z0-9_]+$": {
                    "type": "object",
                    "additionalProperties": { "$ref": "#/definitions/custom" },
                    "description": "A custom kind: <cookbook>_<file in resources/>."
                }
            });
        }
        document["definitions"] = all;
        document
    }

    fn built_in(&self, kind: &KindSchema) -> Json {
        let mut properties = self.common(Some(kind));
        let content = kind.content_property().map(|property| property.name);
        for own in &kind.properties {
            let doc = if own.sensitive {
                Cow::Owned(format!("{}\n\nNo value of it is shown.", own.doc))
            } else {
                own.doc.into()
            };
            properties.insert(own.name.to_owned(), property(&doc, own.default.as_ref(), alternatives(&own.ty)));
        }
        if content.is_some() {
            properties.extend(content_properties());
        }
        let required: Vec<&str> = kind
            .properties
            .iter()
            .filter(|property| property.required && Some(property.name) != content)
            .map(|property| property.name)
            .collect();
        let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    fn custom(&self, kind: &CustomKind) -> Json {
        let mut properties = self.common(None);
        properties.extend(kind.parameters.iter().map(|(name, parameter)| (name.clone(), declared(parameter))));
        let required: Vec<&String> =
            kind.parameters.iter().filter(|(_, parameter)| parameter.required).map(|(name, _)| name).collect();
        let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    /// A resource of a custom kind whose parameters are not known.
    fn any_custom(&self) -> Json {
        json!({ "type": "object", "additionalProperties": true, "properties": self.common(None) })
    }

    /// The properties that every kind has. A kind subscribes to do what it can do; others may be asked for anything.
    fn common(&self, kind: Option<&KindSchema>) -> Map<String, Json> {
        let own = |common: crate::common::CommonProperty| {
            let types = match common.name {
                "notifies" => vec![self.notifications(&self.kinds.iter().collect::<Vec<_>>())],
                "subscribes" => match kind {
                    Some(kind) => vec![self.notifications(&[kind])],
                    None => vec![self.notifications(&self.kinds.iter().collect::<Vec<_>>())],
                },
                "retries" => retries(),
                "only_if" | "not_if" => condition(),
                "requires" | "before" => references(),
                _ => alternatives(&common.ty),
            };
            let types = if matches!(common.name, "notifies" | "subscribes") { one_or_many(types) } else { types };
            (common.name.to_owned(), property(common.doc, None, types))
        };
        common_properties().into_iter().map(own).collect()
    }

    fn notifications(&self, kinds: &[&KindSchema]) -> Json {
        let mut properties = Map::new();
        for (action, doc) in kinds.iter().flat_map(|kind| kind.actions) {
            let schema = property(doc, None, references());
            properties.entry((*action).to_owned()).or_insert(schema);
        }
        properties.insert(
            "timing".to_owned(),
            json!({
                "type": "string",
                "enum": ["delayed", "immediate"],
                "default": "delayed",
                "description": "At the end of the run, once however many ask; or at once."
            }),
        );
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// What stands beside the content property of a kind that has one.
fn content_properties() -> [(String, Json); 3] {
    let text = |doc: &str| json!({ "type": "string", "description": doc });
    [
        (
            "template".to_owned(),
            text("A template of the cookbook, below templates/, that is rendered into the content."),
        ),
        (
            "vars".to_owned(),
            json!({
                "type": "object",
                "additionalProperties": true,
                "description": "Names that the template sees besides facts, attr, node, each, param and name."
            }),
        ),
        ("source".to_owned(), text("A file of the cookbook, below files/, that is the content as it is.")),
    ]
}

fn one_or_many(mut schemas: Vec<Json>) -> Vec<Json> {
    let lists: Vec<Json> = schemas.iter().map(|schema| json!({ "type": "array", "items": schema })).collect();
    schemas.extend(lists);
    schemas
}

fn references() -> Vec<Json> {
    let mut list = one_or_many(vec![json!({ "type": "string", "pattern": REFERENCE })]);
    list.push(expression());
    list
}

fn condition() -> Vec<Json> {
    vec![
        json!({ "type": "string", "description": "A line for the shell." }),
        json!({ "type": "array", "items": { "type": "string" }, "description": "A program and its arguments." }),
        json!({
            "type": "object",
            "required": ["exists"],
            "properties": { "exists": { "type": "string", "description": "It holds if something is at this path." } },
            "additionalProperties": false
        }),
    ]
}

fn retries() -> Vec<Json> {
    let count = json!({ "type": "integer", "minimum": 0, "maximum": MOST_RETRIES });
    vec![
        count.clone(),
        json!({
            "type": "object",
            "required": ["count"],
            "properties": {
                "count": count,
                "delay": { "type": "string", "default": "1s", "description": "How long to wait before each." }
            },
            "additionalProperties": false
        }),
        expression(),
    ]
}
