//! Declarations of attributes and parameters, and values that are set for them.

use std::collections::BTreeMap;

use converge_model::graph::{AttributeDeclaration, AttributeType, Number, Property};
use converge_model::{Dynamic, Value, suggest};
use toml::de::DeValue;

use super::scope::Scope;
use super::sources::{Findings, Place};
use super::toml::{Field, Fields, Node};
use super::value::dynamic;
use crate::attribute;

/// What a declaration takes.
const KEYS: [&str; 10] = [
    "type",
    "description",
    "default",
    "required",
    "minimum",
    "maximum",
    "one_of",
    "pattern",
    "secret",
    "node_settable",
];

/// Whether attributes or parameters are declared: they are told apart only in words, and a parameter is set by a recipe
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Of a cookbook.
    Attribute,
    /// Of a custom kind.
    Parameter,
}

impl Sort {
    fn word(self) -> &'static str {
        match self {
            Sort::Attribute => "attribute",
            Sort::Parameter => "parameter",
        }
    }
}

/// Defaults that are still to be read, once all attributes are known.
pub(crate) type Defaults<'t> = Vec<(&'t str, Node<'t>)>;

/// Reads `[attributes.…]` or `[parameters.…]`, all but the defaults.
pub(crate) fn declarations<'t>(
    table: Option<Field<'t>>,
    sort: Sort,
    findings: &mut Findings<'_>,
) -> (BTreeMap<String, AttributeDeclaration>, Defaults<'t>) {
    let (mut declared, mut defaults) = (BTreeMap::new(), Vec::new());
    let Some(fields) = table.and_then(|field| field.node.table(&format!("`{}s`", sort.word()), findings)) else {
        return (declared, defaults);
    };
    for field in fields.rest() {
        if !is_identifier(field.key) {
            findings
                .error(field.key_place, format!("`{}` cannot be the name of an {}", field.key, sort.word()))
                .help("use lower-case letters, digits and _, a letter first: expressions must be able to name it");
            continue;
        }
        let subject = format!("{} `{}`", sort.word(), field.key);
        let Some(fields) = field.node.table(&subject, findings) else { continue };
        if let Some(declaration) = declaration(fields, &field, sort, &mut defaults, findings) {
            declared.insert(field.key.to_owned(), declaration);
        }
    }
    (declared, defaults)
}

/// Whether an expression can name it: `[a-z_][a-z0-9_]*`.
pub(crate) fn is_identifier(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
}

fn declaration<'t>(
    mut fields: Fields<'t>,
    field: &Field<'t>,
    sort: Sort,
    defaults: &mut Defaults<'t>,
    findings: &mut Findings<'_>,
) -> Option<AttributeDeclaration> {
    let ty = attribute_type(&mut fields, field, sort, findings);
    let number = |found: Option<Field<'_>>, findings: &mut Findings<'_>| {
        let field = found?;
        match literal(field.node, findings)? {
            Value::Integer(number) => Some((Number::Integer(number), field.key_place)),
            Value::Float(number) => Some((Number::Float(number), field.key_place)),
            _ => {
                findings.error(field.node.place, format!("`{}` must be a number", field.key));
                None
            }
        }
    };
    let minimum = number(fields.take("minimum"), findings);
    let maximum = number(fields.take("maximum"), findings);
    let one_of = fields.take("one_of");
    let pattern = fields.string("pattern", findings);
    let default = fields.take("default");
    let required = fields.take("required");
    let declared = AttributeDeclaration {
        ty: ty?,
        minimum: minimum.map(|(number, _)| number),
        maximum: maximum.map(|(number, _)| number),
        one_of: Vec::new(),
        pattern: pattern.map(|(pattern, _)| pattern.to_owned()),
        required: required.and_then(|field| field.node.boolean("`required`", findings)).unwrap_or(false),
        secret: fields.boolean("secret", findings),
        node_settable: if sort == Sort::Attribute { fields.boolean("node_settable", findings) } else { false },
        default: None,
        description: fields.string("description", findings).map_or_else(String::new, |(text, _)| text.to_owned()),
        at: findings.sources.position(field.key_place),
    };
    check_bounds(&declared, minimum.or(maximum).map(|(_, place)| place), pattern.map(|(_, place)| place), findings);
    let known = if sort == Sort::Attribute { &KEYS[..] } else { &KEYS[..KEYS.len() - 1] };
    fields.finish(&format!("{} `{}`", sort.word(), field.key), known, findings);
    if let (Some(required), Some(default)) = (required.filter(|_| declared.required), default) {
        findings
            .error(required.key_place, format!("`{}` is required and has a default", field.key))
            .related(default.key_place, "the default")
            .help("with a default it never lacks a value: drop one of the two");
    }
    let one_of = one_of.map(|found| words(found, &declared, findings)).unwrap_or_default();
    defaults.extend(default.map(|default| (field.key, default.node)));
    Some(AttributeDeclaration { one_of, ..declared })
}

