//! Identical declarations of a resource are one; different ones are an error.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use converge_model::{Diagnostic, Graph, ResourceId};
use foldhash::{HashMap, HashMapExt};

use super::draft::{Draft, Findings, Group};
use super::place::span;

/// Which draft stands for each draft: itself, or the one that it is identical with. One that `when` skips gives way to one
/// that it does not, so that alternatives for different platforms may share a name.
///
/// With it comes where each resource is found by its identity.
pub(super) fn representatives<'a>(
    graph: &Graph,
    drafts: &'a [Draft<'_>],
    findings: &mut Findings,
) -> (Vec<usize>, HashMap<&'a ResourceId, usize>) {
    let mut stands_for: Vec<usize> = (0..drafts.len()).collect();
    let mut known: HashMap<&ResourceId, usize> = HashMap::with_capacity(drafts.len());
    for (at, draft) in drafts.iter().enumerate() {
        let mut place = match known.entry(&draft.resource.id) {
            Entry::Vacant(place) => {
                place.insert(at);
                continue;
            }
            Entry::Occupied(place) => place,
        };
        let earlier = *place.get();
        let first = &drafts[earlier];
        match (first.resource.skipped.is_some(), draft.resource.skipped.is_some()) {
            (_, true) => stands_for[at] = earlier,
            (true, false) => {
                stands_for[earlier] = at;
                place.insert(at);
            }
            (false, false) => {
                let differing = differences(first, draft);
                if !differing.is_empty() {
                    findings.push(different(
                        graph,
                        &draft.resource.id,
                        first.declaration.at,
                        draft.declaration.at,
                        &differing,
                    ));
                }
                stands_for[at] = earlier;
            }
        }
    }
    // A skipped one may have given way to one that is itself not the first.
    for at in 0..drafts.len() {
        while stands_for[stands_for[at]] != stands_for[at] {
            stands_for[at] = stands_for[stands_for[at]];
        }
    }
    (stands_for, known)
}

/// Checks that resources of custom kinds that are declared twice are declared alike.
pub(super) fn check_groups(graph: &Graph, groups: &[Group<'_>], findings: &mut Findings) {
    let mut known: HashMap<&ResourceId, &Group<'_>> = HashMap::new();
    for group in groups.iter().filter(|group| !group.skipped) {
        match known.get(&group.id) {
            Some(first) => {
                let mut differing = Vec::new();
                if let (Some(left), Some(right)) = (first.parameters.as_map(), group.parameters.as_map()) {
                    differing.extend(differing_keys(left, right));
                }
                if !same_links(&first.links, &group.links) {
                    differing.push("the resources it names".to_owned());
                }
                if !differing.is_empty() {
                    findings.push(different(graph, &group.id, first.declaration.at, group.declaration.at, &differing));
                }
            }
            None => {
                known.insert(&group.id, group);
            }
        }
    }
}

/// What is not the same in two declarations of one resource; where they are declared does not matter.
fn differences(left: &Draft<'_>, right: &Draft<'_>) -> Vec<String> {
    let (first, second) = (&left.resource, &right.resource);
    let mut differing: Vec<String> = differing_keys(&first.properties, &second.properties);
    for (name, same) in [
        ("only_if or not_if", first.guards == second.guards),
        ("timeout", first.timeout == second.timeout),
        ("retries", first.retries == second.retries),
        ("ignore_failure", first.ignore_failure == second.ignore_failure),
        ("sensitive", first.sensitive == second.sensitive),
        ("audit", first.audit == second.audit),
        ("the resources it names", same_links(&left.links, &right.links)),
    ] {
        if !same {
            differing.push(format!("`{name}`"));
        }
    }
    differing
}

fn same_links(left: &[super::draft::Link], right: &[super::draft::Link]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| left.role == right.role && left.target == right.target)
}

fn differing_keys<'a, V: PartialEq + 'a>(
    left: impl IntoIterator<Item = (&'a String, &'a V)>,
    right: impl IntoIterator<Item = (&'a String, &'a V)>,
) -> Vec<String> {
    let left: BTreeMap<_, _> = left.into_iter().collect();
    let right: BTreeMap<_, _> = right.into_iter().collect();
    let changed = left.iter().filter(|(name, value)| right.get(*name) != Some(value)).map(|(name, _)| name);
    let added = right.keys().filter(|name| !left.contains_key(*name));
    changed.chain(added).map(|name| format!("`{name}`")).collect()
}

fn different(
    graph: &Graph,
    id: &ResourceId,
    first: converge_model::graph::Position,
    second: converge_model::graph::Position,
    differing: &[String],
) -> Diagnostic {
    Diagnostic::error(format!("{id} is declared twice, and differently"), Some(span(graph, second)))
        .with_label(format!("other than before: {}", differing.join(", ")))
        .with_related(span(graph, first), "it is declared here first")
        .with_help("declare it once, or alike; `when` may choose between declarations that differ")
}
