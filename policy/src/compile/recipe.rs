//! A recipe, and a custom kind: files of declarations.

use std::collections::BTreeMap;

use converge_model::graph::AttributeDeclaration;
use toml::de::DeValue;

use super::attributes::{Defaults, Sort, declarations as parameters, read_defaults};
use super::context::{Context, CustomHead, Schemas};
use super::declaration::{Declared, declarations};
use super::names::Names;
use super::scope::Scope;
use super::sources::{Findings, Place};
use super::toml::{Field, Fields, unknown_key};
use crate::common::COMMON_NAMES;

/// A recipe.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The cookbook that it belongs to.
    pub(crate) cookbook: String,
    /// Whether its resources do not wait for each other.
    pub(crate) unordered: bool,
    /// The recipes that it requires, by full name.
    pub(crate) requires: Vec<(String, Place)>,
    /// Its resources, in the order in which they are written.
    pub(crate) resources: Vec<Declared>,
}

/// What a custom kind consists of.
#[derive(Debug)]
pub(crate) struct CustomBody {
    /// Whether its resources do not wait for each other.
    pub(crate) unordered: bool,
    /// Its resources, in the order in which they are written.
    pub(crate) resources: Vec<Declared>,
}

/// Reads a recipe.
pub(crate) fn recipe(
    name: &str,
    mut fields: Fields<'_>,
    names: &Names<'_>,
    context: &Context<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Recipe {
    let good = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !good(name) || name.is_empty() {
        findings
            .error(fields.place, format!("`{name}` cannot be the name of a recipe"))
            .help("rename the file: letters, digits, _ and -");
    }
    fields.string("description", findings);
    let unordered = unordered(&mut fields, findings);
    let mut requires = Vec::new();
    for (written, place) in fields.strings("requires", findings) {
        if let Some(other) = names.recipe(written, place, findings) {
            if other == format!("{}::{name}", context.cookbook) {
                findings.error(place, "the recipe requires itself");
            } else {
                requires.push((other, place));
            }
        }
    }
    let kinds = kinds(fields, "the recipe", &["description", "ordered", "requires"], findings);
    let resources = declarations(kinds, context, scope, findings);
    Recipe { cookbook: context.cookbook.to_owned(), unordered, requires, resources }
}

fn unordered(fields: &mut Fields<'_>, findings: &mut Findings<'_>) -> bool {
    let ordered = fields.take("ordered").and_then(|field| field.node.boolean("`ordered`", findings));
    ordered == Some(false)
}

/// The tables among what is left of a document: they are kinds. Everything else is reported.
fn kinds<'t>(fields: Fields<'t>, what: &str, known: &[&str], findings: &mut Findings<'_>) -> Vec<Field<'t>> {
    let mut kinds = Vec::new();
    for field in fields.rest() {
        match field.node.value {
            DeValue::Table(_) => kinds.push(field),
            DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                findings
                    .error(field.key_place, "a resource needs a name")
                    .help(format!("write [{}.NAME], with single brackets", field.key));
            }
            _ => unknown_key(&field, what, known, findings),
        }
    }
    kinds
}

/// What is left of a custom kind's document once its head was read.
#[derive(Debug)]
pub(crate) struct CustomRest<'t> {
    fields: Fields<'t>,
    defaults: Defaults<'t>,
}

/// Reads the head of a custom kind: its name, and its parameters but for their defaults.
pub(crate) fn custom_head<'t>(
    cookbook: &str,
    stem: &str,
    mut fields: Fields<'t>,
    schemas: &Schemas,
    findings: &mut Findings<'_>,
) -> (String, CustomHead, CustomRest<'t>) {
    let place = fields.place;
    let name = format!("{cookbook}_{stem}");
    if let Err(error) = converge_model::id::check_kind_name(&name) {
        findings.error(place, error).help(format!("rename {stem}.toml: lower-case letters, digits and _"));
    } else if schemas.contains_key(name.as_str()) {
        findings.error(place, format!("the kind `{name}` is built in")).help(format!("rename {stem}.toml"));
    }
    let table = fields.take("parameters");
    let (parameters, defaults) = parameters(table, Sort::Parameter, findings);
    let taken: Vec<&String> = parameters.keys().filter(|name| COMMON_NAMES.contains(&name.as_str())).collect();
    for name in taken {
        findings
            .error(table.map_or(place, |field| field.key_place), format!("every kind has a property `{name}` already"))
            .help("choose another name for the parameter");
    }
    (name, CustomHead { cookbook: cookbook.to_owned(), parameters }, CustomRest { fields, defaults })
}

/// Reads the defaults of a custom kind's parameters. They see facts, node and attributes.
pub(crate) fn fill_parameters(
    parameters: &mut BTreeMap<String, AttributeDeclaration>,
    rest: &CustomRest<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) {
    for (name, default) in read_defaults(parameters, &rest.defaults, scope, findings) {
        if let Some(declared) = parameters.get_mut(&name) {
            declared.default = Some(default);
        }
    }
}

/// Reads what a custom kind consists of.
pub(crate) fn custom_body(
    rest: CustomRest<'_>,
    context: &Context<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> CustomBody {
    let mut fields = rest.fields;
    fields.string("description", findings);
    let unordered = unordered(&mut fields, findings);
    let kinds = kinds(fields, "the custom kind", &["description", "ordered", "parameters"], findings);
    CustomBody { unordered, resources: declarations(kinds, context, scope, findings) }
}
