//! The values that a node's attributes have: cookbook default, policy and what it includes, group, node; the later wins.
//! Maps merge key by key, anything else is replaced.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use converge_model::graph::{AttributeDeclaration, AttributeType, Graph, Position};
use converge_model::{Diagnostic, Dynamic, Value, order, suggest};
use serde::Serialize;

use super::Checker;
use crate::bind::place::span;
use crate::expression::{Attributes, ExpressionError, Expressions, Names, Scope};

/// Values that the store keeps for a single node, by cookbook and attribute.
pub type NodeAttributes = BTreeMap<String, BTreeMap<String, Value>>;

/// Who can set an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "level")]
pub enum LevelName {
    /// The cookbook's default.
    Default,
    /// A policy, for all of its nodes.
    Policy {
        /// Its name.
        policy: String,
    },
    /// A policy, for the nodes of a group.
    Group {
        /// The policy's name.
        policy: String,
        /// The group.
        group: String,
    },
    /// The store, for this node alone.
    Node,
}

/// One value that was set.
#[derive(Clone, Debug, PartialEq)]
pub struct Setter {
    /// Who set it.
    pub level: LevelName,
    /// Where; a node's own value is in no file.
    pub at: Option<Position>,
    /// What it was set to.
    pub value: Value,
}

/// An attribute of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedAttribute {
    /// Its value; nothing where nobody set one.
    pub value: Option<Value>,
    /// Whether it is shown nowhere: it is declared so, or was made from one that is.
    pub secret: bool,
    /// Who set it: one, or for a map all whose entries merged, earliest first.
    pub setters: Vec<Setter>,
}

/// The attributes of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResolvedAttributes {
    values: BTreeMap<String, BTreeMap<String, ResolvedAttribute>>,
    failed: BTreeSet<(String, String)>,
}

impl ResolvedAttributes {
    /// An attribute of a cookbook.
    pub fn get(&self, cookbook: &str, name: &str) -> Option<&ResolvedAttribute> {
        self.values.get(cookbook)?.get(name)
    }

    /// All of them, by cookbook and name.
    pub fn all(&self) -> &BTreeMap<String, BTreeMap<String, ResolvedAttribute>> {
        &self.values
    }

    /// Whether any of them is shown nowhere.
    pub(crate) fn has_secrets(&self) -> bool {
        self.values.values().flat_map(BTreeMap::values).any(|attribute| attribute.secret)
    }

    /// Whether an expression that uses these names can see a secret attribute.
    pub(crate) fn reveals(&self, names: &Names) -> bool {
        !names.secrets.is_empty()
            || self.any(names, |_, _, attribute| attribute.is_some_and(|attribute| attribute.secret))
    }

    /// Whether an expression that uses these names uses an attribute whose own evaluation failed.
    pub(crate) fn uses_failed(&self, names: &Names) -> bool {
        !self.failed.is_empty()
            && self.any(names, |cookbook, name, _| self.failed.contains(&(cookbook.to_owned(), name.to_owned())))
    }

    fn any(&self, names: &Names, test: impl Fn(&str, &str, Option<&ResolvedAttribute>) -> bool) -> bool {
        names.attributes().any(|used| match used {
            (Some(cookbook), Some(name)) => test(cookbook, name, self.get(cookbook, name)),
            (cookbook, _) => {
                self.values.iter().filter(|(other, _)| cookbook.is_none_or(|cookbook| cookbook == other.as_str())).any(
                    |(cookbook, attributes)| {
                        attributes.iter().any(|(name, attribute)| test(cookbook, name, Some(attribute)))
                    },
                )
            }
        })
    }
}

/// A value that some level sets, not evaluated yet.
struct Candidate<'g> {
    level: LevelName,
    at: Option<Position>,
    value: CandidateValue<'g>,
}

enum CandidateValue<'g> {
    Published(&'g Dynamic),
    Node(&'g Value),
}

/// An attribute with all that is set for it, earliest first.
struct Pending<'g> {
    cookbook: &'g str,
    name: &'g str,
    declaration: &'g AttributeDeclaration,
    candidates: Vec<Candidate<'g>>,
}

