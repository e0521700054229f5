//! Notifications: when, how often, and what happens when they cannot be carried out.

use converge_engine::Entry;
use converge_model::{Catalog, Outcome, Timing};
use converge_system::memory::{Behaviour, MemoryMachine, Script};

use crate::world::{World, catalog, declare, file, recipe, service, words};

fn machine() -> MemoryMachine {
    let machine = MemoryMachine::debian();
    machine.unit("web.service").running("web.service").unit("db.service").running("db.service");
    machine.command("note *", Script::exits(0));
    machine
}

fn execute(name: &str) -> crate::world::Declaration {
    declare(&format!("execute[note {name}]")).with("run", "when_notified")
}

/// What happened, in order: changes and acts.
fn course(world: &World) -> Vec<String> {
    let keep = |line: &String| line.starts_with("applying") || line.starts_with("notifying");
    let shorten = |line: String| line.split_once(": ").map_or(line.clone(), |(start, _)| start.to_owned());
    world.told.lines().into_iter().filter(keep).map(shorten).collect()
}

/// A catalog, and what happens in its first run.
type Course = (Catalog, &'static [&'static str]);

fn check(cases: Vec<Course>) {
    for (catalog, expected) in cases {
        let world = World::new(machine());
        let report = world.run(&catalog);
        assert!(report.conclusion.is_success(), "{}", words(&report));
        assert_eq!(course(&world), expected, "{}", words(&report));
        assert_eq!(*world.journal.lock().unwrap(), [], "all is settled");
        world.is_idle(&catalog);
    }
}

#[test]
fn notifications_are_carried_out_once_and_in_their_time() {
    check(vec![
        // Delayed ones wait for the end, once for all who ask, in the order of the targets.
        (
            catalog([
                file("/etc/a", "a").notifies("reload", "service[web]"),
                file("/etc/b", "b").notifies("reload", "service[web]").notifies("restart", "service[db]"),
                service("db"),
                service("web"),
                file("/etc/c", "c"),
            ]),
            &[
                "applying file[/etc/a]",
                "applying file[/etc/b]",
                "applying file[/etc/c]",
                "notifying service[db] restart",
                "notifying service[web] reload",
            ],
        ),
        // A restart makes a reload needless.
        (
            catalog([
                service("web"),
                file("/etc/a", "a").notifies("reload", "service[web]"),
                file("/etc/b", "b").notifies("restart", "service[web]"),
            ]),
            &["applying file[/etc/a]", "applying file[/etc/b]", "notifying service[web] restart"],
        ),
        // At once, if the target had its turn; else right after it.
        (
            catalog([
                service("web"),
                file("/etc/a", "a").notifies_at_once("reload", "service[web]"),
                file("/etc/b", "b").notifies_at_once("run", "execute[note x]"),
                file("/etc/c", "c"),
                execute("x"),
                file("/etc/d", "d"),
            ]),
            &[
                "applying file[/etc/a]",
                "notifying service[web] reload",
                "applying file[/etc/b]",
                "applying file[/etc/c]",
                "notifying execute[note x] run",
                "applying file[/etc/d]",
            ],
        ),
        // Nobody acts who is skipped, or only audited.
        (
            catalog([
                service("web").only_if("false"),
                service("db").and(|resource| resource.audit = true),
                file("/etc/a", "a").notifies("reload", "service[web]").notifies_at_once("restart", "service[db]"),
            ]),
            &["applying file[/etc/a]"],
        ),
    ]);
}

#[test]
fn who_acts_was_changed_and_notifies_in_turn() {
    check(vec![
        // A target that is changed by a notification notifies in turn; a circle ends.
        (
            catalog([
                service("web"),
                execute("x").notifies("restart", "service[web]"),
                file("/etc/a", "a").notifies("run", "execute[note x]"),
            ]),
            &["applying file[/etc/a]", "notifying execute[note x] run", "notifying service[web] restart"],
        ),
        (
            catalog([
                execute("x").notifies("run", "execute[note y]"),
                execute("y").notifies("run", "execute[note x]"),
                file("/etc/a", "a").notifies("run", "execute[note x]"),
            ]),
            &["applying file[/etc/a]", "notifying execute[note x] run", "notifying execute[note y] run"],
        ),
        (
            catalog([
                execute("x").notifies_at_once("run", "execute[note y]"),
                execute("y").notifies_at_once("run", "execute[note x]"),
                file("/etc/a", "a").notifies_at_once("run", "execute[note y]"),
            ]),
            &["applying file[/etc/a]", "notifying execute[note y] run", "notifying execute[note x] run"],
        ),
        // Who acted too early, because another was yet to be changed by the same cause, acts again.
        (
            catalog([
                execute("z"),
                execute("y").notifies("run", "execute[note z]"),
                file("/etc/a", "a").notifies("run", "execute[note z]").notifies("run", "execute[note y]"),
            ]),
            &[
                "applying file[/etc/a]",
                "notifying execute[note z] run",
                "notifying execute[note y] run",
                "notifying execute[note z] run",
            ],
        ),
    ]);
}

