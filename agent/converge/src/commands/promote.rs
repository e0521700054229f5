//! `converge promote`: what is live in one group becomes live in another.
//!
//! What was signed for every group, or for that one, moves as it is: nodes hold its signatures against their own file. What was
//! signed for others only is signed anew.

use converge_protocol::WasLive;
use serde::Serialize;

use crate::access;
use crate::cli::PromoteArgs;
use crate::client::StoreClient;
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::publishing::{Author, Draft};

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
    let now = live(&store, policy, &args.to)?.map(|live| live.serial);
    if let Some(later) = now.filter(|now| *now > from) {
        let cause = format!("revision {later} is live there, which is later than {from}");
        return Err(refuse(cause).with_hint(format!(
            "nodes never go back; `converge rollback {policy} --group {} --to {from}` signs what {from} holds as a new revision",
            args.to
        )));
    }
    let manifest = store.revision(policy, from)?.manifest;
    let (revision, holds) = if manifest.is_for(&args.to) {
        (from, None)
    } else {
        let author = Author::at_hand(args.anew.key.as_deref())?;
        let (held, _) = author.held_by(&store, policy, from, args.anew.threshold)?;
        let draft = Draft::of(&held, &args.to);
        (author.publish(&store, &draft, args.anew.serial)?.serial, Some(from))
    };
    store.assign(policy, &args.to, revision)?;
    let promoted = Promoted { policy: policy.clone(), revision, group: args.to.clone(), holds };
    console.result(&promoted, |promoted| {
        let holds = promoted.holds.map(|held| format!(", which holds what {held} does,")).unwrap_or_default();
        format!("policy {} revision {}{holds} is live in group {}", promoted.policy, promoted.revision, promoted.group)
    })
}

/// What is live in a group.
pub(super) fn live(store: &StoreClient, policy: &str, group: &str) -> Outcome<Option<WasLive>> {
    Ok(store.was_live(policy, group, 1)?.into_iter().next())
}
