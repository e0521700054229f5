//! What a resource of a custom kind was given.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use converge_model::graph::{AttributeDeclaration, CustomKind, Declaration, Position, Property};
use converge_model::{Diagnostic, Dynamic, ResourceId, Value, suggest};

use super::draft::Findings;
use super::place::span;
use super::values::{Frame, Values};
use crate::attribute::Checker;

/// The parameters of one resource of a custom kind.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Their values. One that was not given and has no default is not there.
    pub(super) values: BTreeMap<String, Value>,
    /// Those that hold a secret.
    pub(super) secret: BTreeSet<String>,
}

/// Evaluates and checks parameters.
pub(super) struct ParameterReader<'a, 'v, 'g> {
    pub(super) values: &'a Values<'v, 'g>,
    pub(super) checker: &'a Checker,
    pub(super) declaration: &'g Declaration,
    pub(super) id: &'a ResourceId,
    pub(super) findings: &'a mut Findings,
}

impl<'g> ParameterReader<'_, '_, 'g> {
    /// The parameters; nothing where something was wrong, which was reported. Defaults see neither
    /// `each` nor what was given.
    pub(super) fn read(mut self, kind: &'g CustomKind, frame: &Frame) -> Option<Parameters> {
        let mut parameters = Parameters::default();
        let mut good = self.all_are_known(kind, frame);
        for (name, parameter) in &kind.parameters {
            if let Some(Property(dynamic, at)) = self.declaration.properties.get(name) {
                good &= self.set(&mut parameters, name, parameter, dynamic, self.declaration.at.with_spot(*at), frame);
            }
        }
        let inner = Frame {
            scope: frame.scope.within(self.id.name(), &Value::Map(BTreeMap::new())),
            secret_each: false,
            secret_parameters: Rc::default(),
            ..frame.clone()
        };
        let given = &self.declaration.properties;
        for (name, parameter) in kind.parameters.iter().filter(|(name, _)| !given.contains_key(name)) {
            match &parameter.default {
                Some(Property(dynamic, at)) => {
                    good &= self.set(&mut parameters, name, parameter, dynamic, parameter.at.with_spot(*at), &inner);
                }
                None if parameter.required => {
                    good = self.report(format!("{} needs `{name}`", self.id), self.declaration.at, frame);
                }
                None => {}
            }
        }
        good.then_some(parameters)
    }

    fn all_are_known(&mut self, kind: &CustomKind, frame: &Frame) -> bool {
        let unknown = self.declaration.properties.iter().find(|(name, _)| !kind.parameters.contains_key(*name));
        let Some((name, Property(_, at))) = unknown else { return true };
        let near = suggest::nearest(name, kind.parameters.keys().map(String::as_str));
        let message = format!("a {} takes no `{name}`", self.declaration.kind);
        let mut finding = self.values.finding(message, self.declaration, *at, frame);
        finding.help = near.map(|near| format!("did you mean `{near}`?"));
        self.findings.push(finding);
        false
    }

    /// Reports what is wrong at a position; false, for what follows.
    fn report(&mut self, message: String, at: Position, frame: &Frame) -> bool {
        let finding = Diagnostic::error(message, Some(span(self.values.graph, at)));
        self.findings.push(self.values.with_path(finding, frame));
        false
    }

    fn set(
        &mut self,
        parameters: &mut Parameters,
        name: &str,
        parameter: &AttributeDeclaration,
        dynamic: &'g Dynamic,
        place: Position,
        frame: &Frame,
    ) -> bool {
        let (value, secret) = match self.values.evaluate(dynamic, frame) {
            Ok((value, secret)) => (value, secret || parameter.secret),
            Err(None) => return false,
            Err(Some((error, secret))) => {
                let message = format!("`{name}` of {}: {}", self.id, error.shown(secret || parameter.secret));
                let mut finding = Diagnostic::error(message, Some(span(self.values.graph, place)));
                finding.help = error.help;
                self.findings.push(self.values.with_path(finding, frame));
                return false;
            }
        };
        // None is as good as nothing: what a caller passes on may be missing with him, too.
        if value == Value::Null && !parameter.required {
            return true;
        }
        if let Err(problem) = self.checker.check(parameter, &value) {
            let shown = if secret { "the value, which is secret, is not what was declared" } else { &problem };
            return self.report(format!("`{name}` of {}: {shown}", self.id), place, frame);
        }
        if secret {
            parameters.secret.insert(name.to_owned());
        }
        parameters.values.insert(name.to_owned(), value);
        true
    }
}
