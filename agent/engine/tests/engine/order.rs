//! In which order resources converge, and who is kept from it by whose failure.

use converge_model::Outcome;
use converge_system::memory::MemoryMachine;

use crate::world::{Declaration, World, catalog, catalog_of, declare, file, outcomes, recipe, service, words};

fn order_of(catalog: &converge_model::Catalog) -> Vec<String> {
    let world = World::new(MemoryMachine::debian());
    world.machine.unit("web.service");
    let report = world.run(catalog);
    report.resources.iter().map(|resource| resource.id.to_string()).collect()
}

#[test]
fn found_edges_reorder_what_was_not_ordered_and_give_way_to_what_was() {
    let directory = || declare("directory[/srv/a]");
    let user = || declare("user[app]");
    let motd = || file("/etc/motd", "x");
    for (declarations, ordered, expected) in [
        // Nothing in common: as written.
        (vec![motd(), directory()], false, "file[/etc/motd] directory[/srv/a]"),
        // The nearest declared ancestor, over an undeclared one.
        (
            vec![file("/srv/a/b/c", "x"), motd(), directory()],
            false,
            "file[/etc/motd] directory[/srv/a] file[/srv/a/b/c]",
        ),
        (vec![motd().with("owner", "app"), user()], false, "user[app] file[/etc/motd]"),
        (
            vec![service("web"), file("/etc/systemd/system/web.service", "[Service]\n")],
            false,
            "file[/etc/systemd/system/web.service] service[web]",
        ),
        // Two give the same: after both.
        (
            vec![declare("package[x]"), file("/etc/apt/a", "1"), file("/etc/apt/b", "2")],
            false,
            "file[/etc/apt/a] file[/etc/apt/b] package[x]",
        ),
        // In an ordered recipe what is written holds.
        (vec![file("/srv/a/x", "x"), directory()], true, "file[/srv/a/x] directory[/srv/a]"),
    ] {
        let catalog = catalog_of(declarations);
        let catalog = if ordered { in_order(catalog) } else { catalog };
        assert_eq!(order_of(&catalog).join(" "), expected);
    }
}

fn in_order(mut catalog: converge_model::Catalog) -> converge_model::Catalog {
    for position in 1..catalog.resources.len() {
        catalog.resources[position].requires = vec![position - 1];
    }
    catalog
}

#[test]
fn a_contradiction_costs_only_the_edges_within_it() {
    // The first file needs the directory, which an ordered recipe puts after a file that is in it.
    let catalog = catalog([
        file("/srv/a/first", "x"),
        file("/srv/a/second", "x"),
        declare("directory[/srv/a]").requires("file[/srv/a/second]"),
    ]);
    assert_eq!(order_of(&catalog), ["file[/srv/a/second]", "directory[/srv/a]", "file[/srv/a/first]"]);
}

#[test]
fn a_failure_blocks_what_depends_on_it_and_nothing_else() {
    let bad = |path: &str| declare(&format!("odd[{path}]")).with("how", "quotes");
    let ignored = |declaration: Declaration| declaration.and(|resource| resource.ignore_failure = true);
    let cases = [
        // Written and found edges, over several steps; the root is named.
        (
            catalog([
                bad("/srv/x"),
                file("/etc/a", "a").requires("odd[/srv/x]"),
                file("/etc/b", "b").requires("file[/etc/a]"),
                file("/srv/x/y", "y"),
                file("/etc/c", "c"),
            ]),
            "odd[/srv/x] failed: cannot write /srv/x: the value \"\" is refused\n\
             file[/etc/a] unprocessed: blocked by odd[/srv/x]\n\
             file[/etc/b] unprocessed: blocked by odd[/srv/x]\n\
             file[/srv/x/y] unprocessed: blocked by odd[/srv/x]\n\
             file[/etc/c] updated\n\
             failed",
        ),
        // One of two who give the same.
        (
            catalog([bad("/etc/apt"), file("/etc/apt/b", "b"), declare("package[x]").with("ensure", "absent")]),
            "odd[/etc/apt] failed: cannot write /etc/apt: the value \"\" is refused\n\
             file[/etc/apt/b] unprocessed: blocked by odd[/etc/apt]\n\
             package[x] unprocessed: blocked by odd[/etc/apt]\n\
             failed",
        ),
        // An ignored failure blocks nobody, and is not the run's.
        (
            recipe([ignored(bad("/etc/x")), file("/etc/a", "a")]),
            "odd[/etc/x] failed: cannot write /etc/x: the value \"\" is refused (ignored)\n\
             file[/etc/a] updated\n\
             succeeded",
        ),
        // Neither does what is skipped.
        (
            recipe([
                file("/etc/x", "x").and(|resource| resource.skipped = Some("when: no".into())),
                file("/etc/y", "y").only_if("false"),
                file("/etc/a", "a"),
            ]),
            "file[/etc/x] skipped: when: no\n\
             file[/etc/y] skipped: only_if `false` does not hold\n\
             file[/etc/a] updated\n\
             succeeded",
        ),
        // What cannot be built fails like anything else, and alone.
        (
            recipe([declare("odd[/etc/x]").with("how", "does not build"), file("/etc/a", "a")]),
            "odd[/etc/x] failed: cannot use odd[/etc/x]: the value is \n\
             file[/etc/a] unprocessed: blocked by odd[/etc/x]\n\
             failed",
        ),
        (recipe([declare("cron[x]")]), "cron[x] failed: cannot use cron[x]: this agent knows no kind `cron`\nfailed"),
    ];
    for (catalog, expected) in cases {
        let world = World::new(MemoryMachine::debian());
        assert_eq!(words(&world.run(&catalog)), expected);
    }
}

#[test]
fn a_panic_is_the_failure_of_one_resource() {
    for how in ["panics in build", "panics in observe", "panics in apply"] {
        let catalog = catalog([declare("odd[/etc/x]").with("how", how), file("/etc/a", "a")]);
        let report = World::new(MemoryMachine::debian()).run(&catalog);
        assert_eq!(outcomes(&report)["odd[/etc/x]"], Outcome::Failed, "{how}");
        assert_eq!(outcomes(&report)["file[/etc/a]"], Outcome::Updated, "{how}");
        assert!(words(&report).contains("the kind `odd` panicked"), "{}", words(&report));
    }
}

#[test]
fn positions_that_point_nowhere_are_passed_over() {
    let mut catalog = catalog([file("/etc/a", "a"), file("/etc/b", "b")]);
    catalog.resources[0].requires = vec![0, 1, 9];
    catalog.resources[1].notifies =
        vec![converge_model::Notify { target: 9, action: "run".into(), timing: Default::default() }];
    assert!(World::new(MemoryMachine::debian()).run(&catalog).conclusion.is_success());
}
