//! Since when a resource, or a property of it, has been as it is.
//!
//! A store keeps the revisions of a policy. They are walked back, newest first, each bound for this node with the facts of now:
//! what a revision says of the resource is held against what it says now. A policy repository under git knows the commit that
//! last changed the lines in question.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use converge_model::{BlobRef, Clock, Error, ErrorKind, Facts, Graph, Result, Timestamp};
use converge_policy::bind::{BindInput, BlobReader, bind};
use converge_policy::why::{Use, Why, standing};
use converge_protocol::RevisionView;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::clock::MachineClock;
use crate::console::Console;
use crate::console::words::moment;
use crate::git::{self, Commit, LastChange};
use crate::repository;
use crate::run::policy::{Prepared, StorePolicy};

/// How many revisions are walked back.
const MOST_REVISIONS: usize = 200;
/// How long it is walked back.
const LONGEST: Duration = Duration::from_secs(30);
/// After this long it is shown how far it is.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// Since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "known")]
pub(super) enum Since {
    /// Since a revision of the store's.
    Revision {
        /// Its serial.
        revision: u64,
        /// When it was published.
        published: Timestamp,
        /// The commit that it was made from.
        #[serde(skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// Why it may have been so for longer.
        #[serde(skip_serializing_if = "Option::is_none")]
        or_longer: Option<String>,
    },
    /// Since a commit of the policy repository's.
    Commit(Commit),
    /// Since the last commit.
    NotCommitted,
    /// That cannot be told.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl Since {
    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Since::Revision { revision, published, commit, or_longer } => {
                let commit = commit.as_ref().map(|commit| format!(", commit {}", short(commit))).unwrap_or_default();
                let longer = or_longer.as_ref().map(|why| format!(", or longer: {why}")).unwrap_or_default();
                format!("since revision {revision} of {} UTC{commit}{longer}", moment(*published))
            }
            Since::Commit(Commit { commit, at, subject }) => {
                format!("since commit {} of {} UTC: {subject}", short(commit), moment(*at))
            }
            Since::NotCommitted => "since the last commit: it is not committed yet".to_owned(),
            Since::Unknown { reason } => format!("since when is not known: {reason}"),
        }
    }

    /// Asks the store that the policy came from, about the resource or one property of it.
    pub(super) fn of_store(
        prepared: &Prepared,
        store: &StorePolicy,
        facts: &Arc<Facts>,
        (why, property): (&Why, Option<&str>),
        console: Console,
    ) -> Self {
        let walked = Walk { prepared, store, facts, why, property, console }.back();
        walked.unwrap_or_else(|error| Since::Unknown { reason: error.to_string() })
    }

    /// Asks git about the lines and files of the policy at `path`, from which `why` was made.
    pub(super) fn of_repository(path: &Path, why: &Why) -> Self {
        let unknown = |reason: &str| Since::Unknown { reason: reason.to_owned() };
        let Some(root) = repository::root_around(path) else {
            return unknown("the policy comes neither from a store nor from a policy repository");
        };
        let mut lines: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for place in why.properties.iter().map(|property| &property.place).chain([&why.declared]) {
            lines.entry(&place.file).or_default().insert(place.line);
        }
        let files: BTreeSet<&str> =
            why.properties.iter().flat_map(|property| &property.uses).filter_map(file).collect();
        lines.extend(files.into_iter().map(|file| (file, BTreeSet::new())));
        match git::last_change(&root, &lines) {
            Some(LastChange::In(commit)) => Since::Commit(commit),
            Some(LastChange::NotCommitted) => Since::NotCommitted,
            None => unknown("the policy comes from no store, and its repository is not under git"),
        }
    }
}

fn file(found: &Use) -> Option<&str> {
    match found {
        Use::Content { file, .. } => Some(file),
        _ => None,
    }
}

