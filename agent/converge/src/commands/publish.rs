//! `converge publish`: compile a policy, and put it into the store.

use converge_model::BlobRef;
use converge_protocol::RevisionView;
use indicatif::ProgressBar;
use serde::Serialize;

use super::compile::Compilation;
use crate::access;
use crate::cli::PublishArgs;
use crate::client::{BlobBytes, StoreClient};
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::git;
use crate::publishing::{Author, Draft};
use crate::repository::PolicyRepository;
use crate::signing_key;

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
    let (repository, name) = PolicyRepository::of_policy(&args.policy)?;
    let store = access::operator(&args.access, Some(&repository))?;
    let commit = git::commit_of(&repository.root);
    let named = match &args.key {
        Some(key) => Some(key.clone()),
        None => repository.signing_key()?,
    };
    let author = Author { key: signing_key::find(named.as_deref())?, signers: repository.signers()? };
    if let Some(group) = args.group.as_ref().filter(|group| !args.only.is_empty() && !args.only.contains(group)) {
        let cause = format!("with --only it is for {} alone", args.only.join(", "));
        return Err(Failure::input("publish, making it live in", format!("group {group}"), cause)
            .with_hint("name that group with --only too"));
    }
    let key = author.key.public();
    if author.signers.is_none() {
        console.note(format_args!(
            "nodes run only what is signed by whom their allowed_signers names. Keep that file in the repository; for this key \
             its line is\nNAME {}",
            key.to_line()?
        ));
    } else if !author.is_trusted() {
        console.note(format_args!(
            "the key {key} is not trusted by this repository's allowed_signers: nodes that have those refuse what it signs"
        ));
    }
    let compilation = Compilation::of(repository, &name, console)?;
    let mut only = args.only.clone();
    only.sort_unstable();
    only.dedup();
    let wish = Wish { commit, group: args.group.as_deref(), only, serial: args.serial };
    let published = publish(&compilation, wish, &author, &store, console)?;
    console.result(&published, |published| {
        let live = published.group.as_ref().map(|group| format!(", live in group {group}")).unwrap_or_default();
        let RevisionView { policy, serial, .. } = &published.revision;
        format!("policy {policy} revision {serial}{live} ({} new blobs)", published.sent)
    })
}

/// What a publication is to be, beside the policy.
#[derive(Debug, Default)]
pub(crate) struct Wish<'a> {
    /// The commit that the policy is of.
    pub commit: Option<String>,
    /// The group to make it live in.
    pub group: Option<&'a str>,
    /// The only groups that it is for, ascending; all where it names none.
    pub only: Vec<String>,
    /// The serial, instead of the next.
    pub serial: Option<u64>,
}

/// Puts a compiled policy into the store, sending only what the store lacks, signs it, and makes it live in a group.
pub(crate) fn publish(
    compilation: &Compilation,
    wish: Wish<'_>,
    author: &Author,
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
    let draft = Draft { policy: policy.clone(), graph: graph_blob, blobs, groups: wish.only, commit: wish.commit };
    let revision = author.publish(store, &draft, wish.serial)?;
    if let Some(group) = wish.group {
        store.assign(&policy, group, revision.serial)?;
    }
    Ok(Published { revision, sent: missing.len(), group: wish.group.map(str::to_owned) })
}
