//! What an expression may name at its place, before any node is known.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::graph::AttributeDeclaration;
use converge_model::suggest;

use super::sources::{Findings, Place};
use crate::expression::{NameUse, Names};

/// What `node` has.
const NODE_KEYS: [&str; 4] = ["name", "policy", "group", "tags"];
/// What `each` has.
const EACH_KEYS: [&str; 3] = ["key", "value", "index"];
/// The names that stand for something in every cookbook; no template's own names may hide them.
pub(crate) const RESERVED: [&str; 8] = ["facts", "attr", "node", "each", "param", "name", "query", "secret"];

/// Attributes by cookbook.
pub(crate) type AttributeTable = BTreeMap<String, BTreeMap<String, AttributeDeclaration>>;

/// Names that an expression may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// The attributes of all cookbooks that are known.
    pub(crate) attributes: &'a AttributeTable,
    /// The cookbooks whose attributes may be read here, and why no others.
    pub(crate) readable: Readable<'a>,
    /// Whether there is an `each`.
    pub(crate) each: bool,
    /// The parameters, within a custom kind.
    pub(crate) parameters: Option<&'a BTreeMap<String, AttributeDeclaration>>,
    /// Whether there is a `name`.
    pub(crate) name: bool,
    /// The names that a template was given.
    pub(crate) vars: Option<&'a BTreeSet<String>>,
}

/// Whose attributes may be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Readable<'a> {
    /// Those of a cookbook and of those that it depends on.
    From {
        /// The cookbook.
        cookbook: &'a str,
        /// Those that it depends on.
        depends: &'a BTreeSet<String>,
    },
    /// Those of the cookbooks that a policy reaches.
    Policy(&'a BTreeSet<String>),
}

impl Readable<'_> {
    fn allows(&self, cookbook: &str) -> bool {
        match self {
            Readable::From { cookbook: own, depends } => *own == cookbook || depends.contains(cookbook),
            Readable::Policy(reached) => reached.contains(cookbook),
        }
    }
}

/// Why a name is wrong.
pub(crate) struct Wrong {
    message: String,
    label: String,
    help: Option<String>,
}

impl Wrong {
    fn new(message: String) -> Self {
        Self { message, label: String::new(), help: None }
    }

    fn nearest(self, nearest: Option<&str>) -> Self {
        match nearest {
            Some(nearest) => Self { label: format!("did you mean `{nearest}`?"), ..self },
            None => self,
        }
    }

    fn help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }

    /// Reports it.
    pub(crate) fn report(self, place: Place, used: Option<Place>, findings: &mut Findings<'_>) {
        let mut finding = findings.error(place, self.message).label(self.label);
        if let Some(used) = used {
            finding = finding.related(used, "the template is used here");
        }
        if let Some(help) = self.help {
            finding.help(help);
        }
    }
}

impl<'a> Scope<'a> {
    /// A scope of facts, node and attributes alone.
    pub(crate) fn new(attributes: &'a AttributeTable, readable: Readable<'a>) -> Self {
        Self { attributes, readable, each: false, parameters: None, name: false, vars: None }
    }

