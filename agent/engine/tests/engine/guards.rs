//! Guards: all of them count, and one that cannot be decided is a failure.

use std::time::Duration;

use converge_model::{Condition, Guard, Outcome};
use converge_system::memory::{MemoryMachine, Script};

use crate::world::{Declaration, World, catalog, declare, file, outcomes, words};

/// What it shows, the guards, and how the resource ends.
type Case = (&'static str, fn(Declaration) -> Declaration, &'static str);

#[test]
fn every_guard_counts_and_none_is_guessed() {
    let exists = |path: &str| Condition::Exists(path.parse().unwrap());
    let guarded: Vec<Case> = vec![
        ("both hold", |r| r.only_if("true").only_if("test -f /etc/x"), "updated"),
        ("the first does not", |r| r.only_if("false").only_if("true"), "skipped: only_if `false` does not hold"),
        ("the last does not", |r| r.only_if("true").only_if("false"), "skipped: only_if `false` does not hold"),
        ("not_if", |r| r.only_if("true").not_if("true"), "skipped: not_if `true` holds"),
        ("silent 127 is no", |r| r.only_if("command -v x"), "skipped: only_if `command -v x` does not hold"),
        ("silent 127 is no", |r| r.not_if("command -v x"), "updated"),
        (
            "no such command",
            |r| r.only_if("nosuch"),
            "failed: cannot decide only_if `nosuch`: it exited with 127: nosuch: command not found",
        ),
        (
            "no such command, asked the other way",
            |r| r.not_if("nosuch -x"),
            "failed: cannot decide not_if `nosuch -x`: it exited with 127: nosuch: command not found",
        ),
        (
            "takes too long",
            |r| r.not_if("slow"),
            "failed: cannot decide not_if `slow`: it did not end in time, and was ended with its whole process group",
        ),
        ("has the time it needs", |r| r.not_if("slow").and(|r| r.timeout = Some("2m".parse().unwrap())), "updated"),
        ("sensitive", |r| r.only_if("false").and(|r| r.sensitive = true), "skipped: only_if (sensitive) does not hold"),
        ("secret", |r| r.not_if("true").secret("not_if"), "skipped: not_if (sensitive) holds"),
        (
            "undecided before the observation fails",
            |r| r.only_if("false").with("owner", "nobody-knows"),
            "skipped: only_if `false` does not hold",
        ),
    ];
    for (name, guard, expected) in guarded {
        let machine = MemoryMachine::debian();
        machine.file("/etc/x", "").command("command -v x", Script::exits(127));
        machine.command("slow", Script::exits(1).taking(Duration::from_secs(90)));
        let world = World::new(machine);
        let report = world.run(&catalog([guard(file("/etc/new", "new"))]));
        let line = words(&report).lines().next().unwrap().to_owned();
        assert_eq!(line, format!("file[/etc/new] {expected}"), "{name}");
        let written = world.machine.look("/etc/new").is_some();
        assert_eq!(written, report.count(Outcome::Updated) == 1, "{name}");
    }
    for (guard, outcome) in [
        (Guard::OnlyIf(exists("/etc/x")), Outcome::Updated),
        (Guard::NotIf(exists("/etc/x")), Outcome::Skipped),
        (Guard::OnlyIf(exists("/etc/y")), Outcome::Skipped),
    ] {
        let machine = MemoryMachine::debian();
        machine.file("/etc/x", "");
        let report = World::new(machine).run(&catalog([file("/etc/new", "new").guard(guard.clone())]));
        assert_eq!(report.resources[0].outcome, outcome, "{guard:?}");
    }
}

#[test]
fn a_guard_is_decided_when_the_turn_comes() {
    // Behind a guard of its own, the flag does not keep the others from being asked early.
    for guard in [None, Some("true")] {
        let world = World::new(MemoryMachine::debian());
        let flag = file("/etc/flag", "x");
        let declared = catalog([
            guard.into_iter().fold(flag, Declaration::only_if),
            file("/etc/a", "a").only_if("test -f /etc/flag"),
            file("/etc/b", "b").not_if("test -f /etc/flag"),
            declare("directory[/etc/c]").not_if("false"),
        ]);
        let ended = outcomes(&world.run(&declared));
        assert_eq!(
            [ended["file[/etc/a]"], ended["file[/etc/b]"], ended["directory[/etc/c]"]],
            [Outcome::Updated, Outcome::Skipped, Outcome::Updated],
            "{guard:?}"
        );
        let asked = world.machine.commands_run().len();
        world.run(&declared);
        let again = world.machine.commands_run().len() - asked;
        assert_eq!(again, 3 + usize::from(guard.is_some()), "an idle run asks each guard once");
    }
}
