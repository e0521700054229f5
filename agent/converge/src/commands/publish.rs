//! `converge publish`: compile a policy, and put it into the store.

use std::path::Path;

use converge_model::BlobRef;
use converge_protocol::{Manifest, RevisionView};
use indicatif::ProgressBar;
use serde::Serialize;

use super::compile::Compilation;
use crate::access;
use crate::cli::PublishArgs;
use crate::client::{BlobBytes, StoreClient};
use crate::console::Console;
use crate::failure::Outcome;
use crate::git;
use crate::repository::PolicyRepository;

/// What was published.
#[derive(Debug, Serialize)]
pub(crate) struct Published {
    /// The revision.
    pub revision: RevisionView,
    /// How many blobs the store did not have.
    pub sent: usize,
    /// The group in which it was made live.
    pub group: Option<String>,
}

/// Publishes a policy by its name in this repository, or by its file.
pub(crate) fn run(args: &PublishArgs, console: Console) -> Outcome {
    let is_file = args.policy.extension().is_some_and(|ending| ending == "toml");
    let start = if is_file { args.policy.as_path() } else { Path::new(".") };
    let repository = PolicyRepository::around(start)?;
    let store = access::operator(&args.access, Some(&repository))?;
    let name = if is_file { args.policy.file_stem().unwrap_or_default() } else { args.policy.as_os_str() };
    let commit = git::commit_of(&repository.root);
    let compilation = Compilation::of(repository, &name.to_string_lossy(), console)?;
    let published = publish(&compilation, commit, args.group.as_deref(), &store, console)?;
    console.result(&published, |published| {
        let live = published.group.as_ref().map(|group| format!(", live in group {group}")).unwrap_or_default();
        let RevisionView { policy, serial, .. } = &published.revision;
        format!("policy {policy} revision {serial}{live} ({} new blobs)", published.sent)
    })
}

/// Puts a compiled policy into the store, sending only what the store lacks, and makes it live in a group.
pub(crate) fn publish(
    compilation: &Compilation,
    commit: Option<String>,
    group: Option<&str>,
    store: &StoreClient,
    console: Console,
) -> Outcome<Published> {
    let graph = compilation.graph.to_bytes()?;
    let graph_blob = BlobRef::of(&graph);
    let blobs = compilation.blobs()?;
    let all: Vec<BlobRef> = std::iter::once(graph_blob).chain(blobs.iter().copied()).collect();
    let missing = store.missing_blobs(all.iter().map(|blob| blob.digest).collect())?;
    let progress = if console.is_json() { ProgressBar::hidden() } else { ProgressBar::new(missing.len() as u64) };
    for blob in all.iter().filter(|blob| missing.contains(&blob.digest)) {
        let is_graph = blob.digest == graph_blob.digest;
        let bytes = if is_graph { BlobBytes::Memory(&graph) } else { compilation.bytes(&blob.digest)? };
        store.put_blob(blob, bytes)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let policy = compilation.graph.policy.clone();
    let revision = store.publish(&Manifest { policy: policy.clone(), graph: graph_blob, blobs, commit })?;
    if let Some(group) = group {
        store.assign(&policy, group, revision.serial)?;
    }
    Ok(Published { revision, sent: missing.len(), group: group.map(str::to_owned) })
}
