//! What one declaration says, evaluated: what all kinds have in common, the kind's own properties, its content, and the
//! other resources that it names.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::catalog::Retries;
use converge_model::graph::{ContentSource, Declaration, Property, Spot};
use converge_model::schema::Known;
use converge_model::{
    ByName, Diagnostic, Dynamic, Guard, KindSchema, Mode, PropertyType, ResourceId, SourceSpan, Span, Value,
};

use super::content::{file_blob, template_blob};
use super::draft::{Findings, Link, Role};
use super::place::span;
use super::values::{Frame, Values};
use crate::common::{read_condition, read_retries};
use crate::expression::ExpressionError;

/// The mode of what holds a secret, where none is written.
const PRIVATE: &str = "0600";

/// Why a property takes no secret.
const SHOWN: &str = "it uses a secret, and everybody on the node could see it there; put the secret into a file, or into the \
                     `env` of a command";

/// What the properties say that every kind has, but for those that decide whether and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Common {
    pub(super) guards: Vec<Guard>,
    pub(super) timeout: Option<Span>,
    pub(super) retries: Option<Retries>,
    pub(super) ignore_failure: bool,
    pub(super) sensitive: bool,
    pub(super) audit: bool,
}

/// Reads one declaration. What is wrong is reported, and read as if it was not written.
pub(super) struct Reader<'a, 'v, 'g> {
    pub(super) values: &'a Values<'v, 'g>,
    pub(super) declaration: &'g Declaration,
    /// How the resource is called in messages.
    pub(super) id: &'a ResourceId,
    pub(super) frame: &'a Frame,
    pub(super) findings: &'a mut Findings,
    /// Whether anything was wrong.
    pub(super) failed: bool,
}

impl<'g> Reader<'_, '_, 'g> {
    /// Reports what is wrong with the property `name`.
    pub(super) fn wrong(&mut self, name: &str, problem: &str, secret: bool, at: Spot) {
        self.failed = true;
        let problem = if secret { "the value, which is secret, is not what it takes" } else { problem };
        let message = format!("`{name}` of {}: {problem}", self.id);
        self.findings.push(self.values.finding(message, self.declaration, at, self.frame));
    }

    /// The value of what is written for `name`, and whether it is secret.
    pub(super) fn evaluate(
        &mut self,
        name: impl std::fmt::Display,
        dynamic: &'g Dynamic,
        at: Spot,
    ) -> Option<(Value, bool)> {
        match self.values.evaluate(dynamic, self.frame) {
            Ok(found) => Some(found),
            Err(reason) => {
                self.failed = true;
                if let Some((error, secret)) = reason {
                    let message = format!("`{name}` of {}: {}", self.id, error.shown(secret));
                    let mut finding = self.values.finding(message, self.declaration, at, self.frame);
                    finding.help = error.help;
                    self.findings.push(finding);
                }
                None
            }
        }
    }

    /// A property that every kind has.
    fn read<T>(
        &mut self,
        name: &str,
        property: Option<&'g Property>,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let Property(dynamic, at) = property?;
        let (value, secret) = self.evaluate(name, dynamic, *at)?;
        if value == Value::Null {
            return None;
        }
        if secret {
            self.wrong(name, SHOWN, false, *at);
            return None;
        }
        read(&value).map_err(|problem| self.wrong(name, &problem, false, *at)).ok()
    }

    /// What is common to all kinds, on top of what the resource inherits.
    pub(super) fn common(&mut self) -> Common {
        let declaration = self.declaration;
        let mut common = (*self.frame.inherited).clone();
        let only_if = self.read("only_if", declaration.only_if.as_deref(), read_condition);
        let not_if = self.read("not_if", declaration.not_if.as_deref(), read_condition);
        common.guards.extend(only_if.map(Guard::OnlyIf));
        common.guards.extend(not_if.map(Guard::NotIf));
        let timeout = self.read("timeout", declaration.timeout.as_deref(), Span::from_value);
        let retries = self.read("retries", declaration.retries.as_deref(), read_retries);
        common.timeout = timeout.or(common.timeout);
        common.retries = retries.or(common.retries);
        let mut flag =
            |name: &str, property: Option<&'g Property>| self.read(name, property, bool::from_value).unwrap_or(false);
        common.ignore_failure |= flag("ignore_failure", declaration.ignore_failure.as_deref());
        common.sensitive |= flag("sensitive", declaration.sensitive.as_deref());
        common.audit |= flag("audit", declaration.audit.as_deref());
        common
    }

