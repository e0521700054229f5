//! What can be said of a kind's properties before any node is known: a value by itself, and several together.

use converge_model::graph::{Declaration, Property};
use converge_model::schema::Known;
use converge_model::{Dynamic, KindSchema, PropertySchema, TypeSchema, Value};
use toml::de::DeValue;

use super::sources::{Findings, Place};
use super::toml::{Field, Fields, Node};

/// Whether a property of a resource of `kind` may have a value. What is wrong is reported, as near to it as can be told.
pub(super) fn is_allowed(
    property: &PropertySchema,
    value: &Dynamic,
    field: &Field<'_>,
    kind: &str,
    findings: &mut Findings<'_>,
) -> bool {
    let checked = match value {
        Dynamic::Literal(value) => (property.check)(value)
            .map_err(|problem| culprit(property, value, field.node).unwrap_or((problem, field.node.place))),
        other => check_shape(&property.ty, other)
            .map_err(|problem| (problem, field.node.place))
            .and_then(|()| check_literal_parts(property, other, field.node)),
    };
    let Err((problem, place)) = checked else { return true };
    let finding = findings.error(place, format!("`{}` for {kind}: {problem}", field.key));
    if matches!(value, Dynamic::Text(_)) {
        finding.help("one whole `{{ expression }}`, with nothing around it, keeps its type");
    }
    false
}

/// What is wrong with a property, and where.
type Problem = (String, Place);

/// The item of a list or entry of a map that is refused by itself.
fn culprit(property: &PropertySchema, value: &Value, node: Node<'_>) -> Option<Problem> {
    match (&property.ty, value, node.value) {
        (TypeSchema::List(_), Value::List(items), DeValue::Array(nodes)) => {
            let mut items = items.iter().zip(nodes.iter());
            items.find_map(|(item, at)| item_problem(property, item, Node::new(node.place.file, at).place))
        }
        (TypeSchema::Map(_), Value::Map(entries), DeValue::Table(table)) => {
            let mut fields = Fields::new(node.place, table).rest().into_iter();
            fields.find_map(|field| entry_problem(property, field.key, entries.get(field.key)?, field.key_place))
        }
        _ => None,
    }
}

/// The items and entries that need no node to be judged, where others do.
fn check_literal_parts(property: &PropertySchema, value: &Dynamic, node: Node<'_>) -> Result<(), Problem> {
    let problem = match (&property.ty, value, node.value) {
        (TypeSchema::List(_), Dynamic::List(items), DeValue::Array(nodes)) => {
            let mut items = items.iter().zip(nodes.iter());
            items.find_map(|(item, at)| item_problem(property, item.literal()?, Node::new(node.place.file, at).place))
        }
        (TypeSchema::Map(_), Dynamic::Map(entries), DeValue::Table(table)) => {
            let mut fields = Fields::new(node.place, table).rest().into_iter();
            fields.find_map(|field| {
                entry_problem(property, field.key, entries.get(field.key)?.literal()?, field.key_place)
            })
        }
        _ => None,
    };
    problem.map_or(Ok(()), Err)
}

fn item_problem(property: &PropertySchema, item: &Value, place: Place) -> Option<Problem> {
    let problem = (property.check)(&Value::List(vec![item.clone()])).err()?;
    // It is the first of the list that was made for it; its place says which one it is of the author's.
    Some((problem.strip_prefix("item 1: ").map(str::to_owned).unwrap_or(problem), place))
}

fn entry_problem(property: &PropertySchema, key: &str, value: &Value, place: Place) -> Option<Problem> {
    let alone = Value::Map([(key.to_owned(), value.clone())].into());
    Some(((property.check)(&alone).err()?, place))
}

/// What was read of a declaration, to be held against the rules of its kind.
pub(super) struct Judged<'a> {
    /// Its name, if there is nothing wrong with it.
    pub(super) name: Option<&'a Dynamic>,
    /// What it is written as.
    pub(super) field: &'a Field<'a>,
    /// The properties that were read.
    pub(super) declaration: &'a Declaration,
    /// Those that are written, right or wrong.
    pub(super) written: &'a [Field<'a>],
    /// The property whose value a template or file gives.
    pub(super) content: Option<&'a str>,
}

impl Judged<'_> {
    /// Reports each rule that is broken whatever the node: at the first property that it is about, or at the name.
    pub(super) fn report_broken_rules(&self, schema: &KindSchema, findings: &mut Findings<'_>) {
        let name = self.name.and_then(Dynamic::as_str);
        for broken in (schema.judge)(name, &|property| self.known(property)) {
            let written = |name: &&str| self.written.iter().find(|field| field.key == *name);
            let mut places = broken.properties.iter().filter_map(|name| Some(written(name)?.node.place));
            let first = places.next().unwrap_or(self.field.key_place);
            let message = format!("{}[{}]: {}", schema.name, self.field.key, broken.problem);
            let finding = findings.error(first, message);
            places.fold(finding, |finding, place| finding.related(place, "together with this"));
        }
    }

    fn known(&self, name: &str) -> Known<'_> {
        match self.declaration.properties.get(name) {
            Some(Property(Dynamic::Literal(value), _)) => Known::Value(value),
            Some(_) => Known::Later,
            // What is wrong by itself was reported, and says nothing about the others.
            None if self.content == Some(name) || self.written.iter().any(|field| field.key == name) => Known::Later,
            None => Known::Absent,
        }
    }
}

/// Whether what a value will be can be of a type. An expression can be anything.
fn check_shape(ty: &TypeSchema, value: &Dynamic) -> Result<(), String> {
    let found = match value {
        Dynamic::Literal(_) | Dynamic::Expression(_) => return Ok(()),
        Dynamic::Text(_) => "text",
        Dynamic::List(_) => "a list",
        Dynamic::Map(_) => "a map",
    };
    match (ty, value) {
        (TypeSchema::Any, _)
        | (TypeSchema::Text { .. } | TypeSchema::OneOf(_) | TypeSchema::Content, Dynamic::Text(_)) => Ok(()),
        (TypeSchema::List(item), Dynamic::List(items)) => items.iter().try_for_each(|each| check_shape(item, each)),
        (TypeSchema::Map(item), Dynamic::Map(entries)) => entries.values().try_for_each(|each| check_shape(item, each)),
        (TypeSchema::Either(types), _) if types.iter().any(|ty| check_shape(ty, value).is_ok()) => Ok(()),
        _ => Err(format!("expected {}, found {found}", describe(ty))),
    }
}

fn describe(ty: &TypeSchema) -> String {
    match ty {
        TypeSchema::Boolean => "`true` or `false`".to_owned(),
        TypeSchema::Integer { .. } => "an integer".to_owned(),
        TypeSchema::Text { what, .. } => (*what).to_owned(),
        TypeSchema::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        TypeSchema::List(_) => "a list".to_owned(),
        TypeSchema::Map(_) => "a map".to_owned(),
        TypeSchema::Either(types) => types.iter().map(describe).collect::<Vec<_>>().join(" or "),
        TypeSchema::Content => "text".to_owned(),
        TypeSchema::Any => "any value".to_owned(),
    }
}