    /// What of `names`, which `source` uses, is not there.
    pub(crate) fn check<'n>(&self, names: &'n Names, source: &str) -> Vec<(&'n NameUse, Wrong)> {
        let unknown = |name: &'n NameUse| Some((name, self.check_one(name, names, source)?));
        names.uses.iter().filter_map(unknown).collect()
    }

    fn check_one(&self, name: &NameUse, names: &Names, source: &str) -> Option<Wrong> {
        let part = |index: usize| name.path.get(index).map(String::as_str);
        match part(0)? {
            "facts" => None,
            "node" => keys("node", part(1)?, &NODE_KEYS),
            "attr" => self.check_attribute(part(1)?, part(2)),
            "each" if self.each => keys("each", part(1)?, &EACH_KEYS),
            "each" => Some(Wrong::new("there is no `each` here".to_owned()).help(
                "`each` is what `for_each` gives to the other properties and the name of its resource".to_owned(),
            )),
            "param" => match self.parameters {
                Some(parameters) => {
                    let known: Vec<&str> = parameters.keys().map(String::as_str).collect();
                    keys("param", part(1)?, &known)
                }
                None => Some(Wrong::new("there is no `param` here".to_owned()).help(
                    "`param` is what a custom kind takes; in a recipe, read `attr.<cookbook>.<name>`".to_owned(),
                )),
            },
            "name" if self.name => None,
            "query" => Some(Wrong::new("queries are not supported yet".to_owned())),
            other if self.vars.is_some_and(|vars| vars.contains(other)) => None,
            other if is_guarded(other, names, source) => None,
            other => Some(self.unknown(other)),
        }
    }

    fn check_attribute(&self, cookbook: &str, attribute: Option<&str>) -> Option<Wrong> {
        let allowed = || self.attributes.keys().map(String::as_str).filter(|name| self.readable.allows(name));
        if !self.readable.allows(cookbook) {
            if let Readable::From { cookbook: own, .. } = self.readable
                && self.attributes.contains_key(cookbook)
            {
                return Some(
                    Wrong::new(format!("cookbook `{own}` does not depend on `{cookbook}`"))
                        .help(format!("add `{cookbook} = \"*\"` to [depends] in cookbooks/{own}/cookbook.toml")),
                );
            }
            return Some(
                Wrong::new(format!("unknown cookbook `{cookbook}`"))
                    .nearest(suggest::nearest(cookbook, allowed()))
                    .help("attributes are read as `attr.<cookbook>.<name>`".to_owned()),
            );
        }
        // A cookbook that could not be read knows nothing, and is reported already.
        let declared = self.attributes.get(cookbook)?;
        let attribute = attribute?;
        if declared.contains_key(attribute) {
            return None;
        }
        let wrong = Wrong::new(format!("cookbook `{cookbook}` declares no attribute `{attribute}`"));
        Some(match suggest::nearest(attribute, declared.keys().map(String::as_str)) {
            Some(nearest) => wrong.nearest(Some(nearest)),
            None => {
                wrong.help(format!("declare it in cookbooks/{cookbook}/cookbook.toml, under [attributes.{attribute}]"))
            }
        })
    }

    fn unknown(&self, name: &str) -> Wrong {
        let wrong = Wrong::new(format!("unknown name `{name}`"));
        let meant = match self.readable {
            _ if self.parameters.is_some_and(|parameters| parameters.contains_key(name)) => {
                Some(format!("param.{name}"))
            }
            Readable::From { cookbook, .. }
                if self.attributes.get(cookbook).is_some_and(|declared| declared.contains_key(name)) =>
            {
                Some(format!("attr.{cookbook}.{name}"))
            }
            _ => None,
        };
        let mut visible = vec!["facts", "attr", "node"];
        visible.extend(self.each.then_some("each"));
        visible.extend(self.parameters.map(|_| "param"));
        visible.extend(self.name.then_some("name"));
        visible.extend(self.vars.into_iter().flatten().map(String::as_str));
        match meant.as_deref().or_else(|| suggest::nearest(name, visible.iter().copied())) {
            Some(meant) => wrong.nearest(Some(meant)),
            None => wrong.help(format!("known here: {}", visible.join(", "))),
        }
    }
}

fn keys(root: &str, key: &str, known: &[&str]) -> Option<Wrong> {
    if known.contains(&key) {
        return None;
    }
    let wrong = Wrong::new(format!("`{root}` has no `{key}`"));
    Some(match suggest::nearest(key, known.iter().copied()) {
        Some(nearest) => wrong.nearest(Some(nearest)),
        None if known.is_empty() => wrong,
        None => wrong.help(format!("it has: {}", known.join(", "))),
    })
}

/// Whether a template asks somewhere if it has the name, or says what to take instead: then it may do without.
fn is_guarded(name: &str, names: &Names, source: &str) -> bool {
    names.under(name).any(|found| {
        let after = source.get(found.range.end..).unwrap_or("").trim_start();
        let words = |text: &str| text.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        let filter = after.strip_prefix('|').map(str::trim_start).unwrap_or("");
        let asked = words(after);
        ["is defined", "is not defined", "is undefined", "is not undefined"].iter().any(|test| asked.starts_with(test))
            || filter.starts_with("default")
            || filter.starts_with("d(")
    })
}
