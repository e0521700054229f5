//! Makes drafts of declarations: `for_each`, `when`, names, custom kinds.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use converge_model::graph::{CustomKind, Declaration, Property, Spot};
use converge_model::{AbsPath, ByName, CatalogResource, Diagnostic, Dynamic, KindSchema, Origin, ResourceId, Value};

use super::declaration::{Common, Reader};
use super::draft::{Draft, Group, Unit};
use super::input::MOST_RESOURCES;
use super::parameters::{ParameterReader, Parameters};
use super::parts::{Part, Shared};
use super::place::span;
use super::values::{Frame, Values};
use super::{DeclarationIndex, Owner};
use crate::attribute::Checker;
use crate::expression::Scope;

/// How deep custom kinds may consist of custom kinds.
const DEEPEST: usize = 16;

/// What a declaration's kind is.
enum KindOf<'g> {
    BuiltIn(Rc<KindSchema>),
    Custom(usize, &'g CustomKind),
}

/// Expands declarations of a graph, some at a time.
pub(super) struct Expander<'a, 'g> {
    shared: &'a Shared<'g>,
    values: Values<'a, 'g>,
    checker: Checker,
    schemas: HashMap<&'g str, Rc<KindSchema>>,
    latest: Option<(&'g str, Rc<KindSchema>)>,
    part: Part<'g>,
}

impl<'a, 'g> Expander<'a, 'g> {
    pub(super) fn new(shared: &'a Shared<'g>, values: Values<'a, 'g>) -> Self {
        Self {
            shared,
            values,
            checker: Checker::default(),
            schemas: HashMap::new(),
            latest: None,
            part: Part::default(),
        }
    }

    /// Expands the declarations of recipes that have these numbers, counted through all recipes.
    pub(super) fn expand(&mut self, numbers: Range<usize>, scope: &Scope) -> Part<'g> {
        let graph = self.shared.graph;
        self.part.drafts.reserve(numbers.len());
        let mut end = 0;
        for (index, recipe) in graph.recipes.iter().enumerate() {
            let start = end;
            end += recipe.resources.len();
            let within = numbers.start.max(start)..numbers.end.min(end);
            if within.is_empty() {
                continue;
            }
            let frame = Frame {
                scope: scope.clone(),
                owner: Owner::Recipe(index),
                cookbook: recipe.cookbook,
                recipe: index,
                within: Rc::default(),
                secret_each: false,
                secret_parameters: Rc::default(),
                inherited: Rc::default(),
            };
            let units = self.declarations(&recipe.resources, within.start - start..within.end - start, &frame);
            self.part.units.push((index, units));
        }
        std::mem::take(&mut self.part)
    }

    fn declarations(&mut self, declarations: &'g [Declaration], which: Range<usize>, frame: &Frame) -> Vec<Unit> {
        let mut units = Vec::with_capacity(which.len());
        for (index, declaration) in declarations.iter().enumerate().take(which.end).skip(which.start) {
            let index = DeclarationIndex { owner: frame.owner, index };
            match &declaration.for_each {
                None => units.extend(self.resource(declaration, index, frame)),
                Some(property) => self.for_each(declaration, property, index, frame, &mut units),
            }
        }
        units
    }