    /// The kind's own properties, and the names of those that hold a secret are added to `secrets`. What is literal was
    /// checked when the graph was made. A property that comes to none is not there.
    pub(super) fn own(&mut self, schema: &KindSchema, secrets: &mut BTreeSet<String>) -> ByName<Value> {
        let declaration = self.declaration;
        let count = declaration.properties.len() + usize::from(declaration.content.is_some());
        let mut properties = ByName::with_capacity(count);
        for (name, Property(dynamic, at)) in &declaration.properties {
            if let Dynamic::Literal(value) = dynamic {
                properties.insert(name.clone(), value.clone());
            } else if let Some((value, secret)) = self.own_property(schema, name, dynamic, *at) {
                if secret {
                    secrets.insert(name.clone());
                }
                properties.insert(name.clone(), value);
            }
        }
        if let (Some(source), Some(property)) = (&declaration.content, schema.content_property())
            && let Some((value, secret)) = self.content(source)
        {
            if secret {
                secrets.insert(property.name.to_owned());
            }
            properties.insert(property.name.to_owned(), value);
        }
        if schema.content_property().is_some_and(|content| secrets.contains(content.name)) {
            self.keep_private(schema, &mut properties);
        }
        if !self.failed && !self.is_literal() {
            self.report_broken_rules(schema, &properties, secrets);
        }
        properties
    }

    /// What holds a secret is for its owner, unless the group is let in: everybody is let in by no mode.
    fn keep_private(&mut self, schema: &KindSchema, properties: &mut ByName<Value>) {
        if schema.property("mode").is_none() {
            return;
        }
        let Some(mode) = properties.get("mode") else {
            properties.insert("mode".to_owned(), Value::from(PRIVATE));
            return;
        };
        // Where it is no mode, that is reported already.
        if Mode::from_value(mode).is_ok_and(|mode| mode.0 & 0o007 != 0) {
            let at = self.declaration.properties.get("mode").map_or(self.declaration.at.spot(), |mode| mode.1);
            let problem =
                "it lets everybody in, and the content holds a secret; write \"0600\", or \"0640\" with a `group`";
            self.wrong("mode", problem, false, at);
        }
    }

    /// Whether nothing that a rule of the kind reads was evaluated: the rules were asked when the graph was made.
    fn is_literal(&self) -> bool {
        let declaration = self.declaration;
        declaration.name.literal().is_some() && declaration.properties.values().all(|own| own.0.literal().is_some())
    }

    fn report_broken_rules(&mut self, schema: &KindSchema, properties: &ByName<Value>, secrets: &BTreeSet<String>) {
        let known = |name: &str| properties.get(name).map_or(Known::Absent, Known::Value);
        for broken in (schema.judge)(Some(self.id.name()), &known) {
            self.failed = true;
            let declaration = self.declaration;
            let secret = broken.properties.iter().any(|name| secrets.contains(*name));
            let problem =
                if secret { "its properties, of which some are secret, do not fit together" } else { &broken.problem };
            let written = broken.properties.iter().find_map(|name| declaration.properties.get(name));
            let at = written.map_or(declaration.at.spot(), |Property(_, at)| *at);
            let message = format!("{}: {problem}", self.id);
            self.findings.push(self.values.finding(message, declaration, at, self.frame));
        }
    }

    fn own_property(
        &mut self,
        schema: &KindSchema,
        name: &str,
        dynamic: &'g Dynamic,
        at: Spot,
    ) -> Option<(Value, bool)> {
        let (value, secret) = self.evaluate(name, dynamic, at)?;
        let Some(property) = schema.property(name) else {
            self.wrong(
                name,
                "this agent knows no such property; it may be older than what published the policy",
                false,
                at,
            );
            return None;
        };
        if value == Value::Null {
            if property.required {
                self.wrong(name, "it comes to none, and is required", false, at);
            }
            return None;
        }
        if secret && !property.takes_secrets() {
            self.wrong(name, SHOWN, false, at);
            return None;
        }
        match (property.check)(&value) {
            Ok(()) => Some((value, secret)),
            Err(mut problem) => {
                let as_text = Value::String(value.to_string());
                if !matches!(value, Value::String(_)) && (property.check)(&as_text).is_ok() {
                    problem.push_str("; `… | string` makes text of it");
                }
                self.wrong(name, &problem, secret, at);
                None
            }
        }
    }

