//! Links a policy: expands what it includes, finds what its run list reaches, and makes the graph of it.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::graph::{self, AttributeDeclaration, CustomKind, Declaration, FORMAT, Level, Position};
use converge_model::{Graph, order, suggest};

use super::Seen;
use super::attributes::value_for;
use super::blobs::Blobs;
use super::network::{Group, Network, Universe};
use super::policy_file::{PolicyFile, Setting};
use super::recipe::Recipe;
use super::scope::{Readable, Scope};
use super::sources::{Findings, Place};
use super::world::World;
use crate::attribute;

/// A policy, with everything that its run list reaches.
struct Reach<'w> {
    /// Those that it includes, and itself last.
    policies: Vec<&'w PolicyFile<'w>>,
    /// The recipes by full name, in the order in which they converge.
    recipes: Vec<(&'w str, &'w Recipe)>,
    /// The recipes that come before each, by index.
    requires: Vec<Vec<usize>>,
    /// The cookbooks of the recipes, and those that they depend on.
    cookbooks: BTreeSet<String>,
    /// The custom kinds that the recipes use.
    kinds: BTreeSet<&'w str>,
}

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
    let groups: Vec<Group<'_>> = reach
        .recipes
        .iter()
        .zip(&reach.requires)
        .map(|((name, recipe), requires)| Group {
            name,
            resources: &recipe.resources,
            unordered: recipe.unordered,
            requires: requires.clone(),
        })
        .collect();
    let mut universe = Universe::default();
    let bodies = || reach.kinds.iter().filter_map(|kind| world.bodies.get(*kind));
    universe.add(groups.iter().flat_map(|group| group.resources).chain(bodies().flat_map(|body| &body.resources)));
    let within = format!("policy `{name}`");
    for resources in groups.iter().map(|group| group.resources).chain(bodies().map(|body| &body.resources[..])) {
        universe.check(resources, &|kind| world.has_kind(kind), &within, seen, findings);
    }
    let network = Network::new(&groups, seen, findings);
    network.check_circles(&|kind| world.references_within(kind), seen, findings);
    let (graph, blobs) = assemble(world, name, &reach, levels, findings);
    let groups: BTreeSet<Option<&str>> = graph.levels.iter().map(|level| level.group.as_deref()).collect();
    for group in groups.into_iter().chain([None]) {
        findings.extend(attribute::circle(&graph, group));
    }
    Some((graph, blobs))
}

/// Checks the references and circles of recipes that no policy runs, each by itself; what it names may be declared anywhere.
pub(crate) fn check_unused(world: &World<'_>, used: &BTreeSet<String>, seen: &mut Seen, findings: &mut Findings<'_>) {
    let mut universe = Universe::default();
    universe.add(world.recipes.values().flat_map(|recipe| &recipe.resources));
    universe.add(world.bodies.values().flat_map(|body| &body.resources));
    for (name, recipe) in world.recipes.iter().filter(|(name, _)| !used.contains(*name)) {
        let Recipe { resources, unordered, .. } = recipe;
        universe.check(resources, &|kind| world.has_kind(kind), "the repository", seen, findings);
        let group = [Group { name, resources, unordered: *unordered, requires: Vec::new() }];
        Network::new(&group, seen, findings).check_circles(&|kind| world.references_within(kind), seen, findings);
    }
    for (name, body) in &world.bodies {
        let group = [Group { name, resources: &body.resources, unordered: body.unordered, requires: Vec::new() }];
        Network::new(&group, seen, findings).check_circles(&|kind| world.references_within(kind), seen, findings);
        universe.check(&body.resources, &|kind| world.has_kind(kind), "the repository", seen, findings);
    }
}

fn reach<'w>(world: &'w World<'_>, name: &str, seen: &mut Seen, findings: &mut Findings<'_>) -> Option<Reach<'w>> {
    let mut policies = Vec::new();
    include(world, name, None, &mut Vec::new(), &mut policies, seen, findings);
    let mut written: Vec<(&str, Place)> = Vec::new();
    for (recipe, place) in policies.iter().flat_map(|policy| &policy.run_list) {
        if !written.iter().any(|(other, _)| other == recipe) {
            written.push((recipe, *place));
        }
    }
    let cookbooks = written.iter().filter_map(|(name, _)| Some(world.recipes.get(*name)?.cookbook.as_str()));
    let cookbooks = depended_on(world, cookbooks);
    let (recipes, requires) = ordered_recipes(world, name, &written, seen, findings)?;
    let used = recipes.iter().flat_map(|(_, recipe)| &recipe.resources).map(|each| each.declaration.kind.as_str());
    let used: BTreeSet<&str> = used.filter(|kind| world.bodies.contains_key(*kind)).collect();
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    for kind in used {
        let within = world.kinds_within(kind);
        kinds.extend(world.bodies.keys().map(String::as_str).filter(|other| *other == kind || within.contains(*other)));
    }
    Some(Reach { policies, recipes, requires, cookbooks, kinds })
}

