//! Where content comes from, if it is not written in the recipe: `template` with `vars`, or `source`.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::graph::{ContentSource, Property};
use converge_model::{Dynamic, suggest};

use super::attributes::is_identifier;
use super::context::Context;
use super::scope::{RESERVED, Scope};
use super::sources::{Findings, Place};
use super::toml::{Field, Fields};
use super::value::{dynamic_map, dynamic_text};

/// What a kind with content takes besides its own properties.
pub(crate) const CONTENT_NAMES: [&str; 3] = ["template", "vars", "source"];

/// Takes `template`, `vars` and `source` from the properties of a resource whose kind has content in `property`.
pub(crate) fn content_source(
    fields: &mut Fields<'_>,
    property: &str,
    context: &Context<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Option<ContentSource> {
    let (template, vars, source) = (fields.take("template"), fields.take("vars"), fields.take("source"));
    let written = fields.take(property);
    let mut given: Vec<&Field<'_>> = [&written, &template, &source].into_iter().flatten().collect();
    given.sort_by_key(|field| field.key_place.start);
    if let [first, second, ..] = given[..] {
        findings
            .error(second.key_place, format!("both `{}` and `{}` say what the content is", first.key, second.key))
            .related(first.key_place, "the other one")
            .help("keep one of the two");
    }
    if let (Some(vars), None) = (vars, template) {
        findings.error(vars.key_place, "`vars` without a `template` that would see them");
    }
    if let Some(written) = written {
        fields.put_back(written);
    }
    match (template, source) {
        (Some(template), _) => template_source(template, vars, context, scope, findings),
        (None, Some(source)) => {
            let path = path(source, "files", context, scope, findings)?;
            Some(ContentSource::File { path, at: findings.sources.spot(source.node.place) })
        }
        (None, None) => None,
    }
}

fn template_source(
    field: Field<'_>,
    vars: Option<Field<'_>>,
    context: &Context<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Option<ContentSource> {
    let vars = vars.and_then(|vars| read_vars(vars, scope, findings)).unwrap_or_default();
    let path = path(field, "templates", context, scope, findings)?;
    if let Some(literal) = path.as_str() {
        check_names(literal, field.node.place, &vars, context, scope, findings);
    }
    Some(ContentSource::Template { path, vars, at: findings.sources.spot(field.node.place) })
}

fn read_vars(field: Field<'_>, scope: &Scope<'_>, findings: &mut Findings<'_>) -> Option<BTreeMap<String, Property>> {
    let fields = field.node.table("`vars`", findings)?;
    for (name, place) in fields.keys() {
        if RESERVED.contains(&name) {
            findings
                .error(place, format!("the template would see `{name}` of `vars` as something else"))
                .help(format!("choose another name; these are taken: {}", RESERVED.join(", ")));
        } else if !is_identifier(&name.to_ascii_lowercase()) {
            findings
                .error(place, format!("a template cannot name `{name}`"))
                .help("use letters, digits and _, a letter first");
        }
    }
    let places: BTreeMap<&str, Place> = fields.nodes().map(|field| (field.key, field.node.place)).collect();
    let values = dynamic_map(fields, scope, findings)?;
    let with_place = |(name, value): (String, Dynamic)| {
        let at = places.get(name.as_str()).map(|place| findings.sources.spot(*place)).unwrap_or_default();
        (name, Property(value, at))
    };
    Some(values.into_iter().map(with_place).collect())
}

/// The path of a template or file of the cookbook; a literal one must be there.
fn path(
    field: Field<'_>,
    directory: &str,
    context: &Context<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Option<Dynamic> {
    let text = field.node.string(&format!("`{}`", field.key), findings)?;
    let path = dynamic_text(text, field.node.place, scope, findings)?;
    let Some(literal) = path.as_str() else { return Some(path) };
    let below = format!("cookbooks/{}/{directory}/", context.cookbook);
    if literal.split('/').any(|part| matches!(part, "" | "." | "..")) {
        findings
            .error(field.node.place, format!("`{literal}` is not a path below {below}"))
            .help("write it relative to that directory, without `.`, `..` or a slash at either end");
        return None;
    }
    if !context.repository.files.contains_key(&format!("{below}{literal}")) {
        let there: Vec<&str> = context.repository.below(&below).map(|(path, _)| path).collect();
        let nearest = suggest::nearest(literal, there.iter().copied());
        let finding = findings.error(field.node.place, format!("there is no {below}{literal}")).did_you_mean(nearest);
        if nearest.is_none() {
            finding.help(if there.is_empty() {
                format!("{below} is empty")
            } else {
                format!("there are: {}", there.into_iter().take(10).collect::<Vec<_>>().join(", "))
            });
        }
        return None;
    }
    Some(path)
}

/// Checks that a template is given every name it uses. What it lacks is reported where it is used first.
fn check_names(
    path: &str,
    used: Place,
    vars: &BTreeMap<String, Property>,
    context: &Context<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) {
    let full = format!("cookbooks/{}/templates/{path}", context.cookbook);
    let Some(template) = context.templates.get(&full) else { return };
    let Some(names) = &template.names else { return };
    let vars: BTreeSet<String> = vars.keys().cloned().collect();
    let scope = Scope { vars: Some(&vars), name: true, ..*scope };
    for (name, wrong) in scope.check(names, findings.sources.text(template.file)) {
        let place = Place { file: template.file, start: 0, end: 0 }.at(name.range.clone());
        if context.reported.borrow_mut().insert((place, name.path.join("."))) {
            wrong.report(place, Some(used), findings);
        }
    }
}
