//! Evaluates what declarations hold, and knows what must not be shown.

use std::collections::BTreeSet;
use std::rc::Rc;

use converge_model::graph::{Declaration, Position, Spot};
use converge_model::{Diagnostic, Dynamic, Graph, ResourceId, Value};

use super::Owner;
use super::content::Templates;
use super::declaration::Common;
use super::place::span;
use crate::attribute::ResolvedAttributes;
use crate::expression::{ExpressionError, Expressions, Names, Scope};

/// What evaluation needs, whatever is evaluated. Each thread has its own: what it compiled is not shared.
pub(super) struct Values<'a, 'g> {
    pub(super) graph: &'g Graph,
    pub(super) expressions: Expressions<'g>,
    pub(super) templates: &'g Templates<'g>,
    attributes: &'a ResolvedAttributes,
    has_secrets: bool,
}

/// Where evaluation stands.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// What expressions see.
    pub(super) scope: Scope,
    /// What declares the resources.
    pub(super) owner: Owner,
    /// Index of the cookbook whose templates and files they use.
    pub(super) cookbook: usize,
    /// Index of the recipe of the run list that leads here.
    pub(super) recipe: usize,
    /// The resources of custom kinds around it, outermost first, and where each is declared.
    pub(super) within: Rc<Vec<(ResourceId, Position)>>,
    /// `each.value` holds a secret.
    pub(super) secret_each: bool,
    /// The parameters that hold a secret.
    pub(super) secret_parameters: Rc<BTreeSet<String>>,
    /// What the resource of a custom kind gives to all that it consists of.
    pub(super) inherited: Rc<Common>,
}

/// Why there is no value: an error, and whether the value would have been secret; nothing where what it needs failed
/// before and was reported.
pub(super) type NoValue = Option<(ExpressionError, bool)>;

impl<'a, 'g> Values<'a, 'g> {
    pub(super) fn new(graph: &'g Graph, attributes: &'a ResolvedAttributes, templates: &'g Templates<'g>) -> Self {
        let has_secrets = attributes.has_secrets() || !graph.secrets.is_empty();
        Self { graph, expressions: Expressions::new(), templates, attributes, has_secrets }
    }

    /// The value of what was written, and whether it is secret: something in it names a secret.
    pub(super) fn evaluate(&self, dynamic: &'g Dynamic, frame: &Frame) -> Result<(Value, bool), NoValue> {
        if let Dynamic::Literal(value) = dynamic {
            return Ok((value.clone(), false));
        }
        let secret =
            self.may_be_secret(frame) && self.expressions.any_names(dynamic, &mut |names| self.reveals(names, frame));
        match self.expressions.value(dynamic, &frame.scope) {
            Ok(value) => Ok((value, secret)),
            Err(_) if self.expressions.any_names(dynamic, &mut |names| self.attributes.uses_failed(names)) => Err(None),
            Err(error) => Err(Some((error, secret))),
        }
    }

    /// Whether the text of a template holds a secret.
    pub(super) fn is_template_secret(&self, source: &'g str, frame: &Frame) -> bool {
        self.may_be_secret(frame)
            && self.expressions.template_names(source).is_none_or(|names| self.reveals(&names, frame))
    }

    /// Whether a template uses an attribute that failed before and was reported.
    pub(super) fn template_uses_failed(&self, source: &'g str) -> bool {
        self.expressions.template_names(source).is_some_and(|names| self.attributes.uses_failed(&names))
    }

    /// Whether it names a secret itself.
    pub(super) fn names_secrets(&self, dynamic: &'g Dynamic) -> bool {
        !self.graph.secrets.is_empty() && self.expressions.any_names(dynamic, &mut |names| !names.secrets.is_empty())
    }

    fn may_be_secret(&self, frame: &Frame) -> bool {
        self.has_secrets || frame.secret_each || !frame.secret_parameters.is_empty()
    }

    fn reveals(&self, names: &Names, frame: &Frame) -> bool {
        let each =
            || names.under("each").any(|used| !matches!(used.path.get(1).map(String::as_str), Some("key" | "index")));
        let parameters = || {
            names.under("param").any(|used| match used.path.get(1) {
                Some(name) => frame.secret_parameters.contains(name),
                None => !frame.secret_parameters.is_empty(),
            })
        };
        self.attributes.reveals(names) || (frame.secret_each && each()) || parameters()
    }

    /// An error about a place in a declaration, with the resources of custom kinds that led there.
    pub(super) fn finding(&self, message: String, declaration: &Declaration, at: Spot, frame: &Frame) -> Diagnostic {
        self.with_path(Diagnostic::error(message, Some(span(self.graph, declaration.at.with_spot(at)))), frame)
    }

    /// The same finding, with the resources of custom kinds that led to its place.
    pub(super) fn with_path(&self, finding: Diagnostic, frame: &Frame) -> Diagnostic {
        frame.within.iter().rev().fold(finding, |finding, (id, at)| {
            finding.with_related(span(self.graph, *at), format!("it is part of {id}"))
        })
    }
}
