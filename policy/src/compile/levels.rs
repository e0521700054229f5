//! What policies set for attributes, held against what cookbooks declare.

use std::collections::BTreeMap;

use converge_model::graph::{self, AttributeDeclaration, Level};
use converge_model::suggest;

use super::Seen;
use super::attributes::value_for;
use super::policy_file::Setting;
use super::run_list::Reach;
use super::scope::{Readable, Scope};
use super::sources::{Findings, Place};
use super::world::World;

/// What the policies set: first for every node, then for groups.
pub(crate) fn levels(world: &World<'_>, reach: &Reach<'_>, seen: &mut Seen, findings: &mut Findings<'_>) -> Vec<Level> {
    let mut levels = Vec::new();
    // One that only others include may name whatever they reach.
    let all = world.cookbooks.keys().cloned().collect();
    let readable = if reach.recipes.is_empty() { &all } else { &reach.cookbooks };
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
            let scope = Scope::new(&world.attributes, Readable::Policy(readable));
            let is_reached = reach.cookbooks.contains(setting.cookbook);
            if let Some(value) = value_for(declared, setting.node, &scope, findings).filter(|_| is_reached) {
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
    let declared = world.attributes.get(cookbook)?;
    let Some(found) = declared.get(setting.attribute) else {
        if seen.insert(setting.place) {
            unknown(setting, declared, findings);
        }
        return None;
    };
    // A policy that others include may set what not all of them use.
    let (is_reached, is_fragment) = (reach.cookbooks.contains(cookbook), reach.recipes.is_empty());
    if is_own && !is_reached && !is_fragment && seen.insert(setting.cookbook_place) {
        findings
            .warning(setting.cookbook_place, format!("nothing in the run list uses cookbook `{cookbook}`"))
            .help("these values have no effect: remove them, or add a recipe of the cookbook to the run list");
    }
    (is_reached || is_fragment).then_some(found)
}

fn unknown(setting: &Setting<'_>, declared: &BTreeMap<String, AttributeDeclaration>, findings: &mut Findings<'_>) {
    let Setting { cookbook, attribute, .. } = setting;
    let nearest = suggest::nearest(attribute, declared.keys().map(String::as_str));
    let finding = findings
        .error(setting.place, format!("cookbook `{cookbook}` declares no attribute `{attribute}`"))
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

/// Reports required attributes that no level sets, and no node could.
pub(crate) fn check_required(world: &World<'_>, reach: &Reach<'_>, levels: &[Level], findings: &mut Findings<'_>) {
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
