//! cookbook.toml: what a cookbook is called, what it depends on, and which attributes it declares.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::{order, suggest};
use semver::{Version, VersionReq};

use super::attributes::{Defaults, Sort, declarations, read_defaults};
use super::scope::{AttributeTable, Readable, Scope};
use super::sources::{Findings, Place};
use super::toml::{Field, Fields};
use crate::supports::Supported;

const KEYS: [&str; 7] = ["name", "version", "description", "license", "supports", "depends", "attributes"];

/// A cookbook, as its cookbook.toml has it.
#[derive(Debug)]
pub(crate) struct Cookbook<'t> {
    /// Its name, which is that of its directory.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: Version,
    /// Where the version is written.
    version_place: Place,
    /// Where it runs.
    pub(crate) supports: Vec<String>,
    /// What it depends on, with the place and the versions that it takes.
    depends: BTreeMap<String, (Place, Option<VersionReq>)>,
    /// The names of the cookbooks that it depends on.
    pub(crate) depends_on: BTreeSet<String>,
    defaults: Defaults<'t>,
}

/// Checks the name of a cookbook: expressions must be able to name it.
pub(crate) fn check_cookbook_name(name: &str) -> Result<(), String> {
    converge_model::id::check_kind_name(name).map_err(|_| {
        format!("`{name}` cannot be the name of a cookbook: use lower-case letters, digits and _, a letter first")
    })
}

/// Reads a cookbook.toml. The cookbook's attributes go into the table.
pub(crate) fn cookbook<'t>(
    name: &str,
    mut fields: Fields<'t>,
    attributes: &mut AttributeTable,
    findings: &mut Findings<'_>,
) -> Cookbook<'t> {
    if let Err(error) = check_cookbook_name(name) {
        findings.error(fields.place, error).help("rename its directory");
    }
    match fields.string("name", findings) {
        Some((written, place)) if written != name => {
            findings
                .error(place, format!("cookbook `{written}` is in the directory cookbooks/{name}"))
                .label(format!("write \"{name}\", or rename the directory"));
        }
        Some(_) => {}
        None => {
            findings.error(fields.place, "the cookbook has no `name`").help(format!("add `name = \"{name}\"`"));
        }
    }
    let (version, version_place) = version(&mut fields, findings);
    for key in ["description", "license"] {
        fields.string(key, findings);
    }
    let supports = supports(&mut fields, findings);
    let depends = depends(&mut fields, findings);
    let (declared, defaults) = declarations(fields.take("attributes"), Sort::Attribute, findings);
    fields.finish("cookbook.toml", &KEYS, findings);
    attributes.insert(name.to_owned(), declared);
    let depends_on = depends.keys().cloned().collect();
    Cookbook { name: name.to_owned(), version, version_place, supports, depends, depends_on, defaults }
}

fn version(fields: &mut Fields<'_>, findings: &mut Findings<'_>) -> (Version, Place) {
    let none = Version::new(0, 0, 0);
    let Some((text, place)) = fields.string("version", findings) else {
        findings.error(fields.place, "the cookbook has no `version`").help("add `version = \"1.0.0\"`");
        return (none, fields.place);
    };
    match Version::parse(text) {
        Ok(version) => (version, place),
        Err(error) => {
            findings
                .error(place, format!("`{text}` is no version: {error}"))
                .help("a version has three numbers, such as \"1.4.0\" (https://semver.org)");
            (none, place)
        }
    }
}

