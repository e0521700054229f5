//! The files of the machine in memory are held against real ones: the same changes, the same answers.
//!
//! Needs root, because it gives files to others; where it is not, it says that it proved nothing.

use std::sync::Arc;

use converge_model::system::files::Attributes;
use converge_model::{AbsPath, Cancel, Content, System};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode};

use crate::NoBlobs;
use crate::linux::{LinuxSystem, Options};
use crate::memory::MemoryMachine;
use crate::overlay::Overlay;
use crate::overlay::tests::answers::{first_difference, of_files};
use crate::overlay::tests::operations::{Operation, file_operation};

fn at(path: &str) -> AbsPath {
    path.parse().unwrap()
}

/// Puts on a machine what the operations are about.
fn furnish(system: &dyn System) {
    let files = system.files();
    for path in ["/srv", "/srv/d", "/srv/d/e", "/tmp", "/home", "/home/alice", "/usr", "/usr/bin"] {
        files.make_directory(&at(path), Attributes::default()).unwrap();
    }
    let theirs = Attributes { uid: Some(5000), gid: Some(5000), mode: None };
    files.set_attributes(&at("/tmp"), Attributes { mode: Some(0o1777), ..Attributes::default() }).unwrap();
    for (path, text) in
        [("/srv/a", "one\n"), ("/srv/d/a", "two\n"), ("/home/alice/notes", "one\n"), ("/usr/bin/tool", "")]
    {
        files.write(&at(path), &Content::Bytes(text.as_bytes().into()), Attributes::default(), None).unwrap();
    }
    files.set_attributes(&at("/home/alice"), theirs).unwrap();
    files.make_hard_link(&at("/srv/b"), &at("/srv/a")).unwrap();
    for (path, target) in [("/srv/l", "d"), ("/tmp/theirs", "/srv/d"), ("/bin", "usr/bin")] {
        files.make_symlink(&at(path), target).unwrap();
    }
    files.set_attributes(&at("/tmp/theirs"), theirs).unwrap();
}

fn check(operations: &[Operation]) -> Result<(), TestCaseError> {
    let root = tempfile::tempdir().unwrap();
    let options =
        Options { root: root.path().to_owned(), blobs: Arc::new(NoBlobs), cancel: Cancel::new(), stat_cache: None };
    let real = LinuxSystem::new(options).unwrap();
    let machine = MemoryMachine::new();
    furnish(&machine);
    machine.special("/srv/d/e/f");
    furnish(&real);
    rustix::fs::mknodat(CWD, root.path().join("srv/d/e/f"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();

    let untouched = of_files(&real);
    let overlay = Overlay::new(&real);
    // How far attributes are set that cannot all be set is not foreseen.
    let is_whole = |operation: &&Operation| match operation {
        Operation::SetAttributes(..) => operation.carry_out(&overlay).is_ok(),
        _ => {
            let _ = operation.carry_out(&overlay);
            true
        }
    };
    let operations: Vec<&Operation> = operations.iter().filter(is_whole).collect();
    let planned = of_files(&overlay);
    prop_assert_eq!(&of_files(&real), &untouched, "the machine below was changed");
    for operation in operations {
        prop_assert_eq!(operation.carry_out(&machine), operation.carry_out(&real), "{:?}", operation);
    }
    let real = of_files(&real);
    for answers in [of_files(&machine), planned] {
        if let Some(difference) = first_difference(&answers, &real) {
            return Err(TestCaseError::fail(difference));
        }
    }
    Ok(())
}

/// What chance finds once in some thousand tries.
#[test]
fn rare_paths_and_modes_in_memory_are_as_real_ones() {
    if !is_root() {
        return;
    }
    let attributes = |uid, gid, mode| Attributes { uid, gid, mode };
    for operations in [
        [Operation::MakeSymlink(at("/srv/l"), "a"), Operation::MakeHardLink(at("/srv/l/a"), at("/srv/d/e"))],
        [
            Operation::SetAttributes(at("/srv/d/e/f"), attributes(Some(33), None, Some(0o4755))),
            Operation::SetAttributes(at("/srv/d/e/f"), attributes(None, Some(33), None)),
        ],
    ] {
        check(&operations).unwrap();
    }
}

/// Whether the tests can prove anything: only root can give files to others.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        #[expect(clippy::disallowed_macros, reason = "a test that proves nothing must say so")]
        {
            eprintln!("NOT RUN: only root can give files to others");
        }
    }
    root
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_in_memory_and_planned_ones_are_as_real_ones(operations in prop::collection::vec(file_operation(), 1..16)) {
        if is_root() {
            check(&operations)?;
        }
    }
}
