//! A plan is the same run over a machine that keeps the changes in memory: it promises what a run does, and does nothing.

use converge_engine::Entry;
use converge_model::report::NotificationReport;
use converge_model::{Catalog, Condition, Guard, Outcome, Report, ResourceReport, Timing, Value};
use converge_system::memory::{MemoryMachine, Release, Script};
use converge_system::overlay::Overlay;
use proptest::prelude::*;

use crate::world::{Declaration, World, catalog, catalog_of, declare, file, recipe, service, words};

/// A plan, after which machine, journal and ledger are as they were.
fn plan(world: &World, catalog: &Catalog) -> Report {
    world.machine.set_faults(Default::default());
    let (before, journal) = (world.machine.clone(), world.journal.lock().unwrap().clone());
    let report = world.plan(catalog, &Overlay::new(&world.machine));
    let done = world.machine.operations();
    assert_eq!(
        world.machine.changes_since(&before).lines().find(|line| !line.contains("command")),
        None,
        "{}",
        words(&report)
    );
    assert!(
        !done.iter().any(|operation| ["append", "replace", "flush"].contains(&operation.name.as_str())),
        "{done:#?}"
    );
    assert_eq!(*world.journal.lock().unwrap(), journal);
    report
}

fn promised(outcome: Outcome) -> Outcome {
    if outcome == Outcome::WouldUpdate { Outcome::Updated } else { outcome }
}

/// Demands that a run does what the plan said, as far as the plan was sure of it.
fn holds(world: &World, catalog: &Catalog) -> Result<(), TestCaseError> {
    let planned = plan(world, catalog);
    let run = world.run(catalog);
    let both = format!("planned:\n{}\n\nran:\n{}\n\n{catalog:#?}", words(&planned), words(&run));
    prop_assert_eq!(planned.resources.len(), run.resources.len(), "{}", &both);
    for (planned, run) in planned.resources.iter().zip(&run.resources) {
        prop_assert_eq!(&planned.id, &run.id, "{}", &both);
        if planned.assumptions.is_empty() {
            let told = |report: &ResourceReport| {
                (promised(report.outcome), report.changes.clone(), report.reason.clone(), report.error.clone())
            };
            prop_assert_eq!(told(planned), told(run), "{}: {}", &planned.id, &both);
        } else {
            prop_assert_eq!(promised(planned.outcome), run.outcome, "{}: {}", &planned.id, &both);
        }
    }
    let told = |report: &NotificationReport| {
        (report.target.clone(), report.action.clone(), report.sources.clone(), promised(report.outcome))
    };
    let notified = |report: &Report| report.notifications.iter().map(told).collect::<Vec<_>>();
    prop_assert_eq!(notified(&planned), notified(&run), "{}", &both);
    Ok(())
}

#[test]
fn a_plan_says_what_a_first_run_does() {
    let machine = MemoryMachine::debian();
    let release = Release::default()
        .shipping("/lib/systemd/system/web.service".parse().unwrap(), *b"[Service]\n")
        .adding_user("web");
    machine.package("web", "1", release).package("lib", "1", Release::default());
    machine.command("note *", Script::exits(0));
    let world = World::new(machine);
    let catalog = recipe([
        declare("package[web]"),
        declare("package[lib]"),
        declare("user[app]").with("group", "users"),
        declare("directory[/srv/app]").with("owner", "app"),
        file("/srv/app/x", "x").with("owner", "web").notifies("restart", "service[web]"),
        declare("link[/srv/y]").with("to", "/srv/app/x"),
        service("web"),
        file("/etc/a", "a").guard(Guard::OnlyIf(Condition::Exists("/srv/app/x".parse().unwrap()))),
        declare("execute[note a]").with("run", "when_notified"),
        file("/etc/b", "b").notifies_at_once("run", "execute[note a]"),
    ]);
    holds(&world, &catalog).unwrap();
    // What the package's scripts would do is an assumption, and said where it matters.
    let planned = plan(&World::new(MemoryMachine::debian()), &catalog);
    assert!(planned.count(Outcome::Failed) > 0, "there is no such package: {}", words(&planned));
    let idle = plan(&world, &catalog);
    assert!(!idle.has_changes() && idle.remarks.is_empty(), "{}", words(&idle));
}

#[test]
fn a_plan_shows_orphans_and_what_earlier_runs_left() {
    let world = World::new(MemoryMachine::debian());
    world.machine.unit("web.service").running("web.service");
    world.run(&catalog([file("/etc/a", "a"), service("web")]));
    *world.journal.lock().unwrap() = vec![Entry::Due {
        source: "file[/etc/x]".parse().unwrap(),
        target: "service[web]".parse().unwrap(),
        action: "reload".into(),
        timing: Timing::Delayed,
    }];
    let next = Catalog { orphans: converge_model::catalog::Orphans::Remove, ..catalog([service("web")]) };
    let expected = "service[web] up to date\nfile[/etc/a] would update: left the policy\nreload service[web] would update by \nsucceeded";
    assert_eq!(words(&plan(&world, &next)), expected);
    assert_eq!(words(&plan(&world, &next)), expected, "a plan changes nothing, so the next one says the same");
}

const PATHS: [&str; 7] = ["/srv/a", "/srv/a/b", "/srv/a/b/c", "/srv/d", "/srv/d/e", "/etc/x", "/etc/y"];

fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&PATHS[..])
}

