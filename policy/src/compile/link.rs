//! Links a policy: holds what its run list reaches against each other, and makes the graph of it.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::Graph;
use converge_model::graph::{self, CustomKind, Declaration, FORMAT, Level, Position};

use super::Seen;
use super::blobs::Blobs;
use super::declaration::Declared;
use super::levels::{check_required, levels};
use super::network::{Network, Section, Universe};
use super::run_list::{Reach, reach};
use super::sources::Findings;
use super::world::World;
use crate::attribute;

/// Links the policy called `name`. `seen` holds the places that were reported by linking another policy.
pub(crate) fn link<'r>(
    world: &World<'r>,
    name: &str,
    seen: &mut Seen,
    findings: &mut Findings<'_>,
) -> Option<(Graph, Blobs<'r>)> {
    let reach = reach(world, name, seen, findings)?;
    let levels = levels(world, &reach, seen, findings);
    check_required(world, &reach, &levels, findings);
    let sections: Vec<Section<'_>> = reach
        .recipes
        .iter()
        .zip(&reach.requires)
        .map(|((name, recipe), requires)| Section {
            name,
            resources: &recipe.resources,
            unordered: recipe.unordered,
            requires: requires.clone(),
        })
        .collect();
    let mut universe = Universe::default();
    let bodies: Vec<Section<'_>> = reach.kinds.iter().filter_map(|kind| body(world, kind)).collect();
    universe.add(sections.iter().chain(&bodies).flat_map(|section| section.resources));
    let within = format!("policy `{name}`");
    for section in sections.iter().chain(&bodies) {
        universe.check(section.resources, &|kind| world.has_kind(kind), &within, seen, findings);
    }
    check_network(world, &sections, seen, findings);
    for body in bodies {
        check_network(world, &[body], seen, findings);
    }
    let (graph, blobs) = assemble(world, name, &reach, levels, findings);
    let groups: BTreeSet<Option<&str>> = graph.levels.iter().map(|level| level.group.as_deref()).collect();
    for group in groups.into_iter().chain([None]) {
        findings.extend(attribute::circle(&graph, group));
    }
    Some((graph, blobs))
}

/// What a custom kind consists of.
fn body<'w>(world: &'w World<'_>, kind: &'w str) -> Option<Section<'w>> {
    let body = world.bodies.get(kind)?;
    Some(Section { name: kind, resources: &body.resources, unordered: body.unordered, requires: Vec::new() })
}

/// Reports doubles and circles within sections.
fn check_network(world: &World<'_>, sections: &[Section<'_>], seen: &mut Seen, findings: &mut Findings<'_>) {
    Network::new(sections, seen, findings).check_circles(&|kind| world.references_within(kind), seen, findings);
}

/// Checks the recipes and custom kinds that no policy uses, each by itself; what it names may be declared anywhere.
pub(crate) fn check_unused(world: &World<'_>, used: &BTreeSet<String>, seen: &mut Seen, findings: &mut Findings<'_>) {
    let mut universe = Universe::default();
    universe.add(world.recipes.values().flat_map(|recipe| &recipe.resources));
    universe.add(world.bodies.values().flat_map(|body| &body.resources));
    let unused = world.recipes.iter().filter(|(name, _)| !used.contains(*name));
    let recipes = unused.map(|(name, recipe)| Section {
        name,
        resources: &recipe.resources,
        unordered: recipe.unordered,
        requires: Vec::new(),
    });
    let bodies = world.bodies.keys().filter(|kind| !used.contains(*kind)).filter_map(|kind| body(world, kind));
    for section in recipes.chain(bodies) {
        universe.check(section.resources, &|kind| world.has_kind(kind), "the repository", seen, findings);
        check_network(world, &[section], seen, findings);
    }
}

