//! `converge promote`: what is live in one group becomes live in another.
//!
//! What was signed for every group, or for that one, moves as it is: nodes hold its signatures against their own file. What was
//! signed for others only is signed anew, if somebody agrees.

use converge_protocol::{Manifest, WasLive};
use serde::Serialize;

use crate::access;
use crate::cli::PromoteArgs;
use crate::client::StoreClient;
use crate::console::Console;
use crate::console::words::moment;
use crate::failure::{Failure, Outcome};
use crate::publishing::{Author, Given};

/// What was moved.
#[derive(Debug, Serialize)]
struct Promoted {
    policy: String,
    /// What is live now.
    revision: u64,
    group: String,
    /// The revision whose content it holds, where it was signed anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<u64>,
}

/// Makes one group's revision live in another.
pub(crate) fn run(args: &PromoteArgs, console: Console) -> Outcome {
    let store = access::operator(&args.access, None)?;
    let policy = &args.policy;
    let refuse = |cause: String| Failure::input("promote", format!("policy {policy} to group {}", args.to), cause);
    let from = live(&store, policy, &args.from)?
        .ok_or_else(|| refuse(format!("nothing is live in group {}", args.from)))?
        .serial;
    if let Some(wanted) = args.revision.filter(|wanted| *wanted != from) {
        let cause = format!("the store says that revision {from} is live in group {}, and not {wanted}", args.from);
        return Err(refuse(cause).with_hint("`converge revisions` lists what is live where"));
    }
    let now = live(&store, policy, &args.to)?.map(|live| live.serial);
    if let Some(later) = now.filter(|now| *now > from) {
        let cause = format!("revision {later} is live there, which is later than {from}");
        return Err(refuse(cause).with_hint(format!(
            "nodes never go back; `converge rollback {policy} --group {} --to {from}` signs what {from} holds as a new revision",
            args.to
        )));
    }
    let given = Given::of(&store, policy, from)?;
    let (revision, holds) = if given.manifest.is_for(&args.to) {
        store.assign(policy, &args.to, from)?;
        (from, None)
    } else {
        let author = Author::at_hand(args.anew.key.as_deref())?;
        author.check_anew(&given, args.anew.threshold)?;
        agree(args, &given.manifest, console)?;
        (author.sign_anew(&store, &given, &args.to, &args.anew, console)?, Some(from))
    };
    let promoted = Promoted { policy: policy.clone(), revision, group: args.to.clone(), holds };
    console.result(&promoted, |promoted| {
        let holds = promoted.holds.map(|held| format!(", which holds what {held} does,")).unwrap_or_default();
        format!("policy {} revision {}{holds} is live in group {}", promoted.policy, promoted.revision, promoted.group)
    })
}

/// Somebody has to agree to what is signed anew: that it is what the group runs is the store's word alone, and what was signed
/// long ago would become the newest.
fn agree(args: &PromoteArgs, held: &Manifest, console: Console) -> Outcome {
    let commit = held.commit.as_ref().map(|commit| format!(", commit {commit}")).unwrap_or_default();
    let what = format!("revision {} of {} UTC{commit}", held.serial, moment(held.published));
    let question = format!("Group {} runs {what}. Sign that anew for group {}?", args.from, args.to);
    if args.yes || args.revision.is_some() || console.confirm(&question) {
        return Ok(());
    }
    let cause =
        format!("the store says that {what} is live in group {}, and nobody agreed to sign that anew", args.from);
    Err(Failure::input("promote", format!("policy {} to group {}", args.policy, args.to), cause)
        .with_hint(format!("look at it with `converge diff`, and say which with --revision {}", held.serial)))
}

/// What is live in a group.
pub(super) fn live(store: &StoreClient, policy: &str, group: &str) -> Outcome<Option<WasLive>> {
    Ok(store.was_live(policy, group, 1)?.into_iter().next())
}