/// A resource at a path, or about accounts and a unit.
fn declaration() -> impl Strategy<Value = Declaration> {
    let content = prop::sample::select(vec!["one", "two\n"]);
    let owner = prop::option::of(prop::sample::select(vec!["root", "app", "bob"]));
    let owned = |declaration: Declaration, owner: Option<&str>| match owner {
        Some(owner) => declaration.with("owner", owner),
        None => declaration,
    };
    prop_oneof![
        4 => (path(), content, owner.clone()).prop_map(move |(path, content, owner)| owned(file(path, content), owner)),
        3 => (path(), owner).prop_map(move |(path, owner)| owned(declare(&format!("directory[{path}]")), owner)),
        2 => (path(), path()).prop_map(|(path, to)| declare(&format!("link[{path}]")).with("to", to)),
        2 => (prop::sample::select(vec!["file", "directory", "link"]), path())
            .prop_map(|(kind, path)| declare(&format!("{kind}[{path}]")).with("ensure", "absent")),
        1 => prop::sample::select(vec!["app", "bob"]).prop_map(|name| declare(&format!("user[{name}]"))),
        1 => Just(declare("user[app]").with("ensure", "absent")),
        1 => Just(declare("group[staff]").with("members", Value::from(vec!["app".to_owned()]))),
        1 => any::<bool>().prop_map(|running| declare("service[web]").with("running", running)),
        1 => Just(file("/etc/systemd/system/web.service", "[Service]\n[Install]\nWantedBy=multi-user.target\n")),
    ]
}

/// What surrounds a resource: a guard, what it requires, whom it notifies.
fn surroundings() -> impl Strategy<Value = (Option<Guard>, Option<prop::sample::Index>, u8)> {
    let exists = |path: &str| Condition::Exists(path.parse().unwrap());
    let guard = prop_oneof![
        4 => Just(None),
        1 => path().prop_map(move |path| Some(Guard::OnlyIf(exists(path)))),
        1 => path().prop_map(move |path| Some(Guard::NotIf(exists(path)))),
    ];
    (guard, prop::option::of(any::<prop::sample::Index>()), 0_u8..8)
}

/// A catalog in which no two resources are about the same.
fn catalogs() -> impl Strategy<Value = Catalog> {
    prop::collection::vec((declaration(), surroundings()), 1..14).prop_map(|declared| {
        let mut seen = std::collections::BTreeSet::new();
        let mut declarations = vec![service("ok")];
        let mut required = vec![None];
        for (declaration, (guard, requires, notifies)) in declared {
            let single = catalog_of(vec![declaration.clone()]);
            if !seen.insert(single.resources[0].id.name().to_owned()) {
                continue;
            }
            let declaration = guard.into_iter().fold(declaration, Declaration::guard);
            declarations.push(match notifies {
                0 => declaration.notifies("reload", "service[ok]"),
                1 => declaration.notifies_at_once("restart", "service[ok]"),
                _ => declaration,
            });
            required.push(requires);
        }
        let mut catalog = catalog_of(declarations);
        for (position, requires) in required.into_iter().enumerate() {
            catalog.resources[position].requires = requires.map(|index| index.index(position)).into_iter().collect();
        }
        catalog
    })
}

/// What is on a machine already, right or in the way: what at which path; two users, a unit, and whether it runs.
type Before = (Vec<(&'static str, u8)>, [bool; 4]);

fn befores() -> impl Strategy<Value = Before> {
    (prop::collection::vec((path(), 0_u8..3), 0..5), any::<[bool; 4]>())
}

fn machine((there, flags): Before) -> MemoryMachine {
    let machine = MemoryMachine::debian();
    machine.unit("ok.service").running("ok.service");
    let mut taken: Vec<&str> = Vec::new();
    for (path, what) in there {
        if taken.iter().any(|other| path.starts_with(other) || other.starts_with(path)) {
            continue;
        }
        taken.push(path);
        match what {
            0 => machine.file(path, "one"),
            1 => machine.directory(path),
            _ => machine.symlink(path, "/etc/nowhere"),
        };
    }
    for (flag, name, id) in [(flags[0], "app", 2_000), (flags[1], "bob", 2_001)] {
        if flag {
            machine.user(name, id);
        }
    }
    if flags[2] {
        machine.unit("web.service");
        if flags[3] {
            machine.running("web.service");
        }
    }
    machine
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_run_does_what_its_plan_said(catalog in catalogs(), before in befores()) {
        let world = World::new(machine(before));
        holds(&world, &catalog)?;
        // And so does the next, on the machine as it is now.
        holds(&world, &catalog)?;
    }
}

/// A guard that is decided too early may skip what another resource leans on: then the plan is not sure of that one either.
#[test]
fn the_doubt_of_a_guard_reaches_what_leans_on_the_resource() {
    let machine = MemoryMachine::debian();
    machine.command("note *", Script::exits(0)).command("test *", Script::exits(1));
    let world = World::new(machine);
    let catalog = catalog([
        declare("execute[note it]"),
        declare("directory[/srv/www]").only_if("test -f /there"),
        file("/srv/www/index", "x"),
        file("/etc/other", "x"),
    ]);
    let planned = plan(&world, &catalog);
    let unsure = |at: usize| {
        planned.resources[at].assumptions.iter().any(|text| text.contains("a guard of directory[/srv/www]"))
    };
    assert_eq!(planned.resources[1].outcome, Outcome::Skipped, "{}", words(&planned));
    assert_eq!([unsure(2), unsure(3)], [true, false], "{}", words(&planned));
}