impl<'g> Pending<'g> {
    /// What counts: all that is set for a map, which merge; else what was set last.
    fn effective(&self) -> &[Candidate<'g>] {
        match self.declaration.ty {
            AttributeType::Map => &self.candidates,
            _ => &self.candidates[self.candidates.len().saturating_sub(1)..],
        }
    }

    fn subject(&self) -> String {
        format!("attribute `{}.{}`", self.cookbook, self.name)
    }
}

/// Evaluates the attributes of a node in the order of their dependence, and sets them in `table`, which `scope` sees.
///
/// What is wrong with one is pushed to `findings`; it is then missing from the result, and what needs it is left out
/// without another word.
pub fn resolve<'g>(
    graph: &'g Graph,
    node: &'g NodeAttributes,
    group: Option<&str>,
    expressions: &Expressions<'g>,
    scope: &Scope,
    table: &Attributes,
    findings: &mut Vec<Diagnostic>,
) -> ResolvedAttributes {
    let pending = collect(graph, node, group, findings);
    let mut resolver =
        Resolver { graph, expressions, scope, checker: Checker::default(), resolved: ResolvedAttributes::default() };
    let edges = dependence(&pending, expressions);
    let positions = match order::order(pending.len(), &edges) {
        Ok(positions) => positions,
        Err(cycle) => {
            findings.push(cyclic(graph, &pending, &cycle));
            return resolver.resolved;
        }
    };
    for attribute in positions.iter().filter_map(|&position| pending.get(position)) {
        let (cookbook, name) = (attribute.cookbook, attribute.name);
        match resolver.resolve(attribute) {
            Ok(resolved) => {
                if let Some(value) = &resolved.value {
                    table.set(cookbook, name, value);
                }
                resolver.resolved.values.entry(cookbook.to_owned()).or_default().insert(name.to_owned(), resolved);
            }
            Err(finding) => {
                findings.extend(finding.map(|finding| *finding));
                resolver.resolved.failed.insert((cookbook.to_owned(), name.to_owned()));
            }
        }
    }
    resolver.resolved
}

/// Attributes that need each other on every node of a group, if there are any; of no group where there is none. What is set
/// for a single node may still break the circle.
pub(crate) fn circle(graph: &Graph, group: Option<&str>) -> Option<Diagnostic> {
    let (nothing, expressions) = (NodeAttributes::new(), Expressions::new());
    let pending = collect(graph, &nothing, group, &mut Vec::new());
    let is_fixed = |at: &usize| pending.get(*at).is_none_or(|attribute| !attribute.declaration.node_settable);
    let cycle = order::order(pending.len(), &dependence(&pending, &expressions)).err()?;
    cycle.iter().all(is_fixed).then(|| cyclic(graph, &pending, &cycle))
}

