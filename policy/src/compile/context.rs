//! What every part of a compilation may look up.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use converge_model::graph::AttributeDeclaration;
use converge_model::{KindSchema, Kinds, suggest};

use super::sources::{Findings, Place, Sources};
use super::toml::Field;
use super::value::template_error;
use crate::expression::{Names, check_template};
use crate::repository::Repository;

/// The kinds that are built in, by name.
pub(crate) type Schemas = BTreeMap<&'static str, KindSchema>;

/// The schemas of all kinds.
pub(crate) fn schemas(kinds: &dyn Kinds) -> Schemas {
    kinds.all().iter().map(|kind| (kind.schema)()).map(|schema| (schema.name, schema)).collect()
}

/// The head of a custom kind: all that a use of it needs.
#[derive(Debug)]
pub(crate) struct CustomHead {
    /// The cookbook that it belongs to.
    pub(crate) cookbook: String,
    /// What it takes.
    pub(crate) parameters: BTreeMap<String, AttributeDeclaration>,
}

/// What a kind is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KindOf<'a> {
    /// One that the agent has.
    BuiltIn(&'a KindSchema),
    /// One that a cookbook makes.
    Custom(&'a CustomHead),
}

/// All kinds that are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllKinds<'a> {
    /// Those that the agent has.
    pub(crate) built_in: &'a Schemas,
    /// Those that cookbooks make.
    pub(crate) custom: &'a BTreeMap<String, CustomHead>,
}

impl<'a> AllKinds<'a> {
    /// The kind called `name`.
    pub(crate) fn get(self, name: &str) -> Option<KindOf<'a>> {
        let custom = || self.custom.get(name).map(KindOf::Custom);
        self.built_in.get(name).map(KindOf::BuiltIn).or_else(custom)
    }

    /// The name nearest to what was typed.
    pub(crate) fn nearest(self, typed: &str) -> Option<&'a str> {
        let custom = self.custom.keys().map(String::as_str);
        suggest::nearest(typed, self.built_in.keys().copied().chain(custom))
    }
}

/// A template of the repository, checked once.
#[derive(Debug)]
pub(crate) struct Template {
    /// The source that it is.
    pub(crate) file: u32,
    /// What it names, unless it does not parse.
    pub(crate) names: Option<Names>,
}

/// The templates that were read, by path within the repository.
pub(crate) type Templates = BTreeMap<String, Template>;

/// Checks the syntax of every template among the sources.
pub(crate) fn templates(sources: &Sources, findings: &mut Findings<'_>) -> Templates {
    let mut templates = Templates::new();
    for (file, source) in sources.iter().filter(|(_, source)| is_template_path(&source.path)) {
        let names = match check_template(&source.text) {
            Ok(names) => {
                findings.secrets.extend(names.secrets.iter().cloned());
                Some(names)
            }
            Err(error) => {
                template_error(error, file, findings);
                None
            }
        };
        templates.insert(source.path.clone(), Template { file, names });
    }
    templates
}

/// Whether a path is that of a cookbook's template: `cookbooks/NAME/templates/…`.
pub(crate) fn is_template_path(path: &str) -> bool {
    let mut parts = path.splitn(4, '/');
    parts.next() == Some("cookbooks") && parts.nth(1) == Some("templates") && parts.next().is_some()
}

/// What every part of a compilation may look up, within one cookbook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The files.
    pub(crate) repository: &'a Repository,
    /// The kinds.
    pub(crate) kinds: AllKinds<'a>,
    /// The templates.
    pub(crate) templates: &'a Templates,
    /// The uses of names in templates that were reported: a template may be used a thousand times.
    pub(crate) reported: &'a RefCell<BTreeSet<(Place, String)>>,
    /// The cookbook.
    pub(crate) cookbook: &'a str,
    /// The cookbooks that it depends on.
    pub(crate) depends: &'a BTreeSet<String>,
}

impl<'a> Context<'a> {
    /// The kind that a key of a recipe names, or a finding.
    pub(crate) fn kind(&self, field: &Field<'_>, findings: &mut Findings<'_>) -> Option<KindOf<'a>> {
        let Some(kind) = self.kinds.get(field.key) else {
            let nearest = self.kinds.nearest(field.key);
            let finding =
                findings.error(field.key_place, format!("unknown kind `{}`", field.key)).did_you_mean(nearest);
            if nearest.is_none() {
                let known: Vec<&str> = self.kinds.built_in.keys().copied().collect();
                finding.help(format!(
                    "built-in kinds are {}; a custom kind is called <cookbook>_<file in resources/>",
                    known.join(", ")
                ));
            }
            return None;
        };
        if let KindOf::Custom(head) = kind
            && head.cookbook != self.cookbook
            && !self.depends.contains(&head.cookbook)
        {
            let (own, other) = (self.cookbook, &head.cookbook);
            findings
                .error(field.key_place, format!("cookbook `{own}` does not depend on `{other}`, whose kind this is"))
                .help(format!("add `{other} = \"*\"` to [depends] in cookbooks/{own}/cookbook.toml"));
        }
        Some(kind)
    }
}
