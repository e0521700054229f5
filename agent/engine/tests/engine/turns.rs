//! One resource in its turn: observed again where it must be, tried again where it may be, only looked at where it is audited.

use converge_model::Outcome;
use converge_system::memory::{MemoryMachine, Release, Script};

use crate::world::{World, catalog, declare, file, outcomes, recipe, service, words};

#[test]
fn what_an_earlier_change_touched_is_looked_at_again() {
    let machine = MemoryMachine::debian();
    // The package brings what later resources manage: a file, a user, a unit that runs.
    let release = Release::default()
        .shipping("/etc/web.conf".parse().unwrap(), *b"shipped")
        .adding_user("web")
        .shipping(
            "/lib/systemd/system/web.service".parse().unwrap(),
            *b"[Service]\n[Install]\nWantedBy=multi-user.target\n",
        )
        .starting("web.service");
    machine.package("web", "1", release).package("lib", "1", Release::default());
    machine.command("make all", Script::default().writing("/srv/made".parse().unwrap(), *b"by hand"));
    let world = World::new(machine);
    let report = world.converges(&recipe([
        declare("package[web]"),
        declare("package[lib]"),
        file("/etc/web.conf", "mine").with("owner", "web"),
        service("web").with("enabled", true),
        declare("execute[make all]").with("creates", "/srv/made"),
        file("/srv/made", "by hand"),
    ]));
    assert_eq!(
        words(&report),
        "package[web] updated\npackage[lib] updated\nfile[/etc/web.conf] updated\nservice[web] up to date\nexecute[make all] updated\n\
         file[/srv/made] up to date\nsucceeded"
    );
    assert_eq!(world.machine.content("/etc/web.conf").unwrap(), b"mine");
}

#[test]
fn nothing_is_looked_at_twice_without_a_reason() {
    let world = World::new(MemoryMachine::debian());
    world.machine.file("/etc/b", "b").file("/etc/c", "c");
    world.run(&catalog([file("/etc/a", "a"), file("/etc/b", "b"), file("/etc/c", "c").with("owner", "root")]));
    let looks = |path: &str| {
        let operations = world.machine.operations();
        operations.iter().filter(|operation| operation.subject == path && operation.name != "write").count()
    };
    assert_eq!((looks("/etc/b"), looks("/etc/c")), (1, 1), "{:#?}", world.machine.operations());
}

#[test]
fn the_work_grows_with_the_catalog_and_not_faster() {
    let operations = |count: usize| {
        let world = World::new(MemoryMachine::debian());
        let files = (0..count).map(|n| file(&format!("/srv/{n}"), "x").notifies("run", "execute[true]"));
        let target = declare("execute[true]").with("run", "when_notified");
        let catalog = crate::world::catalog_of(files.chain([target]).collect());
        world.run(&catalog);
        let first = world.machine.operations().len();
        world.machine.set_faults(Default::default());
        world.run(&catalog);
        (first, world.machine.operations().len())
    };
    let (small, large) = (operations(300), operations(3_000));
    assert!(large.0 <= small.0 * 10 && large.1 <= small.1 * 10, "{small:?} {large:?}");
}

#[test]
fn what_does_not_converge_says_what_is_left() {
    let world = World::new(MemoryMachine::debian());
    let report = world.run(&catalog([declare("odd[/etc/x]").with("how", "never converges").with("value", "v")]));
    assert_eq!(
        words(&report),
        "odd[/etc/x] failed: cannot converge odd[/etc/x]: it did not converge: after the change there is still value: \
         other → v; length of: absent → <v>\nfailed"
    );
    assert_eq!(report.resources[0].changes.iter().count(), 2, "what was to be changed is told");
}

