//! The OpenAPI document of the API: made of the table of routes, and of the types that go over the wire.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Json;
use converge_protocol::{Problem, limits};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::authority::{Need, Route};
use super::routes::table;

/// Makes the schema of a type, and keeps those that it leans on.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What goes over the wire in one direction.
#[derive(Clone, Copy, Default)]
pub(super) enum Content {
    /// Nothing.
    #[default]
    Nothing,
    /// A JSON document of this type.
    Document(SchemaOf),
    /// A JSON document that is described elsewhere: where.
    Elsewhere(&'static str),
    /// The bytes of a blob.
    Blob,
    /// Text for people, or for who watches the store.
    Text,
}

/// What the document says of a route, beside what the table needs by itself.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    /// What it is for, in a sentence.
    pub(super) what: &'static str,
    /// What may stand behind the `?`.
    pub(super) query: Option<SchemaOf>,
    /// The body of the request.
    pub(super) takes: Content,
    /// How long that may be, where it is not as long as all others.
    pub(super) at_most: Option<u64>,
    /// The body of the answer.
    pub(super) gives: Content,
}

impl Route {
    /// The same, with what it is for.
    pub(super) fn says(mut self, what: &'static str) -> Self {
        self.told.what = what;
        self
    }

    /// The same, with what may stand behind the `?`.
    pub(super) fn asked<T: JsonSchema>(mut self) -> Self {
        self.told.query = Some(T::json_schema);
        self
    }

    /// The same, with the document that it takes.
    pub(super) fn takes<T: JsonSchema>(mut self) -> Self {
        self.told.takes = Content::Document(|schemas| schemas.subschema_for::<T>());
        self
    }

    /// The same, with what it takes, where that is described elsewhere.
    pub(super) fn takes_what(mut self, what: &'static str) -> Self {
        self.told.takes = Content::Elsewhere(what);
        self
    }

    /// The same, taking the bytes of a blob.
    pub(super) fn takes_blob(mut self) -> Self {
        self.told.takes = Content::Blob;
        self
    }

    /// The same, with how many bytes it takes.
    pub(super) fn at_most(mut self, bytes: u64) -> Self {
        self.told.at_most = Some(bytes);
        self
    }

    /// The same, with what it gives, where that is described elsewhere.
    pub(super) fn gives_what(mut self, what: &'static str) -> Self {
        self.told.gives = Content::Elsewhere(what);
        self
    }

    /// The same, giving the bytes of a blob.
    pub(super) fn gives_blob(mut self) -> Self {
        self.told.gives = Content::Blob;
        self
    }

    /// The same, giving text.
    pub(super) fn gives_text(mut self) -> Self {
        self.told.gives = Content::Text;
        self
    }

    /// The same, with the document that it gives.
    pub(super) fn gives<T: JsonSchema>(mut self) -> Self {
        self.told.gives = Content::Document(|schemas| schemas.subschema_for::<T>());
        self
    }
}

/// The document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Problem>();
    let mut paths: BTreeMap<&'static str, Map<String, Value>> = BTreeMap::new();
    for route in table() {
        let operation = operation(&route, &mut schemas);
        paths.entry(route.path).or_default().insert(route.method.as_str().to_lowercase(), operation);
    }
    let definitions: Map<String, Value> = schemas.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Converge store",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!(
                "Lists are handed out a page at a time, {} items at most: `next` is what to give as `after` to get the next one, \
                 and a page without it is the last. Every answer carries `x-request-id`, as the store's log has it. Every error is \
                 a problem document (RFC 9457). Bodies are JSON of {} bytes at most where it does not say otherwise; they may not \
                 be silent for longer than 10 seconds.",
                limits::PAGE_ITEMS,
                limits::BODY_BYTES
            ),
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "operator": { "type": "http", "scheme": "bearer", "description": "An operator's token." },
                "node": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "`Converge-Key …`: a signature by the node's key over method, path, query and body, good for a \
                                    minute and once.",
                },
            },
            "responses": {
                "problem": {
                    "description": "It was not done, and why.",
                    "content": { converge_protocol::problem::PROBLEM_JSON: { "schema": problem } },
                },
            },
        },
    })
}

/// Gives the document.
pub(super) async fn show() -> Json<&'static Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi);
    Json(&*DOCUMENT)
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": of_path(name) } }))
        .collect();
    if let Some(query) = route.told.query {
        parameters.extend(of_query(query(schemas)));
    }
    let gives = content(route.told.gives, schemas);
    let status = if gives.is_some() { "200" } else { "204" };
    let mut answer = json!({ "description": if gives.is_some() { "It was done." } else { "It was done; there is nothing to say." } });
    if let Some(content) = gives {
        answer["content"] = content;
    }
    let mut operation = json!({
        "summary": route.told.what,
        "description": needs(route.need),
        "parameters": parameters,
        "responses": { status: answer, "default": { "$ref": "#/components/responses/problem" } },
        "security": security(route.need),
        "x-audited": route.recorded,
    });
    if let Some(content) = content(route.told.takes, schemas) {
        operation["requestBody"] = json!({ "required": true, "content": content });
        operation["x-most-bytes"] = json!(route.told.at_most.unwrap_or(limits::BODY_BYTES as u64));
    }
    operation
}

fn of_path(name: &str) -> &'static str {
    if name == "serial" { "integer" } else { "string" }
}

/// The parameters that a query is.
fn of_query(schema: Schema) -> Vec<Value> {
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({ "name": name, "in": "query", "required": false, "description": description.unwrap_or_default(), "schema": schema })
    };
    properties.into_iter().map(parameter).collect()
}

fn content(content: Content, schemas: &mut SchemaGenerator) -> Option<Value> {
    Some(match content {
        Content::Nothing => return None,
        Content::Document(schema) => json!({ "application/json": { "schema": schema(schemas) } }),
        Content::Elsewhere(place) => json!({ "application/json": { "schema": { "description": place } } }),
        Content::Blob => json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } }),
        Content::Text => json!({ "text/plain": { "schema": { "type": "string" } } }),
    })
}

fn needs(need: Need) -> String {
    match need {
        Need::Nothing => "Anybody may ask.".to_owned(),
        Need::JoinToken => "Needs a join token, which is in the body.".to_owned(),
        Need::NodeKey => "Needs the key of a node.".to_owned(),
        Need::NodeKeyOr(role) => format!("Needs the key of a node, or an operator of the role {role}."),
        Need::Role(role) => format!("Needs an operator of the role {role}."),
    }
}

fn security(need: Need) -> Value {
    let (operator, node) = (json!({ "operator": [] }), json!({ "node": [] }));
    match need {
        Need::Nothing | Need::JoinToken => json!([]),
        Need::NodeKey => json!([node]),
        Need::NodeKeyOr(_) => json!([node, operator]),
        Need::Role(_) => json!([operator]),
    }
}
