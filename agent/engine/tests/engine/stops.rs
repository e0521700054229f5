//! Runs that end early: whole reports, nothing half done, nothing due lost.

use std::time::Duration;

use converge_model::report::Conclusion;
use converge_system::memory::MemoryMachine;

use crate::world::{World, catalog, declare, file, service, words};

fn machine() -> MemoryMachine {
    let machine = MemoryMachine::debian();
    machine.unit("web.service").running("web.service");
    machine
}

#[test]
fn a_stopped_run_ends_after_the_current_resource_and_loses_nothing() {
    let catalog = || {
        catalog([
            service("web"),
            file("/etc/a", "a").notifies("reload", "service[web]"),
            file("/etc/b", "b").notifies_at_once("restart", "service[web]"),
            file("/etc/c", "c"),
        ])
    };
    for (event, expected) in [
        (
            "started",
            "service[web] unprocessed: the run was stopped\n\
             file[/etc/a] unprocessed: the run was stopped\n\
             file[/etc/b] unprocessed: the run was stopped\n\
             file[/etc/c] unprocessed: the run was stopped\n\
             cancelled",
        ),
        (
            "applying file[/etc/b]",
            "service[web] up to date\n\
             file[/etc/a] updated\n\
             file[/etc/b] updated\n\
             file[/etc/c] unprocessed: the run was stopped\n\
             reload service[web] unprocessed by file[/etc/a]\n\
             restart service[web] unprocessed by file[/etc/b]\n\
             cancelled",
        ),
        (
            "finished file[/etc/c]",
            "service[web] up to date\n\
             file[/etc/a] updated\n\
             file[/etc/b] updated\n\
             file[/etc/c] updated\n\
             restart service[web] updated by file[/etc/a] file[/etc/b]\n\
             succeeded",
        ),
    ] {
        let mut world = World::new(machine());
        world.stop_at(event);
        let report = world.run(&catalog());
        assert_eq!(words(&report), expected, "{event}");
        assert_eq!(world.told.lines().last().unwrap(), &format!("ended {}", report.conclusion.words()));
        world.calm();
        world.converges(&catalog());
        assert!(world.machine.counts("web.service").restarts >= 1, "{event}");
    }
}

#[test]
fn a_run_whose_time_is_up_begins_nothing_more() {
    let mut world = World::new(machine());
    world.deadline = Some(Duration::from_secs(45));
    let catalog = catalog([
        file("/etc/a", "a").notifies("reload", "service[web]"),
        // Waits for 30 seconds, then for the rest of the run's time.
        declare("execute[false]").retries(5, 30),
        file("/etc/c", "c"),
        service("web"),
    ]);
    let report = world.run(&catalog);
    assert_eq!(report.conclusion, Conclusion::TimedOut);
    let words = words(&report);
    let lines: Vec<&str> = words.lines().collect();
    assert!(lines[1].starts_with("execute[false] failed: "), "{words}");
    assert_eq!(lines[2], "file[/etc/c] unprocessed: the time of the run was up");
    assert_eq!(lines[4], "reload service[web] unprocessed by file[/etc/a]");
    assert_eq!(report.millis, 45_000);
    assert_eq!(world.machine.commands_run().len(), 2);
}
