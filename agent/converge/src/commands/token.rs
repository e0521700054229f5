//! `converge token`: make a join string.

use converge_protocol::JoinTokenRequest;
use serde::Serialize;

use crate::access;
use crate::cli::TokenArgs;
use crate::console::Console;
use crate::console::words::moment;
use crate::failure::Outcome;

/// What a machine needs to become a node: the store's address and a token, in one word.
#[derive(Debug, Serialize)]
struct Join {
    join: String,
    expires: Option<converge_model::Timestamp>,
}

/// Makes a join token, and prints the string that `converge enroll` takes.
pub(crate) fn run(args: &TokenArgs, console: Console) -> Outcome {
    let store = access::operator(&args.access, None)?;
    let token = store.join_token(&JoinTokenRequest {
        policy: args.policy.clone(),
        group: args.group.clone(),
        uses: args.uses,
        valid_seconds: Some(args.valid.duration().as_secs()),
    })?;
    if let Some(expires) = token.expires {
        console.note(format_args!(
            "good until {} UTC, for nodes of {} in group {}",
            moment(expires),
            args.policy,
            args.group
        ));
    }
    let join =
        Join { join: super::enroll::join_string(store.base(), store.trust(), &token.token), expires: token.expires };
    console.result(&join, |join| join.join.clone())
}
