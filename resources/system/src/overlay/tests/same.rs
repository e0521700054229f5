//! Random changes, carried out on a machine and on an overlay over it: every answer afterwards is the same.

use converge_model::System;
use converge_model::system::packages::PackageState;
use converge_model::system::services::Enablement;
use proptest::prelude::*;

use super::answers::difference;
use super::operations::{
    Operation, PACKAGES, UNITS, account_operation, file_operation, package_operation, unit_operation,
};
use crate::memory::{MemoryMachine, Release};
use crate::overlay::Overlay;

/// A machine with something of everything that the operations are about.
fn machine() -> MemoryMachine {
    let machine = MemoryMachine::debian();
    for (name, id) in [("alice", 5000), ("bob", 5001)] {
        machine.user(name, id);
    }
    machine.group_of("staff", 6000, &["alice", "root"]).group("empty", 6001);
    machine.file("/home/alice/notes", "one\n").owner("/home/alice", 5000, 5000).owner("/home/alice/notes", 5000, 5000);
    machine.file("/etc/skel/.profile", "two\n");
    machine.file("/srv/a", "one\n").hard_link("/srv/b", "/srv/a").directory("/srv/d/e").file("/srv/d/a", "two\n");
    machine.symlink("/srv/l", "d").symlink("/tmp/theirs", "/srv/d").owner("/tmp/theirs", 5000, 5000);
    machine.file("/usr/bin/tool", "one\n").special("/srv/d/e/f");
    machine.unit("web.service").enabled("web.service").running("web.service");
    machine.unit_with("job.service", "[Service]\nType=oneshot\n");
    for (name, version) in [("p", "1"), ("p", "2"), ("q", "1")] {
        machine.package(name, version, Release::default());
    }
    machine.installed("q", "1");
    machine
}

fn check(before: &[Operation], operations: &[Operation]) -> Result<(), TestCaseError> {
    let base = machine();
    for operation in before {
        let _ = operation.carry_out(&base);
    }
    let statuses = UNITS.map(|unit| base.services().status(unit).unwrap());
    // What is beneath a mask cannot be known, nor what the service manager read of files that have changed since.
    prop_assume!(statuses.iter().all(|status| status.enablement != Enablement::Masked));
    let stale = statuses.iter().any(|status| status.stale);
    let is_known =
        |operation: &&Operation| !stale || matches!(operation, Operation::Perform(..) | Operation::ReloadUnits);
    let (real, dump) = (base.clone(), base.dump());
    let overlay = Overlay::new(&base);
    prop_assert_eq!(difference(&overlay, &real), None, "before any change");
    for operation in operations.iter().filter(is_known) {
        prop_assert_eq!(operation.carry_out(&overlay), operation.carry_out(&real), "{:?}", operation);
    }
    // Only at the end: a shorter sequence is another case.
    if let Some(difference) = difference(&overlay, &real) {
        return Err(TestCaseError::fail(difference));
    }
    prop_assert_eq!(base.dump(), dump, "the machine below was changed");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_are_as_they_would_be(
        before in prop::collection::vec(file_operation(), 0..8),
        operations in prop::collection::vec(file_operation(), 1..16),
    ) {
        check(&before, &operations)?;
    }

    #[test]
    fn accounts_and_what_belongs_to_them_are_as_they_would_be(
        operations in prop::collection::vec(prop_oneof![3 => account_operation(), 1 => file_operation()], 1..12),
    ) {
        check(&[], &operations)?;
    }

    #[test]
    fn units_are_as_they_would_be(
        before in prop::collection::vec(unit_operation(), 0..6),
        operations in prop::collection::vec(unit_operation(), 1..12),
    ) {
        check(&before, &operations)?;
    }

    #[test]
    fn packages_are_as_they_would_be(
        before in prop::collection::vec(package_operation(), 0..4),
        operations in prop::collection::vec(package_operation(), 1..6),
    ) {
        let base = machine();
        for operation in &before {
            let _ = operation.carry_out(&base);
        }
        let (real, dump) = (base.clone(), base.dump());
        let overlay = Overlay::new(&base);
        let installed = |system: &dyn System| PACKAGES.map(|package| {
            let installed = system.packages().installed(package).unwrap();
            installed.filter(|installed| installed.state != PackageState::ConfigFiles)
        });
        for operation in &operations {
            // Once a package was changed, whatever is missing is taken to come with it.
            let opaque = overlay.assumptions.is_opaque();
            let (predicted, done) = (operation.carry_out(&overlay), operation.carry_out(&real));
            if opaque && predicted != done {
                break;
            }
            prop_assert_eq!(predicted, done, "{:?}", operation);
            if done.is_err() {
                // How far it came is not foreseen.
                break;
            }
            prop_assert_eq!(installed(&overlay), installed(&real), "after {:?}", operation);
        }
        prop_assert_eq!(base.dump(), dump, "the machine below was changed");
    }
}
