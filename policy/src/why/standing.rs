//! How a resource stands, as a text that can be held against that of another revision.

use std::fmt::Write;

use converge_model::{Graph, ResourceId};
use serde_json::{Value as Json, json};

use super::written;
use crate::bind::Bound;

/// How a resource, or one property of it, is bound: two revisions whose texts are equal do the same with it on this node.
/// Where it is declared does not matter, nor what comes before it. Nothing where the node has no such resource, or nothing is
/// written of such a property. Holds secrets: to be compared, not shown.
pub fn standing(graph: &Graph, bound: &Bound, id: &ResourceId, property: Option<&str>) -> Option<String> {
    let resources = &bound.catalog.resources;
    let position = resources.iter().position(|resource| resource.id == *id);
    let mut text = String::new();
    if let Some(name) = property {
        if let Some(value) = position.and_then(|at| resources[at].properties.get(name)) {
            return Some(json!(value).to_string());
        }
        let index = position.and_then(|at| bound.declarations.get(at)).or_else(|| bound.custom.get(id))?;
        for (_, dynamic, _) in written(index.find(graph)?).into_iter().filter(|(written, ..)| *written == name) {
            let _ = writeln!(text, "{}", json!(dynamic));
        }
        return Some(text).filter(|text| !text.is_empty());
    }
    if position.is_none() && !bound.custom.contains_key(id) {
        return None;
    }
    let own = |at: usize| Some(at) == position || resources[at].origin.within.contains(id);
    for at in (0..resources.len()).filter(|at| own(*at)) {
        let mut resource = json!(resources[at]);
        if let Json::Object(entries) = &mut resource {
            // Positions, and reasons that name lines, are not what the resource is.
            entries.remove("origin");
            entries.remove("requires");
            entries.insert("skipped".to_owned(), json!(resources[at].skipped.is_some()));
            let notifies = resources[at].notifies.iter();
            let named = notifies
                .map(|notify| json!([resources.get(notify.target).map(|it| &it.id), notify.action, notify.timing]));
            entries.insert("notifies".to_owned(), named.collect());
        }
        let _ = writeln!(text, "{resource}");
    }
    Some(text)
}