fn attribute_type(
    fields: &mut Fields<'_>,
    field: &Field<'_>,
    sort: Sort,
    findings: &mut Findings<'_>,
) -> Option<AttributeType> {
    let words = || AttributeType::ALL.iter().map(|(word, _)| *word);
    let all = || words().collect::<Vec<_>>().join(", ");
    if let Some(found) = fields.take("type") {
        let word = found.node.string("`type`", findings)?;
        let ty = AttributeType::ALL.iter().find(|(known, _)| *known == word).map(|(_, ty)| *ty);
        if ty.is_none() {
            findings
                .error(found.node.place, format!("unknown type `{word}`"))
                .did_you_mean(suggest::nearest(word, words()))
                .help(format!("types are {}", all()));
        }
        return ty;
    }
    findings
        .error(field.key_place, format!("{} `{}` has no type", sort.word(), field.key))
        .help(format!("add `type = \"string\"`; types are {}", all()));
    None
}

fn check_bounds(
    declared: &AttributeDeclaration,
    bound: Option<Place>,
    pattern: Option<Place>,
    findings: &mut Findings<'_>,
) {
    let is_number = matches!(declared.ty, AttributeType::Integer | AttributeType::Float);
    if let Some(place) = bound.filter(|_| !is_number) {
        findings.error(place, format!("a {} has no minimum or maximum", declared.ty.word()));
    }
    if let (Some(minimum), Some(maximum), Some(place)) = (declared.minimum, declared.maximum, bound)
        && is_number
        && attribute::compare(minimum, maximum).is_gt()
    {
        findings.error(place, "the minimum is greater than the maximum");
    }
    if let (Some(text), Some(place)) = (&declared.pattern, pattern) {
        if declared.ty != AttributeType::String {
            findings.error(place, format!("a {} has no pattern", declared.ty.word()));
        } else if let Err(error) = attribute::check_pattern(text) {
            findings.error(place, format!("the pattern is no regular expression: {error}"));
        }
    }
}

fn words(found: Field<'_>, declared: &AttributeDeclaration, findings: &mut Findings<'_>) -> Vec<Value> {
    let items = found.node.list("`one_of`", findings).unwrap_or_default();
    let word = |node: Node<'_>| {
        let value = literal(node, findings)?;
        if let Err(error) = attribute::check(declared, &value) {
            findings.error(node.place, error);
            return None;
        }
        Some(value)
    };
    items.into_iter().filter_map(word).collect()
}

/// A value with no expressions in it.
fn literal(node: Node<'_>, findings: &mut Findings<'_>) -> Option<Value> {
    let nothing = BTreeMap::new();
    let nobody = std::collections::BTreeSet::new();
    let scope = Scope::new(&nothing, super::scope::Readable::Policy(&nobody));
    match dynamic(node, &scope, findings)? {
        Dynamic::Literal(value) => Some(value),
        _ => {
            findings.error(node.place, "this cannot be an expression");
            None
        }
    }
}

/// Reads the defaults, now that all attributes are known.
pub(crate) fn read_defaults(
    declared: &BTreeMap<String, AttributeDeclaration>,
    defaults: &Defaults<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, Property> {
    let read = |(name, node): &(&str, Node<'_>)| {
        let value = value_for(declared.get(*name)?, *node, scope, findings)?;
        Some(((*name).to_owned(), Property(value, findings.sources.spot(node.place))))
    };
    defaults.iter().filter_map(read).collect()
}

/// Reads a value for an attribute or parameter, and checks what can be checked before it is evaluated.
pub(crate) fn value_for(
    declared: &AttributeDeclaration,
    node: Node<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Option<Dynamic> {
    let value = dynamic(node, scope, findings)?;
    let checked = match &value {
        Dynamic::Literal(value) => attribute::check(declared, value),
        Dynamic::Expression(_) => Ok(()),
        Dynamic::Text(_) => must_be(declared.ty, AttributeType::String, "text"),
        Dynamic::List(_) => must_be(declared.ty, AttributeType::List, "a list"),
        Dynamic::Map(_) => must_be(declared.ty, AttributeType::Map, "a map"),
    };
    match checked {
        Ok(()) => Some(value),
        Err(error) => {
            let finding = findings.error(node.place, error);
            if matches!(value, Dynamic::Text(_)) && matches!(node.value, DeValue::String(_)) {
                finding.help("one whole `{{ expression }}`, with nothing around it, keeps its type");
            }
            None
        }
    }
}

fn must_be(declared: AttributeType, found: AttributeType, what: &str) -> Result<(), String> {
    if declared == found { Ok(()) } else { Err(format!("expected {}, found {what}", article(declared))) }
}

fn article(ty: AttributeType) -> String {
    let word = ty.word();
    format!("{} {word}", if word.starts_with('i') { "an" } else { "a" })
}
