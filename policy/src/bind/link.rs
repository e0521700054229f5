//! Turns names of other resources into positions, and finds the order of the catalog.

use std::borrow::Cow;

use converge_model::graph::{Declaration, Spot};
use converge_model::{
    CatalogResource, Diagnostic, Graph, KindSchema, Kinds, Notify, ResourceId, Timing, order, suggest,
};
use foldhash::{HashMap, HashMapExt};

use super::DeclarationIndex;
use super::draft::{Draft, Findings, Group, Link, Role, Unit};
use super::duplicates::{check_groups, representatives};
use super::expand::clean;
use super::place::span;
use super::sequence::Sequencer;

/// One resource that must come before another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) why: Why,
    /// Where that is said, in the file of the declaration that `why` names; nowhere where the order of writing says it.
    pub(super) at: Option<Spot>,
}

/// Why one resource comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is written before it in an ordered recipe.
    Written,
    /// Its recipe requires the other's recipe.
    Recipe,
    /// The later one says `requires`.
    Requires,
    /// The earlier one says `before`.
    Before,
    /// The later one says `subscribes`.
    Subscribes,
}

/// Edges, as many as there may be.
#[derive(Debug, Default)]
pub(super) struct Edges {
    list: Vec<Edge>,
    too_many: bool,
}

impl Edges {
    /// Everything about so many is slow, and a graph of real life has a few for each resource.
    const MOST: usize = 4_000_000;

    /// Adds an edge, where there is room.
    pub(super) fn add(&mut self, edge: Edge) {
        if self.list.len() < Self::MOST {
            self.list.push(edge);
        } else {
            self.too_many = true;
        }
    }
}

/// Where a name leads: positions of drafts that stand for themselves.
struct Targets<'a> {
    single: HashMap<&'a ResourceId, usize>,
    whole: HashMap<&'a ResourceId, Vec<usize>>,
}

impl<'a> Targets<'a> {
    fn new(
        single: HashMap<&'a ResourceId, usize>,
        drafts: &[Draft<'_>],
        groups: &'a [Group<'_>],
        stands_for: &[usize],
    ) -> Self {
        let mut whole: HashMap<&ResourceId, Vec<usize>> = HashMap::new();
        for group in groups {
            // One that is skipped may be declared again and not be skipped there.
            whole.entry(&group.id).or_default().extend(members(group, drafts, stands_for));
        }
        for members in whole.values_mut() {
            members.sort_unstable();
            members.dedup();
        }
        Self { single, whole }
    }

    /// The positions, and whether they are those of a whole custom kind; nothing where there is no such resource.
    fn find(&self, id: &ResourceId) -> Option<(Vec<usize>, bool)> {
        match self.single.get(id) {
            Some(&at) => Some((vec![at], false)),
            None => self.whole.get(id).map(|members| (members.clone(), true)),
        }
    }
}

fn members<'a>(
    group: &'a Group<'_>,
    drafts: &'a [Draft<'_>],
    stands_for: &'a [usize],
) -> impl Iterator<Item = usize> + 'a {
    group.members.clone().map(|at| stands_for[at]).filter(|&at| drafts[at].resource.skipped.is_none())
}

struct Linker<'a, 'g> {
    graph: &'g Graph,
    kinds: &'a dyn Kinds,
    drafts: &'a [Draft<'g>],
    targets: Targets<'a>,
    schemas: HashMap<&'a str, Option<KindSchema>>,
    edges: Edges,
    notifies: Vec<(usize, Notify)>,
    findings: &'a mut Findings,
}

/// Links drafts and gives them their final order; `recipes` has a unit for each recipe. What is wrong is reported, and the
/// result is then of no use.
pub(super) fn link<'g>(
    graph: &'g Graph,
    kinds: &dyn Kinds,
    mut drafts: Vec<Draft<'g>>,
    groups: Vec<Group<'g>>,
    recipes: &[Unit],
    findings: &mut Findings,
) -> (Vec<CatalogResource>, Vec<DeclarationIndex>) {
    let (stands_for, single) = representatives(graph, &drafts, findings);
    check_groups(graph, &groups, findings);
    let mut linker = Linker {
        graph,
        kinds,
        drafts: &drafts,
        targets: Targets::new(single, &drafts, &groups, &stands_for),
        schemas: HashMap::new(),
        edges: Edges { list: Vec::with_capacity(drafts.len()), too_many: false },
        notifies: Vec::new(),
        findings,
    };
    for (at, draft) in drafts.iter().enumerate().filter(|(at, _)| stands_for[*at] == *at) {
        for link in &draft.links {
            linker.link(&[at], false, &draft.resource.id, draft.declaration, link);
        }
    }
    for group in &groups {
        let from: Vec<usize> = members(group, &drafts, &stands_for).collect();
        for link in &group.links {
            linker.link(&from, true, &group.id, group.declaration, link);
        }
    }
    let Linker { mut edges, notifies, findings, .. } = linker;
    Sequencer::new(&drafts, &stands_for, &mut edges).recipes(graph, recipes);
    if edges.too_many || notifies.len() > Edges::MOST {
        let message = format!("there are more than {} edges between resources", Edges::MOST);
        let help = "recipes and custom kinds with `ordered = false` that wait for each other have an edge for each pair of \
                    their resources: order one of them";
        findings.push(Diagnostic::error(message, None).with_help(help));
        return Default::default();
    }
    let edges = edges.list;
    let Some(positions) = final_positions(graph, &drafts, &stands_for, &edges, findings) else {
        return Default::default();
    };
    for edge in &edges {
        let before = positions[edge.before];
        drafts[edge.after].resource.requires.push(before);
    }
    for (from, notify) in notifies {
        let target = positions[notify.target];
        drafts[from].resource.notifies.push(Notify { target, ..notify });
    }
    arrange(drafts, &stands_for, &positions)
}