/// Those that a policy includes, before itself, each once.
fn include<'w>(
    world: &'w World<'_>,
    name: &str,
    entered: Option<Place>,
    above: &mut Vec<(String, Option<Place>)>,
    found: &mut Vec<&'w PolicyFile<'w>>,
    seen: &mut Seen,
    findings: &mut Findings<'_>,
) {
    let Some(policy) = world.policies.get(name) else { return };
    if found.iter().any(|other| other.name == name) {
        return;
    }
    above.push((name.to_owned(), entered));
    for (other, place) in &policy.include {
        match above.iter().position(|(each, _)| each == other) {
            Some(start) => {
                if seen.insert(*place) {
                    let around = &above[start..];
                    let chain: Vec<&str> =
                        around.iter().map(|(name, _)| name.as_str()).chain([other.as_str()]).collect();
                    // Whoever enters the circle elsewhere finds the same one.
                    seen.extend(around[1..].iter().filter_map(|(_, place)| *place));
                    findings
                        .error(*place, format!("policies include each other in a circle: {}", chain.join(" → ")))
                        .help("remove one of the includes");
                }
            }
            None => include(world, other, Some(*place), above, found, seen, findings),
        }
    }
    above.pop();
    found.push(policy);
}

/// Cookbooks, and those that they depend on, and so on.
fn depended_on<'n>(world: &World<'_>, names: impl IntoIterator<Item = &'n str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = names.into_iter().map(str::to_owned).collect();
    while let Some(name) = open.pop() {
        if let Some(cookbook) = world.cookbooks.get(&name)
            && found.insert(name)
        {
            open.extend(cookbook.depends_on.iter().cloned());
        }
    }
    found
}

type Ordered<'w> = (Vec<(&'w str, &'w Recipe)>, Vec<Vec<usize>>);

/// The recipes of a run list: as it is written, but required ones first. A recipe requires those that it says, and those
/// that are written before it and belong to a cookbook that its own depends on.
fn ordered_recipes<'w>(
    world: &'w World<'_>,
    policy: &str,
    written: &[(&'w str, Place)],
    seen: &mut Seen,
    findings: &mut Findings<'_>,
) -> Option<Ordered<'w>> {
    let recipes: Vec<(&str, &Recipe)> =
        written.iter().filter_map(|(name, _)| Some((*name, world.recipes.get(*name)?))).collect();
    let index: BTreeMap<&str, usize> = recipes.iter().map(|(name, _)| *name).zip(0..).collect();
    let mut edges: Vec<(usize, usize, Option<Place>)> = Vec::new();
    for (own, (name, recipe)) in recipes.iter().enumerate() {
        let mut depends = depended_on(world, [recipe.cookbook.as_str()]);
        depends.remove(&recipe.cookbook);
        let earlier = recipes[..own].iter().enumerate().filter(|(_, (_, other))| depends.contains(&other.cookbook));
        edges.extend(earlier.map(|(at, _)| (at, own, None)));
        for (required, place) in &recipe.requires {
            match index.get(required.as_str()) {
                Some(&other) => edges.push((other, own, Some(*place))),
                None if seen.insert(*place) => {
                    findings
                        .error(
                            *place,
                            format!("recipe `{name}` requires `{required}`, which policy `{policy}` does not run"),
                        )
                        .help(format!("add \"{required}\" to the run list in policies/{policy}.toml"));
                }
                None => {}
            }
        }
    }
    let plain: Vec<(usize, usize)> = edges.iter().map(|(earlier, later, _)| (*earlier, *later)).collect();
    let order = match order::order(recipes.len(), &plain) {
        Ok(order) => order,
        Err(circle) => {
            report_circle(&circle, &recipes, &edges, seen, findings);
            return None;
        }
    };
    let mut position = vec![0; recipes.len()];
    for (at, &index) in order.iter().enumerate() {
        position[index] = at;
    }
    let mut requires = vec![BTreeSet::new(); recipes.len()];
    for (earlier, later, _) in edges {
        requires[position[later]].insert(position[earlier]);
    }
    let recipes = order.iter().map(|&index| recipes[index]).collect();
    Some((recipes, requires.into_iter().map(|set| set.into_iter().collect()).collect()))
}

fn report_circle(
    circle: &[usize],
    recipes: &[(&str, &Recipe)],
    edges: &[(usize, usize, Option<Place>)],
    seen: &mut Seen,
    findings: &mut Findings<'_>,
) {
    let around = circle.iter().zip(circle.iter().cycle().skip(1));
    let places: Vec<Place> = around
        .filter_map(|(from, to)| {
            let between = |edge: &&(usize, usize, Option<Place>)| (edge.0, edge.1) == (*from, *to);
            edges.iter().filter(between).find_map(|edge| edge.2)
        })
        .collect();
    let names: Vec<&str> = circle.iter().chain(circle.first()).rev().map(|&at| recipes[at].0).collect();
    let Some((first, others)) = places.split_first() else { return };
    if seen.insert(*first) {
        let mut finding = findings
            .error(*first, format!("recipes require each other in a circle: {}", names.join(" → ")))
            .help("remove one of the `requires`, or change the order of the run list");
        for place in others {
            finding = finding.related(*place, "and here");
        }
    }
}

