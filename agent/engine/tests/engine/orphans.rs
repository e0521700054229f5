//! What leaves the policy: said, or taken away if this agent made it and nobody needs it.

use converge_model::Catalog;
use converge_model::catalog::Orphans;
use converge_system::memory::{MemoryMachine, Release};

use crate::world::{World, catalog, declare, file, service, words};

fn removing(catalog: Catalog) -> Catalog {
    Catalog { orphans: Orphans::Remove, ..catalog }
}

fn machine() -> MemoryMachine {
    let machine = MemoryMachine::debian();
    machine.package("tool", "1", Release::default()).file("/etc/there", "before");
    machine
}

fn before() -> Catalog {
    catalog([
        declare("user[app]"),
        declare("directory[/srv/app]").with("owner", "app"),
        file("/srv/app/data", "x").with("owner", "app"),
        file("/etc/there", "managed"),
        declare("package[tool]"),
        declare("execute[true]"),
        file("/etc/never", "x").with("ensure", "absent").and(|resource| _ = resource.properties.remove("content")),
        service("old").with("running", false).with("enabled", false),
        file("/etc/keep", "k"),
    ])
}

#[test]
fn what_left_the_policy_is_reported_until_it_is_gone() {
    let world = World::new(machine());
    world.run(&before());
    let kept = || catalog([file("/etc/keep", "k")]);
    let stays = "left the policy, and stays; `orphans = \"remove\"` in the policy would take it away";
    let expected = format!(
        "file[/etc/keep] up to date\n\
         package[tool] skipped: {stays}\n\
         file[/etc/there] skipped: left the policy; it was on the node before, and stays\n\
         file[/srv/app/data] skipped: {stays}\n\
         directory[/srv/app] skipped: {stays}\n\
         user[app] skipped: {stays}\n\
         succeeded"
    );
    assert_eq!(words(&world.run(&kept())), expected);
    // What was there before is released at once; the rest is said in every run.
    let again =
        expected.replace("file[/etc/there] skipped: left the policy; it was on the node before, and stays\n", "");
    assert_eq!(words(&world.run(&kept())), again);
    assert!(world.machine.look("/srv/app/data").is_some());
    world.is_idle(&kept());

    let report = world.converges(&removing(kept()));
    assert_eq!(
        words(&report),
        "file[/etc/keep] up to date\n\
         package[tool] updated: left the policy\n\
         file[/srv/app/data] updated: left the policy\n\
         directory[/srv/app] updated: left the policy\n\
         user[app] updated: left the policy\n\
         succeeded"
    );
    assert!(world.machine.look("/srv/app").is_none() && world.machine.look("/etc/there").is_some());
    let ledger = world.ledger.lock().unwrap().clone();
    let owned: Vec<String> = ledger.resources.keys().map(ToString::to_string).collect();
    assert_eq!(owned, ["file[/etc/keep]"]);
    assert!(ledger.resources.values().all(|owned| owned.created));
}

#[test]
fn what_somebody_still_needs_is_not_taken_away() {
    let world = World::new(machine());
    world.run(&before());
    // The directory is a file's parent, the user another's owner, and the path belongs to a link now.
    let after = removing(catalog([
        file("/srv/app/other", "y"),
        file("/etc/keep", "k").with("owner", "app"),
        declare("link[/srv/app/data]").with("to", "/etc/keep"),
    ]));
    let report = world.run(&after);
    let lines = words(&report);
    for expected in [
        "package[tool] updated: left the policy",
        "directory[/srv/app] skipped: left the policy; it stays while file[/srv/app/other] needs it",
        "user[app] skipped: left the policy; it stays while file[/etc/keep] needs it",
        "file[/srv/app/data] skipped: left the policy; it stays while link[/srv/app/data] needs it",
    ] {
        assert!(lines.lines().any(|line| line == expected), "{expected}\n{lines}");
    }
    assert!(world.machine.look("/srv/app/other").is_some());
    // Once nobody does, it goes.
    let report = world.converges(&removing(catalog([file("/etc/keep", "k")])));
    assert!(words(&report).contains("user[app] updated: left the policy"), "{}", words(&report));
    assert!(world.machine.look("/srv/app/data").is_none());
}

#[test]
fn a_kill_does_not_make_the_agent_forget_what_it_made() {
    let world = World::new(machine());
    // The process is gone before the ledger is saved.
    world.run_only(&before());
    world.run(&before());
    world.converges(&removing(catalog([])));
    assert!(world.machine.look("/srv/app").is_none() && world.machine.look("/etc/keep").is_none());
    assert!(world.machine.look("/etc/there").is_some());
}

#[test]
fn a_ledger_that_cannot_be_read_is_not_replaced() {
    use converge_model::ErrorKind;
    use converge_system::memory::Faults;
    let world = World::new(machine());
    world.run(&before());
    world.run(&catalog([]));
    let load = world.machine.operations().into_iter().find(|operation| operation.subject == "the ledger");
    assert!(load.is_none_or(|operation| operation.number > 0));
    let ledger = world.ledger.lock().unwrap().clone();
    world.machine.set_faults(Faults::once(2, ErrorKind::Failed));
    let report = world.run(&catalog([file("/etc/keep", "other")]));
    assert!(report.remarks.iter().any(|remark| remark.contains("the ledger")), "{}", words(&report));
    assert_eq!(*world.ledger.lock().unwrap(), ledger);
}