fn assemble<'r>(
    world: &World<'r>,
    name: &str,
    reach: &Reach<'_>,
    levels: Vec<Level>,
    findings: &Findings<'_>,
) -> (Graph, Blobs<'r>) {
    let index: BTreeMap<&str, usize> = reach.cookbooks.iter().map(String::as_str).zip(0..).collect();
    let cookbook_index = |name: &str| index.get(name).copied().unwrap_or(0);
    let mut blobs = Blobs::new(world.repository);
    let mut declarations = |cookbook: &str, declared: &[Declared]| -> Vec<Declaration> {
        let one = |each: &Declared| {
            blobs.add(cookbook, each);
            each.declaration.clone()
        };
        declared.iter().map(one).collect()
    };
    let recipes = reach.recipes.iter().zip(&reach.requires).map(|((name, recipe), requires)| graph::Recipe {
        name: (*name).to_owned(),
        cookbook: cookbook_index(&recipe.cookbook),
        unordered: recipe.unordered,
        requires: requires.clone(),
        resources: declarations(&recipe.cookbook, &recipe.resources),
    });
    let recipes: Vec<graph::Recipe> = recipes.collect();
    let kinds = reach.kinds.iter().filter_map(|kind| {
        let (head, body) = (world.heads.get(*kind)?, world.bodies.get(*kind)?);
        let custom = CustomKind {
            cookbook: cookbook_index(&head.cookbook),
            unordered: body.unordered,
            parameters: head.parameters.clone(),
            resources: declarations(&head.cookbook, &body.resources),
        };
        Some(((*kind).to_owned(), custom))
    });
    let kinds: BTreeMap<String, CustomKind> = kinds.collect();
    let cookbooks = reach.cookbooks.iter().filter_map(|name| {
        let cookbook = world.cookbooks.get(name)?;
        Some(graph::Cookbook {
            name: name.clone(),
            version: cookbook.version.to_string(),
            supports: cookbook.supports.clone(),
            attributes: world.attributes.get(name).cloned().unwrap_or_default(),
        })
    });
    let cookbooks: Vec<graph::Cookbook> = cookbooks.collect();
    let orphans = reach.policies.last().map(|policy| policy.orphans).unwrap_or_default();
    let by_key = blobs.by_key.clone();
    let mut graph = Graph {
        format: FORMAT,
        policy: name.to_owned(),
        orphans,
        cookbooks,
        levels,
        recipes,
        kinds,
        blobs: by_key,
        // What the sources name that this policy reaches; more than one policy may be among them.
        secrets: findings.secrets.clone(),
        ..Graph::default()
    };
    number_sources(&mut graph, findings);
    (graph, blobs)
}

/// Makes the positions point into the graph's own list of sources, which holds only those that are pointed into.
fn number_sources(graph: &mut Graph, findings: &Findings<'_>) {
    let mut used = BTreeSet::new();
    each_position(graph, &mut |position| {
        used.insert(position.source);
    });
    let number: BTreeMap<u32, u32> = used.iter().copied().zip(0..).collect();
    each_position(graph, &mut |position| position.source = number.get(&position.source).copied().unwrap_or(0));
    graph.sources = used.into_iter().map(|file| findings.sources.path(file).to_owned()).collect();
}

fn each_position(graph: &mut Graph, visit: &mut dyn FnMut(&mut Position)) {
    let cookbooks = graph.cookbooks.iter_mut().flat_map(|cookbook| cookbook.attributes.values_mut());
    let parameters = graph.kinds.values_mut().flat_map(|kind| kind.parameters.values_mut());
    cookbooks.chain(parameters).for_each(|declared| visit(&mut declared.at));
    let settings = graph.levels.iter_mut().flat_map(|level| level.attributes.values_mut());
    settings.flat_map(|attributes| attributes.values_mut()).for_each(|setting| visit(&mut setting.at));
    let recipes = graph.recipes.iter_mut().flat_map(|recipe| &mut recipe.resources);
    let bodies = graph.kinds.values_mut().flat_map(|kind| &mut kind.resources);
    recipes.chain(bodies).for_each(|declaration| visit(&mut declaration.at));
}
