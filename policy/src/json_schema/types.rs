//! The types of properties, as JSON Schema has them.

use converge_model::graph::{AttributeDeclaration, AttributeType, Number};
use converge_model::{TypeSchema, Value};
use serde_json::{Map, Value as Json, json};

/// Text that holds an expression.
pub(super) fn expression() -> Json {
    json!({ "type": "string", "pattern": "\\{\\{", "description": "An expression: {{ … }}" })
}

/// The schema of a property: what it means, its default, and its type or an expression.
pub(super) fn property(doc: &str, default: Option<&Value>, alternatives: Vec<Json>) -> Json {
    let mut schema = any_of(alternatives);
    schema.insert("description".to_owned(), json!(doc));
    if let Some(default) = default {
        schema.insert("default".to_owned(), json!(default));
    }
    Json::Object(schema)
}

/// A schema that takes what any of these takes.
pub(super) fn any_of(mut alternatives: Vec<Json>) -> Map<String, Json> {
    match (alternatives.len(), alternatives.pop()) {
        (1, Some(Json::Object(only))) => only,
        (_, Some(last)) => {
            alternatives.push(last);
            Map::from_iter([("anyOf".to_owned(), Json::Array(alternatives))])
        }
        (_, None) => Map::new(),
    }
}

/// What a value of a type may be: the type itself, or an expression that gives it.
pub(super) fn alternatives(ty: &TypeSchema) -> Vec<Json> {
    let mut list = literal(ty);
    if !list.iter().any(takes_any_text) {
        list.push(expression());
    }
    list
}

fn takes_any_text(schema: &Json) -> bool {
    let is_text = schema.get("type").is_none_or(|ty| ty == "string");
    is_text && ["pattern", "enum", "anyOf", "$ref"].iter().all(|key| schema.get(key).is_none())
}

fn literal(ty: &TypeSchema) -> Vec<Json> {
    match ty {
        TypeSchema::Boolean => vec![json!({ "type": "boolean" })],
        TypeSchema::Integer { minimum, maximum } => {
            let mut schema = json!({ "type": "integer" });
            if *minimum != i64::MIN {
                schema["minimum"] = json!(minimum);
            }
            if *maximum != i64::MAX {
                schema["maximum"] = json!(maximum);
            }
            vec![schema]
        }
        TypeSchema::Text { pattern: None, .. } | TypeSchema::Content => vec![json!({ "type": "string" })],
        TypeSchema::Text { pattern: Some(pattern), .. } => vec![json!({ "type": "string", "pattern": pattern })],
        TypeSchema::OneOf(words) => vec![json!({ "type": "string", "enum": words })],
        TypeSchema::List(item) => vec![json!({ "type": "array", "items": any_of(alternatives(item)) })],
        TypeSchema::Map(item) => vec![json!({ "type": "object", "additionalProperties": any_of(alternatives(item)) })],
        TypeSchema::Either(types) => types.iter().flat_map(literal).collect(),
        TypeSchema::Any => vec![json!({})],
    }
}

/// What the value of a declared attribute or parameter may be.
pub(super) fn declared(declaration: &AttributeDeclaration) -> Json {
    let number = |number: Number| match number {
        Number::Integer(number) => json!(number),
        Number::Float(number) => json!(number),
    };
    let mut schema = match declaration.ty {
        AttributeType::String => json!({ "type": "string" }),
        AttributeType::Integer => json!({ "type": "integer" }),
        AttributeType::Float => json!({ "type": "number" }),
        AttributeType::Boolean => json!({ "type": "boolean" }),
        AttributeType::List => json!({ "type": "array", "items": {} }),
        AttributeType::Map => json!({ "type": "object", "additionalProperties": true }),
    };
    if let Some(minimum) = declaration.minimum {
        schema["minimum"] = number(minimum);
    }
    if let Some(maximum) = declaration.maximum {
        schema["maximum"] = number(maximum);
    }
    if !declaration.one_of.is_empty() {
        schema["enum"] = json!(declaration.one_of);
    }
    if let Some(pattern) = &declaration.pattern {
        schema["pattern"] = json!(format!("^({pattern})$"));
    }
    let mut alternatives = vec![schema];
    if !alternatives.iter().any(takes_any_text) {
        alternatives.push(expression());
    }
    let default = declaration.default.as_ref().and_then(|default| default.0.literal());
    property(&declaration.description, default.filter(|_| !declaration.secret), alternatives)
}
