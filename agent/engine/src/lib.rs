//! One run: order, guards, observe, diff, apply, verify, notifications, journal, events, report.
//!
//! [`run`] converges a [`Catalog`](converge_model::Catalog) on a [`System`](converge_model::System). It knows the kinds
//! only as trait objects, and the machine only through its ports. In a plan the system is an overlay that keeps changes in
//! memory; the engine does the same things in the same order, so that a plan cannot promise what a run does not do.
//!
//! What must hold, in the order of importance:
//!
//! - A run always ends in a whole report, one outcome a resource. Errors are entries of it, and so are panics of kinds.
//! - A notification is in the journal before the change that causes it, and stays there until somebody acted.
//! - "Could not tell" is never "no": of a guard, of an observation, of a ledger.
//! - What a change overwrites is kept before it; where that cannot be, the change is not made.
//! - What a resource hides becomes no text: only `redact` makes what events, reports and the journal take.
//! - A run that changes nothing writes nothing, flushes nothing, and starts no process but for guards.
//!
//! The caller holds the run lock, and does around a run what the engine cannot know:
//!
//! 1. [`Recovery::replay`] of the journal: keep the reports of runs that were cut off, each under its identity, unless it
//!    was kept already. The journal stays as it is: the run reads from it what is due, and what this agent made.
//! 2. [`run`], once for each pass.
//! 3. Save [`RunResult::ledger`] and [`RunResult::images`], keep [`RunResult::report`] where it cannot be lost, then [`settle`].
//!
//! # Current limitations
//!
//! - A resource that depends on one that could not be decoded is blocked by it only through written edges: what it would
//!   have given is not known.
//! - Ownership does not follow a resource that is renamed, or declared as another kind: the new one adopts what it finds.
//! - What a retry of a resource overwrites beyond what its first try saw is not kept.
//! - The report of a run that was killed holds what was being changed; what was up to date is only counted.
//! - Where found edges contradict the order written, those of them that point backwards within the contradiction give way,
//!   and nobody is told; the resources concerned may need a second run.

mod caught;
mod converge;
mod diary;
mod doubt;
mod guard;
mod images;
mod item;
mod journal;
mod keys;
mod ledger;
mod notification;
mod order;
mod orphan;
mod ownership;
mod record;
mod recovery;
mod redact;
mod request;
mod run;
mod stop;
mod sweep;
mod transaction;
mod undo;
mod words;

pub use images::{IMAGES_FORMAT, ResourceImages, RunImages};
pub use journal::{Durability, Entry, JOURNAL_FORMAT, Journal};
pub use ledger::{LEDGER_FORMAT, Ledger, LedgerStore, Owned, fingerprint};
pub use recovery::{DueNotification, Recovery, settle};
pub use request::{RunRequest, RunResult};
pub use run::run;
pub use undo::{Undo, UndoRequest};