/// Every declared attribute with what is set for it.
fn collect<'g>(
    graph: &'g Graph,
    node: &'g NodeAttributes,
    group: Option<&str>,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Pending<'g>> {
    let mut pending = Vec::new();
    let mut index: HashMap<(&str, &str), usize> = HashMap::new();
    for cookbook in &graph.cookbooks {
        for (name, declaration) in &cookbook.attributes {
            index.insert((&cookbook.name, name), pending.len());
            let candidates = declaration.default.iter().map(|default| Candidate {
                level: LevelName::Default,
                at: Some(declaration.at.with_spot(default.1)),
                value: CandidateValue::Published(&default.0),
            });
            pending.push(Pending { cookbook: &cookbook.name, name, declaration, candidates: candidates.collect() });
        }
    }
    for level in graph.levels.iter().filter(|level| level.group.is_none() || level.group.as_deref() == group) {
        let policy = level.policy.clone();
        let level_name = match &level.group {
            None => LevelName::Policy { policy },
            Some(group) => LevelName::Group { policy, group: group.clone() },
        };
        for (cookbook, name, setting) in entries(&level.attributes) {
            let Some(attribute) = index.get(&(cookbook, name)).and_then(|&at| pending.get_mut(at)) else {
                let problem =
                    format!("attribute `{cookbook}.{name}` is set, and no cookbook of the run list declares it");
                findings.push(Diagnostic::error(problem, Some(span(graph, setting.at))));
                continue;
            };
            attribute.candidates.push(Candidate {
                level: level_name.clone(),
                at: Some(setting.at),
                value: CandidateValue::Published(&setting.value),
            });
        }
    }
    for (cookbook, name, value) in entries(node) {
        match index.get(&(cookbook, name)).and_then(|&at| pending.get_mut(at)) {
            Some(attribute) if attribute.declaration.node_settable => attribute.candidates.push(Candidate {
                level: LevelName::Node,
                at: None,
                value: CandidateValue::Node(value),
            }),
            Some(attribute) => findings.push(
                Diagnostic::error(
                    format!("{} is set for this node, and cannot be", attribute.subject()),
                    Some(span(graph, attribute.declaration.at)),
                )
                .with_help("take the value away from the node, or declare the attribute with `node_settable = true`"),
            ),
            // The policy moved on and the store still keeps the value: nothing uses it.
            None => {
                let known = index.keys().map(|(cookbook, name)| format!("{cookbook}.{name}")).collect::<BTreeSet<_>>();
                let near = suggest::nearest(&format!("{cookbook}.{name}"), known.iter().map(String::as_str));
                let mut finding = Diagnostic::warning(
                    format!(
                        "attribute `{cookbook}.{name}` is set for this node, and no cookbook of the run list declares it"
                    ),
                    None,
                );
                finding.help = near.map(|near| format!("did you mean `{near}`?"));
                findings.push(finding);
            }
        }
    }
    pending
}

/// What a graph does not let be set for a single node, of what is: each with the reason. What it does not declare at all is
/// not meant: nothing uses it, and binding says so.
pub fn wrong_for_node(graph: &Graph, node: &NodeAttributes) -> Vec<String> {
    let checker = Checker::default();
    let declared: HashMap<&str, &BTreeMap<String, AttributeDeclaration>> =
        graph.cookbooks.iter().map(|cookbook| (cookbook.name.as_str(), &cookbook.attributes)).collect();
    let wrong = entries(node).filter_map(|(cookbook, name, value)| {
        let declaration = declared.get(cookbook)?.get(name)?;
        let cause = if !declaration.node_settable {
            "it is not declared with `node_settable = true`".to_owned()
        } else {
            let cause = checker.check(declaration, value).err()?;
            if declaration.secret { "the value is not what is declared".to_owned() } else { cause }
        };
        Some(format!("attribute `{cookbook}.{name}` of this node: {cause}"))
    });
    wrong.collect()
}

fn entries<T>(attributes: &BTreeMap<String, BTreeMap<String, T>>) -> impl Iterator<Item = (&str, &str, &T)> {
    attributes.iter().flat_map(|(cookbook, attributes)| {
        attributes.iter().map(move |(name, value)| (cookbook.as_str(), name.as_str(), value))
    })
}

/// Which attribute must be evaluated before which.
fn dependence<'g>(pending: &[Pending<'g>], expressions: &Expressions<'g>) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for (later, attribute) in pending.iter().enumerate() {
        for candidate in attribute.effective() {
            let CandidateValue::Published(dynamic) = candidate.value else { continue };
            expressions.any_names(dynamic, &mut |names| {
                for (cookbook, name) in names.attributes() {
                    let used = |other: &Pending<'_>| {
                        cookbook.is_none_or(|cookbook| cookbook == other.cookbook)
                            && name.is_none_or(|name| name == other.name)
                    };
                    let earlier = pending.iter().enumerate().filter(|(_, other)| used(other));
                    edges.extend(earlier.map(|(earlier, _)| (earlier, later)));
                }
                false
            });
        }
    }
    edges
}

