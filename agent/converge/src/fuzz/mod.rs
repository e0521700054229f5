//! Everything that reads what came over the wire or from a disk, given what nobody honest would write: samples that were garbled,
//! and plain rubbish. It may refuse it; it must not panic, hang, or take memory without end, and what it reads and writes again it
//! reads as the same.
//!
//! `CONVERGE_FUZZ=20000` tries each target so often.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests read their settings and print what failed"
)]

mod documents;
mod garble;
mod keys;
mod machine;
mod policies;
mod requests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::simulation::chance::Chance;
use garble::garbled;

/// How often each target is tried where nobody says.
const CASES: u64 = 150;
/// After this long a case is held to hang, however busy the machine is.
const HANGS: Duration = Duration::from_secs(30);
/// How much the memory of the process may grow while one target is tried, in kilobytes.
const MEMORY: u64 = 400 << 10;
/// How much of a case is shown.
const SHOWN: usize = 600;

/// Reads, and makes nothing of what it cannot read.
type Read = dyn Fn(&[u8]);

/// Something that reads.
pub(super) struct Target {
    pub(super) name: &'static str,
    /// What an honest writer writes.
    pub(super) samples: Vec<Vec<u8>>,
    pub(super) read: Box<Read>,
}

impl Target {
    pub(super) fn new(name: &'static str, samples: &[&str], read: impl Fn(&[u8]) + 'static) -> Self {
        let samples = samples.iter().map(|sample| sample.as_bytes().to_vec()).collect();
        Self { name, samples, read: Box::new(read) }
    }

    /// One that reads text.
    pub(super) fn of_text(name: &'static str, samples: &[&str], read: impl Fn(&str) + 'static) -> Self {
        Self::new(name, samples, move |bytes| {
            if let Ok(text) = std::str::from_utf8(bytes) {
                read(text);
            }
        })
    }
}

/// How often each target is tried.
pub(super) fn cases() -> u64 {
    std::env::var("CONVERGE_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
}

/// Tries every one of these targets. Each case is what its number says: it repeats itself.
fn try_all(targets: Vec<Target>) {
    let under_way = Mutex::new(String::new());
    let (alive, watched) = channel();
    std::thread::scope(|scope| {
        let under_way = &under_way;
        scope.spawn(move || {
            loop {
                match watched.recv_timeout(HANGS) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        println!("this hangs: {}", under_way.lock().unwrap());
                        std::process::abort();
                    }
                }
            }
        });
        let alive = alive;
        for (number, target) in (0_u64..).zip(&targets) {
            let memory = peak_memory();
            for sample in &target.samples {
                (target.read)(sample);
            }
            for case in 0..cases() {
                let bytes = garbled(&mut Chance::of_seed(number << 40 | case), &target.samples);
                let shown = bytes.escape_ascii().to_string();
                let shown = format!("{}, case {case}: {:.*}", target.name, SHOWN, shown);
                under_way.lock().unwrap().clone_from(&shown);
                let read = catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes)));
                assert!(read.is_ok(), "{shown}");
                alive.send(()).unwrap();
            }
            let grown = peak_memory().saturating_sub(memory);
            assert!(grown < MEMORY, "{} made the process {grown} KB larger", target.name);
        }
    });
}

/// The most memory that this process had, in kilobytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn documents_that_are_none_are_refused() {
    try_all(documents::targets());
}

#[test]
fn keys_signatures_and_what_is_sealed_with_them_are_refused_where_they_are_garbled() {
    try_all(keys::targets());
}

#[test]
fn policies_that_are_wrong_are_refused() {
    try_all(policies::targets());
}

#[test]
fn a_machine_whose_files_are_garbled_is_looked_at() {
    try_all(machine::targets());
}

#[test]
fn a_store_answers_whatever_it_is_asked() {
    requests::try_all();
}
