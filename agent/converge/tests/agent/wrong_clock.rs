//! A clock that is wrong, and that somebody sets right: runs keep their order, and their reports too.

use std::path::PathBuf;
use std::process::Command;

use crate::desk::{Desk, Ended};
use crate::listener::{Listener, Trouble};

/// A library that makes the clock wrong.
const SHIM: &str = include_str!("wrong_clock.c");

/// The C compiler that links Rust programs makes the library.
pub(crate) fn library(desk: &Desk) -> PathBuf {
    desk.file("shim.c", SHIM);
    let library = desk.path("shim.so");
    let mut compiler = Command::new("cc");
    let made = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(desk.path("shim.c")).status().unwrap();
    assert!(made.success());
    library
}

#[test]
fn runs_of_a_clock_that_is_set_back_keep_their_order() {
    let desk = Desk::new("[file.\"@/a\"]\ncontent = 'a'\n");
    let store = Listener::of(&desk);
    store.publish(&desk);
    desk.file("config/agent.toml", "keep_reports = 2\n");
    let library = library(&desk);
    let at = |seconds: i64| -> Ended {
        let mut command = desk.command(&["--once", "--json"]);
        let output = command.env("LD_PRELOAD", &library).env("CLOCK_WRONG_BY", seconds.to_string()).output().unwrap();
        Ended::of(&output, std::time::Duration::ZERO).with_code(0)
    };
    store.trouble("/v1/reports", Trouble::ServerError);
    let (hour, year) = (3_600, 31_536_000);
    let mut runs = Vec::new();
    let mut times = Vec::new();
    for wrong_by in [hour, 0, year, -hour, 0] {
        let report = at(wrong_by).json();
        runs.push(report["run"].as_str().unwrap().to_owned());
        times.push(report["started"].as_i64().unwrap());
    }
    assert!(times[0] - times[1] > 3_000_000 && times[2] > times[4], "the clock was never wrong: {times:?}");
    assert!(runs.is_sorted(), "{runs:?}");
    // The newest reports are those that are kept, whatever the clock said.
    let local = desk.run(&["report", "--local", "--json"]).with_code(0).json();
    let local: Vec<&str> = local.as_array().unwrap().iter().map(|report| report["run"].as_str().unwrap()).collect();
    assert_eq!(local, [&*runs[4], &runs[3], &runs[2]]);
    // They are sent in the order in which they came to be.
    let given = store.reports().len();
    store.trouble("/v1/reports", None);
    at(-hour);
    assert_eq!(store.reports()[given..given + 5], runs);
    assert_eq!(store.reports().len(), given + 6);
}