    fn content(&mut self, source: &'g ContentSource) -> Option<(Value, bool)> {
        let graph = self.values.graph;
        let cookbook = graph.cookbooks.get(self.frame.cookbook).map_or("", |cookbook| cookbook.name.as_str());
        match source {
            ContentSource::File { path, at } => {
                let (path, secret) = self.path("source", path, *at)?;
                match file_blob(graph, cookbook, &path) {
                    Some(blob) => Some((Value::Blob(blob), secret)),
                    None => {
                        let problem = format!("cookbook {cookbook} has no files/{path}");
                        self.wrong("source", &problem, false, *at);
                        None
                    }
                }
            }
            ContentSource::Template { path, vars, at } => {
                let (path, secret_path) = self.path("template", path, *at)?;
                let Some(blob) = template_blob(graph, cookbook, &path) else {
                    let problem = format!("cookbook {cookbook} has no templates/{path}");
                    self.wrong("template", &problem, false, *at);
                    return None;
                };
                let text = match self.values.templates.source(blob.digest) {
                    Ok(text) => text,
                    Err(problem) => {
                        self.wrong(
                            "template",
                            &format!("templates/{path} of cookbook {cookbook}: {problem}"),
                            false,
                            *at,
                        );
                        return None;
                    }
                };
                let (vars, secret_vars) = self.vars(vars)?;
                let secret = secret_path || secret_vars || self.values.is_template_secret(text, self.frame);
                let scope = self.frame.scope.with_vars(&vars);
                match self.values.expressions.render_blob(blob.digest, text, &scope) {
                    Ok(text) => Some((Value::String(text), secret)),
                    Err(error) => {
                        self.failed = true;
                        if !self.values.template_uses_failed(text) {
                            let file = format!("cookbooks/{cookbook}/templates/{path}");
                            self.template_failed(file, text, error, secret, *at);
                        }
                        None
                    }
                }
            }
        }
    }

    fn path(&mut self, name: &str, path: &'g Dynamic, at: Spot) -> Option<(String, bool)> {
        match self.evaluate(name, path, at)? {
            (Value::String(path), secret) => Some((path, secret)),
            (other, secret) => {
                self.wrong(name, &format!("expected a path, found the {} {other}", other.type_name()), secret, at);
                None
            }
        }
    }

    fn vars(&mut self, vars: &'g BTreeMap<String, Property>) -> Option<(BTreeMap<String, Value>, bool)> {
        let mut evaluated = BTreeMap::new();
        let mut any_secret = false;
        for (name, Property(dynamic, at)) in vars {
            let (value, secret) = self.evaluate(format_args!("vars.{name}"), dynamic, *at)?;
            any_secret |= secret;
            evaluated.insert(name.clone(), value);
        }
        Some((evaluated, any_secret))
    }

    fn template_failed(&mut self, file: String, text: &str, error: ExpressionError, secret: bool, at: Spot) {
        let range = error.range.clone().unwrap_or(0..0);
        let before = text.get(..range.start).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let failed = SourceSpan {
            file,
            line: error.line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
            start: range.start,
            end: range.end,
        };
        let message = format!("the template of {}: {}", self.id, error.shown(secret));
        let used = span(self.values.graph, self.declaration.at.with_spot(at));
        let finding = Diagnostic { help: error.help, ..Diagnostic::error(message, Some(failed)) };
        let finding = finding.with_related(used, "the template is used here");
        self.findings.push(self.values.with_path(finding, self.frame));
    }

    /// The other resources that the declaration names.
    pub(super) fn links(&mut self) -> Vec<Link> {
        let declaration = self.declaration;
        let mut links = Vec::new();
        for Property(dynamic, at) in &declaration.requires {
            links.extend(self.link(Role::Requires, dynamic, *at));
        }
        for Property(dynamic, at) in &declaration.before {
            links.extend(self.link(Role::Before, dynamic, *at));
        }
        for other in &declaration.notifies {
            let role = Role::Notifies(other.action.clone(), other.timing);
            links.extend(self.link(role, &other.resource, other.at));
        }
        for other in &declaration.subscribes {
            let role = Role::Subscribes(other.action.clone(), other.timing);
            links.extend(self.link(role, &other.resource, other.at));
        }
        links
    }

    fn link(&mut self, role: Role, dynamic: &'g Dynamic, at: Spot) -> Option<Link> {
        let name = role.property();
        let (value, secret) = self.evaluate(name, dynamic, at)?;
        if secret {
            self.wrong(name, SHOWN, false, at);
            return None;
        }
        let parsed = match &value {
            Value::String(text) => text.parse::<ResourceId>(),
            other => Err(format!("expected a resource such as `service[nginx]`, found the {}", other.type_name())),
        };
        match parsed {
            Ok(target) => Some(Link { role, target, at }),
            Err(problem) => {
                self.wrong(name, &problem, false, at);
                None
            }
        }
    }
}