#[test]
fn a_failure_is_tried_again_as_often_as_asked() {
    let flaky = |count| {
        let machine = MemoryMachine::debian();
        machine.command("fetch", Script::exits(1).printing("no route"));
        let world = World::new(machine);
        let report = world.run(&catalog([declare("execute[fetch]").retries(count, 30), file("/etc/a", "a")]));
        assert_eq!(outcomes(&report)["execute[fetch]"], Outcome::Failed);
        let retries = world.told.lines().iter().filter(|line| line.starts_with("retrying")).count();
        (world.machine.commands_run().len(), retries, report.millis)
    };
    assert_eq!(flaky(0), (1, 0, 0));
    assert_eq!(flaky(3), (4, 3, 90_000));
    // What holds at the second try is updated.
    let world = World::new(MemoryMachine::debian());
    let catalog = catalog([file("/etc/a", "a").retries(1, 1)]);
    world.machine.set_faults(converge_system::memory::Faults::once(2, converge_model::ErrorKind::Busy));
    let report = world.run(&catalog);
    assert!(report.conclusion.is_success(), "{}\n{:#?}", words(&report), world.machine.operations());
}

#[test]
fn what_is_audited_is_never_changed() {
    let world = World::new(MemoryMachine::debian());
    let audited = file("/etc/a", "a").and(|resource| resource.audit = true);
    let report = world.run(&catalog([
        audited.notifies("run", "execute[true]"),
        declare("execute[true]").with("run", "when_notified"),
    ]));
    assert_eq!(words(&report), "file[/etc/a] would update (audit)\nexecute[true] up to date\nsucceeded");
    assert!(world.machine.look("/etc/a").is_none());
    assert!(!report.resources[0].changes.is_empty());
}

#[test]
fn neighbouring_packages_are_one_transaction_and_the_guilty_one_is_named() {
    let packages = |machine: &MemoryMachine| {
        for name in ["a", "b", "c", "d"] {
            machine.package(name, "1", Release::default());
        }
        machine.installed("b", "1");
    };
    let declared = || {
        recipe([
            declare("package[a]").notifies("run", "execute[true]"),
            declare("package[b]"),
            declare("package[c]"),
            declare("package[d]").only_if("true"),
            file("/etc/x", "x"),
            declare("execute[true]").with("run", "when_notified"),
        ])
    };
    let world = World::new(MemoryMachine::debian());
    packages(&world.machine);
    let report = world.run(&declared());
    assert!(report.conclusion.is_success(), "{}", words(&report));
    assert_eq!(report.count(Outcome::Updated), 4, "{}", words(&report));
    // One for a and c; the guard of d is decided in its turn.
    let names: Vec<String> = world.machine.operations().iter().map(ToString::to_string).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(" change packages")).count(), 2, "{names:#?}");

    let world = World::new(MemoryMachine::debian());
    packages(&world.machine);
    world.machine.publish("c", "2", Release::default().failing("c's script is broken")).package(
        "c",
        "1",
        Release::default().failing("c's script is broken"),
    );
    let report = world.run(&declared());
    let outcomes = outcomes(&report);
    assert_eq!(outcomes["package[a]"], Outcome::Updated, "{}", words(&report));
    assert_eq!(outcomes["package[c]"], Outcome::Failed);
    assert_eq!(outcomes["package[d]"], Outcome::Unprocessed);
    assert!(report.resources[2].error.as_ref().unwrap().message.contains("c's script is broken"));
    assert_eq!(report.notifications.len(), 1, "a was updated, whoever did it: {}", words(&report));
}

#[test]
fn a_resource_that_reaches_out_finds_what_came_before_durable() {
    let world = World::new(MemoryMachine::debian());
    world.run(&recipe([
        file("/etc/a", "a"),
        file("/etc/b", "b"),
        declare("execute[touch /srv/x]").with("creates", "/srv/x"),
        file("/etc/c", "c"),
    ]));
    let names: Vec<String> = world.machine.operations().into_iter().map(|operation| operation.name).collect();
    let interesting: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| ["write", "flush", "run"].contains(name)).collect();
    assert_eq!(interesting, ["write", "write", "flush", "run", "write", "flush"]);
}

#[test]
fn a_run_over_nothing_is_a_whole_report() {
    let world = World::new(MemoryMachine::debian());
    let report = world.run(&catalog([]));
    assert_eq!(words(&report), "succeeded");
    assert_eq!(
        (report.node.as_str(), report.policy.as_str(), report.revision, report.passes),
        ("web-1", "web", Some(7), 1)
    );
    assert_eq!(world.told.lines(), ["started Apply 0", "ended succeeded"]);
}