impl<'a> Linker<'a, '_> {
    /// Follows one name from the resources `from`, which are all that `id` consists of.
    fn link(&mut self, from: &[usize], is_whole: bool, id: &ResourceId, declaration: &Declaration, link: &'a Link) {
        let place = span(self.graph, declaration.at.with_spot(link.at));
        let cleaned = self.clean(&link.target);
        let Some((targets, whole)) = self.targets.find(cleaned.as_ref().unwrap_or(&link.target)) else {
            let missing = format!("{id} {} {}, which is not declared on this node", verb(&link.role), link.target);
            let mut finding = Diagnostic::error(missing, Some(place));
            finding.help = self.near(&link.target);
            self.findings.push(finding);
            return;
        };
        match &link.role {
            Role::Requires => self.edges(&targets, from, Why::Requires, link.at),
            Role::Before => self.edges(from, &targets, Why::Before, link.at),
            Role::Notifies(action, timing) => {
                let able: Vec<usize> = targets.iter().copied().filter(|&at| self.can(at, action)).collect();
                if able.is_empty() && !targets.is_empty() {
                    self.cannot(&link.target, whole, &targets, action, place);
                }
                self.notify(from, &able, action, *timing);
            }
            Role::Subscribes(action, timing) => {
                let able: Vec<usize> = from.iter().copied().filter(|&at| self.can(at, action)).collect();
                if able.is_empty() && !from.is_empty() {
                    self.cannot(id, is_whole, from, action, place);
                }
                self.notify(&targets, &able, action, *timing);
                self.edges(&targets, &able, Why::Subscribes, link.at);
            }
        }
    }

    /// Each of `from` notifies each of `targets`, but none itself.
    fn notify(&mut self, from: &[usize], targets: &[usize], action: &str, timing: Timing) {
        for &from in from {
            if self.notifies.len() > Edges::MOST {
                return;
            }
            let others = targets.iter().filter(|&&target| target != from);
            let notify = |&target: &usize| (from, Notify { target, action: action.to_owned(), timing });
            self.notifies.extend(others.map(notify));
        }
    }

    /// The name as the resource has it, where it is written otherwise.
    fn clean(&self, id: &ResourceId) -> Option<ResourceId> {
        match clean(id.name(), true) {
            Cow::Owned(name) if self.kinds.kind(id.kind()).is_some_and(|kind| (kind.schema)().names.is_path) => {
                ResourceId::new(id.kind(), &name).ok()
            }
            _ => None,
        }
    }

    fn edges(&mut self, before: &[usize], after: &[usize], why: Why, at: Spot) {
        for &after in after {
            // What a skipped resource would do does not count.
            let real = before.iter().filter(|&&before| self.drafts[before].resource.skipped.is_none());
            real.for_each(|&before| self.edges.add(Edge { before, after, why, at: Some(at) }));
        }
    }

    fn can(&mut self, at: usize, action: &str) -> bool {
        self.schema(at).is_some_and(|schema| schema.has_action(action))
    }

    fn schema(&mut self, at: usize) -> Option<&KindSchema> {
        let kinds = self.kinds;
        let kind = self.drafts.get(at)?.resource.id.kind();
        self.schemas.entry(kind).or_insert_with(|| kinds.kind(kind).map(|kind| (kind.schema)())).as_ref()
    }

    fn cannot(
        &mut self,
        id: &ResourceId,
        whole: bool,
        members: &[usize],
        action: &str,
        place: converge_model::SourceSpan,
    ) {
        let mut actions: Vec<&str> = Vec::new();
        for &at in members {
            let known = self.schema(at).map(|schema| schema.actions).unwrap_or_default();
            actions
                .extend(known.iter().map(|(name, _)| *name).filter(|name| !actions.contains(name)).collect::<Vec<_>>());
        }
        let message = match whole {
            true => format!("nothing in {id} can {action}"),
            false => format!("a {} cannot {action}", id.kind()),
        };
        let mut finding = Diagnostic::error(message, Some(place));
        finding.help = match suggest::nearest(action, actions.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if actions.is_empty() => Some("there is nothing that it could be notified of".to_owned()),
            None => Some(format!("it can: {}", actions.join(", "))),
        };
        self.findings.push(finding);
    }

    fn near(&self, id: &ResourceId) -> Option<String> {
        let alike = self.targets.single.keys().chain(self.targets.whole.keys());
        let names: Vec<&str> = alike.filter(|other| other.kind() == id.kind()).map(|other| other.name()).collect();
        let near = suggest::nearest(id.name(), names.iter().copied().take(1000))?;
        Some(format!("did you mean `{}[{near}]`?", id.kind()))
    }
}

