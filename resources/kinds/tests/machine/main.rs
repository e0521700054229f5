//! Every kind on the machine in memory: it converges and is idle then, also after a failure of any one operation; a plan
//! predicts what a run changes; what must not be touched is refused with a word on how to mend it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod accounts;
mod actions;
mod examples;
mod files;
mod harness;
mod packages;
mod refusals;
mod services;

use harness::Row;

#[test]
fn every_kind_converges_and_is_idle_then() {
    rows().iter().for_each(Row::check_converges);
}

#[test]
fn a_plan_of_every_kind_predicts_what_a_run_changes() {
    rows().iter().for_each(Row::check_plan);
}

#[test]
fn every_kind_goes_on_after_a_failure_of_any_one_operation() {
    rows().iter().for_each(Row::check_faults);
}

fn rows() -> Vec<Row> {
    [files::rows(), packages::rows(), services::rows(), accounts::rows(), actions::rows()]
        .into_iter()
        .flatten()
        .collect()
}