fn supports(fields: &mut Fields<'_>, findings: &mut Findings<'_>) -> Vec<String> {
    let mut list = Vec::new();
    for (text, place) in fields.strings("supports", findings) {
        match text.parse::<Supported>() {
            Ok(_) => list.push(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            Err(error) => {
                findings
                    .error(place, error)
                    .help("write for example \"debian\" or \"debian >= 11\" (operators: >=, >, <=, <, =)");
            }
        }
    }
    list
}

fn depends(fields: &mut Fields<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, (Place, Option<VersionReq>)> {
    let table = fields.take("depends").and_then(|field| field.node.table("`depends`", findings));
    let read = |field: Field<'_>| {
        let requirement = field.node.string(&format!("the versions of `{}`", field.key), findings).and_then(|text| {
            VersionReq::parse(text)
                .map_err(|error| {
                    findings
                        .error(field.node.place, format!("`{text}` is no version requirement: {error}"))
                        .help("write for example \"^2\", \">= 1.2, < 3\" or \"*\"");
                })
                .ok()
        });
        (field.key.to_owned(), (field.key_place, requirement))
    };
    table.map(|fields| fields.rest().into_iter().map(read).collect()).unwrap_or_default()
}

/// Checks what needs all cookbooks: that those depended on are there, in a version that will do, and not in a circle.
/// `known` are the cookbooks of the repository.
pub(crate) fn check_dependencies(
    cookbooks: &BTreeMap<String, Cookbook<'_>>,
    known: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) {
    for cookbook in cookbooks.values() {
        for (name, (place, requirement)) in &cookbook.depends {
            let Some(other) = cookbooks.get(name) else {
                if !known.contains(name.as_str()) {
                    findings
                        .error(*place, format!("cookbook `{name}` is not in the repository"))
                        .did_you_mean(suggest::nearest(name, known.iter().copied()));
                }
                continue;
            };
            if let Some(requirement) = requirement.as_ref().filter(|wanted| !wanted.matches(&other.version)) {
                findings
                    .error(*place, format!("cookbook `{}` needs `{name}` {requirement}", cookbook.name))
                    .label(format!("the repository has {}", other.version))
                    .related(other.version_place, "its version");
            }
        }
    }
    check_circles(cookbooks, findings);
}

fn check_circles(cookbooks: &BTreeMap<String, Cookbook<'_>>, findings: &mut Findings<'_>) {
    let index: BTreeMap<&str, usize> = cookbooks.keys().map(String::as_str).zip(0..).collect();
    let list: Vec<&Cookbook<'_>> = cookbooks.values().collect();
    let edges: Vec<(usize, usize)> = list
        .iter()
        .enumerate()
        .flat_map(|(own, cookbook)| cookbook.depends_on.iter().map(move |name| (name, own)))
        .filter_map(|(name, own)| Some((*index.get(name.as_str())?, own)))
        .collect();
    let Err(circle) = order::order(list.len(), &edges) else { return };
    // An edge leads from what is depended on to who depends on it; people read it the other way round.
    let names: Vec<&Cookbook<'_>> = circle.iter().rev().filter_map(|&at| list.get(at).copied()).collect();
    let Some(first) = names.first() else { return };
    let chain = names.iter().chain([first]).map(|cookbook| cookbook.name.as_str()).collect::<Vec<_>>().join(" → ");
    let place = |at: usize| {
        let next = names.get((at + 1) % names.len())?;
        names.get(at)?.depends.get(&next.name).map(|(place, _)| *place)
    };
    let Some(start) = place(0) else { return };
    let mut finding = findings
        .error(start, format!("cookbooks depend on each other in a circle: {chain}"))
        .help("move what both need into a cookbook of its own");
    for at in 1..names.len() {
        if let Some(place) = place(at) {
            finding = finding.related(place, "and here");
        }
    }
}

/// Reads the defaults of all attributes, which may name attributes of other cookbooks.
pub(crate) fn fill_defaults(
    cookbooks: &BTreeMap<String, Cookbook<'_>>,
    attributes: &mut AttributeTable,
    findings: &mut Findings<'_>,
) {
    let mut all = Vec::new();
    for (name, cookbook) in cookbooks {
        let readable = Readable::From { cookbook: name, depends: &cookbook.depends_on };
        if let Some(declared) = attributes.get(name) {
            all.push((name, read_defaults(declared, &cookbook.defaults, &Scope::new(attributes, readable), findings)));
        }
    }
    for (name, defaults) in all {
        for (attribute, default) in defaults {
            if let Some(declared) = attributes.get_mut(name).and_then(|declared| declared.get_mut(&attribute)) {
                declared.default = Some(default);
            }
        }
    }
}