/// What the policies set: first for every node, then for groups.
fn levels(world: &World<'_>, reach: &Reach<'_>, seen: &mut Seen, findings: &mut Findings<'_>) -> Vec<Level> {
    let mut levels = Vec::new();
    let every_node = reach.policies.iter().map(|policy| (*policy, None, &policy.settings));
    let groups = reach
        .policies
        .iter()
        .flat_map(|policy| policy.groups.iter().map(|(group, settings)| (*policy, Some(group.clone()), settings)));
    for (policy, group, settings) in every_node.chain(groups) {
        let is_own = reach.policies.last().is_some_and(|own| own.name == policy.name);
        let mut level = Level { policy: policy.name.clone(), group, ..Level::default() };
        for setting in settings {
            let Some(declared) = declared_for(world, reach, setting, is_own, seen, findings) else { continue };
            let scope = Scope::new(&world.attributes, Readable::Policy(&reach.cookbooks));
            if let Some(value) = value_for(declared, setting.node, &scope, findings) {
                let at = findings.sources.position(setting.place);
                let cookbook = level.attributes.entry(setting.cookbook.to_owned()).or_default();
                cookbook.insert(setting.attribute.to_owned(), graph::Setting { value, at });
            }
        }
        if !level.attributes.is_empty() {
            levels.push(level);
        }
    }
    levels
}

/// The declaration of what a setting sets. Settings for cookbooks that the run list does not reach are left out.
fn declared_for<'w>(
    world: &'w World<'_>,
    reach: &Reach<'_>,
    setting: &Setting<'_>,
    is_own: bool,
    seen: &mut Seen,
    findings: &mut Findings<'_>,
) -> Option<&'w AttributeDeclaration> {
    let cookbook = setting.cookbook;
    if !world.names.cookbooks.contains_key(cookbook) {
        if seen.insert(setting.cookbook_place) {
            findings
                .error(setting.cookbook_place, format!("cookbook `{cookbook}` is not in the repository"))
                .did_you_mean(suggest::nearest(cookbook, world.names.cookbooks.keys().copied()));
        }
        return None;
    }
    // A policy that is only included may set what those that include it do not use.
    if !reach.cookbooks.contains(cookbook) {
        if is_own && !reach.recipes.is_empty() && seen.insert(setting.cookbook_place) {
            findings
                .warning(setting.cookbook_place, format!("nothing in the run list uses cookbook `{cookbook}`"))
                .help("these values have no effect: remove them, or add a recipe of the cookbook to the run list");
        }
        let is_fragment = reach.recipes.is_empty();
        return world.attributes.get(cookbook)?.get(setting.attribute).filter(|_| is_fragment);
    }
    let declared = world.attributes.get(cookbook)?;
    let found = declared.get(setting.attribute);
    if found.is_none() && seen.insert(setting.place) {
        let nearest = suggest::nearest(setting.attribute, declared.keys().map(String::as_str));
        let finding = findings
            .error(setting.place, format!("cookbook `{cookbook}` declares no attribute `{}`", setting.attribute))
            .did_you_mean(nearest);
        if nearest.is_none() {
            let known: Vec<&str> = declared.keys().map(String::as_str).collect();
            finding.help(if known.is_empty() {
                "it declares none".to_owned()
            } else {
                format!("it declares: {}", known.join(", "))
            });
        }
    }
    found
}

/// Reports required attributes that no level sets, and no node could.
fn check_required(world: &World<'_>, reach: &Reach<'_>, levels: &[Level], findings: &mut Findings<'_>) {
    let Some(policy) = reach.policies.last() else { return };
    for cookbook in &reach.cookbooks {
        for (name, declared) in world.attributes.get(cookbook).into_iter().flatten() {
            let is_set = levels
                .iter()
                .any(|level| level.attributes.get(cookbook).is_some_and(|attributes| attributes.contains_key(name)));
            if declared.required && !declared.node_settable && !is_set {
                let own = |(recipe, _): &&(String, Place)| recipe.split("::").next() == Some(cookbook);
                let place = policy.run_list.iter().find(own).map_or(policy.place, |(_, place)| *place);
                findings
                    .error(place, format!("policy `{}` does not set `{name}` of cookbook `{cookbook}`", policy.name))
                    .label("the cookbook requires it")
                    .help(format!("add `{name} = …` to [attributes.{cookbook}] in policies/{}.toml", policy.name));
            }
        }
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
    let mut declarations = |cookbook: &str, declared: &[super::declaration::Declared]| -> Vec<Declaration> {
        let one = |each: &super::declaration::Declared| {
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
