//! policies/NAME.toml: what a node of a policy is. Also converge.toml, which says where policies go.

use std::collections::BTreeMap;

use converge_model::catalog::Orphans;
use converge_model::suggest;

use super::names::Names;
use super::sources::{Findings, Place};
use super::toml::{Field, Fields, Node};

const KEYS: [&str; 7] = ["name", "description", "run_list", "include", "orphans", "attributes", "groups"];

/// A policy, as its file has it.
#[derive(Debug)]
pub(crate) struct PolicyFile<'t> {
    /// Its name, which is that of its file.
    pub(crate) name: String,
    /// The beginning of its file.
    pub(crate) place: Place,
    /// The recipes by full name.
    pub(crate) run_list: Vec<(String, Place)>,
    /// The policies that it includes.
    pub(crate) include: Vec<(String, Place)>,
    /// What happens to what left it.
    pub(crate) orphans: Orphans,
    /// What it sets for every node.
    pub(crate) settings: Vec<Setting<'t>>,
    /// What it sets for the nodes of a group.
    pub(crate) groups: BTreeMap<String, Vec<Setting<'t>>>,
}

/// A value that is set for an attribute. What the attribute may be is checked where the policy is linked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'t> {
    /// The cookbook.
    pub(crate) cookbook: &'t str,
    /// Where it is named.
    pub(crate) cookbook_place: Place,
    /// The attribute.
    pub(crate) attribute: &'t str,
    /// Where it is named.
    pub(crate) place: Place,
    /// The value.
    pub(crate) node: Node<'t>,
}

/// Reads a policy.
pub(crate) fn policy_file<'t>(
    name: &str,
    mut fields: Fields<'t>,
    names: &Names<'_>,
    findings: &mut Findings<'_>,
) -> PolicyFile<'t> {
    let place = fields.place;
    check_name("policy", name, place, findings);
    match fields.string("name", findings) {
        Some((written, place)) if written != name => {
            findings
                .error(place, format!("policy `{written}` is in policies/{name}.toml"))
                .label(format!("write \"{name}\", or rename the file"));
        }
        Some(_) => {}
        None => {
            findings.error(place, "the policy has no `name`").help(format!("add `name = \"{name}\"`"));
        }
    }
    fields.string("description", findings);
    let mut run_list = Vec::new();
    for (written, place) in fields.strings("run_list", findings) {
        run_list.extend(names.recipe(written, place, findings).map(|recipe| (recipe, place)));
    }
    let mut include = Vec::new();
    for (written, place) in fields.strings("include", findings) {
        if names.policies.contains(written) {
            include.push((written.to_owned(), place));
        } else {
            findings
                .error(place, format!("there is no policy `{written}`"))
                .did_you_mean(suggest::nearest(written, names.policies.iter().copied()));
        }
    }
    let orphans = orphans(&mut fields, findings);
    let settings = settings(fields.take("attributes"), findings);
    let groups = groups(fields.take("groups"), findings);
    for key in ["queries", "exports"] {
        if let Some(field) = fields.take(key) {
            findings
                .error(field.key_place, format!("`{key}` is not supported yet"))
                .help("set what other nodes would say as an attribute");
        }
    }
    fields.finish("the policy", &KEYS, findings);
    PolicyFile { name: name.to_owned(), place, run_list, include, orphans, settings, groups }
}

fn check_name(what: &str, name: &str, place: Place, findings: &mut Findings<'_>) {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
        && name.len() <= 64;
    if !good {
        findings
            .error(place, format!("`{name}` cannot be the name of a {what}"))
            .help("use lower-case letters, digits, _ and -, at most 64 of them");
    }
}

fn orphans(fields: &mut Fields<'_>, findings: &mut Findings<'_>) -> Orphans {
    match fields.string("orphans", findings) {
        None | Some(("report", _)) => Orphans::Report,
        Some(("remove", _)) => Orphans::Remove,
        Some((other, place)) => {
            findings
                .error(place, format!("`{other}` is nothing that can happen to orphans"))
                .did_you_mean(suggest::nearest(other, ["report", "remove"]))
                .help("write \"report\", which is the default, or \"remove\"");
            Orphans::Report
        }
    }
}

fn settings<'t>(table: Option<Field<'t>>, findings: &mut Findings<'_>) -> Vec<Setting<'t>> {
    let mut settings = Vec::new();
    let cookbooks = table.and_then(|field| field.node.table("`attributes`", findings));
    for cookbook in cookbooks.into_iter().flat_map(Fields::rest) {
        let subject = format!("what is set for cookbook `{}`", cookbook.key);
        let attributes = cookbook.node.table(&subject, findings);
        settings.extend(attributes.into_iter().flat_map(Fields::rest).map(|field| Setting {
            cookbook: cookbook.key,
            cookbook_place: cookbook.key_place,
            attribute: field.key,
            place: field.key_place,
            node: field.node,
        }));
    }
    settings
}

fn groups<'t>(table: Option<Field<'t>>, findings: &mut Findings<'_>) -> BTreeMap<String, Vec<Setting<'t>>> {
    let mut groups = BTreeMap::new();
    let fields = table.and_then(|field| field.node.table("`groups`", findings));
    for field in fields.into_iter().flat_map(Fields::rest) {
        check_name("group", field.key, field.key_place, findings);
        let Some(mut group) = field.node.table(&format!("group `{}`", field.key), findings) else { continue };
        let settings = settings(group.take("attributes"), findings);
        group.finish(&format!("group `{}`", field.key), &["attributes"], findings);
        groups.insert(field.key.to_owned(), settings);
    }
    groups
}

/// Checks converge.toml.
pub(crate) fn check_settings(mut fields: Fields<'_>, findings: &mut Findings<'_>) {
    if let Some((address, place)) = fields.string("store", findings)
        && !address.starts_with("https://")
    {
        findings
            .error(place, format!("`{address}` is not the address of a store"))
            .help("write for example `store = \"https://127.0.0.1:8600\"`");
    }
    if let Some((path, place)) = fields.string("signing_key", findings)
        && path.is_empty()
    {
        findings.error(place, "`signing_key` names no file").help("name the file of an SSH key, or leave it out");
    }
    if let Some(field) = fields.take("sources") {
        findings.error(field.key_place, "`sources` is not supported yet");
    }
    fields.finish("converge.toml", &["store", "signing_key"], findings);
}