#[test]
fn who_asked_and_how_it_ended_is_in_the_report() {
    let world = World::new(machine());
    let report = world.run(&catalog([
        service("web").only_if("false"),
        service("db").and(|resource| resource.audit = true),
        execute("x"),
        file("/etc/a", "a").notifies("reload", "service[web]").notifies("restart", "service[db]"),
        file("/etc/b", "b").notifies("run", "execute[note x]"),
        file("/etc/c", "c").notifies("run", "execute[note x]"),
    ]));
    let words = words(&report);
    let lines: Vec<&str> = words.lines().skip(6).collect();
    assert_eq!(
        lines,
        [
            "reload service[web] skipped by file[/etc/a]",
            "restart service[db] would update by file[/etc/a]",
            "run execute[note x] updated by file[/etc/b] file[/etc/c]",
            "succeeded"
        ]
    );
}

/// What it shows, what is wrong with the machine, the catalog, and how the notification ends.
type Case = (&'static str, fn(&MemoryMachine), Catalog, &'static str);

#[test]
fn what_could_not_be_carried_out_stays_due() {
    let good = recipe([file("/etc/a", "a").notifies("reload", "service[web]"), service("web")]);
    let cases: [Case; 3] = [
        (
            "the action fails",
            |machine| {
                machine.behaviour("web.service", Behaviour::Fails("no such directive".into()));
            },
            good.clone(),
            "reload service[web] failed by file[/etc/a]",
        ),
        (
            "the target is blocked by another failure",
            |_| {},
            recipe([
                file("/etc/a", "a").notifies("reload", "service[web]"),
                declare("odd[/etc/x]").with("how", "quotes"),
                service("web"),
            ]),
            "reload service[web] unprocessed by file[/etc/a]",
        ),
        (
            "the target fails",
            |_| {},
            recipe([
                file("/etc/a", "a").notifies("reload", "service[web]"),
                service("web").and(|resource| _ = resource.properties.insert("masked".into(), "perhaps".into())),
            ]),
            "reload service[web] unprocessed by file[/etc/a]",
        ),
    ];
    for (name, prepare, catalog, expected) in cases {
        let world = World::new(machine());
        prepare(&world.machine);
        let report = world.run(&catalog);
        assert!(words(&report).lines().any(|line| line.starts_with(expected)), "{name}: {}", words(&report));
        assert!(!report.conclusion.is_success(), "{name}");
        assert!(matches!(world.journal.lock().unwrap().as_slice(), [Entry::Due { .. }]), "{name}");
        world.machine.behaviour("web.service", Behaviour::Works);
        let report = world.run(&good);
        let due = &report.notifications[..];
        assert!(matches!(due, [due] if due.outcome == Outcome::Updated && due.sources.is_empty()), "{name}");
        assert_eq!(world.machine.counts("web.service").reloads, 1, "{name}");
        world.is_idle(&good);
    }
}

#[test]
fn a_change_that_failed_notifies_only_where_it_changed_something() {
    for (how, due) in [("quotes", 0), ("half", 1)] {
        let world = World::new(machine());
        let catalog = catalog([
            service("web"),
            declare("odd[/etc/x]").with("how", how).with("value", "v").notifies("reload", "service[web]"),
        ]);
        let report = world.run(&catalog);
        assert_eq!(report.notifications.len(), due, "{how}: {}", words(&report));
        assert_eq!(world.machine.counts("web.service").reloads as usize, due, "{how}");
        assert_eq!(*world.journal.lock().unwrap(), [], "{how}");
    }
}

#[test]
fn what_is_due_to_nobody_is_dropped_with_a_remark() {
    let world = World::new(machine());
    let due = |target: &str, action: &str| Entry::Due {
        source: "file[/etc/a]".parse().unwrap(),
        target: target.parse().unwrap(),
        action: action.into(),
        timing: Timing::Delayed,
    };
    *world.journal.lock().unwrap() =
        vec![due("service[gone]", "reload"), due("service[web]", "explode"), due("service[web]", "restart")];
    let report = world.run(&catalog([service("web")]));
    assert_eq!(report.remarks.len(), 2, "{}", words(&report));
    assert!(report.remarks[0].contains("the reload of service[gone]"), "{}", words(&report));
    assert_eq!(world.machine.counts("web.service").restarts, 1);
    assert_eq!(*world.journal.lock().unwrap(), []);
}

#[test]
fn an_intent_that_cannot_be_written_down_keeps_the_change_from_being_made() {
    use converge_model::ErrorKind;
    use converge_system::memory::Faults;
    let world = World::new(machine());
    let catalog = catalog([service("web"), file("/etc/a", "a").notifies("reload", "service[web]")]);
    world.run(&catalog);
    let append = world.machine.operations().into_iter().find(|operation| operation.name == "append").unwrap();
    let world = World::new(machine());
    world.machine.set_faults(Faults::lasting(append.number, ErrorKind::NoSpace));
    let report = world.run(&catalog);
    assert_eq!(report.resources[1].outcome, Outcome::Failed);
    assert!(world.machine.look("/etc/a").is_none(), "{}", words(&report));
}
