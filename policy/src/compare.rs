//! What differs between two graphs of a policy: resource by resource, and in what they use. Bound to no node: what is an
//! expression is compared as it is written.

mod facets;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use converge_model::graph::{Graph, Property};
use converge_model::kind::Kinds;
use converge_model::{BlobRef, Change, Changes, Dynamic, Result, Shown, Value};
use serde::Serialize;

use crate::why::show;
use facets::{Entry, entries};
use secrets::Search;

/// What became of something from one graph to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Only the later graph has it.
    Added,
    /// Only the earlier graph has it.
    Removed,
    /// Both have it, and it differs.
    Changed,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What sort of thing it is: `resource`, `attribute`, `template`, …
    pub sort: &'static str,
    /// What it is called: `file[/etc/motd]`, `nginx.workers`, `nginx/site.j2`.
    pub name: String,
    /// Where it is: the recipe, the custom kind, the policy and group; nothing where its name says all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What became of it.
    pub fate: Fate,
    /// Its properties that differ. No value is among them that must not be shown.
    pub changes: Changes,
}

/// What a thing says under one name.
#[derive(Clone, Debug, PartialEq)]
enum Facet<'g> {
    /// What is written.
    Written(&'g Dynamic),
    /// Words of this software.
    Words(String),
    /// What a blob holds.
    Content(BlobRef),
}

/// Shows how the contents of two blobs differ, line by line; nothing where they are no texts.
pub type Lines<'a> = dyn FnMut(Option<&BlobRef>, Option<&BlobRef>) -> Result<Option<String>> + 'a;

/// Reads a blob as text; nothing where it is none, or too long. What cannot be read is taken to use every name.
pub type Read<'a> = dyn FnMut(&BlobRef) -> Result<Option<String>> + 'a;

/// Which thing: its sort, its place, its name, and how many of the same came before it.
type Key = (&'static str, String, String, usize);

/// What is different in `after`, by sort, place and name. `diff` shows how the contents of two blobs differ, line by line,
/// where they are texts; it is not asked about what must not be shown. `read` gives the templates that this is made from.
///
/// # Errors
/// Where `diff` or `read` fails.
pub fn compare(
    (before, after): (&Graph, &Graph),
    kinds: &dyn Kinds,
    diff: &mut Lines<'_>,
    read: &mut Read<'_>,
) -> Result<Vec<Difference>> {
    let (before, after) = (Search::of(before, kinds, read)?, Search::of(after, kinds, read)?);
    let (old, new) = (entries(&before), entries(&after));
    // What is a secret in one of them is shown of neither.
    let hidden: BTreeSet<(&str, &str)> = before.contents().into_iter().chain(after.contents()).collect();
    let nothing = Entry::default();
    let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let (from, to) = (old.get(key), new.get(key));
        let fate = match (from, to) {
            (None, _) => Fate::Added,
            (_, None) => Fate::Removed,
            _ => Fate::Changed,
        };
        let (from, to) = (from.unwrap_or(&nothing), to.unwrap_or(&nothing));
        let (sort, place, name, _) = key;
        let is_hidden =
            |facet: &str| from.is_hidden(facet) || to.is_hidden(facet) || secrets::is_content(&hidden, sort, name);
        let names: BTreeSet<&str> = from.facets.keys().chain(to.facets.keys()).map(String::as_str).collect();
        let mut changes = Changes::none();
        for facet in names {
            let (was, is) = (from.facets.get(facet), to.facets.get(facet));
            if was == is {
                continue;
            }
            let change = Change::new(facet, shown(was), shown(is));
            changes.push(if is_hidden(facet) {
                change.redacted()
            } else {
                match (was.and_then(content), is.and_then(content)) {
                    (None, None) => change,
                    (was, is) => change.with_diff(diff(was.as_ref(), is.as_ref())?),
                }
            });
        }
        if fate != Fate::Changed || !changes.is_empty() {
            found.push(Difference { sort, name: name.clone(), place: place.clone(), fate, changes });
        }
    }
    Ok(found)
}

/// The blob that a facet is the content of.
fn content(facet: &Facet<'_>) -> Option<BlobRef> {
    match facet {
        Facet::Content(blob) | Facet::Written(Dynamic::Literal(Value::Blob(blob))) => Some(*blob),
        _ => None,
    }
}

fn shown(facet: Option<&Facet<'_>>) -> Shown {
    let Some(facet) = facet else { return Shown::Absent };
    if let Some(blob) = content(facet) {
        return Shown::text(format_args!("{} bytes, sha256 {}", blob.size, blob.digest.short()));
    }
    match facet {
        Facet::Written(dynamic) => Shown::maybe(show(dynamic, false)),
        Facet::Words(words) => Shown::text(words),
        Facet::Content(_) => Shown::Absent,
    }
}

impl<'g> From<&'g Property> for Facet<'g> {
    fn from(Property(value, _): &'g Property) -> Self {
        Facet::Written(value)
    }
}

/// Adds an entry under a key that none has yet.
fn add<'g>(all: &mut BTreeMap<Key, Entry<'g>>, (sort, place, name): (&'static str, &str, String), entry: Entry<'g>) {
    let mut key = (sort, place.to_owned(), name, 0);
    while all.contains_key(&key) {
        key.3 += 1;
    }
    all.insert(key, entry);
}
