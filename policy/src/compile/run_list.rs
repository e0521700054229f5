//! What the run list of a policy reaches: the policies that it includes, recipes in their order, cookbooks, custom kinds.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::order;

use super::Seen;
use super::policy_file::PolicyFile;
use super::recipe::Recipe;
use super::sources::{Findings, Place};
use super::world::World;

/// A policy, with everything that its run list reaches.
pub(crate) struct Reach<'w> {
    /// Those that it includes, and itself last.
    pub(crate) policies: Vec<&'w PolicyFile<'w>>,
    /// The recipes by full name, in the order in which they converge.
    pub(crate) recipes: Vec<(&'w str, &'w Recipe)>,
    /// The recipes that come before each, by index.
    pub(crate) requires: Vec<Vec<usize>>,
    /// The cookbooks of the recipes, and those that they depend on.
    pub(crate) cookbooks: BTreeSet<String>,
    /// The custom kinds that the recipes use.
    pub(crate) kinds: BTreeSet<&'w str>,
}

/// Finds what the policy called `name` reaches; nothing where its recipes require each other in a circle.
pub(crate) fn reach<'w>(
    world: &'w World<'_>,
    name: &str,
    seen: &mut Seen,
    findings: &mut Findings<'_>,
) -> Option<Reach<'w>> {
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
