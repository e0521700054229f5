//! Rows of execute, and what notifications do.

use converge_model::Result;
use converge_system::memory::{MemoryMachine, Script};

use crate::harness::{Recipe, Row, debian, resources, row};

fn with_setup(ready: impl FnOnce(&MemoryMachine) -> &MemoryMachine) -> MemoryMachine {
    debian(|machine| {
        let done = "/var/lib/done".parse().unwrap();
        machine.command("setup --all", Script::exits(3).printing("set up\n").writing(done, &b"1"[..]));
        ready(machine)
    })
}

/// Rows: execute.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row(
            &[(
                "execute[setup]",
                "command = ['setup', '--all']\ncreates = '/var/lib/done'\nexit_codes = [0, 3]\nuser = 'daemon'\ncwd = '/srv'",
            )],
            vec![("nothing", with_setup(|m| m)), ("what it creates", with_setup(|m| m.file("/var/lib/done", "1")))],
            &["/var/lib/done file root:root 0644 \"1\""],
        ),
        row(&[("execute[false]", "run = 'when_notified'")], vec![("nothing", debian(|m| m))], &[]),
    ]
}

fn act(machine: &MemoryMachine, recipe: Recipe, action: &str) -> Result<()> {
    resources(recipe).last().unwrap().1.act(machine, action)
}

#[test]
fn a_notified_service_acts_only_where_it_is_to_run() {
    let plain = "[Service]\nExecStart=/bin/x\n";
    let machine = |running: bool| {
        debian(|machine| {
            machine.unit("web.service").unit_with("plain.service", plain);
            if running {
                machine.running("web.service").running("plain.service");
            }
            machine
        })
    };
    for (recipe, running, action, counts) in [
        (&[("service[web]", "running = true")][..], true, "reload", (0, 0, 0, 1)),
        (&[("service[plain]", "running = true")], true, "reload", (0, 0, 1, 0)),
        (&[("service[web]", "running = true")], true, "restart", (0, 0, 1, 0)),
        (&[("service[web]", "running = true")], false, "reload", (0, 0, 1, 0)),
        (&[("service[web]", "")], true, "restart", (0, 0, 1, 0)),
        (&[("service[web]", "")], false, "restart", (0, 0, 0, 0)),
        (&[("service[web]", "running = false")], true, "restart", (0, 0, 0, 0)),
        (&[("service[web]", "")], false, "start", (1, 0, 0, 0)),
        (&[("service[web]", "")], true, "start", (0, 0, 0, 0)),
        (&[("service[web]", "")], true, "stop", (0, 1, 0, 0)),
    ] {
        let machine = machine(running);
        act(&machine, recipe, action).unwrap();
        let unit = if recipe[0].0.contains("plain") { "plain.service" } else { "web.service" };
        let found = machine.counts(unit);
        assert_eq!((found.starts, found.stops, found.restarts, found.reloads), counts, "{recipe:?} {running} {action}");
    }
    // What failed was to run: a restart that did not succeed, tried again, is not over by doing nothing.
    for (recipe, restarts) in [(&[("service[web]", "")], 1), (&[("service[web]", "running = false")], 0)] {
        let machine = machine(false);
        machine.failed("web.service");
        act(&machine, recipe, "restart").unwrap();
        assert_eq!(machine.counts("web.service").restarts, restarts, "{recipe:?}");
    }
    let error = act(&machine(true), &[("service[web]", "")], "run").unwrap_err();
    assert!(error.to_string().contains("no action `run`"), "{error}");
}

#[test]
fn a_command_runs_as_declared_and_its_failure_says_what_it_printed() {
    let machine = with_setup(|m| m);
    let recipe: Recipe = &[("execute[setup]", "command = 'setup --all'\nenv = { TOKEN = 's3cret' }\numask = '077'")];
    let error = crate::harness::converge(&machine, recipe).unwrap_err();
    assert!(error.cause.contains("exited with 3") && error.cause.contains("set up"), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    let run = machine.commands_run().pop().unwrap();
    assert_eq!((run.environment["TOKEN"].as_str(), run.umask), ("s3cret", Some(0o077)));

    let notified: Recipe = &[("execute[setup]", "command = 'true'\ncreates = '/srv/x'\nrun = 'when_notified'")];
    act(&machine, notified, "run").unwrap();
    machine.file("/srv/x", "");
    act(&machine, notified, "run").unwrap();
    let times = machine.commands_run().iter().filter(|record| record.line == "true").count();
    assert_eq!(times, 1, "what it creates is there the second time");
}

#[test]
fn a_command_that_does_not_create_what_it_should_has_not_converged() {
    let recipe: Recipe = &[("execute[true]", "creates = '/srv/x'")];
    let error = crate::harness::converge(&debian(|m| m), recipe).unwrap_err();
    assert!(error.cause.contains("creates"), "{error}");
    // Without `creates` it is an act, and runs every time.
    let changes = crate::harness::converge(&debian(|m| m), &[("execute[true]", "")]).unwrap();
    assert!(changes[0].1.has("command") && changes[0].1.states().next().is_none());
}
