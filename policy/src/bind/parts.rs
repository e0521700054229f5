//! Expands the declarations of a graph in parts, on all processors, and puts the parts together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use converge_model::graph::CustomKind;
use converge_model::{Graph, Kinds, parallel};

use super::draft::{Draft, Findings, Group, Unit};
use super::expand::Expander;
use super::values::Values;
use crate::expression::Scope;

/// How many declarations are a part.
const PART: usize = 64;

/// What all parts share.
pub(super) struct Shared<'g> {
    pub(super) graph: &'g Graph,
    pub(super) kinds: &'g dyn Kinds,
    /// What each cookbook, recipe and source is called in an origin.
    pub(super) cookbooks: Vec<Arc<str>>,
    pub(super) recipes: Vec<Arc<str>>,
    pub(super) files: Vec<Arc<str>>,
    /// The custom kinds, each with its position in the order of names.
    pub(super) custom: HashMap<&'g str, (usize, &'g CustomKind)>,
    /// How many drafts there are in all parts together.
    pub(super) made: AtomicUsize,
}

impl<'g> Shared<'g> {
    pub(super) fn new(graph: &'g Graph, kinds: &'g dyn Kinds) -> Self {
        Self {
            graph,
            kinds,
            cookbooks: graph.cookbooks.iter().map(|book| format!("{} {}", book.name, book.version).into()).collect(),
            recipes: graph.recipes.iter().map(|recipe| recipe.name.as_str().into()).collect(),
            files: graph.sources.iter().map(|file| file.as_str().into()).collect(),
            custom: graph.kinds.iter().enumerate().map(|(at, (name, kind))| (name.as_str(), (at, kind))).collect(),
            made: AtomicUsize::new(0),
        }
    }
}

/// What came of some declarations that follow each other. Positions of drafts are within the part.
#[derive(Debug, Default)]
pub(super) struct Part<'g> {
    pub(super) drafts: Vec<Draft<'g>>,
    pub(super) groups: Vec<Group<'g>>,
    /// What belongs to each recipe.
    pub(super) units: Vec<(usize, Vec<Unit>)>,
    pub(super) findings: Findings,
    /// There are more resources than there may be: the part is not whole.
    pub(super) too_many: bool,
}

/// What came of all declarations.
pub(super) struct Expanded<'g> {
    pub(super) drafts: Vec<Draft<'g>>,
    pub(super) groups: Vec<Group<'g>>,
    /// One for each recipe.
    pub(super) recipes: Vec<Unit>,
}

/// Expands every recipe; what comes back is in the order of the run list.
pub(super) fn expand_all<'a, 'g>(
    shared: &'a Shared<'g>,
    values: impl Fn() -> Values<'a, 'g> + Sync,
    scope: &Scope,
    findings: &mut Findings,
) -> Expanded<'g> {
    let count = shared.graph.recipes.iter().map(|recipe| recipe.resources.len()).sum();
    let expander = || Expander::new(shared, values());
    let mut parts = parallel::chunks(count, PART, expander, |expander, numbers| expander.expand(numbers, scope));
    if parts.len() > 1 && parts.iter().any(|part| part.too_many) {
        // Which part was the first to find it out is chance. One after the other, it is the same at every time.
        shared.made.store(0, Ordering::Relaxed);
        parts = vec![expander().expand(0..count, scope)];
    }
    joined(shared.graph, parts, findings)
}

fn joined<'g>(graph: &Graph, parts: Vec<Part<'g>>, findings: &mut Findings) -> Expanded<'g> {
    let mut recipes: Vec<Vec<Unit>> =
        graph.recipes.iter().map(|recipe| Vec::with_capacity(recipe.resources.len())).collect();
    let mut drafts: Vec<Draft<'g>> = Vec::new();
    let mut to_come: usize = parts.iter().map(|part| part.drafts.len()).sum();
    let mut groups: Vec<Group<'g>> = Vec::new();
    for mut part in parts {
        let first = drafts.len();
        for (recipe, units) in part.units {
            recipes[recipe].extend(units.into_iter().map(|unit| unit.after(first)));
        }
        groups.extend(
            part.groups
                .into_iter()
                .map(|group| Group { members: group.members.start + first..group.members.end + first, ..group }),
        );
        to_come -= part.drafts.len();
        if drafts.is_empty() {
            drafts = part.drafts;
            drafts.reserve_exact(to_come);
        } else {
            drafts.append(&mut part.drafts);
        }
        findings.append(part.findings);
    }
    let unit =
        |(recipe, units): (&converge_model::graph::Recipe, Vec<Unit>)| Unit::Many { ordered: !recipe.unordered, units };
    let recipes = graph.recipes.iter().zip(recipes).map(unit).collect();
    Expanded { drafts, groups, recipes }
}
