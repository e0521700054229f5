//! `converge audit`: who changed what at the store, and who was denied.

use converge_protocol::AuditEntry;
use converge_protocol::authority::AuditFilter;

use crate::access;
use crate::cli::AuditArgs;
use crate::console::table::table;
use crate::console::words::moment;
use crate::console::{BAD, Console, GOOD, NOTE, styled};
use crate::failure::Outcome;

/// Lists the newest entries.
pub(crate) fn run(args: &AuditArgs, console: Console) -> Outcome {
    let filter = AuditFilter { denied: args.denied, who: args.who.clone(), ..AuditFilter::default() };
    let entries = access::operator(&args.access, None)?.audit(&filter, args.limit)?;
    console.result(&entries, |entries| text(entries))
}

fn text(entries: &[AuditEntry]) -> String {
    if entries.is_empty() {
        return "nothing was written down".to_owned();
    }
    let rows = entries.iter().map(|entry| {
        vec![
            moment(entry.at),
            entry.who.clone(),
            entry.peer.clone(),
            entry.what.clone(),
            outcome(entry.status),
            entry.detail.clone().unwrap_or_default(),
        ]
    });
    table(&["when (utc)", "who", "from", "what", "outcome", "detail"], rows)
}

fn outcome(status: Option<u16>) -> String {
    match status {
        None => styled(NOTE, "not known: the store stopped"),
        Some(200..=299) => styled(GOOD, "done"),
        Some(401 | 403) => styled(BAD, "denied"),
        Some(status) => styled(NOTE, format_args!("refused ({status})")),
    }
}