    fn for_each(
        &mut self,
        declaration: &'g Declaration,
        Property(dynamic, at): &'g Property,
        index: DeclarationIndex,
        frame: &Frame,
        units: &mut Vec<Unit>,
    ) {
        let Some((value, secret)) = self.evaluate("for_each", dynamic, declaration, *at, frame) else { return };
        if self.values.names_secrets(dynamic) {
            let problem = format!("`for_each` of a {} names a secret, and keys are shown", declaration.kind);
            self.part.findings.push(self.values.finding(problem, declaration, *at, frame));
            return;
        }
        let mut turn = |this: &mut Self, number: usize, key: &Value, value: &Value| {
            let scope = frame.scope.with_each(key, value, number);
            let frame = Frame { scope, secret_each: secret, ..frame.clone() };
            units.extend(this.resource(declaration, index, &frame));
        };
        match value {
            Value::List(items) => {
                for (number, item) in (0_i64..).zip(&items) {
                    turn(self, usize::try_from(number).unwrap_or_default(), &Value::Integer(number), item);
                }
            }
            Value::Map(entries) => {
                for (number, (key, value)) in entries.iter().enumerate() {
                    turn(self, number, &Value::from(key.as_str()), value);
                }
            }
            other => {
                let problem = format!(
                    "`for_each` of a {} needs a list or a map; this is of type {}",
                    declaration.kind,
                    other.type_name()
                );
                self.part.findings.push(self.values.finding(problem, declaration, *at, frame));
            }
        }
    }

    /// The value of something that stands before the resource has a name.
    fn evaluate(
        &mut self,
        name: &str,
        dynamic: &'g Dynamic,
        declaration: &Declaration,
        at: Spot,
        frame: &Frame,
    ) -> Option<(Value, bool)> {
        match self.values.evaluate(dynamic, frame) {
            Ok(found) => Some(found),
            Err(None) => None,
            Err(Some((error, secret))) => {
                let message = format!("`{name}` of a {}: {}", declaration.kind, error.shown(secret));
                let finding = self.values.finding(message, declaration, at, frame);
                self.part.findings.push(Diagnostic { help: error.help, ..finding });
                None
            }
        }
    }

    fn resource(&mut self, declaration: &'g Declaration, index: DeclarationIndex, frame: &Frame) -> Option<Unit> {
        if self.shared.made.load(Ordering::Relaxed) >= MOST_RESOURCES {
            if !std::mem::replace(&mut self.part.too_many, true) {
                let message = format!("there are more than {MOST_RESOURCES} resources");
                self.part.findings.push(self.values.finding(message, declaration, declaration.at.spot(), frame));
            }
            return None;
        }
        let kind = self.kind(declaration, frame)?;
        let skipped = self.skipped(declaration, frame)?;
        let id = self.id(declaration, &kind, frame)?;
        match kind {
            KindOf::BuiltIn(schema) => self.built_in(declaration, index, id, skipped, &schema, frame),
            KindOf::Custom(at, kind) => self.custom(declaration, index, id, skipped.is_some(), (at, kind), frame),
        }
    }

