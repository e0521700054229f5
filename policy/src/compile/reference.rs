//! Names of other resources: `requires`, `before`, `notifies`, `subscribes`.

use converge_model::graph::{Notification, Property};
use converge_model::{Dynamic, ResourceId, Timing};

use super::context::{AllKinds, KindOf};
use super::declaration::Declared;
use super::scope::Scope;
use super::sources::{Findings, Place};
use super::toml::{Field, Node};
use super::value::text_with_expressions;

/// Which property names the other resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `requires`
    Requires,
    /// `before`
    Before,
    /// `notifies`, and of what.
    Notifies(String),
    /// `subscribes`, and to do what.
    Subscribes(String),
}

/// One place where a declaration names another resource.
#[derive(Debug)]
pub(crate) struct Reference {
    /// Which property names it.
    pub(crate) role: Role,
    /// The kind of the other resource.
    pub(crate) kind: String,
    /// Its name: literal, or a text with expressions.
    pub(crate) name: String,
    /// Whether the name has nothing to evaluate.
    pub(crate) is_literal: bool,
    /// Where it is written.
    pub(crate) place: Place,
}

impl Reference {
    /// The text as it is written: `kind[name]`.
    pub(crate) fn text(&self) -> String {
        format!("{}[{}]", self.kind, self.name)
    }
}

/// Reads `requires` or `before`: one resource, or a list of them.
pub(crate) fn references(
    field: &Field<'_>,
    role: &Role,
    scope: &Scope<'_>,
    declared: &mut Declared,
    findings: &mut Findings<'_>,
) -> Vec<Property> {
    let mut list = Vec::new();
    for node in one_or_many(field.node) {
        if let Some(value) = reference(node, &format!("`{}`", field.key), role.clone(), scope, declared, findings) {
            list.push(Property(value, findings.sources.spot(node.place)));
        }
    }
    list
}

/// Reads `notifies` or `subscribes`: a table of actions and resources, or a list of such tables.
pub(crate) fn notifications(
    field: &Field<'_>,
    role: fn(String) -> Role,
    scope: &Scope<'_>,
    declared: &mut Declared,
    findings: &mut Findings<'_>,
) -> Vec<Notification> {
    let mut list = Vec::new();
    for node in one_or_many(field.node) {
        let toml::de::DeValue::Table(_) = node.value else {
            findings
                .error(node.place, format!("`{}` must say what is to be done", field.key))
                .help(format!("write `{} = {{ reload = \"service[nginx]\" }}`", field.key));
            continue;
        };
        let Some(mut fields) = node.table("it", findings) else { continue };
        let place = fields.place;
        let timing = match fields.string("timing", findings) {
            None | Some(("delayed", _)) => Timing::Delayed,
            Some(("immediate", _)) => Timing::Immediate,
            Some((other, place)) => {
                findings
                    .error(place, format!("`{other}` is no timing"))
                    .help("write \"immediate\", or \"delayed\" for the end of the run, which is the default");
                Timing::Delayed
            }
        };
        let actions = fields.rest();
        if actions.is_empty() {
            findings
                .error(place, format!("`{}` names no resource", field.key))
                .help(format!("write `{} = {{ reload = \"service[nginx]\" }}`", field.key));
        }
        for action in actions {
            for node in one_or_many(action.node) {
                let role = role(action.key.to_owned());
                let subject = format!("`{}`", action.key);
                let Some(resource) = reference(node, &subject, role, scope, declared, findings) else { continue };
                let at = findings.sources.spot(node.place);
                list.push(Notification { action: action.key.to_owned(), resource, timing, at });
            }
        }
    }
    list
}

fn one_or_many(node: Node<'_>) -> Vec<Node<'_>> {
    match node.value {
        toml::de::DeValue::Array(items) => items.iter().map(|item| Node::new(node.place.file, item)).collect(),
        _ => vec![node],
    }
}

fn reference(
    node: Node<'_>,
    subject: &str,
    role: Role,
    scope: &Scope<'_>,
    declared: &mut Declared,
    findings: &mut Findings<'_>,
) -> Option<Dynamic> {
    let text = node.string(subject, findings)?;
    let value = text_with_expressions(text, node.place, scope, findings)?;
    let is_literal = value.literal().is_some();
    let parts = text.split_once('[').and_then(|(kind, rest)| Some((kind, rest.strip_suffix(']')?)));
    let checked = match parts {
        Some((kind, name)) if is_literal => ResourceId::new(kind, name).map(drop),
        Some((kind, _)) => converge_model::id::check_kind_name(kind),
        None => text.parse::<ResourceId>().map(drop),
    };
    if let Err(error) = checked {
        findings.error(node.place, error);
        return None;
    }
    let (kind, name) = parts?;
    declared.references.push(Reference {
        role,
        kind: kind.to_owned(),
        name: name.to_owned(),
        is_literal,
        place: node.place,
    });
    Some(value)
}

/// Checks that the kinds of a declaration's references exist, and that who is to act can. `can_act` answers for custom
/// kinds.
pub(crate) fn check_references(
    declared: &Declared,
    kinds: AllKinds<'_>,
    can_act: &dyn Fn(&str, &str) -> bool,
    findings: &mut Findings<'_>,
) {
    for reference in &declared.references {
        let Some(other) = kinds.get(&reference.kind) else {
            findings
                .error(reference.place, format!("unknown kind `{}`", reference.kind))
                .did_you_mean(kinds.nearest(&reference.kind));
            continue;
        };
        let own = &declared.declaration.kind;
        let (actor, action, kind) = match &reference.role {
            Role::Notifies(action) => (&reference.kind, action, Some(other)),
            Role::Subscribes(action) => (own, action, kinds.get(own)),
            Role::Requires | Role::Before => continue,
        };
        match kind {
            Some(KindOf::BuiltIn(schema)) if !schema.has_action(action) => {
                let actions: Vec<&str> = schema.actions.iter().map(|(name, _)| *name).collect();
                let nearest = converge_model::suggest::nearest(action, actions.iter().copied());
                let known = if actions.is_empty() { "none".to_owned() } else { actions.join(", ") };
                findings
                    .error(reference.place, format!("{actor} has no action `{action}`"))
                    .did_you_mean(nearest)
                    .help(format!("its actions: {known}"));
            }
            Some(KindOf::Custom(_)) if !can_act(actor, action) => {
                findings
                    .error(reference.place, format!("nothing within {actor} has an action `{action}`"))
                    .help("notify the resource itself, where it is declared outside the custom kind");
            }
            _ => {}
        }
    }
}
