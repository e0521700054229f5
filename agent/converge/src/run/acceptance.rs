//! What this node accepts of a store. The store can withhold, and can give what was good before; nothing else.
//!
//! Everything a store gives comes through here before it is remembered, and again before each run that goes on with it.

use std::collections::BTreeSet;

use converge_model::{BlobRef, Digest, Error, ErrorKind, Graph, Timestamp};
use converge_policy::attribute::wrong_for_node;
use converge_protocol::limits::check_name;
use converge_protocol::{Assignment, Manifest, SignedManifest};
use converge_trust::{AllowedSigners, revision};
use serde::{Deserialize, Serialize};

use crate::config::NodeIdentity;
use crate::state::highest::Ran;

/// A revision that came through, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// Its manifest, and who signed that.
    pub signed: SignedManifest,
    /// When it came through, by this machine's clock. A key that expires later leaves it good.
    pub at: Timestamp,
}

/// Why what a store gave is not run.
#[derive(Clone, Debug)]
pub(crate) enum Obstacle {
    /// It is not to be had.
    Trouble(Error),
    /// It is not what was signed for this node.
    Refused(Error),
}

impl Obstacle {
    /// What to tell.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Obstacle::Trouble(error) | Obstacle::Refused(error) => error,
        }
    }
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Obstacle::Trouble(error)
    }
}

/// What this node accepts.
pub(crate) struct Acceptance<'a> {
    /// Who it is.
    pub identity: &'a NodeIdentity,
    /// Whom it trusts.
    pub signers: &'a AllowedSigners,
    /// How many of them must have signed.
    pub wanted: u32,
    /// The only group that it may be in; any where it does not say.
    pub group: Option<&'a str>,
    /// The highest revision that it ran; nothing where it ran none.
    pub highest: Option<Ran>,
}

impl Acceptance<'_> {
    /// Holds what the store says this node is against what the node knows of itself: what the store decides are the group,
    /// tags, and values of attributes.
    pub(crate) fn assignment(&self, assignment: &Assignment) -> Result<(), Obstacle> {
        let refuse = |cause: String, hint: &str| refused("what the store says of this node", cause, hint);
        let Assignment { name, policy, group, tags, attributes: _, revision: _ } = assignment;
        if *policy != self.identity.policy {
            let cause = format!("it is to run policy {policy:?}, and enrolled for {}", self.identity.policy);
            return Err(refuse(cause, "to move it, enrol it anew: `converge enroll --again`"));
        }
        if *name != self.identity.name {
            let cause = format!("it is to be called {name:?}, and is {}", self.identity.name);
            return Err(refuse(cause, "to rename it, enrol it anew: `converge enroll --again --name`"));
        }
        let names = std::iter::once(("group", group)).chain(tags.iter().map(|tag| ("tag", tag)));
        for (what, name) in names {
            check_name(what, name).map_err(|cause| refuse(cause, "look what the store was told of this node"))?;
        }
        if let Some(own) = self.group.filter(|own| own != group) {
            let cause = format!("it is to be in group {group}, and agent.toml keeps it in {own}");
            return Err(refuse(cause, "where it belongs there, say so in its agent.toml"));
        }
        Ok(())
    }

    /// What a manifest says that was given as revision `serial`, if enough trusted signers signed it by the time `at`, and it is
    /// one for this node.
    pub(crate) fn manifest(&self, serial: u64, signed: &SignedManifest, at: Timestamp) -> Result<Manifest, Obstacle> {
        let policy = &self.identity.policy;
        let what = format!("revision {serial} of policy {policy}");
        let manifest = revision::verify(signed, self.signers, self.wanted, at).map_err(|cause| {
            let hint = "a trusted author signs it with `converge sign`; whom this node trusts is in allowed_signers";
            refused(&what, cause, hint)
        })?;
        if manifest.policy != *policy || manifest.serial != serial {
            let cause = format!(
                "what was signed is revision {} of policy {}: the store gave one for the other",
                manifest.serial, manifest.policy
            );
            return Err(refused(&what, cause, STORE));
        }
        let Some(ran) = self.highest else { return Ok(manifest) };
        let hint = "publish what it holds as a new revision: its serial must be higher (`converge publish --serial`)";
        if serial < ran.serial {
            let cause = format!("this node ran revision {} already, and never goes back", ran.serial);
            return Err(refused(&what, cause, hint));
        }
        if serial == ran.serial && ran.manifest != Digest::of(signed.manifest.as_bytes()) {
            let cause = format!("this node ran another revision {serial} already: two were signed under one serial");
            return Err(refused(&what, cause, hint));
        }
        Ok(manifest)
    }

    /// Holds a graph against the manifest that names it, and what the store says of the node against the graph.
    pub(crate) fn graph(&self, manifest: &Manifest, graph: &Graph, assignment: &Assignment) -> Result<(), Obstacle> {
        let what = format!("revision {} of policy {}", manifest.serial, manifest.policy);
        if !manifest.is_for(&assignment.group) {
            let (only, group) = (manifest.groups.join(", "), &assignment.group);
            let cause = format!("it was signed for {only} only, and this node is in group {group}");
            return Err(refused(&what, cause, "publish it for that group too: `converge publish --only`"));
        }
        if graph.policy != manifest.policy {
            let cause = format!("its graph is one of policy {:?}", graph.policy);
            return Err(refused(&what, cause, "publish it anew"));
        }
        let (needed, signed): (BTreeSet<BlobRef>, BTreeSet<BlobRef>) =
            (graph.blob_refs().collect(), manifest.blobs.iter().copied().collect());
        if let Some(odd) = needed.symmetric_difference(&signed).next() {
            let (one, other) = if needed.contains(odd) { ("graph", "manifest") } else { ("manifest", "graph") };
            let cause = format!("its {one} names blob {}, and its {other} does not", odd.digest.short());
            return Err(refused(&what, cause, "publish it anew"));
        }
        let wrong = wrong_for_node(graph, &assignment.attributes);
        if !wrong.is_empty() {
            let hint = "set another value in the store, or take it away: `converge node set`";
            return Err(refused("what the store says of this node", wrong.join("; "), hint));
        }
        Ok(())
    }
}

/// What to do about a store that gives what it should not.
const STORE: &str = "look who had their hands on the store: it gave what nobody signed so";

/// An answer that is not what its digest or size says is refused; one that did not come at all is trouble.
pub(crate) fn of_fetching(error: Error) -> Obstacle {
    if error.kind == ErrorKind::Invalid {
        Obstacle::Refused(Error { kind: ErrorKind::Denied, hint: Some(STORE.to_owned()), ..error })
    } else {
        Obstacle::Trouble(error)
    }
}

fn refused(what: &str, cause: String, hint: &str) -> Obstacle {
    Obstacle::Refused(Error::new(ErrorKind::Denied, "accept", what, cause).with_hint(hint))
}