/// The digits of a commit that are enough for people, and whether it was all.
fn short(commit: &str) -> String {
    let (digits, rest) = commit.split_once('-').map_or((commit, ""), |(digits, _)| (digits, "-dirty"));
    format!("{}{rest}", digits.get(..12).unwrap_or(digits))
}

struct Walk<'a> {
    prepared: &'a Prepared,
    store: &'a StorePolicy,
    facts: &'a Arc<Facts>,
    why: &'a Why,
    /// Of which nothing is asked but this.
    property: Option<&'a str>,
    console: Console,
}

impl Walk<'_> {
    fn back(&self) -> Result<Since> {
        let nothing = |cause: &str| Error::new(ErrorKind::NotFound, "look back from", "this revision", cause);
        let newest = self.prepared.revision.ok_or_else(|| nothing("no store gave the policy a number"))?;
        let policy = &self.prepared.graph.policy;
        let now = self.standing(&self.prepared.graph).ok_or_else(|| nothing("it does not have the resource"))?;
        let started = MachineClock.monotonic_micros();
        let mut progress = None;
        let mut pages = self.store.client().revisions(policy, newest);
        let mut since: Option<RevisionView> = None;
        let mut walked = 0;
        let or_longer = 'walk: loop {
            let Some(page) = pages.next_page()? else { break None };
            for revision in page {
                let elapsed = Duration::from_micros(MachineClock.monotonic_micros().saturating_sub(started));
                if walked >= MOST_REVISIONS || elapsed > LONGEST {
                    break 'walk Some(format!("older ones than {walked} revisions back were not looked at"));
                }
                if elapsed > SHOWN_AFTER && !self.console.is_json() {
                    let bar = progress.get_or_insert_with(|| spinner(policy));
                    bar.set_message(revision.serial.to_string());
                    bar.tick();
                }
                let is_same = match &since {
                    // The newest is the one at hand.
                    None => true,
                    Some(later) if is_alike(later, &revision) => true,
                    Some(_) => match self.of_revision(&revision) {
                        Ok(stood) => stood.as_ref() == Some(&now),
                        Err(error) => {
                            break 'walk Some(format!("revision {} cannot be told: {error}", revision.serial));
                        }
                    },
                };
                if !is_same {
                    break 'walk None;
                }
                since = Some(revision);
                walked += 1;
            }
        };
        if let Some(bar) = progress {
            bar.finish_and_clear();
        }
        let RevisionView { serial, published, manifest, .. } =
            since.ok_or_else(|| nothing("the store no longer has its revisions"))?;
        Ok(Since::Revision { revision: serial, published, commit: manifest.commit, or_longer })
    }

    fn of_revision(&self, revision: &RevisionView) -> Result<Option<String>> {
        Ok(self.standing(&self.store.earlier_graph(revision.serial)?))
    }

    /// How the resource stands where `graph` is bound on this node. A revision that cannot be bound here has no such resource.
    fn standing(&self, graph: &Graph) -> Option<String> {
        let input = BindInput {
            facts: Arc::clone(self.facts),
            node: self.prepared.node.clone(),
            node_attributes: self.prepared.attributes.clone(),
            secrets: self.prepared.secrets.clone(),
        };
        let bound = bind(graph, &input, &OfAnyRevision(self.store), converge_kinds::registry()).ok()?;
        standing(graph, &bound, &self.why.resource, self.property)
    }
}

/// Whether two revisions differ in nothing but their numbers.
fn is_alike(one: &RevisionView, other: &RevisionView) -> bool {
    one.manifest.graph == other.manifest.graph && one.manifest.blobs == other.manifest.blobs
}

fn spinner(policy: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template(&format!("{{spinner}} looking at revision {{msg}} of {policy}")) {
        bar.set_style(style);
    }
    bar
}

/// Blobs of revisions that this node may no longer have, or never had.
struct OfAnyRevision<'a>(&'a StorePolicy);

impl BlobReader for OfAnyRevision<'_> {
    fn read(&self, blob: &BlobRef) -> Result<Vec<u8>> {
        self.0.blob(blob)
    }
}