    fn kind(&mut self, declaration: &'g Declaration, frame: &Frame) -> Option<KindOf<'g>> {
        let name = declaration.kind.as_str();
        // Resources of one kind often follow each other.
        if let Some((_, schema)) = self.latest.as_ref().filter(|(latest, _)| *latest == name) {
            return Some(KindOf::BuiltIn(Rc::clone(schema)));
        }
        if let Some(schema) = self.schemas.get(name) {
            self.latest = Some((name, Rc::clone(schema)));
            return Some(KindOf::BuiltIn(Rc::clone(schema)));
        }
        if let Some(kind) = self.shared.kinds.kind(name) {
            let schema = Rc::new((kind.schema)());
            self.schemas.insert(name, Rc::clone(&schema));
            return Some(KindOf::BuiltIn(schema));
        }
        if let Some(&(at, kind)) = self.shared.custom.get(name) {
            return Some(KindOf::Custom(at, kind));
        }
        let message = format!("this agent knows no kind `{name}`");
        let finding = self.values.finding(message, declaration, declaration.at.spot(), frame);
        self.part
            .findings
            .push(finding.with_help("it may be older than what published the policy: upgrade converge on the node"));
        None
    }

    /// Why the resource is skipped, if `when` says no; nothing at all where that could not be told.
    fn skipped(&mut self, declaration: &'g Declaration, frame: &Frame) -> Option<Option<String>> {
        let Some(Property(dynamic, at)) = declaration.when.as_deref() else { return Some(None) };
        match self.evaluate("when", dynamic, declaration, *at, frame)? {
            (Value::Boolean(true), _) => Some(None),
            (Value::Boolean(false), _) => Some(Some(match dynamic {
                Dynamic::Expression(source) => format!("`when` does not hold: {source}"),
                _ => "`when` is false".to_owned(),
            })),
            (other, _) => {
                let message = format!(
                    "`when` of a {} must give true or false; this is of type {}",
                    declaration.kind,
                    other.type_name()
                );
                let finding = self.values.finding(message, declaration, *at, frame);
                self.part.findings.push(finding.with_help("compare it with something, or write `… | bool`"));
                None
            }
        }
    }

    fn id(&mut self, declaration: &'g Declaration, kind: &KindOf<'_>, frame: &Frame) -> Option<ResourceId> {
        let at = declaration.at.spot();
        let name = match declaration.name.as_str() {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(self.name(declaration, at, frame)?),
        };
        let checked = match kind {
            // A literal name was checked when the graph was made.
            KindOf::BuiltIn(schema) if declaration.name.literal().is_none() => (schema.names.check)(&name),
            _ => Ok(()),
        };
        let is_path = matches!(kind, KindOf::BuiltIn(schema) if schema.names.is_path);
        let id = checked.and_then(|()| ResourceId::new(&declaration.kind, &clean(&name, is_path)));
        id.map_err(|problem| self.part.findings.push(self.values.finding(problem, declaration, at, frame))).ok()
    }

    /// A name that is not literal.
    fn name(&mut self, declaration: &'g Declaration, at: Spot, frame: &Frame) -> Option<String> {
        let message = match self.evaluate("name", &declaration.name, declaration, at, frame)? {
            (Value::String(name), false) => return Some(name),
            (Value::String(_), true) => {
                format!("the name of a {} uses a secret, and names are shown", declaration.kind)
            }
            (other, _) => {
                format!("the name of a {} must be text; this is of type {}", declaration.kind, other.type_name())
            }
        };
        self.part.findings.push(self.values.finding(message, declaration, at, frame));
        None
    }

    fn built_in(
        &mut self,
        declaration: &'g Declaration,
        index: DeclarationIndex,
        id: ResourceId,
        skipped: Option<String>,
        schema: &KindSchema,
        frame: &Frame,
    ) -> Option<Unit> {
        let mut links = Vec::new();
        let mut common = Common::default();
        let mut properties = ByName::new();
        let mut secret = BTreeSet::new();
        if skipped.is_none() {
            let named = named(declaration, &id, frame);
            let mut reader = self.reader(declaration, &id, named.as_ref().unwrap_or(frame));
            common = reader.common();
            properties = reader.own(schema, &mut secret);
            links = reader.links();
            if reader.failed {
                return None;
            }
        }
        let resource = CatalogResource {
            id,
            properties,
            secret,
            skipped,
            guards: common.guards,
            requires: Vec::new(),
            notifies: Vec::new(),
            timeout: common.timeout,
            retries: common.retries,
            ignore_failure: common.ignore_failure,
            sensitive: common.sensitive,
            audit: common.audit,
            origin: self.origin(declaration, frame),
        };
        self.shared.made.fetch_add(1, Ordering::Relaxed);
        self.part.drafts.push(Draft { resource, declaration, index, links });
        Some(Unit::One(self.part.drafts.len() - 1))
    }

    fn reader<'r>(
        &'r mut self,
        declaration: &'g Declaration,
        id: &'r ResourceId,
        frame: &'r Frame,
    ) -> Reader<'r, 'a, 'g> {
        Reader { values: &self.values, declaration, id, frame, findings: &mut self.part.findings, failed: false }
    }

    fn origin(&self, declaration: &Declaration, frame: &Frame) -> Origin {
        Origin {
            cookbook: self.shared.cookbooks.get(frame.cookbook).cloned().unwrap_or_default(),
            recipe: self.shared.recipes.get(frame.recipe).cloned().unwrap_or_default(),
            file: self.shared.files.get(declaration.at.source as usize).cloned().unwrap_or_default(),
            line: declaration.at.line,
            within: frame.within.iter().map(|(id, _)| id.clone()).collect(),
        }
    }

    fn custom(
        &mut self,
        declaration: &'g Declaration,
        index: DeclarationIndex,
        id: ResourceId,
        skipped: bool,
        (at, kind): (usize, &'g CustomKind),
        frame: &Frame,
    ) -> Option<Unit> {
        let start = self.part.drafts.len();
        let mut group = Group {
            id,
            declaration,
            index,
            members: start..start,
            parameters: Value::Null,
            skipped,
            links: Vec::new(),
        };
        if skipped {
            self.part.groups.push(group);
            return None;
        }
        if frame.within.len() >= DEEPEST {
            let message = format!("custom kinds consist of each other, more than {DEEPEST} deep");
            let finding = Diagnostic::error(message, Some(span(self.shared.graph, declaration.at)));
            self.part.findings.push(self.values.with_path(finding, frame));
            return None;
        }
        let named = named(declaration, &group.id, frame);
        let frame = named.as_ref().unwrap_or(frame);
        let mut reader = self.reader(declaration, &group.id, frame);
        let common = reader.common();
        group.links = reader.links();
        let good = !reader.failed;
        let reader = ParameterReader {
            values: &self.values,
            checker: &self.checker,
            declaration,
            id: &group.id,
            findings: &mut self.part.findings,
        };
        let Parameters { values, secret } = reader.read(kind, frame).filter(|_| good)?;
        group.parameters = Value::Map(values);
        let mut within = (*frame.within).clone();
        within.push((group.id.clone(), declaration.at));
        let inner = Frame {
            scope: frame.scope.within(group.id.name(), &group.parameters),
            owner: Owner::Kind(at),
            cookbook: kind.cookbook,
            recipe: frame.recipe,
            within: Rc::new(within),
            secret_each: false,
            secret_parameters: Rc::new(secret),
            inherited: Rc::new(common),
        };
        let units = self.declarations(&kind.resources, 0..kind.resources.len(), &inner);
        group.members = start..self.part.drafts.len();
        self.part.groups.push(group);
        Some(Unit::Many { ordered: !kind.unordered, units })
    }
}

