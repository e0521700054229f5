//! `converge revisions`: what was published of a policy, by whom, and where it is live.

use std::collections::BTreeMap;
use std::path::Path;

use converge_protocol::RevisionView;
use serde::Serialize;

use crate::access;
use crate::cli::RevisionsArgs;
use crate::console::table::table;
use crate::console::words::moment;
use crate::console::{Console, GOOD, styled};
use crate::failure::{Failure, Outcome};
use crate::{git, repository};

/// A revision, with what the policy repository at hand knows of its commit.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    revision: RevisionView,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Lists the newest revisions.
pub(crate) fn run(args: &RevisionsArgs, console: Console) -> Outcome {
    let store = access::operator(&args.access, None)?;
    // The next serial is no revision yet: the list begins below it.
    let newest = store.newest_revision(&args.policy)?.ok_or_else(|| {
        Failure::input("list the revisions of", format!("policy {}", args.policy), "the store has no such policy")
            .with_hint("`converge publish` publishes one")
    })?;
    let found = store.revisions(&args.policy, newest.serial).gather(args.limit)?;
    let listed = with_messages(found);
    console.result(&listed, |listed| text(listed))
}

fn with_messages(revisions: Vec<RevisionView>) -> Vec<Listed> {
    let commits = revisions.iter().filter_map(|revision| Some(hexadecimal(revision.manifest.commit.as_deref()?)));
    let messages =
        repository::root_around(Path::new(".")).map_or_else(BTreeMap::new, |root| git::subjects(&root, commits));
    let message = |revision: &RevisionView| messages.get(hexadecimal(revision.manifest.commit.as_deref()?)).cloned();
    revisions.into_iter().map(|revision| Listed { message: message(&revision), revision }).collect()
}

/// The digits of a commit, without what says that it was not all.
fn hexadecimal(commit: &str) -> &str {
    commit.split('-').next().unwrap_or_default()
}

fn text(listed: &[Listed]) -> String {
    let rows = listed.iter().map(|Listed { revision, message }| {
        let commit = revision.manifest.commit.as_deref().unwrap_or_default();
        let dirty = if commit.ends_with("-dirty") { "-dirty" } else { "" };
        let commit: String = hexadecimal(commit).chars().take(12).collect();
        vec![
            revision.serial.to_string(),
            moment(revision.published),
            revision.by.clone().unwrap_or_else(|| "not known".to_owned()),
            revision.signatures.to_string(),
            revision.manifest.graph.digest.short(),
            revision.manifest.groups.join(", "),
            styled(GOOD, revision.live_in.join(", ")),
            format!("{commit}{dirty}"),
            message.clone().unwrap_or_default(),
        ]
    });
    let headings =
        ["revision", "published (utc)", "by", "signatures", "graph", "only for", "live in", "commit", "message"];
    table(&headings, rows)
}
