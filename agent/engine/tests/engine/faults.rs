//! Every operation of a run fails once, or from there on, or is where the process is killed; then a clean run must
//! converge, carry out what was due, and leave nothing to do.

use converge_engine::{Recovery, settle};
use converge_model::report::Conclusion;
use converge_model::{Catalog, ErrorKind, Outcome};
use converge_system::memory::{Faults, MemoryMachine, Operation, Release, Script};

use crate::world::{TestJournal, World, catalog, declare, file, recipe, service, words};

fn machine() -> MemoryMachine {
    let machine = MemoryMachine::debian();
    let release = || Release::default().shipping("/lib/systemd/system/web.service".parse().unwrap(), *b"[Service]\n");
    machine.package("web", "1", release()).package("lib", "1", Release::default()).file("/etc/old", "old");
    machine.command("note *", Script::exits(0));
    machine
}

fn noting(name: &str) -> crate::world::Declaration {
    declare(&format!("execute[note {name}]")).with("run", "when_notified")
}

/// Each source notifies somebody of its own.
const SOURCES: [(&str, &str); 4] = [
    ("write /etc/a", "run note a"),
    ("write /etc/old", "run note old"),
    ("write /srv/app/x", "restart unit web.service"),
    ("configure package lib", "run note lib"),
];

fn everything() -> Catalog {
    recipe([
        noting("a"),
        noting("old"),
        noting("lib"),
        declare("package[lib]").notifies("run", "execute[note lib]"),
        declare("package[web]"),
        declare("user[app]").with("group", "users"),
        declare("directory[/srv/app]").with("owner", "app"),
        service("web"),
        file("/srv/app/x", "x").with("owner", "app").notifies("restart", "service[web]"),
        file("/etc/a", "a").notifies("run", "execute[note a]").only_if("true"),
        file("/etc/old", "new").notifies_at_once("run", "execute[note old]"),
        declare("link[/etc/b]").with("to", "/etc/a"),
        declare("execute[touch /srv/made]").with("creates", "/srv/made"),
    ])
}

/// Nothing depends on anything that is not found, so that much goes on after a failure.
fn loose() -> Catalog {
    let mut catalog = everything();
    catalog.resources.iter_mut().for_each(|resource| resource.requires.clear());
    catalog
}

/// Runs under `faults`, then cleanly. Says no when the plan had nothing left to let fail.
fn survives(catalog: &Catalog, faults: Faults, killed: bool) -> bool {
    let world = World::new(machine());
    world.machine.set_faults(faults.clone());
    if killed {
        drop(world.run_only(catalog))
    } else {
        drop(world.run(catalog))
    }
    let fired = world.machine.fault_fired();
    let mut operations = world.machine.operations();
    let made = operations.len();
    world.machine.revive();
    world.machine.set_faults(Faults::none());
    let report = world.run(catalog);
    assert!(report.conclusion.is_success(), "{faults:?}: {}", words(&report));
    operations.extend(world.machine.operations());
    for (source, target) in SOURCES {
        let last = |wanted: &str| operations.iter().rposition(|operation| ends(operation, wanted));
        // Who is started after the change has read what was changed, and need not be restarted for it.
        let acted = last(target).max(target.strip_prefix("re").and_then(&last));
        let changed = last(source);
        assert!(
            changed.is_some() && acted > changed,
            "{faults:?} of {made}: {source} {changed:?}, {target} {acted:?}\n{operations:#?}"
        );
    }
    world.is_idle(catalog);
    assert_eq!(*world.journal.lock().unwrap(), [], "{faults:?}");
    fired
}

fn ends(operation: &Operation, wanted: &str) -> bool {
    format!("{} {}", operation.name, operation.subject) == wanted
}

fn at_every_operation(catalog: &Catalog, faults: impl Fn(u64) -> Faults, killed: bool) {
    let count = (1..).take_while(|at| survives(catalog, faults(*at), killed)).count();
    assert!(count > 60, "only {count} operations");
}

#[test]
fn a_single_failure() {
    for catalog in [everything(), loose()] {
        at_every_operation(&catalog, |at| Faults::once(at, ErrorKind::Failed), false);
    }
}

#[test]
fn a_lasting_failure() {
    for catalog in [everything(), loose()] {
        at_every_operation(&catalog, |at| Faults::lasting(at, ErrorKind::NoSpace), false);
    }
}

#[test]
fn a_kill() {
    for catalog in [everything(), loose()] {
        at_every_operation(&catalog, Faults::crash, true);
    }
}

#[test]
fn two_kills_in_a_row() {
    let catalog = everything();
    for first in (3..90).step_by(7) {
        for second in (1..90).step_by(5) {
            let world = World::new(machine());
            for at in [first, second] {
                world.machine.revive();
                world.machine.set_faults(Faults::crash(at));
                world.run_only(&catalog);
            }
            world.machine.revive();
            let report = world.converges(&catalog);
            let acted = |line: &str| world.machine.commands_run().iter().any(|record| record.line == line);
            assert!(acted("note a") && acted("note old") && acted("note lib"), "{first} {second}: {}", words(&report));
            assert!(world.machine.counts("web.service").restarts > 0, "{first} {second}");
        }
    }
}

#[test]
fn the_run_that_was_killed_is_reported_by_the_next() {
    let catalog = catalog([
        noting("x"),
        file("/etc/a", "a").notifies("run", "execute[note x]"),
        file("/etc/b", "b"),
        file("/etc/c", "c"),
    ]);
    let world = World::new(machine());
    let whole = world.run_only(&catalog).report;
    // Once more, killed at the second write.
    let kill = world.machine.operations().into_iter().find(|operation| ends(operation, "write /etc/b")).unwrap().number;
    let world = World::new(machine());
    world.machine.set_faults(Faults::crash(kill));
    world.run_only(&catalog);
    world.machine.revive();
    let recovery = Recovery::replay(&world.journal.lock().unwrap());
    let [report] = recovery.reports.as_slice() else { panic!("{recovery:?}") };
    assert_eq!(report.conclusion, Conclusion::Crashed);
    assert_eq!((report.run, report.node.as_str(), report.revision), (whole.run, "web-1", Some(7)));
    let text = words(report);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "file[/etc/a] updated");
    assert_eq!(
        lines[1],
        "file[/etc/b] failed: cannot converge file[/etc/b]: the process ended while it was being changed"
    );
    assert_eq!(lines[2], "run execute[note x] unprocessed by file[/etc/a]");
    assert_eq!(report.counts.values().sum::<u64>(), 4);
    assert_eq!(report.count(Outcome::Unprocessed), 2);
    // What was kept is not told again, and what is due stays.
    let journal = TestJournal { machine: &world.machine, entries: &world.journal };
    settle(&journal).unwrap();
    let settled = Recovery::replay(&world.journal.lock().unwrap());
    assert_eq!((settled.reports.len(), settled.due.len()), (0, 1));
    world.machine.set_faults(Faults::none());
    settle(&journal).unwrap();
    assert_eq!(world.machine.operations().len(), 1, "settling twice writes once");
    // A run that ended, but whose report nobody kept, is known with how it ended.
    let world = World::new(machine());
    let whole = world.run_only(&catalog).report;
    let recovery = Recovery::replay(&world.journal.lock().unwrap());
    assert_eq!(recovery.reports[0].conclusion, Conclusion::Succeeded);
    assert_eq!(recovery.reports[0].notifications, whole.notifications);
}