/// The frame in which a resource sees its own name, where it evaluates anything at all and is not within a custom kind.
fn named(declaration: &Declaration, id: &ResourceId, frame: &Frame) -> Option<Frame> {
    let literal =
        |property: &Option<Box<Property>>| property.as_ref().is_none_or(|property| property.0.literal().is_some());
    let plain = declaration.properties.values().all(|property| property.0.literal().is_some())
        && declaration.content.is_none()
        && [&declaration.only_if, &declaration.not_if].into_iter().all(literal)
        && [&declaration.timeout, &declaration.retries].into_iter().all(literal)
        && [&declaration.ignore_failure, &declaration.sensitive, &declaration.audit].into_iter().all(literal)
        && declaration.requires.iter().chain(&declaration.before).all(|property| property.0.literal().is_some())
        && declaration.notifies.iter().chain(&declaration.subscribes).all(|other| other.resource.literal().is_some());
    (!plain).then(|| Frame { scope: frame.scope.with_name(id.name()), ..frame.clone() })
}

/// The name that a resource is known by. A path has one, however it is written.
pub(super) fn clean(name: &str, is_path: bool) -> Cow<'_, str> {
    let is_odd =
        is_path && (name.contains("//") || name.contains("/./") || name.ends_with('/') || name.ends_with("/."));
    match is_odd.then(|| name.parse::<AbsPath>()) {
        Some(Ok(path)) => Cow::Owned(path.to_string()),
        _ => Cow::Borrowed(name),
    }
}
