//! What is secret is nowhere: not in the report, not in an event, not in the journal, not in the ledger.

use converge_model::Value;
use converge_system::memory::MemoryMachine;

use crate::world::{Declaration, World, catalog, declare, file, words};

const SECRET: &str = "hunter2 and more";

#[test]
fn a_secret_is_shown_nowhere() {
    let odd = |how: &str| declare("odd[/etc/x]").with("how", how).with("value", SECRET);
    let hidings: [fn(Declaration) -> Declaration; 2] = [
        |resource| resource.secret("value").secret("content"),
        |resource| resource.and(|resource| resource.sensitive = true),
    ];
    for hide in hidings {
        for how in [
            "works",
            "quotes",
            "half",
            "never converges",
            "cannot tell",
            "panics in apply",
            "panics in act",
            "quotes in act",
            "does not build",
        ] {
            let world = World::new(MemoryMachine::debian());
            let catalog = catalog([
                hide(odd(how)).retries(1, 1),
                hide(file("/etc/secret", &format!("first\n  {SECRET}\nlast\n"))).notifies("poke", "odd[/etc/x]"),
                hide(file("/etc/guarded", SECRET)).only_if(if how == "works" { "true" } else { "false" }),
                hide(
                    declare("execute[login]")
                        .with("command", Value::from(vec!["nosuch".to_owned(), SECRET.to_owned()])),
                )
                .secret("command"),
                hide(file("/etc/mode", "x").with("mode", "0600")),
            ]);
            let first = world.run_only(&catalog);
            let journal = format!("{:?}", world.journal.lock().unwrap());
            *world.ledger.lock().unwrap() = first.ledger.unwrap();
            let second = world.run(&catalog);
            let ledger = serde_json::to_string(&*world.ledger.lock().unwrap()).unwrap();
            for (what, text) in [
                ("report", serde_json::to_string(&[&first.report, &second]).unwrap()),
                ("events", world.told.text()),
                ("journal", journal),
                ("ledger", ledger),
            ] {
                // What takes a sensitive resource away may need its values; nobody is shown the ledger.
                let needed = what == "ledger" && catalog.resources[0].sensitive;
                assert!(needed || !text.contains("hunter2"), "{how}: {what}: {text}");
            }
            let said = words(&first.report);
            assert!(how == "works" || how.contains("act") || said.contains("odd[/etc/x] failed: cannot "), "{said}");
        }
    }
}

#[test]
fn what_is_not_secret_is_still_told() {
    let world = World::new(MemoryMachine::debian());
    let report = world.run(&catalog([
        file("/etc/a", SECRET).with("mode", "0600").secret("content"),
        declare("odd[/etc/x]").with("how", "quotes").with("value", SECRET).secret("value"),
        declare("odd[/etc/y]").with("how", "never converges").with("value", SECRET).secret("value"),
    ]));
    let changes = &report.resources[0].changes;
    assert_eq!(changes.of("content").unwrap().to.to_string(), "(sensitive)");
    assert_eq!(changes.of("mode").unwrap().to.to_string(), "0600");
    let lines = words(&report);
    let lines: Vec<&str> = lines.lines().skip(1).collect();
    assert_eq!(
        lines[0],
        "odd[/etc/x] failed: cannot write /etc/x: it was tried and failed (the details may hold a hidden value)"
    );
    assert_eq!(
        lines[1],
        "odd[/etc/y] failed: cannot converge odd[/etc/y]: it did not converge: after the change there is still value: \
         (sensitive) → (sensitive); length of: absent → (sensitive)"
    );
}

/// The kind's schema says what is sensitive; no author has to.
#[test]
fn what_is_sensitive_by_its_kind_is_left_out_of_what_is_told() {
    let world = World::new(MemoryMachine::debian());
    let report = world.run(&catalog([
        declare("odd[/etc/x]").with("how", "quotes").with("value", SECRET).with("key", SECRET),
        declare("odd[/etc/y]").with("how", "works").with("value", "plain").with("key", SECRET),
    ]));
    let told =
        [serde_json::to_string(&report).unwrap(), world.told.text(), format!("{:?}", world.journal.lock().unwrap())];
    assert!(told.iter().all(|text| !text.contains("hunter2")), "{told:?}");
    let lines = words(&report);
    assert!(lines.contains("cannot write /etc/x: the value \"(sensitive)\" is refused"), "{lines}");
    assert_eq!(report.resources[1].changes.of("value").unwrap().to.to_string(), "plain");
}