fn verb(role: &Role) -> &'static str {
    match role {
        Role::Requires => "requires",
        Role::Before => "comes before",
        Role::Notifies(..) => "notifies",
        Role::Subscribes(..) => "subscribes to",
    }
}

/// The position in the catalog of each draft that stands for itself.
fn final_positions(
    graph: &Graph,
    drafts: &[Draft<'_>],
    stands_for: &[usize],
    edges: &[Edge],
    findings: &mut Findings,
) -> Option<Vec<usize>> {
    // Numbers without gaps, in the order in which they are written.
    let alive: Vec<usize> = (0..drafts.len()).filter(|&at| stands_for[at] == at).collect();
    let mut number = vec![0_usize; drafts.len()];
    for (at, &draft) in alive.iter().enumerate() {
        number[draft] = at;
    }
    let numbered: Vec<(usize, usize)> = edges.iter().map(|edge| (number[edge.before], number[edge.after])).collect();
    match order::order(alive.len(), &numbered) {
        Ok(ordered) => {
            let mut positions = vec![0_usize; drafts.len()];
            for (position, &at) in ordered.iter().enumerate() {
                positions[alive[at]] = position;
            }
            Some(positions)
        }
        Err(cycle) => {
            let cycle: Vec<usize> = cycle.into_iter().map(|at| alive[at]).collect();
            findings.push(cyclic(graph, drafts, edges, &cycle));
            None
        }
    }
}

/// The error for a cycle: each must come before the next, and the last before the first.
fn cyclic(graph: &Graph, drafts: &[Draft<'_>], edges: &[Edge], cycle: &[usize]) -> Diagnostic {
    let id = |at: usize| &drafts[at].resource.id;
    let mut names: Vec<String> = cycle.iter().map(|&at| id(at).to_string()).collect();
    names.extend(names.first().cloned());
    let mut finding = Diagnostic::error(format!("resources wait for each other: {}", names.join(" → ")), None)
        .with_help(
            "take one of these edges away, or write the resources in the order in which they depend on each other",
        );
    for (turn, &before) in cycle.iter().enumerate() {
        let after = cycle[(turn + 1) % cycle.len()];
        let Some(edge) = edges.iter().find(|edge| (edge.before, edge.after) == (before, after)) else { continue };
        let (at, reason) = match edge.why {
            Why::Written => (after, "it is written after it, in an ordered recipe or kind"),
            Why::Recipe => (after, "its recipe requires the other's, or its cookbook depends on it"),
            Why::Requires => (after, "it says `requires`"),
            Why::Before => (before, "the other says `before`"),
            Why::Subscribes => (after, "it says `subscribes`"),
        };
        let declared = drafts[at].declaration.at;
        let place = span(graph, edge.at.map_or(declared, |at| declared.with_spot(at)));
        let note = format!("{} comes after {}: {reason}", id(after), id(before));
        match &finding.span {
            None => finding = Diagnostic { span: Some(place), label: note, ..finding },
            Some(_) => finding = finding.with_related(place, note),
        }
    }
    finding
}

/// The resources in their final order.
fn arrange(
    drafts: Vec<Draft<'_>>,
    stands_for: &[usize],
    positions: &[usize],
) -> (Vec<CatalogResource>, Vec<DeclarationIndex>) {
    let count = stands_for.iter().enumerate().filter(|(at, stands)| *at == **stands).count();
    let finish = |draft: Draft<'_>| {
        let mut resource = draft.resource;
        resource.requires.sort_unstable();
        resource.requires.dedup();
        resource.notifies.sort_unstable();
        resource.notifies.dedup();
        (resource, draft.index)
    };
    if (0..drafts.len()).all(|at| positions[at] == at && stands_for[at] == at) {
        // Most catalogs are in the order in which they are written: nothing moves.
        return drafts.into_iter().map(finish).unzip();
    }
    let mut placed: Vec<Option<Draft<'_>>> = std::iter::repeat_with(|| None).take(count).collect();
    for (at, draft) in drafts.into_iter().enumerate().filter(|(at, _)| stands_for[*at] == *at) {
        placed[positions[at]] = Some(draft);
    }
    placed.into_iter().flatten().map(finish).unzip()
}
