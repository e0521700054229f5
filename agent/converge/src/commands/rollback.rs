//! `converge rollback`: a group goes back to what it ran before.
//!
//! Nodes never go back to an earlier revision. What that one holds is signed anew, as the next revision, for this group alone:
//! whoever has the store can have no other group go back with it.

use converge_protocol::RevisionView;
use serde::Serialize;

use super::promote::live;
use crate::access;
use crate::cli::RollbackArgs;
use crate::client::StoreClient;
use crate::console::Console;
use crate::console::words::moment;
use crate::failure::{Failure, Outcome};
use crate::publishing::{Author, Given};

/// How far back what was live before is looked for.
const LOOKED_BACK: usize = 500;

/// What was done.
#[derive(Debug, Serialize)]
struct RolledBack {
    policy: String,
    group: String,
    /// What is live now.
    revision: u64,
    /// The revision whose content it holds.
    holds: u64,
    /// What was live until now.
    before: u64,
}

/// Takes a group back.
pub(crate) fn run(args: &RollbackArgs, console: Console) -> Outcome {
    let store = access::operator(&args.access, None)?;
    let (policy, group) = (&args.policy, &args.group);
    let refuse = |cause: String| Failure::input("roll back", format!("policy {policy} in group {group}"), cause);
    let before = live(&store, policy, group)?.ok_or_else(|| refuse("nothing is live there".to_owned()))?.serial;
    let target = match args.to {
        Some(serial) => serial,
        None => what_was_before(&store, args, before, console)?,
    };
    if target == before {
        return Err(refuse(format!("revision {target} is live there already")));
    }
    let given = Given::of(&store, policy, target)?;
    if !given.manifest.is_for(group) {
        let cause = format!("revision {target} was signed for {} only", given.manifest.groups.join(", "));
        return Err(refuse(cause).with_hint("publish it for that group too: `converge publish --only`"));
    }
    let revision = if target > before {
        // It is made live as it is: nothing is signed, and nodes verify it.
        store.assign(policy, group, target)?;
        target
    } else {
        let author = Author::at_hand(args.anew.key.as_deref())?;
        author.check_anew(&given, args.anew.threshold)?;
        author.sign_anew(&store, &given, group, &args.anew, console)?
    };
    let done = RolledBack { policy: policy.clone(), group: group.clone(), revision, holds: target, before };
    console.result(&done, |done| {
        let RolledBack { policy, group, revision, holds, .. } = done;
        format!("policy {policy} revision {revision}, which holds what {holds} does, is live in group {group}")
    })
}

/// What the store says was live before and held something else. Somebody has to agree: it is the store's word alone.
fn what_was_before(store: &StoreClient, args: &RollbackArgs, now: u64, console: Console) -> Outcome<u64> {
    let (policy, group) = (&args.policy, &args.group);
    let ask = |cause: &str| {
        Failure::input("roll back", format!("policy {policy} in group {group}"), cause)
            .with_hint("`converge revisions` lists what there is: say which with --to")
    };
    let running = store.revision(policy, now)?.manifest;
    for earlier in store.was_live(policy, group, LOOKED_BACK)?.into_iter().skip(1) {
        let RevisionView { manifest, published, .. } = store.revision(policy, earlier.serial)?;
        if manifest.graph == running.graph {
            continue;
        }
        let commit = manifest.commit.map(|commit| format!(", commit {commit}")).unwrap_or_default();
        let what = format!("revision {} of {} UTC{commit}", earlier.serial, moment(published));
        if args.yes || console.confirm(&format!("Group {group} ran {what} before {now}. Go back to that?")) {
            return Ok(earlier.serial);
        }
        return Err(ask(&format!("the store says that it ran {what} before, and nobody agreed to go back to that")));
    }
    Err(ask("the store does not know what else was live there before"))
}
