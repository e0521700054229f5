//! `converge diff`: what differs between two revisions of a policy, resource by resource.

use converge_kinds::text_diff;
use converge_model::{BlobRef, Graph, Result};
use converge_policy::compare::{Difference, Fate, compare};
use converge_protocol::{Manifest, RevisionView};
use converge_trust::revision;
use serde::Serialize;

use crate::access;
use crate::cli::DiffArgs;
use crate::client::StoreClient;
use crate::console::report::change_lines;
use crate::console::{BAD, Console, DIM, GOOD, NOTE, styled};
use crate::failure::{Failure, Outcome};

/// The longest graph that is compared, in bytes.
const LONGEST_GRAPH: u64 = 1 << 30;

/// What differs between two revisions.
#[derive(Debug, Serialize)]
struct Compared {
    policy: String,
    from: u64,
    to: u64,
    differences: Vec<Difference>,
}

/// Compares two revisions.
pub(crate) fn run(args: &DiffArgs, console: Console) -> Outcome {
    let store = access::operator(&args.access, None)?;
    let from = revision_of(&store, &args.policy, &args.from)?;
    let to = match &args.to {
        Some(to) => revision_of(&store, &args.policy, to)?,
        None => newest(&store, &args.policy)?.serial,
    };
    let (before, after) = (graph(&store, &args.policy, from)?, graph(&store, &args.policy, to)?);
    let mut lines = |was: Option<&BlobRef>, is: Option<&BlobRef>| lines_of(&store, was, is);
    let mut read = |blob: &BlobRef| {
        let bytes = bytes_of(&store, blob)?;
        Ok(bytes.as_deref().and_then(text_diff::text).map(str::to_owned))
    };
    let differences = compare((&before, &after), converge_kinds::registry(), &mut lines, &mut read)?;
    let compared = Compared { policy: args.policy.clone(), from, to, differences };
    console.result(&compared, text)
}

fn newest(store: &StoreClient, policy: &str) -> Outcome<RevisionView> {
    store.newest_revision(policy)?.ok_or_else(|| {
        Failure::input("compare revisions of", format!("policy {policy}"), "the store has no such policy")
    })
}

/// A serial as it is, or what is live in a group.
fn revision_of(store: &StoreClient, policy: &str, named: &str) -> Outcome<u64> {
    if let Ok(serial) = named.parse() {
        return Ok(serial);
    }
    let live = store.was_live(policy, named, 1)?.into_iter().next();
    live.map(|live| live.serial).ok_or_else(|| {
        let cause = format!("{named:?} is no serial, and nothing is live in a group of that name");
        Failure::input("compare revisions of", format!("policy {policy}"), cause)
            .with_hint("`converge revisions` lists them, and where each is live")
    })
}

fn graph(store: &StoreClient, policy: &str, serial: u64) -> Result<Graph> {
    let signed = store.signed_manifest(policy, serial)?;
    let wrong = |cause: String| {
        let subject = format!("revision {serial} of policy {policy}");
        converge_model::Error::new(converge_model::ErrorKind::Invalid, "compare", subject, cause)
    };
    let Manifest { graph, policy: named, serial: number, .. } = revision::read(&signed.manifest).map_err(wrong)?;
    if (named.as_str(), number) != (policy, serial) {
        return Err(wrong(format!("the store gave revision {number} of policy {named}")));
    }
    Graph::from_bytes(&store.blob_bytes(&graph, LONGEST_GRAPH)?)
}

/// A blob, where it is not too long to be compared.
fn bytes_of(store: &StoreClient, blob: &BlobRef) -> Result<Option<Vec<u8>>> {
    if blob.size > text_diff::LIMIT { Ok(None) } else { store.blob_bytes(blob, text_diff::LIMIT).map(Some) }
}

/// How two contents differ, where both are texts that are not too long.
fn lines_of(store: &StoreClient, was: Option<&BlobRef>, is: Option<&BlobRef>) -> Result<Option<String>> {
    let bytes = |blob: Option<&BlobRef>| blob.map_or(Ok(Some(Vec::new())), |blob| bytes_of(store, blob));
    let (Some(was), Some(is)) = (bytes(was)?, bytes(is)?) else { return Ok(None) };
    let texts = text_diff::text(&was).zip(text_diff::text(&is));
    Ok(texts.map(|(was, is)| text_diff::unified(was, is)))
}

fn text(compared: &Compared) -> String {
    let Compared { policy, from, to, differences } = compared;
    if differences.is_empty() {
        return format!("revisions {from} and {to} of policy {policy} hold the same");
    }
    let lines: Vec<String> = differences.iter().map(difference).collect();
    let count = |fate: Fate| differences.iter().filter(|difference| difference.fate == fate).count();
    let (added, removed, changed) = (count(Fate::Added), count(Fate::Removed), count(Fate::Changed));
    let summary =
        format!("policy {policy}, revision {from} → {to}: {added} added, {removed} removed, {changed} changed");
    format!("{}\n{summary}", lines.join("\n"))
}

fn difference(difference: &Difference) -> String {
    let Difference { sort, name, place, fate, changes } = difference;
    let (sign, style, word) = match fate {
        Fate::Added => ("+", GOOD, "added"),
        Fate::Removed => ("-", BAD, "removed"),
        Fate::Changed => ("~", NOTE, "changed"),
    };
    let what = if *sort == "resource" { name.clone() } else { format!("{sort} {name}") };
    let place = if place.is_empty() { String::new() } else { format!("  {}", styled(DIM, place)) };
    let mut text = format!("{}{place}", styled(style, format_args!("{sign} {word:<8} {what}")));
    // What is gone is not told in detail.
    if *fate != Fate::Removed {
        changes.iter().for_each(|change| text.push_str(&change_lines(change)));
    }
    text
}