fn cyclic(graph: &Graph, pending: &[Pending<'_>], cycle: &[usize]) -> Diagnostic {
    let attributes: Vec<&Pending<'_>> = cycle.iter().rev().filter_map(|&at| pending.get(at)).collect();
    let place = |attribute: &Pending<'_>| {
        span(graph, attribute.candidates.last().and_then(|candidate| candidate.at).unwrap_or(attribute.declaration.at))
    };
    let mut names: Vec<String> =
        attributes.iter().map(|attribute| format!("{}.{}", attribute.cookbook, attribute.name)).collect();
    names.extend(names.first().cloned());
    let mut diagnostic = Diagnostic::error(
        format!("attributes need each other: {}", names.join(" needs ")),
        attributes.first().map(|attribute| place(attribute)),
    )
    .with_help("set one of them to a value that does not need the others");
    for attribute in attributes.iter().skip(1) {
        diagnostic = diagnostic.with_related(place(attribute), format!("{} is set here", attribute.subject()));
    }
    diagnostic
}

struct Resolver<'a, 'g> {
    graph: &'g Graph,
    expressions: &'a Expressions<'g>,
    scope: &'a Scope,
    checker: Checker,
    resolved: ResolvedAttributes,
}

impl<'g> Resolver<'_, 'g> {
    /// The attribute, or what is wrong with it; nothing where that was said of another already.
    fn resolve(&self, attribute: &Pending<'g>) -> Result<ResolvedAttribute, Option<Box<Diagnostic>>> {
        let mut secret = attribute.declaration.secret;
        let mut setters = Vec::new();
        let mut merged: Option<Value> = None;
        for candidate in attribute.effective() {
            secret |= self.reveals(candidate);
            let value = self.evaluate(attribute, candidate, secret)?;
            setters.push(Setter { level: candidate.level.clone(), at: candidate.at, value: value.clone() });
            match &mut merged {
                Some(earlier) => earlier.merge(value),
                None => merged = Some(value),
            }
        }
        if merged.is_none() && attribute.declaration.required {
            let problem = format!("{} has no value on this node", attribute.subject());
            let place = span(self.graph, attribute.declaration.at);
            return Err(Some(Box::new(Diagnostic::error(problem, Some(place)).with_help(format!(
                "set it in the policy: [attributes.{}] {} = …",
                attribute.cookbook, attribute.name
            )))));
        }
        Ok(ResolvedAttribute { value: merged, secret, setters })
    }

    fn reveals(&self, candidate: &Candidate<'g>) -> bool {
        match candidate.value {
            CandidateValue::Published(dynamic) => {
                self.expressions.any_names(dynamic, &mut |names| self.resolved.reveals(names))
            }
            CandidateValue::Node(_) => false,
        }
    }

    fn evaluate(
        &self,
        attribute: &Pending<'g>,
        candidate: &Candidate<'g>,
        secret: bool,
    ) -> Result<Value, Option<Box<Diagnostic>>> {
        let value = match candidate.value {
            CandidateValue::Published(dynamic) => {
                if self.expressions.any_names(dynamic, &mut |names| self.resolved.uses_failed(names)) {
                    return Err(None);
                }
                self.expressions
                    .value(dynamic, self.scope)
                    .map_err(|error| Some(Box::new(self.failed(attribute, candidate, &error, secret))))?
            }
            CandidateValue::Node(value) => value.clone(),
        };
        self.checker.check(attribute.declaration, &value).map_err(|problem| {
            let shown = if secret { "the value, which is secret, is not what was declared" } else { &problem };
            let mut found =
                Diagnostic::error(format!("{}: {shown}", attribute.subject()), self.place(attribute, candidate));
            if candidate.level == LevelName::Node {
                found.message.push_str(", set for this node in the store");
            }
            if candidate.level != LevelName::Default {
                found = found.with_related(span(self.graph, attribute.declaration.at), "it is declared here");
            }
            Some(Box::new(found))
        })?;
        Ok(value)
    }

    fn failed(
        &self,
        attribute: &Pending<'g>,
        candidate: &Candidate<'g>,
        error: &ExpressionError,
        secret: bool,
    ) -> Diagnostic {
        let message = format!("{}: {}", attribute.subject(), error.shown(secret));
        Diagnostic { help: error.help.clone(), ..Diagnostic::error(message, self.place(attribute, candidate)) }
    }

    fn place(&self, attribute: &Pending<'g>, candidate: &Candidate<'g>) -> Option<converge_model::SourceSpan> {
        Some(span(self.graph, candidate.at.unwrap_or(attribute.declaration.at)))
    }
}
